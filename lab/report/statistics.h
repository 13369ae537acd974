// What a handful of seeds can say: mean, spread, and paired differences with their interval.
#pragma once

#include <cstddef>
#include <optional>
#include <span>

namespace omninorm::lab::report {

struct Spread {
  std::size_t count = 0;
  double mean = 0;  // NaN when count is 0
  double sd = 0;    // sample standard deviation (count - 1); NaN below two values
};

Spread describe(std::span<const double> values);

// NaN for none; the mean of the middle two for an even count.
double median(std::span<const double> values);

// Student's t: the value that a t with `degrees` > 0 degrees of freedom stays below with
// probability `p`, 0 < p < 1.
double t_quantile(double p, double degrees);

// Interval of the mean of value[i] - base[i], by the paired t method.
struct PairedDifference {
  std::size_t pairs = 0;
  double mean = 0;
  double sd = 0;
  double low = 0;
  double high = 0;
  // "No difference shown": the interval holds zero.
  bool holds_zero() const { return low <= 0 && high >= 0; }
};

// nullopt below two pairs, or when a value is not finite. The spans have one length.
std::optional<PairedDifference> paired_difference(std::span<const double> base,
                                                  std::span<const double> value,
                                                  double confidence = 0.95);

}  // namespace omninorm::lab::report
