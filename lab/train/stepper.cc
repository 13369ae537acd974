#include "lab/train/stepper.h"

#include <ATen/autocast_mode.h>
#include <fmt/format.h>

#include <cmath>
#include <string>

#include "lab/model/counter_random.h"
#include "lab/model/initialise.h"
#include "lab/train/schedule.h"
#include "omninorm/error.h"

namespace omninorm::lab {
namespace {

// bf16 autocast for a scope, where `enabled`. Weights cast in it are dropped at its end, since the
// optimiser changes the originals.
class Autocast {
 public:
  Autocast(at::DeviceType device, bool enabled)
      : device_(device),
        was_enabled_(at::autocast::is_autocast_enabled(device)),
        was_dtype_(at::autocast::get_autocast_dtype(device)) {
    at::autocast::set_autocast_enabled(device_, enabled);
    at::autocast::set_autocast_dtype(device_, at::kBFloat16);
    at::autocast::increment_nesting();
  }
  ~Autocast() {
    if (at::autocast::decrement_nesting() == 0) {
      at::autocast::clear_cache();
    }
    at::autocast::set_autocast_enabled(device_, was_enabled_);
    at::autocast::set_autocast_dtype(device_, was_dtype_);
  }
  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;

 private:
  at::DeviceType device_;
  bool was_enabled_;
  at::ScalarType was_dtype_;
};

Transformer make_model(const Settings& settings, at::Device device) {
  Transformer model(settings);
  initialise(model, settings.init, settings.seed);
  model.to(device);
  return model;
}

}  // namespace

at::Device find_device(const std::string& name) {
  if (name == "cpu") {
    return at::kCPU;
  }
  const auto count = static_cast<int>(torch::cuda::device_count());
  std::string have = "cpu";
  for (int i = 0; i < count; ++i) {
    have += fmt::format(", cuda:{}", i);
  }
  if (name.starts_with("cuda") && count > 0) {
    const int index = name == "cuda" ? 0 : std::stoi(name.substr(5));
    if (index < count) {
      return {at::kCUDA, static_cast<at::DeviceIndex>(index)};
    }
  }
  throw Error(fmt::format(
      "[device] expected one that this torch finds on this machine ({}), got '{}'", have, name));
}

bool StepOutcome::finite() const { return std::isfinite(loss) && std::isfinite(norms.total); }

Stepper::Stepper(const Settings& settings)
    : settings_(settings),
      device_(find_device(settings.device)),
      model_(make_model(settings, device_)),
      optimiser_(model_, settings) {
  if (!device_.is_cpu()) {
    // Every CPU kernel that is used here is deterministic already. Filling fresh memory would only
    // cost time.
    at::globalContext().setDeterministicAlgorithms(true, /*warn_only=*/true);
    at::globalContext().setDeterministicFillUninitializedMemory(false);
  }
}

at::Tensor Stepper::loss(const Batch& batch, ForwardObserver* observer) {
  at::Tensor logits;
  {
    const Autocast autocast(device_.type(), settings_.dtype == "bf16");
    logits = model_.forward(batch.tokens.to(device_), observer);
  }
  return at::cross_entropy_loss(logits.to(at::kFloat).flatten(0, 1),
                                batch.targets.to(device_).flatten());
}

StepOutcome Stepper::step(const Batch& batch, std::int64_t step, ForwardObserver* observer) {
  if (settings_.dropout > 0) {
    // From (seed, step) alone: variants drop the same entries wherever their shapes agree.
    at::manual_seed(
        random_word(settings_.seed, stable_hash("dropout"), static_cast<std::uint64_t>(step)));
  }
  model_.train();
  optimiser_.zero_grad();
  const at::Tensor mean_loss = loss(batch, observer);
  StepOutcome outcome;
  outcome.loss = mean_loss.item<double>();
  mean_loss.backward();
  outcome.norms = optimiser_.gradient_norms();
  if (outcome.finite()) {
    optimiser_.step(learning_rate(settings_, step), outcome.norms);
  }
  return outcome;
}

double Stepper::validate(const std::vector<Batch>& batches) {
  const torch::NoGradGuard no_grad;
  model_.eval();
  double sum = 0;
  std::int64_t sequences = 0;
  for (const Batch& batch : batches) {
    const auto rows = batch.tokens.size(0);
    sum += loss(batch, nullptr).item<double>() * static_cast<double>(rows);
    sequences += rows;
  }
  return sum / static_cast<double>(sequences);
}

}  // namespace omninorm::lab
