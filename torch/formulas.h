// The norms in ATen operations: on any device, differentiable any number of times, and slower than
// a kernel. Double backward, forward-mode AD and devices without a kernel use them.
#pragma once

#include "torch/norm_op.h"

namespace omninorm::torch_ops {

// Updates the running statistics where the call is to.
NormForwardResult norm_forward_formula(const NormOp& op, const NormForwardCall& call);

// Computes mean and rstd from x again, so that the result can be differentiated with respect to x.
NormBackwardResult norm_backward_formula(const NormOp& op, const NormBackwardCall& call);

}  // namespace omninorm::torch_ops
