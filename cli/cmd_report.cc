#include <fmt/format.h>

#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <system_error>

#include "cli/parse.h"
#include "cli/program.h"
#include "cli/verbs.h"
#include "lab/report/report.h"

namespace omninorm::cli {
namespace {

namespace fs = std::filesystem;

// When the experiment was last written to; none if the folder holds no experiment.
std::optional<fs::file_time_type> last_written(const fs::path& folder) {
  std::optional<fs::file_time_type> newest;
  const auto look_at = [&](const fs::path& file) {
    std::error_code error;
    const auto time = fs::last_write_time(file, error);
    if (!error && (!newest || time > *newest)) newest = time;
  };
  look_at(folder / "experiment.json");
  std::error_code error;
  for (const auto& run : fs::directory_iterator(folder / "runs", error)) {
    look_at(run.path() / "run.json");
    look_at(run.path() / "metrics.jsonl");
  }
  return newest;
}

fs::path latest_experiment() {
  fs::path latest;
  std::optional<fs::file_time_type> newest;
  std::error_code error;
  for (const auto& folder : fs::directory_iterator("runs", error)) {
    const auto time = last_written(folder.path());
    if (time && (!newest || *time > *newest)) {
      newest = time;
      latest = folder.path();
    }
  }
  if (latest.empty()) {
    throw UsageError(
        "report expected an experiment in runs/, found none; run 'omninorm compare' "
        "first, or name a folder");
  }
  return latest;
}

void check_folder(const fs::path& folder) {
  std::error_code error;
  if (fs::is_directory(folder, error)) return;
  throw UsageError(fmt::format("report expected an experiment's folder, got {}: {}",
                               folder.string(),
                               fs::exists(folder, error) ? "not a folder" : "no such folder"));
}

}  // namespace

int run_report(int argc, char** argv) {
  CLI::App app(
      "Draws the report of an experiment from the files of its runs, also while they go on.",
      "omninorm report");
  std::string folder, file;
  bool quiet = false, json = false;
  app.add_option("folder", folder, "the experiment [the one in runs/ that was written to last]");
  app.add_option("--out", file, "the report's file [FOLDER/report.html]")->type_name("FILE");
  app.add_flag("--quiet", quiet, "print errors and the report's path only");
  app.add_flag("--json", json, "print one JSON object: report, headline, notes");
  parse_arguments(app, argc, argv);
  const fs::path experiment = folder.empty() ? latest_experiment() : fs::path(folder);
  check_folder(experiment);
  const lab::ReportResult result = lab::write_report(experiment, file);
  if (json) {
    const nlohmann::json line = {{"kind", "result"},
                                 {"report", result.file.string()},
                                 {"headline", result.headline},
                                 {"notes", result.notes}};
    fmt::print("{}\n", line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  } else if (quiet) {
    fmt::print("{}\n", result.file.string());
  } else {
    for (const std::string& note : result.notes) fmt::print(stderr, "{}\n", note);
    fmt::print("{}\nreport: {}\n", result.headline, result.file.string());
  }
  return exit_done;
}

}  // namespace omninorm::cli
