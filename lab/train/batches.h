// Batches as a pure function of (seed, step), so every variant sees the same bytes at the same
// step.
#pragma once

#include <ATen/Tensor.h>

#include <cstdint>
#include <vector>

#include "lab/data/text.h"
#include "lab/experiment/settings.h"

namespace omninorm::lab {

struct Batch {
  at::Tensor tokens;   // sequences × context, int64
  at::Tensor targets;  // the same bytes, one further on
};

// Step counts from 1. Windows start anywhere, drawn with replacement. `data` must be long enough
// (check_length).
Batch training_batch(const TextData& data, const Settings& settings, std::int64_t step);

// One number for all, so that runs of different lengths are compared on the same bytes. Validating
// four times takes about a twentieth of a run of 200 steps.
inline constexpr std::size_t kValidationWindows = 64;

// Windows of context + 1 bytes, spread evenly over the validation text: the same for every variant,
// seed and length of run.
std::vector<Batch> validation_batches(const TextData& data, const Settings& settings);

}  // namespace omninorm::lab
