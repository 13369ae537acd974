// The learning rate of each step.
#pragma once

#include <cstdint>

#include "lab/experiment/settings.h"

namespace omninorm::lab {

// Where the cosine ends, as a share of the peak.
inline constexpr double kFinalLearningRate = 0.1;

// Linear from lr/w at step 1 to lr at step w = ceil(warmup * steps), then a cosine down to
// kFinalLearningRate * lr at the last step. Steps count from 1.
double learning_rate(const Settings& settings, std::int64_t step);

}  // namespace omninorm::lab
