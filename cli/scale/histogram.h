// Counts of values in bins of equal width, and what one pass over a column finds out to lay them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

namespace omninorm::cli {

// Bins between two ends, low < high, and the counts beyond them. Infinities count beyond; no NaN.
struct Histogram {
  double low = 0, high = 1;
  std::vector<std::int64_t> counts;
  std::int64_t below = 0, above = 0;

  void add(double value);
};

// Mean, deviation and extremes of finite values, and counts of the others.
struct Figures {
  std::int64_t values = 0, missing = 0, infinite = 0;
  double mean = 0, m2 = 0, minimum = 0, maximum = 0;

  void add(const double* values, std::int64_t count);
  double deviation() const;  // divided by n; NaN without values
};

// An even sample of a stream of any length (Li 1994, algorithm L), the same for the same stream.
class Sample {
 public:
  void add(double value);
  const std::vector<double>& values() const { return values_; }

 private:
  static constexpr std::size_t size = 2048;

  std::vector<double> values_;
  std::int64_t seen_ = 0, next_ = 0;
  double weight_ = 1;
  std::minstd_rand random_;
};

// Bins for a column: all values where they lie close enough together, else its bulk (the quartiles
// and six times their distance to both sides), so that a few far values do not squeeze the others
// into one bin. Whole numbers get bins of their own where these are few.
Histogram bins_for(const Sample& sample, const Figures& figures);

}  // namespace omninorm::cli
