#include <cmath>
#include <limits>

#include "src/scaler/double_double.h"
#include "src/scaler/scaler_state.h"

namespace omninorm {

using namespace internal;

namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

double range_of(const ColumnExtremes& e) { return e.maximum - e.minimum; }

void check_extremes(const std::string& op, const ColumnExtremes& e, double target, std::int64_t j) {
  check_count(op, e.count, j);
  const std::string got =
      number_text(e.minimum) + " to " + number_text(e.maximum) + " in column " + std::to_string(j);
  if (!std::isfinite(range_of(e))) fail(op, "a range that fits a double", got);
  if (!is_factor(target / range_of(e))) fail(op, kFactors, got);
}

// What takes [0, range] into [0, target], rounded so that no value leaves it.
double factor(double range, double target, double low, double high) {
  double result = target / range;
  while (range * result + low > high) result = std::nextafter(result, 0.0);
  return result;
}

}  // namespace

MinMaxScaler::MinMaxScaler(const MinMaxOptions& options) : options_(options) {
  if (std::isfinite(options.high - options.low) && options.low < options.high) return;
  fail("min_max_scaler", "a target range low < high of finite numbers",
       number_text(options.low) + " to " + number_text(options.high));
}

std::unique_ptr<Scaler> MinMaxScaler::clone() const {
  return std::make_unique<MinMaxScaler>(*this);
}

void MinMaxScaler::reset() { extremes_.clear(); }

void MinMaxScaler::take(Scaler&& other) { *this = std::move(static_cast<MinMaxScaler&>(other)); }

void MinMaxScaler::add_rows(std::span<const Matrix> parts, const double* weights,
                            Executor& executor) {
  const std::string op = op_name(*this);
  add_to_copy(
      op, extremes_, parts,
      [&](const Matrix& x, ColumnExtremes* columns) {
        return add_extremes(x, weights, options_.infinite == Infinite::ignore, columns, executor);
      },
      [&](const ColumnExtremes& e, std::int64_t j) {
        check_extremes(op, e, options_.high - options_.low, j);
      });
}

void MinMaxScaler::add_scaler(const Scaler& scaler) {
  const auto& other = static_cast<const MinMaxScaler&>(scaler);
  const std::string op = op_name(*this);
  check_same_options(op, options_, other.options_);
  merge_columns(extremes_, other.extremes_, [&](const ColumnExtremes& e, std::int64_t j) {
    check_extremes(op, e, options_.high - options_.low, j);
  });
}

ColumnSummary MinMaxScaler::summary(std::int64_t j) const {
  const ColumnExtremes& e = extremes_[static_cast<std::size_t>(j)];
  if (e.count.high == 0) return {0, kNaN, kNaN, false};
  const double range = range_of(e);
  const bool constant = !std::isfinite((options_.high - options_.low) / range);
  return {value(e.count), e.minimum, constant ? 1 : range, constant};
}

bool MinMaxScaler::same_state(const Scaler& scaler) const {
  const auto* other = dynamic_cast<const MinMaxScaler*>(&scaler);
  return other && options_ == other->options_ && extremes_ == other->extremes_ &&
         rows() == other->rows() && columns() == other->columns();
}

ScaleColumn MinMaxScaler::column_transform(std::int64_t j, bool inverse) const {
  const ColumnSummary s = summary(j);
  const double target = options_.high - options_.low;
  ScaleColumn column;
  if (inverse) {
    column.subtract = {options_.low, 0};
    // Finite, for where 0 stands for every fitted value.
    column.multiply = std::min(s.scale / target, std::numeric_limits<double>::max());
    column.add = {s.center, 0};
  } else {
    column.subtract = {s.center, 0};
    column.multiply = factor(s.scale, target, options_.low, options_.high);
    column.add = {options_.low, 0};
    if (options_.clip) {
      column.low = options_.low;
      column.high = options_.high;
    }
  }
  return column;
}

void MinMaxScaler::write_json(ScalerJson& json) const {
  json.options = {{"low", options_.low},
                  {"high", options_.high},
                  {"clip", options_.clip},
                  {"infinite", name(options_.infinite)}};
  for (const ColumnExtremes& e : extremes_) {
    const bool none = e.count.high == 0;
    json.columns.push_back(
        {{"count", pair_of(e.count)},
         {"minimum", none ? nlohmann::ordered_json() : nlohmann::ordered_json(e.minimum)},
         {"maximum", none ? nlohmann::ordered_json() : nlohmann::ordered_json(e.maximum)}});
  }
}

}  // namespace omninorm
