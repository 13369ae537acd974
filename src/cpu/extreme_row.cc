#include "src/cpu/extreme_row.h"

#include <cmath>

#include "src/core/element.h"

namespace omninorm::internal {
namespace {

bool rounds_before_weight(CastPolicy policy, DType x) {
  return policy == CastPolicy::before_weight && (x == DType::bf16 || x == DType::f16);
}

}  // namespace

ExtremeStatistics extreme_row_forward(const NormForward& problem, const ExtremeForward& row) {
  const NormView& view = problem.view;
  const DType x_dtype = problem.x.dtype;
  const auto count = static_cast<double>(view.stats_c);
  double mean = 0;
  if (view.center) {
    for (std::int64_t i = 0; i < view.stats_c; ++i) mean += load(row.x, x_dtype, i);
    mean /= count;
  }
  double squares = 0;
  for (std::int64_t i = 0; i < view.stats_c; ++i) {
    const double deviation = load(row.x, x_dtype, i) - mean;
    squares += deviation * deviation;
  }
  const double rstd = 1 / std::sqrt(squares / count + problem.parameters.eps);
  const bool round = rounds_before_weight(problem.parameters.cast_policy, x_dtype);
  for (std::int64_t i = 0; i < view.c; ++i) {
    double y = (load(row.x, x_dtype, i) - mean) * rstd;
    if (round) y = rounded(x_dtype, y);
    if (row.weight) {
      y *= load(row.weight, problem.weight_dtype, i) + problem.parameters.weight_offset;
    }
    if (row.bias) y += load(row.bias, problem.weight_dtype, i);
    store(row.y, problem.y.dtype, i, y);
  }
  return {mean, rstd};
}

void extreme_row_backward(const NormBackward& problem, const ExtremeBackward& row) {
  const NormView& view = problem.view;
  const DType x_dtype = problem.x.dtype;
  const auto gradient = [&](std::int64_t i) {
    const double dy = load(row.dy, problem.dy.dtype, i);
    if (!row.weight) return dy;
    return dy * (load(row.weight, problem.weight_dtype, i) + problem.parameters.weight_offset);
  };
  const auto normalized = [&](std::int64_t i) {
    return (load(row.x, x_dtype, i) - row.mean) * row.rstd;
  };
  double mean_g = 0;
  double mean_gx = 0;
  for (std::int64_t i = 0; i < view.c; ++i) {
    const double g = gradient(i);
    mean_g += g;
    mean_gx += g * normalized(i);
  }
  mean_g = view.center ? mean_g / static_cast<double>(view.stats_c) : 0;
  mean_gx /= static_cast<double>(view.stats_c);

  const bool round = rounds_before_weight(problem.parameters.cast_policy, x_dtype);
  const auto lanes = static_cast<std::int64_t>(row.even_odd_lanes);
  for (std::int64_t i = 0; i < view.c; ++i) {
    const double g = gradient(i);
    const double x = normalized(i);
    const double dy = load(row.dy, problem.dy.dtype, i);
    std::int64_t column = i;
    if (lanes > 0) {
      const std::int64_t in_block = i % (2 * lanes);
      column = i - in_block + (in_block % 2 != 0 ? lanes : 0) + in_block / 2;
    }
    if (row.dweight) {
      row.dweight[column] += static_cast<float>(dy * (round ? rounded(x_dtype, x) : x));
    }
    if (row.dbias) row.dbias[column] += static_cast<float>(dy);
    if (row.dx) {
      const double through_statistics = i < view.stats_c ? mean_g + x * mean_gx : 0;
      const double dsum = row.dsum ? load(row.dsum, x_dtype, i) : 0;
      store(row.dx, x_dtype, i, row.rstd * (g - through_statistics) + dsum);
    }
  }
}

}  // namespace omninorm::internal
