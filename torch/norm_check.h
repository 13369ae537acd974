// The checks that must hold on every device, kernel or not, and for symbolic shapes. libomninorm
// checks what it is given once more; these come first so that a graph is refused when it is traced.
#pragma once

#include "torch/norm_op.h"

namespace omninorm::torch_ops {

// Throw c10::ValueError "[op] expected ..., got ...".
void check_forward(const NormOp& op, const NormForwardCall& call);
void check_backward(const NormOp& op, const NormBackwardCall& call);

// Of tensors with memory: that neither of x and residual, which a call in place overwrites, shares
// it with itself or with another argument. Throws likewise.
void check_in_place(const NormOp& op, const NormForwardCall& call);

}  // namespace omninorm::torch_ops
