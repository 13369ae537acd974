#include "lab/train/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace omninorm::lab {

double learning_rate(const Settings& settings, std::int64_t step) {
  const auto steps = static_cast<double>(settings.steps);
  const auto now = static_cast<double>(step);
  const double warm = std::ceil(settings.warmup * steps);
  if (now <= warm) {
    return settings.lr * now / warm;
  }
  const double done = (now - warm) / std::max(1.0, steps - warm);
  const double cosine = 0.5 * (1.0 + std::cos(std::numbers::pi * done));
  return settings.lr * (kFinalLearningRate + (1.0 - kFinalLearningRate) * cosine);
}

}  // namespace omninorm::lab
