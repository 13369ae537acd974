// The slow path of the row kernels: one row in double precision, for rows whose fp32 statistics are
// not finite or have underflowed. Double holds the square of every finite float, so one path serves
// 1e30, 1e-30, and rows that do hold NaN or Inf, which then follow IEEE 754 through the formulas:
//   a NaN among the entries that statistics are taken from: the whole row is NaN
//   an Inf, centred:   mean is Inf or NaN, so the whole row is NaN
//   an Inf, uncentred: rstd is 0, so that entry is NaN (Inf * 0) and the others are 0 (plus bias)
// Other rows never see it. Results are rounded once, to the dtype of what they are stored to.
#pragma once

#include <cstddef>
#include <cstdint>

#include "src/core/norm_problem.h"

namespace omninorm::internal {

// Row pointers; weight and bias as in the problem, at the row's group.
struct ExtremeForward {
  const void* x;
  const void* weight;
  const void* bias;
  void* y;
};

struct ExtremeStatistics {
  double mean;
  double rstd;
};

// y may be x.
ExtremeStatistics extreme_row_forward(const NormForward& problem, const ExtremeForward& row);

struct ExtremeBackward {
  const void* x;
  const void* weight;
  double mean;
  double rstd;
  const void* dy;
  const void* dsum;  // of x's dtype, added to dx; null: none
  void* dx;          // null: not wanted; may be x or dy
  // fp32 sums over rows to add to, null: not wanted. even_odd_lanes > 0: within each 2 * lanes
  // elements the even ones stand first (Layout::even_odd of io-inl.h).
  float* dweight;
  float* dbias;
  std::size_t even_odd_lanes;
};

void extreme_row_backward(const NormBackward& problem, const ExtremeBackward& row);

}  // namespace omninorm::internal
