// What rms_norm and layer_norm share as torch operators: everything but their schemas. An op file
// describes its op with a RowNormOp and registers the kernels below under its own signature.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <optional>
#include <vector>

#include "omninorm/executor.h"
#include "omninorm/norm.h"

namespace omninorm::torch_ops {

struct RowNormOptions {
  double eps = 0;
  double weight_offset = 0;
  CastPolicy cast_policy = CastPolicy::after_weight;
  double partial = 1;
};

// x: [rows..., normalized_shape...]; weight, bias: [normalized_shape...].
struct RowNormForwardCall {
  const at::Tensor& x;
  c10::SymIntArrayRef normalized_shape;
  const std::optional<at::Tensor>& weight;
  const std::optional<at::Tensor>& bias;
  RowNormOptions options;
  std::optional<at::ScalarType> dtype;  // of y; x's where not given

  at::ScalarType y_dtype() const { return dtype.value_or(x.scalar_type()); }
};

// y: shape and layout of x. mean, rstd: [rows...], float32 (float64 for float64 x); mean is
// undefined for uncentred norms.
struct RowNormForwardResult {
  at::Tensor y;
  at::Tensor mean;
  at::Tensor rstd;
};

struct RowNormBackwardCall {
  const at::Tensor& x;
  c10::SymIntArrayRef normalized_shape;
  const std::optional<at::Tensor>& weight;
  const at::Tensor& mean;
  const at::Tensor& rstd;
  const at::Tensor& dy;
  RowNormOptions options;
  std::optional<at::ScalarType> affine_dtype;  // of dweight and dbias; weight's, else x's
  std::array<bool, 3> output_mask;             // dx, dweight, dbias

  at::ScalarType gradient_dtype() const {
    return affine_dtype.value_or(weight ? weight->scalar_type() : x.scalar_type());
  }
};

// Undefined where the mask said no.
struct RowNormBackwardResult {
  at::Tensor dx;
  at::Tensor dweight;
  at::Tensor dbias;
};

// One op: its name, and how to reach libomninorm and the dispatcher.
struct RowNormOp {
  const char* name;  // "rms_norm"
  bool center;

  void (*forward)(const NormForwardArgs&, const RowNormOptions&, int dims, const Context&);
  void (*backward)(const NormBackwardArgs&, const RowNormOptions&, int dims, const Context&);

  RowNormForwardResult (*dispatch_forward)(const RowNormForwardCall&);
  RowNormBackwardResult (*dispatch_backward)(const RowNormBackwardCall&);
};

// The type that statistics and sums are kept in.
at::ScalarType statistics_dtype(const at::Tensor& x);

// libomninorm on the CPU, on torch's threads.
RowNormForwardResult row_norm_forward_cpu(const RowNormOp& op, const RowNormForwardCall& call);
RowNormBackwardResult row_norm_backward_cpu(const RowNormOp& op, const RowNormBackwardCall& call);

// Shapes only, symbolic ones too.
RowNormForwardResult row_norm_forward_meta(const RowNormOp& op, const RowNormForwardCall& call);
RowNormBackwardResult row_norm_backward_meta(const RowNormOp& op, const RowNormBackwardCall& call);

// ATen formulas for a device without a kernel; warns once for each op and device type. The backward
// computes the statistics from x again, which is more exact than what float32 keeps of the mean.
RowNormForwardResult row_norm_forward_fallback(const RowNormOp& op, const RowNormForwardCall& call);
RowNormBackwardResult row_norm_backward_fallback(const RowNormOp& op,
                                                 const RowNormBackwardCall& call);

// Records the graph. y is differentiable, mean and rstd are not. The backward op is differentiable
// with respect to x, weight and dy (through ATen formulas; mean and rstd count as functions of x).
// Forward-mode AD takes the formulas too.
RowNormForwardResult row_norm_forward_autograd(const RowNormOp& op, const RowNormForwardCall& call);
RowNormBackwardResult row_norm_backward_autograd(const RowNormOp& op,
                                                 const RowNormBackwardCall& call);

}  // namespace omninorm::torch_ops
