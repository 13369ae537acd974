#include "lab/train/trainer.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <optional>
#include <vector>

#include "lab/probe/norm_clock.h"
#include "lab/probe/probe.h"
#include "lab/train/batches.h"
#include "lab/train/schedule.h"
#include "lab/train/stepper.h"
#include "lab/train/verdict.h"
#include "omninorm/error.h"

namespace omninorm::lab {
namespace {

class Stopwatch {
 public:
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

// One run from its first step to its end record.
class Training {
 public:
  Training(const Settings& settings, const TextData& data, RunWriter& writer)
      : settings_(settings),
        data_(data),
        writer_(writer),
        stepper_(settings),
        validation_(validation_batches(data, settings)) {}

  TrainResult run(const std::atomic<bool>& stop,
                  const std::function<void(const StepEvent&)>& on_step) {
    const std::int64_t validate_every = settings_.validate_every > 0
                                            ? settings_.validate_every
                                            : std::max<std::int64_t>(1, (settings_.steps + 3) / 4);
    for (std::int64_t step = 1; step <= settings_.steps; ++step) {
      const StepOutcome outcome = take_step(step);
      on_step({step, settings_.steps, outcome.loss, tokens_ / watch_.seconds()});
      if (!outcome.finite()) {
        const bool loss_is = !std::isfinite(outcome.loss);
        return end("diverged", fmt::format("the {} was not finite at step {}",
                                           loss_is ? "loss" : "gradient norm", step));
      }
      if (step == settings_.steps || step % validate_every == 0) {
        valid_loss_ = stepper_.validate(validation_);
        writer_.append({{"kind", "valid"}, {"step", step}, {"loss", number(valid_loss_)}});
      }
      if (stop && step < settings_.steps) {
        return end("stopped", fmt::format("stopped after step {} of {}", step, settings_.steps));
      }
    }
    if (const auto reason = stuck_reason(losses_, byte_entropy(data_.train))) {
      return end("stuck", *reason);
    }
    return end("done", fmt::format("all {} steps", settings_.steps));
  }

 private:
  StepOutcome take_step(std::int64_t step) {
    const bool probed = step == 1 || step == settings_.steps || step % settings_.probe_every == 0;
    const Stopwatch step_watch;
    const Batch batch = training_batch(data_, settings_, step);
    std::optional<Probe> probe;
    std::optional<NormClock> clock;
    if (probed) {
      probe.emplace(settings_.layers);
      clock.emplace(stepper_.device());
    }
    const StepOutcome outcome = stepper_.step(batch, step, probed ? &*probe : nullptr);
    const double step_seconds = step_watch.seconds();
    record_step(step, outcome);
    if (probed) {
      record_probe(step, *probe, *clock, outcome.norms, step_seconds);
    }
    return outcome;
  }

  void record_step(std::int64_t step, const StepOutcome& outcome) {
    tokens_ += static_cast<double>(settings_.batch * settings_.context);
    losses_.push_back(outcome.loss);
    writer_.append({{"kind", "step"},
                    {"step", step},
                    {"loss", number(outcome.loss)},
                    {"grad_norm", number(outcome.norms.total)},
                    {"lr", learning_rate(settings_, step)},
                    {"seconds", watch_.seconds()},
                    {"tokens", static_cast<std::int64_t>(tokens_)}});
    const auto report = [&](const char* what, const std::optional<Spike>& spike) {
      if (spike) {
        writer_.append({{"kind", "spike"},
                        {"step", step},
                        {"what", what},
                        {"value", number(spike->value)},
                        {"mean", number(spike->mean)},
                        {"sigma", number(spike->sigma)}});
      }
    };
    report("loss", loss_spikes_.add(outcome.loss));
    report("grad_norm", gradient_spikes_.add(outcome.norms.total));
  }

  void record_probe(std::int64_t step, Probe& probe, const NormClock& clock,
                    const GradientNorms& norms, double step_seconds) {
    const Stopwatch watch;
    const double inside = probe.seconds();
    probe.add_gradients(stepper_.optimiser().names(), norms.parameter);
    nlohmann::json record = probe.record();
    record["kind"] = "probe";
    record["step"] = step;
    record["norm_seconds"] = clock.seconds();
    record["step_seconds"] = step_seconds - inside;
    record["probe_seconds"] = inside + watch.seconds();
    writer_.append(record);
    probe_seconds_ += inside + watch.seconds();
  }

  TrainResult end(const std::string& status, const std::string& reason) {
    TrainResult result{status, reason, mean_of_last_tenth(losses_), valid_loss_, watch_.seconds()};
    writer_.append({{"kind", "end"},
                    {"step", static_cast<std::int64_t>(losses_.size())},
                    {"status", status},
                    {"reason", reason},
                    {"seconds", result.seconds},
                    {"tokens_per_second", tokens_ / result.seconds},
                    {"probe_share", probe_seconds_ / result.seconds}});
    return result;
  }

  const Settings& settings_;
  const TextData& data_;
  RunWriter& writer_;
  Stopwatch watch_;
  Stepper stepper_;
  std::vector<Batch> validation_;
  std::vector<double> losses_;
  SpikeMonitor loss_spikes_, gradient_spikes_;
  double tokens_ = 0;
  double probe_seconds_ = 0;
  double valid_loss_ = std::nan("");
};

}  // namespace

double time_step(const Settings& settings, const TextData& data, const std::atomic<bool>& stop) {
  constexpr std::int64_t warm_up = 2;
  constexpr std::int64_t timed = 5;
  Settings short_run = settings;
  short_run.steps = warm_up + timed;  // for the schedule; nothing is kept
  Stepper stepper(short_run);
  std::vector<double> seconds;
  for (std::int64_t step = 1; step <= short_run.steps && !stop; ++step) {
    const Stopwatch watch;
    stepper.step(training_batch(data, short_run, step), step);
    if (step > warm_up) {
      seconds.push_back(watch.seconds());
    }
  }
  if (seconds.empty()) {
    return 0;
  }
  const auto middle = seconds.begin() + static_cast<std::ptrdiff_t>(seconds.size() / 2);
  std::ranges::nth_element(seconds, middle);
  return *middle;
}

TrainResult train(const Settings& settings, const TextData& data, RunWriter& writer,
                  const std::atomic<bool>& stop,
                  const std::function<void(const StepEvent&)>& on_step) {
  if (settings.steps <= 0) {
    throw Error(fmt::format("[train] expected steps above 0, got {}", settings.steps));
  }
  return Training(settings, data, writer).run(stop, on_step);
}

std::int64_t parameter_count(const Settings& settings) {
  const Transformer model(settings);
  std::int64_t count = 0;
  for (const auto& parameter : model.parameters()) {
    count += parameter.numel();
  }
  return count;
}

}  // namespace omninorm::lab
