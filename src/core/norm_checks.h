// The checks behind build_forward and build_backward. Each throws Error.
#pragma once

#include "src/core/norm_build.h"

namespace omninorm::internal {

void check_given(const char* op, const char* name, const ConstTensor& tensor);

// Rank, sizes and strides that can be walked with 64-bit arithmetic, and a tensor on the CPU.
void check_sizes(const char* op, const char* name, const ConstTensor& tensor);

void check_forward(const NormSpec& spec, const NormForwardArgs& args, Purpose purpose);
void check_backward(const NormSpec& spec, const NormBackwardArgs& args, Purpose purpose);

}  // namespace omninorm::internal
