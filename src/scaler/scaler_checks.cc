#include "src/scaler/scaler_checks.h"

#include <cmath>

#include "src/core/argument.h"
#include "src/core/check.h"
#include "src/scaler/double_double.h"

namespace omninorm::internal {

std::string op_name(const Scaler& scaler) { return std::string(scaler.kind()) + "_scaler"; }

namespace {

void check_float(const std::string& op, const char* name, const ConstTensor& x) {
  if (x.dtype == DType::f32 || x.dtype == DType::f64) return;
  fail(op, std::string(name) + " to be f32 or f64", omninorm::name(x.dtype));
}

}  // namespace

Matrix check_matrix(const std::string& op, const char* name, const ConstTensor& x) {
  const Argument argument = describe(op.c_str(), name, x);
  check_given(op.c_str(), argument);
  if (x.rank != 2) {
    fail(op, std::string(name) + " to be [rows, columns]",
         "shape " + shape_text({x.sizes.data(), static_cast<std::size_t>(x.rank)}),
         "a single column is [rows, 1], a single row [1, columns]");
  }
  check_float(op, name, x);
  check_memory(op.c_str(), argument);
  return {x.data, x.dtype == DType::f64, x.sizes[0], x.sizes[1], x.strides[0], x.strides[1]};
}

std::int64_t columns_of(std::span<const Matrix> parts) {
  std::int64_t columns = 0;
  for (const Matrix& part : parts) columns += part.columns;
  return columns;
}

std::vector<double> check_weights(const std::string& op, const ConstTensor& weight,
                                  std::int64_t rows) {
  if (!weight.given()) return {};
  const Argument argument = describe(op.c_str(), "sample_weight", weight);
  check_float(op, "sample_weight", weight);
  if (weight.rank != 1 || weight.sizes[0] != rows) {
    fail(op, "sample_weight to be [" + std::to_string(rows) + "], one for each row",
         "shape " + shape_text({weight.sizes.data(), static_cast<std::size_t>(weight.rank)}));
  }
  check_memory(op.c_str(), argument);
  std::vector<double> weights(static_cast<std::size_t>(rows));
  double sum = 0;
  for (std::int64_t i = 0; i < rows; ++i) {
    const std::int64_t at = i * weight.strides[0];
    const double value = weight.dtype == DType::f64 ? static_cast<const double*>(weight.data)[at]
                                                    : static_cast<const float*>(weight.data)[at];
    if (!(value >= 0) || !std::isfinite(value)) {
      throw ValueError("[" + op + "] expected finite weights >= 0, got " + number_text(value) +
                           " for row " + std::to_string(i),
                       i, -1, value);
    }
    weights[static_cast<std::size_t>(i)] = value;
    sum += value;
  }
  if (!is_count(sum)) {
    fail(op, std::string("weights whose sum is ") + kCounts, number_text(sum));
  }
  return weights;
}

void check_count(const std::string& op, DoubleDouble count, std::int64_t j) {
  if (is_count(count.high)) return;
  fail(op, std::string("weights whose sum is ") + kCounts,
       number_text(count.high) + " in column " + std::to_string(j));
}

void check_values(const std::string& op, const BadValue& bad) {
  if (bad.kind == BadValue::Kind::none) return;
  const std::string where =
      " in row " + std::to_string(bad.row) + ", column " + std::to_string(bad.column);
  const bool infinite = bad.kind == BadValue::Kind::infinite;
  throw ValueError(
      "[" + op + "] expected " +
          (infinite ? "finite values, or NaN for missing ones"
                    : "values whose squared deviations fit a double (below about 1e153)") +
          ", got " + number_text(bad.value) + where +
          (infinite ? "; leave infinities out with Infinite::ignore" : ""),
      bad.row, bad.column, bad.value);
}

}  // namespace omninorm::internal
