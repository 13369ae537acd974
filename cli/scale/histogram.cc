#include "cli/scale/histogram.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace omninorm::cli {
namespace {

double quantile(const std::vector<double>& sorted, double share) {
  const double place = share * static_cast<double>(sorted.size() - 1);
  return sorted[static_cast<std::size_t>(std::lround(place))];
}

}  // namespace

void Histogram::add(double value) {
  if (value < low) {
    ++below;
    return;
  }
  if (value > high) {
    ++above;
    return;
  }
  // A range may be wider than a double: all halved then.
  const double unit = std::isfinite(high - low) ? 1 : 0.5;
  const double share = (value * unit - low * unit) / (high * unit - low * unit);
  const auto bin = static_cast<std::size_t>(share * static_cast<double>(counts.size()));
  ++counts[std::min(bin, counts.size() - 1)];
}

void Figures::add(const double* from, std::int64_t count) {
  std::int64_t n = 0;
  double sum = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    if (std::isnan(from[i])) {
      ++missing;
    } else if (std::isinf(from[i])) {
      ++infinite;
    } else {
      minimum = values + n == 0 ? from[i] : std::min(minimum, from[i]);
      maximum = values + n == 0 ? from[i] : std::max(maximum, from[i]);
      sum += from[i];
      ++n;
    }
  }
  if (n == 0) return;
  const double center = sum / static_cast<double>(n);
  double squares = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    if (std::isfinite(from[i])) squares += (from[i] - center) * (from[i] - center);
  }
  // Chan's formula.
  const auto before = static_cast<double>(values), now = static_cast<double>(n);
  const double delta = center - mean;
  mean = before == 0 ? center : mean + delta * (now / (before + now));
  m2 += squares + (before == 0 ? 0 : delta * delta * before * now / (before + now));
  values += n;
}

double Figures::deviation() const {
  return values == 0 ? std::numeric_limits<double>::quiet_NaN()
                     : std::sqrt(m2 / static_cast<double>(values));
}

void Sample::add(double value) {
  if (values_.size() < size) {
    values_.push_back(value);
  } else if (seen_ == next_) {
    values_[std::uniform_int_distribution<std::size_t>(0, size - 1)(random_)] = value;
  }
  ++seen_;
  if (values_.size() == size && seen_ > next_) {
    const auto uniform = [&] { return std::uniform_real_distribution<double>(1e-12, 1)(random_); };
    weight_ *= std::exp(std::log(uniform()) / static_cast<double>(size));
    const double skipped = std::floor(std::log(uniform()) / std::log1p(-weight_));
    next_ = seen_ + static_cast<std::int64_t>(std::min(skipped, 1e15));
  }
}

Histogram bins_for(const Sample& sample, const Figures& figures) {
  constexpr std::size_t fewest = 12, most = 60;
  Histogram bins;
  if (figures.values == 0) {
    bins.counts.assign(fewest, 0);
    return bins;
  }
  std::vector<double> sorted = sample.values();
  std::ranges::sort(sorted);
  const double minimum = figures.minimum, maximum = figures.maximum;
  const double near = std::max(std::fabs(minimum) * 1e-3, 0.5);
  if (minimum == maximum) {
    bins.low = minimum - near;
    bins.high = maximum + near;
    bins.counts.assign(11, 0);
    return bins;
  }
  const double q1 = quantile(sorted, 0.25), q3 = quantile(sorted, 0.75);
  const double width = q3 - q1;
  // More than half are one value: the quantiles further out tell where the others are.
  const double bulk_low = width > 0 ? q1 - 6 * width : quantile(sorted, 0.005);
  const double bulk_high = width > 0 ? q3 + 6 * width : quantile(sorted, 0.995);
  bins.low = std::max(minimum, bulk_low);
  bins.high = std::min(maximum, bulk_high);
  const double bulk = bins.high - bins.low;
  if (!(bulk > 0) || maximum - minimum <= 1.5 * bulk) {
    bins.low = minimum;
    bins.high = maximum;
  }
  const double range = bins.high - bins.low;
  const bool whole = std::ranges::all_of(sorted, [](double v) { return v == std::floor(v); });
  if (whole && range < double(most) && std::fabs(bins.low) < 1e15 && std::fabs(bins.high) < 1e15) {
    bins.low = std::ceil(bins.low) - 0.5;
    bins.high = std::floor(bins.high) + 0.5;
    bins.counts.assign(static_cast<std::size_t>(bins.high - bins.low), 0);
    return bins;
  }
  // Freedman and Diaconis 1981.
  const double fitting = 2 * width / std::cbrt(static_cast<double>(figures.values));
  double count = range / fitting;
  if (!std::isfinite(count)) count = double(most);  // no width, or ranges wider than a double
  bins.counts.assign(static_cast<std::size_t>(std::clamp(count, double(fewest), double(most))), 0);
  return bins;
}

}  // namespace omninorm::cli
