// The checks behind build_forward and build_backward. Each throws Error.
#pragma once

#include "src/core/norm_build.h"

namespace omninorm::internal {

void check_given(const char* op, const char* name, const ConstTensor& tensor);

// Rank, sizes and strides that can be walked with 64-bit arithmetic, and a tensor on the CPU.
void check_sizes(const char* op, const char* name, const ConstTensor& tensor);

// A tensor of the shape of mean and rstd, contiguous, of the dtype that sums over x are kept in or,
// where `f64`, of f64.
void check_statistics(const NormSpec& spec, const char* name, const ConstTensor& tensor,
                      const ConstTensor& x, bool f64);

// Neither null nor misaligned where there are elements.
void check_memory(const char* op, const char* name, const ConstTensor& tensor);

void check_forward(const NormSpec& spec, const NormForwardArgs& args, const ForwardExtras& extras,
                   Purpose purpose);
void check_backward(const NormSpec& spec, const NormBackwardArgs& args,
                    const BackwardExtras& extras, Purpose purpose);

}  // namespace omninorm::internal
