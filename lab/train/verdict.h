// What a run's numbers say: spikes on the way, and whether it learned anything.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace omninorm::lab {

// Entropy in nats of the frequencies of single bytes: the loss of the best model that sees no
// context.
double byte_entropy(std::span<const std::uint8_t> bytes);

// What a spike stands out from.
struct Spike {
  double value = 0, mean = 0, sigma = 0;
};

// A spike is a value above mean + 6 sigma of the 128 before it (OLMo-core's monitor). Nothing is
// said before 128 values are there.
class SpikeMonitor {
 public:
  static constexpr std::size_t kWindow = 128;
  static constexpr double kSigmas = 6;

  std::optional<Spike> add(double value);

 private:
  std::deque<double> window_;
};

// Mean of the last tenth (at least one).
double mean_of_last_tenth(std::span<const double> losses);

// Why a run that reached its end is stuck, or nothing. Stuck: the mean loss of its last tenth is
// not at least kStuckMargin below byte_entropy, so nothing was learned beyond the frequencies of
// bytes, and it is not falling either: not kStuckMargin below the mean of the tenth that ended at
// half of the run. Runs under
// kStuckSteps are never called stuck: all of them pass through such a plateau early on.
inline constexpr double kStuckMargin = 0.05;
inline constexpr std::size_t kStuckSteps = 100;
std::optional<std::string> stuck_reason(std::span<const double> losses, double entropy);

}  // namespace omninorm::lab
