#include "bench/measure.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>

namespace omninorm::bench {
namespace {

using Clock = std::chrono::steady_clock;

// A sample is long against the clock's and a thread wake-up's grain, and a slow side (tens of
// milliseconds a call) does not leave the fast ones with a few microseconds of the cell's time.
constexpr double kShortestSample = 0.5e-3;
constexpr double kLongestWantedSample = 6e-3;
constexpr int kMostRounds = 200;
// Untimed calls before a sample: each side meets the caches as it leaves them itself, not as its
// neighbour in the round does. One call is not enough: a last-level cache takes in a stream only
// over several passes, and of two sides that share an output (PyTorch's allocator hands the same
// block out again) the first would pay for both.
constexpr int kWarmUps = 5;
constexpr double kLongestWarmUp = 30e-3;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

double time_calls(const Side& side, std::int64_t calls) {
  const auto start = Clock::now();
  for (std::int64_t i = 0; i < calls; ++i) side.run();
  return seconds_since(start) / static_cast<double>(calls);
}

// Seconds of one call of each side.
std::vector<double> time_once(const std::vector<Side>& sides) {
  std::vector<double> once;
  for (const Side& side : sides) {
    side.run();
    once.push_back(time_calls(side, 1));
  }
  return once;
}

// Calls per sample for each side.
std::vector<std::int64_t> sample_sizes(const std::vector<double>& once) {
  const double slowest = *std::max_element(once.begin(), once.end());
  const double wanted = std::clamp(slowest / 10, kShortestSample, kLongestWantedSample);
  std::vector<std::int64_t> calls;
  for (const double seconds : once) {
    calls.push_back(std::max<std::int64_t>(1, std::llround(wanted / std::max(seconds, 1e-9))));
  }
  return calls;
}

// samples[side][round]
using Samples = std::vector<std::vector<double>>;

Samples sample_rounds(const std::vector<Side>& sides, const Limits& limits,
                      const std::vector<double>& once, const std::vector<std::int64_t>& calls,
                      const std::atomic<bool>& stop) {
  Samples samples(sides.size());
  const auto start = Clock::now();
  double least = 0;  // seconds timed of the side that has least
  std::vector<double> timed(sides.size());
  for (int round = 0; round < kMostRounds; ++round) {
    const bool enough = least >= limits.seconds_per_side;
    if (round >= limits.rounds && (enough || seconds_since(start) > limits.seconds_per_cell)) break;
    for (std::size_t i = 0; i < sides.size(); ++i) {
      if (stop) return {};
      for (int k = 0; k < kWarmUps && (k == 0 || once[i] * k < kLongestWarmUp); ++k) sides[i].run();
      const double seconds = time_calls(sides[i], calls[i]);
      samples[i].push_back(seconds);
      timed[i] += seconds * static_cast<double>(calls[i]);
    }
    least = *std::min_element(timed.begin(), timed.end());
  }
  return samples;
}

SideTime summarize(const Side& side, const std::vector<double>& samples, std::int64_t calls) {
  SideTime time;
  time.name = side.name;
  const auto middle = samples.begin() + static_cast<std::ptrdiff_t>(samples.size() / 2);
  time.halves[0] = *std::min_element(samples.begin(), middle);
  time.halves[1] = *std::min_element(middle, samples.end());
  time.seconds = std::min(time.halves[0], time.halves[1]);
  time.calls = calls * static_cast<std::int64_t>(samples.size());
  return time;
}

}  // namespace

double half_difference(const SideTime& side) {
  const auto [low, high] = std::minmax(side.halves[0], side.halves[1]);
  return low > 0 ? high / low - 1 : 0;
}

const SideTime* find_side(const std::vector<SideTime>& sides, const std::string& name) {
  const SideTime* found = nullptr;
  for (const SideTime& side : sides) {
    const bool matches = side.name == name || (name == "copy" && side.name == "copy_streaming");
    if (matches && (found == nullptr || side.seconds < found->seconds)) found = &side;
  }
  return found;
}

Measurement measure(const std::vector<Side>& sides, const Limits& limits,
                    const std::atomic<bool>& stop) {
  Measurement best;
  best.drift = std::numeric_limits<double>::infinity();
  for (int attempt = 1; attempt <= limits.tries; ++attempt) {
    const auto once = time_once(sides);
    const auto calls = sample_sizes(once);
    const Samples samples = sample_rounds(sides, limits, once, calls, stop);
    if (samples.empty()) return {};
    Measurement now;
    for (std::size_t i = 0; i < sides.size(); ++i) {
      now.sides.push_back(summarize(sides[i], samples[i], calls[i]));
    }
    const SideTime* copy = find_side(now.sides, "copy");
    const SideTime* handover = find_side(now.sides, "threads");
    now.drift = copy == nullptr ? 0 : half_difference(*copy);
    now.handover = handover == nullptr ? 0 : handover->seconds;
    now.steady = now.drift <= limits.largest_drift && now.handover <= limits.largest_handover;
    if (now.steady || now.drift < best.drift) best = now;
    best.tries = attempt;
    if (best.steady) break;
  }
  return best;
}

}  // namespace omninorm::bench
