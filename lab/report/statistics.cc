#include "lab/report/statistics.h"

#include <algorithm>
#include <boost/math/distributions/students_t.hpp>
#include <cmath>
#include <limits>
#include <vector>

namespace omninorm::lab::report {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

}  // namespace

Spread describe(std::span<const double> values) {
  Spread spread;
  spread.count = values.size();
  if (values.empty()) {
    spread.mean = spread.sd = kNan;
    return spread;
  }
  double sum = 0;
  for (double value : values) sum += value;
  const double count = static_cast<double>(values.size());
  spread.mean = sum / count;
  double squares = 0;
  for (double value : values) squares += (value - spread.mean) * (value - spread.mean);
  spread.sd = values.size() < 2 ? kNan : std::sqrt(squares / (count - 1));
  return spread;
}

double median(std::span<const double> values) {
  if (values.empty()) return kNan;
  std::vector<double> sorted(values.begin(), values.end());
  std::sort(sorted.begin(), sorted.end());
  const std::size_t half = sorted.size() / 2;
  return sorted.size() % 2 == 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

double t_quantile(double p, double degrees) {
  return boost::math::quantile(boost::math::students_t_distribution<double>(degrees), p);
}

std::optional<PairedDifference> paired_difference(std::span<const double> base,
                                                  std::span<const double> value,
                                                  double confidence) {
  if (base.size() != value.size() || base.size() < 2) return std::nullopt;
  std::vector<double> differences(base.size());
  for (std::size_t i = 0; i < base.size(); ++i) {
    differences[i] = value[i] - base[i];
    if (!std::isfinite(differences[i])) return std::nullopt;
  }
  const Spread spread = describe(differences);
  const double pairs = static_cast<double>(spread.count);
  const double half = t_quantile((1 + confidence) / 2, pairs - 1) * spread.sd / std::sqrt(pairs);
  return PairedDifference{spread.count, spread.mean, spread.sd, spread.mean - half,
                          spread.mean + half};
}

}  // namespace omninorm::lab::report
