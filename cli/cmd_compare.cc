#include "cli/cmd_compare.h"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include "cli/compare_options.h"
#include "cli/parse.h"
#include "cli/program.h"
#include "lab/data/text.h"
#include "lab/experiment/run_folder.h"
#include "omninorm/error.h"

namespace omninorm::cli {
namespace {

namespace fs = std::filesystem;

constexpr const char* description =
    "Trains one Transformer per variant, alike in everything but what is varied, and writes a\n"
    "report. With no arguments: four norm placements at two learning rates. With settings but no\n"
    "--vary: every placement at those settings.";

constexpr const char* footer =
    "\nExamples:\n"
    "  omninorm compare\n"
    "  omninorm compare --vary norm=rms_norm,layer_norm --placement peri --seeds 3\n"
    "  omninorm compare --vary placement=pre,peri --vary lr=1e-3,3e-3 --text book.txt\n"
    "Runs that have finished are not run again; Ctrl-C keeps what is written.\n";

// The files of the user's own, looked at before anything is started: a slip is told at once.
void check_text(const lab::Plan& plan) {
  std::optional<lab::TextData> data;
  for (const lab::Variant& variant : plan.variants) {
    const lab::Settings& settings = variant.settings;
    if (settings.data != "text") continue;
    if (!data) data = lab::load_text({settings.text.begin(), settings.text.end()});
    lab::check_length(*data, settings.batch, settings.context);
  }
}

void check_folder(const fs::path& folder) {
  std::error_code error;
  if (fs::exists(folder, error) && !fs::is_directory(folder, error)) {
    throw UsageError(fmt::format("[out] expected a folder, got the file {}", folder.string()));
  }
}

std::string steps_words(const lab::Plan& plan) {
  std::set<std::int64_t> steps;
  for (const lab::Variant& variant : plan.variants) steps.insert(variant.settings.steps);
  if (steps == std::set<std::int64_t>{0}) {
    return fmt::format(
        "sized from a few timed steps when it runs: 200 a run if all runs together then take no "
        "more than {} s, else fewer",
        plan.budget_seconds);
  }
  std::string words = fmt::format("{}", fmt::join(steps, ", "));
  return steps.contains(0) ? words + " (0: sized when it runs)" : words;
}

fs::path own_folder() {
  std::error_code error;
  return fs::read_symlink("/proc/self/exe", error).parent_path();
}

bool is_program(const fs::path& file) {
  std::error_code error;
  return fs::is_regular_file(file, error) && ::access(file.c_str(), X_OK) == 0;
}

}  // namespace

fs::path find_lab_program() {
  const char* const named = std::getenv("OMNINORM_LAB_BINARY");
  if (named != nullptr && *named != '\0') {
    if (is_program(named)) return named;
    throw std::runtime_error(
        fmt::format("OMNINORM_LAB_BINARY expected a program that can be run, got '{}'", named));
  }
  const fs::path folder = own_folder();
  for (const fs::path& place :
       {folder / "omninorm-lab", folder.parent_path() / "libexec/omninorm/omninorm-lab"}) {
    if (is_program(place)) return place;
  }
  throw std::runtime_error(fmt::format(
      "this build has no lab: there is no omninorm-lab beside {}. Training needs a build with "
      "torch: run ./dev build, or configure with -DOMNINORM_TORCH=ON",
      (folder / "omninorm").string()));
}

CompareRequest parse_compare(int argc, const char* const* argv) {
  CLI::App app(description, "omninorm compare");
  app.footer(footer);
  CompareOptions options;
  add_compare_flags(app, options);
  parse_arguments(app, argc, argv);
  CompareRequest request;
  try {
    request.plan = make_plan(options);
    check_text(request.plan);
  } catch (const Error& error) {
    throw UsageError(error.what());
  }
  check_folder(request.plan.folder);
  request.quiet = options.quiet;
  request.json = options.json;
  request.dry_run = options.dry_run;
  request.command = command_line(argc, argv);
  return request;
}

std::string describe(const CompareRequest& request) {
  const lab::Plan& plan = request.plan;
  if (request.json) {
    nlohmann::json variants = nlohmann::json::array();
    for (const lab::Variant& variant : plan.variants) {
      variants.push_back({{"id", variant.id},
                          {"label", variant.label},
                          {"settings", lab::to_json(variant.settings)}});
    }
    const nlohmann::json json = {{"kind", "plan"},
                                 {"folder", plan.folder.string()},
                                 {"is_default", plan.is_default},
                                 {"budget_seconds", plan.budget_seconds},
                                 {"variants", variants}};
    return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  }
  std::string text = fmt::format("{} runs into {}\nsteps: {}\n", plan.variants.size(),
                                 plan.folder.string(), steps_words(plan));
  for (const lab::Variant& variant : plan.variants) {
    const fs::path folder = plan.folder / "runs" / variant.id;
    std::error_code error;
    text += fmt::format("  {}{}\n", variant.label,
                        fs::exists(folder / "run.json", error) ? "  (begun or done earlier)" : "");
  }
  return text;
}

int run_compare(int argc, char** argv) {
  const CompareRequest request = parse_compare(argc, argv);
  if (request.dry_run) {
    std::fputs(describe(request).c_str(), stdout);
    return exit_done;
  }
  const fs::path program = find_lab_program();
  ::execv(program.c_str(), argv);
  throw std::system_error(errno, std::generic_category(), "cannot run " + program.string());
}

}  // namespace omninorm::cli
