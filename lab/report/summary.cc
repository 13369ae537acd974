#include "lab/report/summary.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "lab/report/findings.h"
#include "lab/report/words.h"

namespace omninorm::lab::report {
namespace {

using nlohmann::json;

bool plan_says(const Experiment& experiment, const char* flag) {
  const json& plan = experiment.plan;
  return plan.contains(flag) && plan[flag].is_boolean() && plan[flag].get<bool>();
}

std::string plan_text(const Experiment& experiment, const char* name) {
  const json& plan = experiment.plan;
  return plan.contains(name) && plan[name].is_string() ? plan[name].get<std::string>() : "";
}

// The setting where all runs share it, else "".
std::string shared(const Experiment& experiment, const std::string& name) {
  const std::string first = setting(experiment.runs[0], name);
  for (const Run& run : experiment.runs)
    if (setting(run, name) != first) return "";
  return first;
}

// A member of an object in run.json ("machine", "cpu"), each value once.
std::vector<std::string> distinct(const Experiment& experiment, const char* object,
                                  const char* name) {
  std::set<std::string> found;
  for (const Run& run : experiment.runs) {
    if (!run.run.contains(object) || !run.run[object].is_object()) continue;
    const json& parent = run.run[object];
    if (!parent.contains(name)) continue;
    found.insert(parent[name].is_string() ? parent[name].get<std::string>() : parent[name].dump());
  }
  return {found.begin(), found.end()};
}

std::string title_of(const Experiment& experiment) {
  if (experiment.axes.empty())
    return "One run: " + primary_title(experiment, experiment.variants[0]);
  const ReportAxis& axis = experiment.axes[0];
  std::vector<std::string> names;
  for (const std::string& value : axis.values) names.push_back(value_title(axis.name, value));
  if (names.size() > 6)
    return fmt::format("{} values of {} compared", names.size(), axis_title(axis.name));
  return list_text(names) + (names.size() > 1 ? " compared" : "");
}

std::string axes_text(const Experiment& experiment) {
  std::string text;
  for (const ReportAxis& axis : experiment.axes) {
    std::vector<std::string> values;
    for (const std::string& value : axis.values)
      values.push_back(axis.name == "placement" ? value_title(axis.name, value) : value);
    std::string joined;
    for (const std::string& value : values) joined += (joined.empty() ? "" : ", ") + value;
    text += fmt::format("{}{} ({})", text.empty() ? "" : " × ", axis_title(axis.name), joined);
  }
  std::set<std::int64_t> seeds;
  for (const Run& run : experiment.runs) seeds.insert(run.seed);
  const std::string of_seeds = seeds.size() > 1 ? plural(seeds.size(), "seed") : "one seed";
  return fmt::format("{}{}{}, {}", text, text.empty() ? "" : ", ", of_seeds,
                     plural(experiment.runs.size() + experiment.not_started.size(), "run"));
}

void append(std::string& text, const std::string& part) {
  if (part.empty()) return;
  if (!text.empty()) text += ", ";
  text += part;
}

std::string model_text(const Experiment& experiment) {
  std::string text;
  const auto with = [&](const char* name, const char* format) {
    const std::string value = shared(experiment, name);
    if (!value.empty()) append(text, fmt::format(fmt::runtime(format), value));
  };
  with("layers", "{} layers");
  with("width", "{} wide");
  with("heads", "{} heads");
  std::set<double> sizes;
  for (const Run& run : experiment.runs) {
    const double size = number(run.run, "parameters");
    if (std::isfinite(size)) sizes.insert(size);
  }
  if (sizes.size() == 1) append(text, count_text(*sizes.begin()) + " parameters");
  if (sizes.size() > 1)
    append(text, fmt::format("{} to {} parameters", count_text(*sizes.begin()),
                             count_text(*sizes.rbegin())));
  with("placement", "placement {}");
  with("norm", "{}");
  with("mlp", "{}");
  with("init", "{} initialisation");
  return text;
}

std::string training_text(const Experiment& experiment) {
  std::string text;
  std::int64_t low = 0, high = 0;
  for (const Run& run : experiment.runs) {
    const std::int64_t steps = run.planned > 0 ? run.planned : run.steps;
    low = low == 0 ? steps : std::min(low, steps);
    high = std::max(high, steps);
  }
  append(text, low == high ? fmt::format("{} steps", count_text(double(high)))
                           : fmt::format("{} to {} steps", count_text(double(low)),
                                         count_text(double(high))));
  const std::string batch = shared(experiment, "batch");
  const std::string context = shared(experiment, "context");
  if (!batch.empty() && !context.empty()) text += fmt::format(" of {} × {} bytes", batch, context);
  const auto with = [&](const char* name, const char* format) {
    const std::string value = shared(experiment, name);
    if (!value.empty()) append(text, fmt::format(fmt::runtime(format), value));
  };
  with("lr", "lr {}");
  with("dtype", "{}");
  const std::string device = shared(experiment, "device");
  if (!device.empty() && device != "cpu") append(text, device);
  return text;
}

std::string data_text(const Experiment& experiment) {
  const auto names = distinct(experiment, "data", "name");
  if (names.empty()) return "";
  std::string text = list_text(names);
  const Run& run = experiment.runs[0];
  const double train = number(run.run["data"], "train_bytes");
  const double valid = number(run.run["data"], "valid_bytes");
  if (names.size() == 1 && std::isfinite(train) && std::isfinite(valid))
    text +=
        fmt::format(": {} bytes to train on, {} held out", count_text(train), count_text(valid));
  return text;
}

std::string machine_text(const Experiment& experiment) {
  std::string text = list_text(distinct(experiment, "machine", "cpu"));
  const auto simd = distinct(experiment, "machine", "simd");
  const auto threads = distinct(experiment, "machine", "threads");
  if (!simd.empty()) append(text, list_text(simd));
  if (!threads.empty())
    append(text, list_text(threads) +
                     (threads.size() == 1 && threads[0] == "1" ? " thread" : " threads"));
  return text;
}

std::vector<Fact> facts(const Experiment& experiment) {
  std::vector<Fact> found;
  const auto with = [&](const char* name, std::string text) {
    if (!text.empty()) found.push_back({name, std::move(text)});
  };
  with("Compared", axes_text(experiment));
  with("Model", model_text(experiment));
  with("Training", training_text(experiment));
  with("Data", data_text(experiment));
  with("Machine", machine_text(experiment));
  return found;
}

std::string headline(const Experiment& experiment) {
  std::vector<std::string> best;
  const auto conditions = experiment.conditions();
  for (const auto& condition : conditions) {
    const auto outcomes = ranked(experiment, condition);
    if (outcomes.empty()) continue;
    const std::size_t leading = leaders(outcomes);
    std::vector<std::string> names;
    for (std::size_t i = 0; i < leading; ++i)
      names.push_back(variant_title(experiment, experiment.variants[outcomes[i].variant]));
    best.push_back(fmt::format("{} ({}{})", list_text(names), loss_text(outcomes[0].loss.mean),
                               leading > 1 ? ", no difference to three decimals" : ""));
  }
  std::vector<std::string> failed;
  std::size_t open = experiment.not_started.size();
  for (const Run& run : experiment.runs) {
    if (run.status == "diverged") failed.push_back(run_title(experiment, run) + " diverged");
    if (run.status == "stuck") failed.push_back(run_title(experiment, run) + " got stuck");
    if (run.status == "failed") failed.push_back(run_title(experiment, run) + " failed");
    if (run.status == "unfinished" || run.status == "stopped") ++open;
  }
  std::string text;
  const std::string metric = experiment.by_validation ? "validation loss" : "training loss";
  const std::string seeds =
      experiment.several_seeds() ? "mean " + metric : metric + ", one seed each";
  if (best.empty())
    text = open > 0 ? "No run has finished yet." : "No run finished.";
  else if (experiment.variants.size() == 1)
    text = fmt::format(
        "{} ended at a {}{} of {}.", variant_title(experiment, experiment.variants[0]),
        experiment.several_seeds() ? "mean " : "", metric,
        best[0].substr(best[0].rfind('(') + 1, best[0].rfind(')') - best[0].rfind('(') - 1));
  else if (best.size() <= kConditionsTold)
    text =
        fmt::format("{} {}: {}.", open > 0 ? "So far, lowest" : "Lowest", seeds, list_text(best));
  else
    text = fmt::format("{}.", plural(experiment.runs.size(), "run") + " compared under " +
                                  plural(conditions.size(), "condition"));
  if (failed.size() > 3)
    text += fmt::format(" {} of {} diverged, got stuck or failed.", failed.size(),
                        plural(experiment.runs.size(), "run"));
  else if (!failed.empty())
    text += " " + list_text(failed) + ".";
  if (open > 0 && !best.empty()) text += fmt::format(" {} still open.", plural(open, "run"));
  return text;
}

std::vector<std::string> warnings(const Experiment& experiment) {
  std::vector<std::string> found;
  if (plan_says(experiment, "shortened")) {
    const double steps = number(experiment.plan, "steps");
    std::string text = std::isfinite(steps)
                           ? fmt::format(
                                 "The runs were shortened to {} steps; their losses do not compare "
                                 "with those of full runs.",
                                 count_text(steps))
                           : "The runs were shortened.";
    const std::string reason = plan_text(experiment, "steps_reason");
    found.push_back(reason.empty() ? text : text + " Why: " + reason + ".");
  }
  std::vector<std::string> open;
  for (const Run& run : experiment.runs)
    if (run.status == "unfinished")
      open.push_back(fmt::format("{} (step {}{})", run_title(experiment, run),
                                 count_text(double(run.steps)),
                                 run.planned > 0 ? " of " + count_text(double(run.planned)) : ""));
  if (!open.empty()) {
    const std::size_t count = open.size();
    if (open.size() > 6) open.resize(6), open.push_back("others");
    found.push_back(
        fmt::format("Not finished when this was drawn: {}. {} under way, or was cut off.",
                    list_text(open), count == 1 ? "It is" : "Each is"));
  }
  if (!experiment.not_started.empty()) {
    std::vector<std::string> names = experiment.not_started;
    if (names.size() > 6) names.resize(6), names.push_back("others");
    found.push_back(fmt::format("Not started: {}.", list_text(names)));
  }
  return found;
}

void length_limits(const Experiment& experiment, std::vector<std::string>& found) {
  const bool varied = std::any_of(experiment.axes.begin(), experiment.axes.end(),
                                  [](const auto& axis) { return axis.name == "steps"; });
  std::set<std::int64_t> lengths;
  for (const Run& run : experiment.runs)
    if (run.done()) lengths.insert(run.steps);
  if (!varied && lengths.size() > 1)
    found.push_back(
        fmt::format("The finished runs have different lengths, from {} to {} steps: their "
                    "final losses do not compare like with like.",
                    count_text(double(*lengths.begin())), count_text(double(*lengths.rbegin()))));
}

void origin_limits(const Experiment& experiment, std::vector<std::string>& found) {
  const auto differ = [&](const char* object, const char* name, const char* what) {
    const auto values = distinct(experiment, object, name);
    if (values.size() > 1)
      found.push_back(fmt::format("The runs were not all made {}: {}.", what, list_text(values)));
  };
  differ("git", "commit", "from the same git commit");
  differ("versions", "torch", "with the same torch");
  differ("machine", "cpu", "on the same processor, so times do not compare");
  differ("data", "sha256", "from the same data, so losses do not compare (checksums)");
}

// What was seen of divergence and growth holds for one seed, too.
std::string seen_once(const Experiment& experiment) {
  std::vector<std::string> seen;
  if (std::any_of(experiment.runs.begin(), experiment.runs.end(),
                  [](const Run& run) { return run.status == "diverged"; }))
    seen.push_back("divergence");
  const auto growth = growth_sentences(experiment);
  if (std::any_of(growth.begin(), growth.end(), [](const std::string& sentence) {
        return sentence.find("'s grew from") != std::string::npos;
      }))
    seen.push_back("large growth");
  if (seen.empty()) return "";
  return fmt::format(" Even {} {} seen with one seed only.", list_text(seen),
                     seen.size() == 1 ? "was" : "were");
}

std::vector<std::string> limits(const Experiment& experiment) {
  std::vector<std::string> found;
  if (!experiment.several_seeds())
    found.push_back(
        "One seed each: a gap in final loss may be the luck of one initialisation and one order of "
        "batches, and no spread can be given. Repeat with `--seeds 3` or more for means and "
        "intervals." +
        seen_once(experiment));
  if (plan_says(experiment, "is_default")) {
    found.push_back(
        "These settings were chosen because they separate the placements. Small, short runs "
        "oversell "
        "differences in stability; at scale, with tuned rates and warm-up, differences in loss are "
        "smaller, and this report cannot show them.");
    found.push_back(
        "A counter-example: under fan-in initialisation the ranking differs (in one run of 200 "
        "steps Pre and Peri were level and Post behind them). See it with `omninorm compare --vary "
        "placement=post,pre,peri,output --vary "
        "lr=3e-3,1e-2 --init fan-in`.");
  }
  found.push_back(
      "All figures hold for this model, this text and this many steps. They say nothing about "
      "longer "
      "or larger training.");
  length_limits(experiment, found);
  origin_limits(experiment, found);
  return found;
}

}  // namespace

std::vector<Comparison> comparisons(const Experiment& experiment) {
  std::vector<Comparison> found;
  if (!experiment.several_seeds() || experiment.axes.empty()) return found;
  for (const auto& condition : experiment.conditions()) {
    const std::size_t base = condition[0];
    if (experiment.variants[base].values[0] != 0) continue;  // the first value has not run here
    std::map<std::int64_t, const Run*> by_seed;
    for (std::size_t run : experiment.variants[base].runs)
      by_seed[experiment.runs[run].seed] = &experiment.runs[run];
    for (std::size_t i = 1; i < condition.size(); ++i) {
      Comparison comparison{condition[i], base, 0, std::nullopt};
      std::vector<double> a, b;
      for (std::size_t index : experiment.variants[condition[i]].runs) {
        const Run& run = experiment.runs[index];
        const auto pair = by_seed.find(run.seed);
        if (pair == by_seed.end() || !pair->second->done() || !run.done()) {
          ++comparison.left_out;
          continue;
        }
        a.push_back(experiment.final_loss(*pair->second));
        b.push_back(experiment.final_loss(run));
      }
      comparison.difference = paired_difference(a, b);
      found.push_back(comparison);
    }
  }
  return found;
}

Summary summarise(const Experiment& experiment) {
  Summary summary;
  summary.title = title_of(experiment);
  summary.headline = headline(experiment);
  summary.compared = facts(experiment);
  summary.warnings = warnings(experiment);
  const auto add = [&](const char* topic, const std::vector<std::string>& sentences) {
    for (const std::string& sentence : sentences)
      if (!sentence.empty()) summary.happened.push_back({topic, sentence});
  };
  add("Loss", outcome_sentences(experiment));
  add("Stability", failure_sentences(experiment));
  add("Differences", comparison_sentences(experiment));
  add("Growth", growth_sentences(experiment));
  add("Depth", {depth_sentence(experiment)});
  add("Gradients", {gradient_sentence(experiment)});
  add("Learning rate", sensitivity_sentences(experiment));
  add("Range", {headroom_sentence(experiment)});
  add("Spikes", {spike_sentence(experiment)});
  add("Cost", {cost_sentence(experiment)});
  summary.limits = limits(experiment);
  return summary;
}

}  // namespace omninorm::lab::report
