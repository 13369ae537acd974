// Residual addition and rms_norm in one pass over memory.
#pragma once

#include <cstddef>

#include "omninorm/add_norm.h"
#include "omninorm/executor.h"
#include "omninorm/rms_norm.h"

namespace omninorm {

// sum = x + residual, y = rms_norm(sum); see add_norm.h for the rounding of the sum and for
// in-place calls, rms_norm.h for the options and the shapes. Throws Error.
void add_rms_norm_forward(const AddNormForwardArgs& args, const RmsNormOptions& options = {},
                          const Context& context = {});

// Fills those of dx (the gradient of x and of residual), dweight and dbias that are given. Throws
// Error.
void add_rms_norm_backward(const AddNormBackwardArgs& args, const RmsNormOptions& options = {},
                           const Context& context = {});

// Bytes of workspace that the call with these arguments uses (pointers are not read).
std::size_t add_rms_norm_forward_workspace(const AddNormForwardArgs& args,
                                           const RmsNormOptions& options = {});
std::size_t add_rms_norm_backward_workspace(const AddNormBackwardArgs& args,
                                            const RmsNormOptions& options = {});

}  // namespace omninorm
