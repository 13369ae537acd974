// The view itself: dimensions of the operands collapsed to n, g, c and s.
#pragma once

#include <span>

#include "src/core/norm_build.h"

namespace omninorm::internal {

struct ViewOperand {
  const std::int64_t* strides;  // one for each dimension of x
  NormStrides* out;
};

// Neighbouring dimensions of one part are merged where one stride walks them in every operand.
// Pooling, centring and stats_c are left at their defaults.
NormView collapse(std::span<const std::int64_t> sizes, const NormAxes& axes,
                  std::span<const ViewOperand> operands);

}  // namespace omninorm::internal
