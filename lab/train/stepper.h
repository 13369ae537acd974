// One variant's model and optimiser, moved on a step at a time.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <vector>

#include "lab/experiment/settings.h"
#include "lab/model/transformer.h"
#include "lab/train/batches.h"
#include "lab/train/optimiser.h"

namespace omninorm::lab {

// The device that the settings name. Throws omninorm::Error that says which there are when this
// torch or this machine has no such device.
at::Device find_device(const std::string& name);

struct StepOutcome {
  double loss = 0;      // mean over the batch, nats per byte
  GradientNorms norms;  // before clipping
  bool finite() const;
};

class Stepper {
 public:
  // Initialises the model from settings.seed.
  explicit Stepper(const Settings& settings);

  // Forward, backward and, when loss and gradient are finite, one optimiser step. Steps count from
  // 1; the step decides learning rate and dropout draws.
  StepOutcome step(const Batch& batch, std::int64_t step, ForwardObserver* observer = nullptr);

  // Mean loss, without dropout and without gradients.
  double validate(const std::vector<Batch>& batches);

  Transformer& model() { return model_; }
  const Optimiser& optimiser() const { return optimiser_; }
  at::Device device() const { return device_; }

 private:
  at::Tensor loss(const Batch& batch, ForwardObserver* observer);

  Settings settings_;
  at::Device device_;
  Transformer model_;
  Optimiser optimiser_;
};

}  // namespace omninorm::lab
