// Trains one variant: model, batches, optimiser, schedule; tells observers what happens.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>

#include "lab/data/text.h"
#include "lab/experiment/run_folder.h"
#include "lab/experiment/settings.h"

namespace omninorm::lab {

struct StepEvent {
  std::int64_t step = 0;
  std::int64_t steps = 0;
  double loss = 0;
  double tokens_per_second = 0;
};

struct TrainResult {
  std::string status;  // done, diverged, stuck, stopped, failed
  std::string reason;
  double final_loss = 0;  // mean training loss of the last steps
  double valid_loss = 0;
  double seconds = 0;
};

// Seconds of one optimiser step, the median of a few after a warm-up; nothing is kept. Ends early
// when `stop` is set; 0 when none was timed by then.
double time_step(const Settings& settings, const TextData& data, const std::atomic<bool>& stop);

// Trains to the end, or until `stop` is set: the step in progress is finished, its record written,
// and the result says "stopped". Appends step, probe, valid, spike and end records (docs/runs.md).
// settings.steps must be > 0.
TrainResult train(const Settings& settings, const TextData& data, RunWriter& writer,
                  const std::atomic<bool>& stop,
                  const std::function<void(const StepEvent&)>& on_step);

// The same model's parameter count, without training.
std::int64_t parameter_count(const Settings& settings);

}  // namespace omninorm::lab
