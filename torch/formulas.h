// The row norms in ATen operations: on any device, differentiable any number of times, and slower
// than a kernel. Double backward and devices without a kernel use them.
#pragma once

#include "torch/row_norm.h"

namespace omninorm::torch_ops {

RowNormForwardResult row_norm_forward_formula(const RowNormOp& op, const RowNormForwardCall& call);

// Computes mean and rstd from x again, so that the result can be differentiated with respect to x.
RowNormBackwardResult row_norm_backward_formula(const RowNormOp& op,
                                                const RowNormBackwardCall& call);

}  // namespace omninorm::torch_ops
