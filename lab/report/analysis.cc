#include "lab/report/analysis.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <map>
#include <optional>
#include <set>

#include "lab/experiment/run_folder.h"
#include "lab/report/read_record.h"
#include "omninorm/error.h"

namespace omninorm::lab::report {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

// "3e-3" on the command line and "0.003" in run.json are one value.
bool same_value(const std::string& a, const std::string& b) {
  if (a == b) return true;
  char* end_a = nullptr;
  char* end_b = nullptr;
  const double x = std::strtod(a.c_str(), &end_a);
  const double y = std::strtod(b.c_str(), &end_b);
  return !a.empty() && !b.empty() && *end_a == 0 && *end_b == 0 && x == y;
}

std::size_t index_of(ReportAxis& axis, const std::string& value) {
  for (std::size_t i = 0; i < axis.values.size(); ++i)
    if (same_value(axis.values[i], value)) return i;
  axis.values.push_back(value);
  return axis.values.size() - 1;
}

std::string as_text(const json& value) {
  return value.is_string() ? value.get<std::string>() : value.dump();
}

json read_plan(const fs::path& folder, std::vector<std::string>& notes) {
  std::ifstream file(folder / "experiment.json");
  if (!file) {
    notes.push_back("experiment.json is missing; what was varied is taken from the runs.");
    return json::object();
  }
  json plan = json::parse(file, nullptr, false);
  if (plan.is_object()) return plan;
  notes.push_back("experiment.json is cut or damaged; what was varied is taken from the runs.");
  return json::object();
}

std::vector<ReportAxis> planned_axes(const json& plan) {
  std::vector<ReportAxis> axes;
  if (!plan.contains("axes") || !plan["axes"].is_array()) return axes;
  for (const json& entry : plan["axes"]) {
    if (!entry.is_object() || !entry.contains("name") || !entry["name"].is_string()) continue;
    if (entry["name"] == "seed") continue;
    ReportAxis axis{entry["name"].get<std::string>(), {}};
    if (entry.contains("values") && entry["values"].is_array())
      for (const json& value : entry["values"]) axis.values.push_back(as_text(value));
    axes.push_back(std::move(axis));
  }
  return axes;
}

// Settings that runs vary and the plan does not name, in the order in which the run's id has them.
void add_axes_of(const Run& run, std::vector<ReportAxis>& axes) {
  if (!run.run.contains("varied") || !run.run["varied"].is_object()) return;
  std::vector<std::pair<std::size_t, std::string>> found;
  for (const auto& [name, value] : run.run["varied"].items()) {
    const bool known =
        std::any_of(axes.begin(), axes.end(), [&](const auto& axis) { return axis.name == name; });
    if (!known && name != "seed") found.emplace_back(run.id.find(name + "="), name);
  }
  std::sort(found.begin(), found.end());
  for (auto& [position, name] : found) axes.push_back({name, {}});
}

std::string value_on(const Run& run, const std::string& axis) {
  if (run.run.contains("varied") && run.run["varied"].is_object()) {
    const json& varied = run.run["varied"];
    if (varied.contains(axis)) return as_text(varied[axis]);
  }
  const std::string value = setting(run, axis);
  return value.empty() ? "?" : value;
}

std::vector<fs::path> run_folders(const fs::path& folder) {
  std::vector<fs::path> found;
  std::error_code error;
  for (fs::directory_iterator it(folder / "runs", error), end; !error && it != end;
       it.increment(error))
    if (it->is_directory(error)) found.push_back(it->path());
  std::sort(found.begin(), found.end());
  return found;
}

void note_planned(Experiment& experiment) {
  const json& plan = experiment.plan;
  if (!plan.contains("variants") || !plan["variants"].is_array()) return;
  std::set<std::string> seen;
  for (const Run& run : experiment.runs) seen.insert(run.id);
  for (const json& variant : plan["variants"]) {
    if (!variant.is_object() || !variant.contains("id") || !variant["id"].is_string()) continue;
    const std::string id = variant["id"];
    if (seen.count(id)) continue;
    const bool labelled = variant.contains("label") && variant["label"].is_string();
    experiment.not_started.push_back(labelled ? variant["label"].get<std::string>() : id);
  }
}

void group(Experiment& experiment) {
  for (const Run& run : experiment.runs) add_axes_of(run, experiment.axes);
  for (Run& run : experiment.runs) {
    run.values.clear();
    for (ReportAxis& axis : experiment.axes)
      run.values.push_back(index_of(axis, value_on(run, axis.name)));
  }
  std::map<std::vector<std::size_t>, std::vector<std::size_t>> grouped;
  for (std::size_t i = 0; i < experiment.runs.size(); ++i)
    grouped[experiment.runs[i].values].push_back(i);
  for (auto& [values, runs] : grouped) {
    std::sort(runs.begin(), runs.end(), [&](std::size_t a, std::size_t b) {
      return experiment.runs[a].seed < experiment.runs[b].seed;
    });
    experiment.variants.push_back({values, runs});
  }
}

bool is_axis(const Experiment& experiment, const std::string& name) {
  return std::any_of(experiment.axes.begin(), experiment.axes.end(),
                     [&](const ReportAxis& axis) { return axis.name == name; });
}

json settings_of(const Run& run) {
  const auto found = run.run.find("settings");
  return found != run.run.end() && found->is_object() ? *found : json::object();
}

// The ids that experiment.json lists; empty when it does not.
std::set<std::string> planned_ids(const json& plan) {
  std::set<std::string> ids;
  if (!plan.contains("variants") || !plan["variants"].is_array()) return ids;
  for (const json& variant : plan["variants"])
    if (variant.is_object() && variant.contains("id") && variant["id"].is_string())
      ids.insert(variant["id"].get<std::string>());
  return ids;
}

// Why a run does not belong to the plan; "" when it does. Only what both name is compared: another
// version may know other settings.
std::string difference_to_plan(const Experiment& experiment, const Run& run) {
  const json& plan = experiment.plan;
  if (!plan.contains("base") || !plan["base"].is_object()) return "";
  const json settings = settings_of(run);
  for (const auto& [name, value] : plan["base"].items()) {
    if (name == "seed" || is_axis(experiment, name) || !settings.contains(name)) continue;
    // --vary data=prose,text: the files belong to the second alone.
    if (name == "text" && is_axis(experiment, "data")) continue;
    // 0 steps: sized, and the plan says to how many.
    const bool sized = name == "steps" && value == 0;
    if (sized && !(number(plan, "steps") > 0)) continue;
    const json& wanted = sized ? plan["steps"] : value;
    if (settings[name] != wanted)
      return fmt::format("it was made with {} {}, the others with {}", name,
                         as_text(settings[name]), as_text(wanted));
  }
  return "";
}

// What runs that may be compared share: the names of what they vary, and all other settings.
json common_part(const Run& run) {
  json settings = settings_of(run);
  json names = json::array();
  if (run.run.contains("varied") && run.run["varied"].is_object())
    for (const auto& [name, value] : run.run["varied"].items()) {
      names.push_back(name);
      settings.erase(name);
      if (name == "data") settings.erase("text");
    }
  settings.erase("seed");
  return json::array({names, settings});
}

// Without a list of what was planned: the runs that most others go with, the first such on a tie.
json most_common_part(const std::vector<Run>& runs) {
  std::vector<std::pair<json, std::size_t>> counts;
  for (const Run& run : runs) {
    json part = common_part(run);
    auto found = std::find_if(counts.begin(), counts.end(),
                              [&](const auto& entry) { return entry.first == part; });
    if (found == counts.end())
      counts.emplace_back(std::move(part), 1);
    else
      ++found->second;
  }
  const auto most =
      std::max_element(counts.begin(), counts.end(),
                       [](const auto& a, const auto& b) { return a.second < b.second; });
  return most == counts.end() ? json() : most->first;
}

// A folder may hold runs of another command with the same --out: pooled with these they would
// make means and intervals of unlike things.
void leave_out_strangers(Experiment& experiment) {
  const std::set<std::string> ids = planned_ids(experiment.plan);
  const json common = ids.empty() ? most_common_part(experiment.runs) : json();
  const auto why = [&](const Run& run) -> std::string {
    if (ids.empty())
      return common_part(run) == common ? ""
                                        : "it was made with other settings than most runs here";
    if (!ids.count(run.id)) return "experiment.json does not list it";
    return difference_to_plan(experiment, run);
  };
  std::vector<Run> kept;
  for (Run& run : experiment.runs) {
    const std::string reason = why(run);
    if (reason.empty())
      kept.push_back(std::move(run));
    else
      experiment.notes.push_back(fmt::format("{} is left out: {}.", run.id, reason));
  }
  experiment.runs = std::move(kept);
}

// The mean over the last tenth of the steps, at most 100: a single batch's loss is noise.
void final_losses(Experiment& experiment) {
  bool all_valid = true;
  bool any_done = false;
  for (Run& run : experiment.runs) {
    const std::size_t window = std::clamp<std::size_t>(run.loss.size() / 10, 1, 100);
    double sum = 0;
    const std::size_t first = run.loss.size() - std::min(window, run.loss.size());
    for (std::size_t i = first; i < run.loss.size(); ++i) sum += run.loss[i].value;
    run.train_loss = run.loss.empty() ? kNan : sum / static_cast<double>(run.loss.size() - first);
    if (!std::isfinite(run.train_loss)) run.train_loss = kNan;
    run.valid_loss = run.valid.empty() ? kNan : run.valid.back().value;
    experiment.train_window = std::max(experiment.train_window, window);
    if (!run.done()) continue;
    any_done = true;
    all_valid = all_valid && std::isfinite(run.valid_loss);
  }
  experiment.by_validation = any_done && all_valid;
}

}  // namespace

std::string setting(const Run& run, const std::string& name) {
  if (!run.run.contains("settings") || !run.run["settings"].is_object()) return "";
  const json& settings = run.run["settings"];
  return settings.contains(name) ? as_text(settings[name]) : "";
}

double number(const json& object, const char* name) {
  if (!object.is_object()) return kNan;
  const auto found = object.find(name);
  if (found == object.end()) return kNan;
  if (found->is_number()) return found->get<double>();
  if (*found == "inf") return std::numeric_limits<double>::infinity();
  if (*found == "-inf") return -std::numeric_limits<double>::infinity();
  return kNan;
}

bool Experiment::several_seeds() const {
  return std::any_of(variants.begin(), variants.end(),
                     [](const VariantGroup& variant) { return variant.runs.size() > 1; });
}

bool Experiment::open() const {
  return !not_started.empty() || std::any_of(runs.begin(), runs.end(), [](const Run& run) {
    return run.status == "unfinished";
  });
}

double Experiment::final_loss(const Run& run) const {
  if (!run.done() && run.status != "stuck") return kNan;
  const double loss = by_validation ? run.valid_loss : run.train_loss;
  return std::isfinite(loss) ? loss : kNan;
}

std::vector<std::vector<std::size_t>> Experiment::conditions() const {
  std::map<std::vector<std::size_t>, std::vector<std::size_t>> found;
  for (std::size_t i = 0; i < variants.size(); ++i) {
    std::vector<std::size_t> rest = variants[i].values;
    if (!rest.empty()) rest.erase(rest.begin());
    found[rest].push_back(i);
  }
  std::vector<std::vector<std::size_t>> conditions;
  for (auto& [rest, members] : found) conditions.push_back(std::move(members));
  return conditions;
}

Experiment load_experiment(const fs::path& folder) {
  std::error_code error;
  if (!fs::is_directory(folder, error))
    throw Error(
        fmt::format("[report] expected an experiment's folder, got '{}', which is not a folder",
                    folder.string()));
  Experiment experiment;
  const fs::path named = folder.filename().empty() ? folder.parent_path() : folder;
  experiment.name = named.filename().string();
  experiment.plan = read_plan(folder, experiment.notes);
  experiment.axes = planned_axes(experiment.plan);
  for (const fs::path& path : run_folders(folder)) {
    try {
      experiment.runs.push_back(read_run_figures(path, experiment.notes));
    } catch (const std::exception& failure) {
      experiment.notes.push_back(
          fmt::format("{} is left out: {}", path.filename().string(), failure.what()));
    }
  }
  leave_out_strangers(experiment);
  if (experiment.runs.empty()) {
    std::string message = fmt::format(
        "[report] expected runs in '{}' (runs/*/run.json), got none that can be used; start some "
        "with 'omninorm compare --out {}'",
        folder.string(), folder.string());
    for (const std::string& note : experiment.notes) message += "\n  " + note;
    throw Error(message);
  }
  group(experiment);
  note_planned(experiment);
  final_losses(experiment);
  return experiment;
}

}  // namespace omninorm::lab::report
