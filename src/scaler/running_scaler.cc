#include <cmath>
#include <limits>

#include "src/scaler/scaler_state.h"

namespace omninorm {

using namespace internal;

namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

}  // namespace

double alpha_of_half_life(double rows) {
  if (!(rows > 0) || !std::isfinite(rows)) {
    fail("running_scaler", "a half-life of more than 0 rows", number_text(rows));
  }
  return -std::expm1(-std::log(2.0) / rows);
}

double internal::variance_of(const RunningMoments& m, Variance variance) {
  const double divisor =
      variance == Variance::unbiased ? m.weight - m.weight_squares / m.weight : m.weight;
  return divisor > 0 ? m.m2 / divisor : kNaN;
}

RunningScaler::RunningScaler(const RunningOptions& options) : options_(options) {
  if (options.alpha > 0 && options.alpha < 1) return;
  fail("running_scaler", "0 < alpha < 1", number_text(options.alpha));
}

std::unique_ptr<Scaler> RunningScaler::clone() const {
  return std::make_unique<RunningScaler>(*this);
}

void RunningScaler::reset() { moments_.clear(); }

void RunningScaler::take(Scaler&& other) { *this = std::move(static_cast<RunningScaler&>(other)); }

void RunningScaler::add_rows(std::span<const Matrix> parts, const double* weights,
                             Executor& executor) {
  const std::string op = op_name(*this);
  add_to_copy(
      op, moments_, parts,
      [&](const Matrix& x, RunningMoments* columns) {
        return add_running(x, weights, options_.infinite == Infinite::ignore, options_.alpha,
                           columns, executor);
      },
      [&](const RunningMoments& m, std::int64_t j) {
        if (!std::isinf(variance_of(m, options_.variance))) return;
        fail(op, "a variance that fits a double", "an overflow in column " + std::to_string(j));
      });
}

void RunningScaler::add_scaler(const Scaler&) {
  fail("running_scaler", "one stream of rows",
       "a merge, which cannot be exact: what a scaler forgets depends on the order of rows",
       "fit it on the whole stream, or merge z_score scalers");
}

double RunningScaler::variance(std::int64_t j) const {
  return variance_of(moments_[static_cast<std::size_t>(j)], options_.variance);
}

ColumnSummary RunningScaler::summary(std::int64_t j) const {
  const RunningMoments& m = moments_[static_cast<std::size_t>(j)];
  if (m.weight == 0) return {0, kNaN, kNaN, false};
  const double deviation = std::sqrt(variance(j));
  // Sums in one double each: a spread below the mean's last bits is rounding.
  const bool constant = !(deviation > std::max(std::ldexp(std::abs(m.mean), -50), 0x1p-500));
  return {m.weight, m.mean, constant ? 1 : deviation, constant};
}

bool RunningScaler::same_state(const Scaler& scaler) const {
  const auto* other = dynamic_cast<const RunningScaler*>(&scaler);
  return other && options_ == other->options_ && moments_ == other->moments_ &&
         rows() == other->rows() && columns() == other->columns();
}

ScaleColumn RunningScaler::column_transform(std::int64_t j, bool inverse) const {
  const ColumnSummary s = summary(j);
  ScaleColumn column;
  (inverse ? column.add : column.subtract) = {s.center, 0};
  column.multiply = inverse ? s.scale : 1 / s.scale;
  return column;
}

void RunningScaler::write_json(ScalerJson& json) const {
  json.options = {{"alpha", options_.alpha},
                  {"variance", name(options_.variance)},
                  {"infinite", name(options_.infinite)}};
  for (const RunningMoments& m : moments_) {
    json.columns.push_back({{"weight", m.weight},
                            {"weight_squares", m.weight_squares},
                            {"mean", m.mean},
                            {"m2", m.m2}});
  }
}

}  // namespace omninorm
