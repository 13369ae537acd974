// Carries out a plan: one run after the other into one folder, and the report of it.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "lab/experiment/plan.h"
#include "lab/train/trainer.h"

namespace omninorm::lab {

// Steps of a run whose number nobody chose, unless the budget allows fewer.
inline constexpr std::int64_t kDefaultSteps = 200;

// The fewest that sizing goes down to, however busy the machine: shorter runs tell nothing.
inline constexpr std::int64_t kFewestSteps = 50;

struct RunOutcome {
  std::string id, label;
  std::string status, reason;
  double train_loss = 0;  // mean of the last tenth of the steps
  double valid_loss = 0;  // NaN when there was no validation
  double tokens_per_second = 0;
  bool skipped = false;  // had finished before
};

// What happens, told as it happens; each may be left empty.
struct CompareEvents {
  std::function<void(const std::string&)> note;  // a line for people
  std::function<void(const Variant&, std::size_t index, std::size_t count)> run_begins;
  std::function<void(const StepEvent&)> step;
  std::function<void(const RunOutcome&)> run_ends;  // also for skipped runs
};

struct CompareResult {
  std::vector<RunOutcome> runs;  // those that were run or skipped, in the plan's order
  bool stopped = false;          // `stop` was set before all runs were there
  std::filesystem::path report;  // empty when nothing could be drawn
  std::string headline;
};

// `command` is what the user typed, for experiment.json. A run that throws is recorded as "failed"
// and the others go on; a disk that is full or a folder that cannot be written ends everything with
// std::system_error, and what was written stays. Throws omninorm::Error for data that is not there
// or too short, for a device that this torch does not have, and for a folder that another process
// is writing to. `plan` must be expanded.
CompareResult compare(const Plan& plan, const std::string& command, const std::atomic<bool>& stop,
                      const CompareEvents& events);

// How many steps fit: `step_seconds` holds the time of one step of each run to be sized.
struct Sizing {
  std::int64_t steps = 0;
  std::string reason;
  bool shortened = false;  // fewer than kDefaultSteps
};
Sizing size_steps(const std::vector<double>& step_seconds, double budget_seconds);

}  // namespace omninorm::lab
