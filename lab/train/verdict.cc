#include "lab/train/verdict.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

namespace omninorm::lab {
namespace {

double mean(std::span<const double> values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

}  // namespace

double byte_entropy(std::span<const std::uint8_t> bytes) {
  std::array<std::uint64_t, 256> counts{};
  for (const std::uint8_t byte : bytes) {
    ++counts[byte];
  }
  double entropy = 0;
  for (const std::uint64_t count : counts) {
    if (count > 0) {
      const double share = static_cast<double>(count) / static_cast<double>(bytes.size());
      entropy -= share * std::log(share);
    }
  }
  return entropy;
}

std::optional<Spike> SpikeMonitor::add(double value) {
  std::optional<Spike> spike;
  if (window_.size() == kWindow) {
    const double centre = std::accumulate(window_.begin(), window_.end(), 0.0) / kWindow;
    double squares = 0;
    for (const double v : window_) {
      squares += (v - centre) * (v - centre);
    }
    const double sigma = std::sqrt(squares / kWindow);
    if (value > centre + kSigmas * sigma) {
      spike = Spike{value, centre, sigma};
    }
    window_.pop_front();
  }
  window_.push_back(value);
  return spike;
}

double mean_of_last_tenth(std::span<const double> losses) {
  const std::size_t count = std::max<std::size_t>(1, losses.size() / 10);
  return losses.empty() ? std::nan("") : mean(losses.last(count));
}

std::optional<std::string> stuck_reason(std::span<const double> losses, double entropy) {
  if (losses.size() < kStuckSteps) {
    return std::nullopt;
  }
  const double end = mean_of_last_tenth(losses);
  const double middle = mean_of_last_tenth(losses.first(losses.size() / 2));
  if (end <= entropy - kStuckMargin || end < middle - kStuckMargin) {
    return std::nullopt;
  }
  return fmt::format(
      "the training loss ended at {:.3f} nats a byte and was {:.3f} half-way; byte frequencies "
      "alone give {:.3f}, so nothing was learned beyond them",
      end, middle, entropy);
}

}  // namespace omninorm::lab
