#include <cmath>
#include <limits>

#include "src/scaler/double_double.h"
#include "src/scaler/scaler_state.h"

namespace omninorm {

using namespace internal;

namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

bool resolved(double deviation, double mean) {
  return deviation > std::max(std::ldexp(std::abs(mean), -98), 0x1p-500);
}

void check_moments(const std::string& op, const ColumnMoments& m, Variance variance,
                   std::int64_t j) {
  check_count(op, m.count, j);
  const std::string overflow = "an overflow in column " + std::to_string(j);
  if (!is_finite(m.mean) || !is_finite(m.m2)) {
    fail(op, "squared deviations that fit a double", overflow);
  }
  // A count of just over 1, less 1, is next to nothing.
  if (std::isinf(variance_of(m, variance))) fail(op, "a variance that fits a double", overflow);
}

}  // namespace

double internal::variance_of(const ColumnMoments& m, Variance variance) {
  const DoubleDouble divisor =
      variance == Variance::unbiased ? m.count - DoubleDouble{1, 0} : m.count;
  if (!(divisor.high > 0)) return kNaN;
  const double quotient = value(m.m2 / divisor);
  return std::isfinite(quotient) ? quotient : std::numeric_limits<double>::infinity();
}

ZScoreScaler::ZScoreScaler(const ZScoreOptions& options) : options_(options) {}

std::unique_ptr<Scaler> ZScoreScaler::clone() const {
  return std::make_unique<ZScoreScaler>(*this);
}

void ZScoreScaler::reset() { moments_.clear(); }

void ZScoreScaler::take(Scaler&& other) { *this = std::move(static_cast<ZScoreScaler&>(other)); }

void ZScoreScaler::add_rows(std::span<const Matrix> parts, const double* weights,
                            Executor& executor) {
  const std::string op = op_name(*this);
  add_to_copy(
      op, moments_, parts,
      [&](const Matrix& x, ColumnMoments* columns) {
        return add_moments(x, weights, options_.infinite == Infinite::ignore, columns, executor);
      },
      [&](const ColumnMoments& m, std::int64_t j) { check_moments(op, m, options_.variance, j); });
}

void ZScoreScaler::add_scaler(const Scaler& scaler) {
  const auto& other = static_cast<const ZScoreScaler&>(scaler);
  const std::string op = op_name(*this);
  check_same_options(op, options_, other.options_);
  merge_columns(moments_, other.moments_, [&](const ColumnMoments& m, std::int64_t j) {
    check_moments(op, m, options_.variance, j);
  });
}

double ZScoreScaler::variance(std::int64_t j) const {
  return variance_of(moments_[static_cast<std::size_t>(j)], options_.variance);
}

ColumnSummary ZScoreScaler::summary(std::int64_t j) const {
  const ColumnMoments& m = moments_[static_cast<std::size_t>(j)];
  ColumnSummary s{value(m.count), options_.with_mean ? m.mean.high : 0, 1, false};
  if (m.count.high == 0) {
    if (options_.with_mean) s.center = kNaN;
    if (options_.with_std) s.scale = kNaN;
    return s;
  }
  const double deviation = std::sqrt(variance(j));
  s.constant = !resolved(deviation, m.mean.high);
  if (options_.with_std && !s.constant) s.scale = deviation;
  return s;
}

bool ZScoreScaler::same_state(const Scaler& scaler) const {
  const auto* other = dynamic_cast<const ZScoreScaler*>(&scaler);
  return other && options_ == other->options_ && moments_ == other->moments_ &&
         rows() == other->rows() && columns() == other->columns();
}

ScaleColumn ZScoreScaler::column_transform(std::int64_t j, bool inverse) const {
  const ColumnSummary s = summary(j);
  DoubleDouble center{s.center, 0};
  if (options_.with_mean && !std::isnan(s.center)) {
    center = moments_[static_cast<std::size_t>(j)].mean;
  }
  ScaleColumn column;
  if (inverse) {
    column.multiply = s.scale;
    column.add = center;
  } else {
    column.subtract = center;
    column.multiply = 1 / s.scale;
  }
  return column;
}

void ZScoreScaler::write_json(ScalerJson& json) const {
  json.options = {{"variance", name(options_.variance)},
                  {"with_mean", options_.with_mean},
                  {"with_std", options_.with_std},
                  {"infinite", name(options_.infinite)}};
  for (const ColumnMoments& m : moments_) {
    json.columns.push_back(
        {{"count", pair_of(m.count)}, {"mean", pair_of(m.mean)}, {"m2", pair_of(m.m2)}});
  }
}

}  // namespace omninorm
