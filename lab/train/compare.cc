#include "lab/train/compare.h"

#include <c10/util/Exception.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>
#include <new>
#include <numeric>
#include <optional>
#include <system_error>

#include "lab/data/text.h"
#include "lab/experiment/run_folder.h"
#include "lab/report/analysis.h"
#include "lab/report/report.h"
#include "lab/train/provenance.h"
#include "lab/train/stepper.h"
#include "lab/train/verdict.h"
#include "omninorm/error.h"

namespace omninorm::lab {
namespace {

namespace fs = std::filesystem;

// Probes, validation and reports take a share of the budget too.
constexpr double training_share = 0.92;

// Settings that the time of a step does not depend on.
constexpr std::string_view free_of_cost[] = {"lr",          "steps", "warmup", "weight_decay",
                                             "beta1",       "beta2", "seed",   "init",
                                             "probe_every", "data",  "text",   "validate_every"};

nlohmann::json read_json(const fs::path& file) {
  std::ifstream stream(file);
  auto json = nlohmann::json::parse(stream, nullptr, /*allow_exceptions=*/false);
  return json.is_object() ? json : nlohmann::json::object();
}

// Fields of files that people may have edited; another type counts as not there.
std::string text_in(const nlohmann::json& object, const char* name, const std::string& otherwise) {
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : otherwise;
}

std::int64_t steps_in(const nlohmann::json& object) {
  const double steps = report::number(object, "steps");
  return steps >= 1 && steps <= 1e9 ? static_cast<std::int64_t>(steps) : 0;
}

// "180", "0.001": three digits, never 1e+03.
std::string seconds_words(double seconds) {
  return seconds < 1000 ? fmt::format("{:.3g}", seconds) : fmt::format("{:.0f}", seconds);
}

std::string error_text(const std::exception& error) {
  // torch's messages carry a backtrace that tells a user nothing.
  if (const auto* torch_error = dynamic_cast<const c10::Error*>(&error)) {
    return torch_error->what_without_backtrace();
  }
  if (dynamic_cast<const std::bad_alloc*>(&error) != nullptr) {
    return "out of memory";
  }
  return error.what();
}

class Comparison {
 public:
  Comparison(const Plan& plan, const std::string& command, const std::atomic<bool>& stop,
             const CompareEvents& events)
      : plan_(plan),
        command_(command),
        stop_(stop),
        events_(events),
        lock_(plan.folder),
        budget_seconds_(plan.budget_seconds) {}

  CompareResult run() {
    if (load_all()) {
      choose_steps();
    } else {
      result_.stopped = true;
      return result_;
    }
    if (!stop_) {
      write_experiment();
      run_all();
    }
    result_.stopped = stop_ && result_.runs.size() < plan_.variants.size();
    if (!result_.runs.empty() && result_.runs.back().status == "stopped") {
      result_.stopped = true;
    }
    draw_report();
    return result_;
  }

 private:
  void note(const std::string& line) const {
    if (events_.note) {
      events_.note(line);
    }
  }

  static std::string data_key(const Settings& settings) {
    return settings.data + "\n" + get(settings, "text");
  }

  // False when a Ctrl-C came meanwhile, which also ends a command that data is read from.
  bool load_all() {
    try {
      for (const Variant& variant : plan_.variants) {
        load(variant.settings);
        if (stop_) {
          return false;
        }
      }
    } catch (const Interrupted&) {
      return false;
    } catch (const Error&) {
      if (!stop_) {
        throw;
      }
      return false;
    }
    return true;
  }

  const TextData& load(const Settings& settings) {
    const auto key = data_key(settings);
    const auto found = data_.find(key);
    if (found == data_.end()) {
      return data_.emplace(key, load_data(settings, events_.note)).first->second;
    }
    check_length(found->second, settings.batch, settings.context);
    return found->second;
  }

  // One number of steps for all runs that were left to be sized: a run is compared with the others
  // only if it was as long.
  void choose_steps() {
    const bool any =
        std::ranges::any_of(plan_.variants, [](const Variant& v) { return v.settings.steps == 0; });
    if (!any) {
      for (const Variant& variant : plan_.variants) {
        sizing_.steps = std::max(sizing_.steps, variant.settings.steps);
      }
      sizing_.reason = "as asked for with --steps";
      return;
    }
    const auto earlier = read_json(plan_.folder / "experiment.json");
    const bool same = earlier.value("base", nlohmann::json()) == to_json(plan_.base);
    if (const std::int64_t steps = steps_in(earlier); same && steps > 0) {
      keep_sizing(steps, earlier);
      return;
    }
    note("timing a few steps to size the runs");
    const std::vector<double> seconds = time_runs();
    if (stop_) {
      return;
    }
    sizing_ = size_steps(seconds, plan_.budget_seconds);
    note(sizing_.reason);
  }

  // Runs of two lengths in one experiment could not be compared, so the earlier length stays, and
  // with it the budget that it was made for.
  void keep_sizing(std::int64_t steps, const nlohmann::json& earlier) {
    sizing_ = {steps, text_in(earlier, "steps_reason", ""),
               earlier.value("shortened", nlohmann::json()) == true};
    std::string line = fmt::format("{} steps a run, as this experiment was begun with", steps);
    const double budget = report::number(earlier, "budget_seconds");
    if (budget > 0 && std::isfinite(budget)) {
      budget_seconds_ = budget;
    }
    if (budget_seconds_ != plan_.budget_seconds) {
      line += fmt::format(
          "; they were sized for --budget {}, and --budget {} does not change them: give --steps N "
          "for another number, or --out for another folder",
          seconds_words(budget_seconds_), seconds_words(plan_.budget_seconds));
    }
    note(line);
  }

  std::vector<double> time_runs() {
    std::map<std::string, double> known;
    std::vector<double> seconds;
    for (const Variant& variant : plan_.variants) {
      if (variant.settings.steps > 0 || stop_) {
        continue;
      }
      auto key = to_json(variant.settings);
      for (const auto name : free_of_cost) {
        key.erase(std::string(name));
      }
      const auto text = key.dump();
      if (!known.contains(text)) {
        known[text] = time_or_zero(variant.settings);
      }
      seconds.push_back(known[text]);
    }
    return seconds;
  }

  // A variant that cannot even be timed is left for its run, which records why.
  double time_or_zero(const Settings& settings) {
    try {
      return time_step(settings, load(settings), stop_);
    } catch (const std::exception& error) {
      note(fmt::format("could not be timed: {}", error_text(error)));
      return 0;
    }
  }

  void write_experiment() {
    const fs::path file = plan_.folder / "experiment.json";
    auto axes = nlohmann::json::array();
    for (const Axis& axis : plan_.axes) {
      axes.push_back({{"name", axis.name}, {"values", axis.values}});
    }
    auto variants = nlohmann::json::array();
    for (const Variant& variant : plan_.variants) {
      variants.push_back({{"id", variant.id}, {"label", variant.label}});
    }
    const nlohmann::json experiment = {{"format", 1},
                                       {"axes", axes},
                                       {"seeds", plan_.seeds},
                                       {"base", to_json(plan_.base)},
                                       {"is_default", plan_.is_default},
                                       {"steps", sizing_.steps},
                                       {"steps_reason", sizing_.reason},
                                       {"shortened", sizing_.shortened},
                                       {"budget_seconds", budget_seconds_},
                                       {"command", command_},
                                       {"variants", variants},
                                       {"created", text_in(read_json(file), "created", utc_now())}};
    internal::write_file_atomically(
        file, experiment.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
  }

  void run_all() {
    for (std::size_t index = 0; index < plan_.variants.size() && !stop_; ++index) {
      Variant variant = plan_.variants[index];
      if (variant.settings.steps == 0) {
        variant.settings.steps = sizing_.steps;
      }
      const TextData& data = load(variant.settings);
      const fs::path folder = plan_.folder / "runs" / variant.id;
      const bool finished = is_finished(folder, to_json(variant.settings), data.sha256);
      if (!finished) {
        if (events_.run_begins) {
          events_.run_begins(variant, index, plan_.variants.size());
        }
        run_one(variant, data, folder);
      }
      result_.runs.push_back(outcome_of(variant, folder, finished));
      if (events_.run_ends) {
        events_.run_ends(result_.runs.back());
      }
      if (!finished && index + 1 < plan_.variants.size() && !stop_) {
        draw_report();  // so that it can be watched
      }
    }
  }

  void run_one(const Variant& variant, const TextData& data, const fs::path& folder) {
    std::optional<RunWriter> writer;
    std::int64_t step = 0;
    try {
      writer.emplace(folder, describe(variant, data));
      train(variant.settings, data, *writer, stop_, [&](const StepEvent& event) {
        step = event.step;
        if (events_.step) {
          events_.step(event);
        }
      });
    } catch (const std::system_error&) {
      throw;  // the disk: the next run would fare no better
    } catch (const std::exception& error) {
      if (!writer) {
        throw;
      }
      writer->append({{"kind", "end"},
                      {"step", step},
                      {"status", "failed"},
                      {"reason", error_text(error)},
                      {"seconds", 0},
                      {"tokens_per_second", 0},
                      {"probe_share", 0}});
    }
  }

  nlohmann::json describe(const Variant& variant, const TextData& data) const {
    nlohmann::json parameters;  // null for a model that does not fit in memory; its run says so
    try {
      parameters = parameter_count(variant.settings);
    } catch (const std::exception& error) {
      note(fmt::format("{}: {}", variant.label, error_text(error)));
    }
    auto varied = nlohmann::json::object();
    for (const Axis& axis : plan_.axes) {
      varied[axis.name] = get(variant.settings, axis.name);
    }
    return {{"format", 1},
            {"id", variant.id},
            {"label", variant.label},
            {"varied", varied},
            {"seed", variant.settings.seed},
            {"settings", to_json(variant.settings)},
            {"parameters", parameters},
            {"data",
             {{"name", data.name},
              {"sha256", data.sha256},
              {"train_bytes", data.train.size()},
              {"valid_bytes", data.valid.size()},
              {"train_documents", data.train_documents},
              {"valid_documents", data.valid_documents}}},
            {"versions", versions_},
            {"machine", machine_},
            {"git", git_},
            {"started", utc_now()}};
  }

  // From the files, so that a run done now and one done before are told alike.
  static RunOutcome outcome_of(const Variant& variant, const fs::path& folder, bool skipped) {
    const RunRecords run = read_run(folder);
    RunOutcome outcome{variant.id, variant.label, run.status, "", 0, std::nan(""), 0, skipped};
    std::vector<double> losses;
    for (const auto& record : run.records) {
      const auto kind = text_in(record, "kind", "");
      if (kind == "step") {
        losses.push_back(report::number(record, "loss"));
      } else if (kind == "valid") {
        outcome.valid_loss = report::number(record, "loss");
      } else if (kind == "end") {
        outcome.reason = text_in(record, "reason", "");
        outcome.tokens_per_second = report::number(record, "tokens_per_second");
      }
    }
    outcome.train_loss = mean_of_last_tenth(losses);
    return outcome;
  }

  void draw_report() {
    if (result_.runs.empty()) {
      return;
    }
    try {
      const ReportResult report = write_report(plan_.folder);
      result_.report = report.file;
      result_.headline = report.headline;
    } catch (const Error& error) {
      note(fmt::format("no report could be drawn: {}", error.what()));
    }
  }

  const Plan& plan_;
  const std::string& command_;
  const std::atomic<bool>& stop_;
  const CompareEvents& events_;
  FolderLock lock_;
  double budget_seconds_;  // that the number of steps was sized for
  std::map<std::string, TextData> data_;
  Sizing sizing_;
  CompareResult result_;
  const nlohmann::json versions_ = versions();
  const nlohmann::json machine_ = machine();
  const nlohmann::json git_ = git_state();
};

}  // namespace

Sizing size_steps(const std::vector<double>& step_seconds, double budget_seconds) {
  const double all = std::accumulate(step_seconds.begin(), step_seconds.end(), 0.0);
  const double fit = all > 0 ? training_share * budget_seconds / all : kDefaultSteps;
  Sizing sizing;
  sizing.steps = std::clamp(static_cast<std::int64_t>(std::min<double>(fit, kDefaultSteps)),
                            kFewestSteps, kDefaultSteps);
  sizing.shortened = sizing.steps < kDefaultSteps;
  const double mean = step_seconds.empty() ? 0 : all / static_cast<double>(step_seconds.size());
  const std::string budget = seconds_words(budget_seconds);
  const double training = all * static_cast<double>(sizing.steps);
  const std::string timed = fmt::format("{} runs at {:.3g} s a step", step_seconds.size(), mean);
  if (!sizing.shortened) {
    sizing.reason = fmt::format("{} steps a run: {} take about {:.0f} s, within the {} s aimed at",
                                sizing.steps, timed, training, budget);
  } else if (fit >= kFewestSteps) {
    sizing.reason = fmt::format(
        "{} steps a run instead of {}: {} would take longer than the {} s aimed at; give "
        "--steps {} for full runs",
        sizing.steps, kDefaultSteps, timed, budget, kDefaultSteps);
  } else {
    sizing.reason = fmt::format(
        "{} steps a run, the fewest that tell anything: {} take about {:.0f} s, more than the "
        "{} s aimed at",
        sizing.steps, timed, training, budget);
  }
  return sizing;
}

CompareResult compare(const Plan& plan, const std::string& command, const std::atomic<bool>& stop,
                      const CompareEvents& events) {
  for (const Variant& variant : plan.variants) {
    find_device(variant.settings.device);  // before any folder is made
  }
  return Comparison(plan, command, stop, events).run();
}

}  // namespace omninorm::lab
