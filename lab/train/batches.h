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

// Windows spread evenly over the validation text: the same for every variant and seed. Their number
// grows with the run, so that validating four times takes about 3 % of it: 8 for each 50 steps,
// between 8 and 256.
std::vector<Batch> validation_batches(const TextData& data, const Settings& settings);

}  // namespace omninorm::lab
