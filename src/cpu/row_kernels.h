// What norm_forward.cc and norm_backward.cc share: why a view is declined, and the SIMD target.
#pragma once

#include "src/core/norm_problem.h"

namespace omninorm::internal {

// Takes OMNINORM_TARGET into account, once; throws Error when it names no target.
void choose_cpu_target();

// Null: x-like operands (x and y, or x, dy and dx) can be walked as contiguous rows; else why not.
const char* decline_rows(const NormView& view, DType x);
const char* decline_operand(const NormView& view, const NormStrides& strides);

}  // namespace omninorm::internal
