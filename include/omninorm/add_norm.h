// What add_rms_norm and add_layer_norm share: their arguments.
//
//   sum = x + residual, rounded to the dtype of x;   y = norm(sum)
//
// The norm is taken of the rounded sum, so y is to the bit what the plain norm gives for `sum`.
#pragma once

#include "omninorm/norm.h"

namespace omninorm {

// sum may be x or residual itself, and y may be x or residual itself where sum is not that tensor.
struct AddNormForwardArgs {
  ConstTensor x{};         // as in NormForwardArgs
  ConstTensor residual{};  // shape and dtype of x
  ConstTensor weight{};
  ConstTensor bias{};
  Tensor sum{};  // output: shape and dtype of x
  Tensor y{};
  Tensor mean{};  // of sum
  Tensor rstd{};  // likewise
};

// x and residual have the same gradient, dx = dsum + the gradient of the norm at sum, added in fp32
// or wider and rounded once.
struct AddNormBackwardArgs {
  ConstTensor sum{};  // what forward gave
  ConstTensor weight{};
  ConstTensor mean{};
  ConstTensor rstd{};
  ConstTensor dy{};
  ConstTensor dsum{};  // optional: shape and dtype of sum
  Tensor dx{};         // optional output, as in NormBackwardArgs. May be dy or dsum itself.
  Tensor dweight{};
  Tensor dbias{};
};

}  // namespace omninorm
