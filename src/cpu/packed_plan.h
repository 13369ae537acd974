// What one call of the packed kernels works on: short groups, taken 16 at a time, whatever rows
// they belong to.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "src/core/norm_problem.h"

namespace omninorm::internal {

// Groups whose affine entries repeat: a multiple of every target's lanes.
inline constexpr std::int64_t kMostLanes = 16;

struct PackedShape {
  std::int64_t groups = 0;           // in all rows
  std::int64_t c = 0;                // entries of one
  std::int64_t affine_groups = 0;    // groups of a row: a group's weight is that of its number here
  std::int64_t period = 0;           // groups after which a block of 16 meets the same weights
  std::int64_t groups_per_task = 0;  // a multiple of period
  std::int64_t tasks = 0;

  // Every group has the same weights, which then are not repeated over a period but over what any
  // target and layout takes at once: short arrays are what a second core has to fetch.
  bool one_group() const { return affine_groups == 1; }
  std::int64_t affine_floats() const { return affine_groups * c; }
  // Of weights and of sums.
  std::int64_t period_floats() const {
    return one_group() ? std::max(2 * kMostLanes, c) : period * c;
  }
};

struct PackedForwardPlan {
  const NormForward* problem = nullptr;
  PackedShape shape;
  bool side_by_side = false;      // all groups of all operands, without gaps
  bool streams = false;           // only then
  const float* weight = nullptr;  // period_floats() in the kernel's element order; ones if none
  const float* bias = nullptr;    // likewise; zeros
};

struct PackedBackwardPlan {
  const NormBackward* problem = nullptr;
  PackedShape shape;
  bool side_by_side = false;  // likewise
  bool streams = false;       // only then
  const float* weight = nullptr;
  // [tasks][2][period_floats], sums for dweight and dbias; null where neither is wanted. `coarse`
  // the same again where a task has more than kRowsPerFine periods.
  float* partial = nullptr;
  float* coarse = nullptr;
};

}  // namespace omninorm::internal
