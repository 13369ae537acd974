// What all norms share as torch operators: everything but their schemas. An op file describes its
// op and its own arguments, norm_register.h makes kernels and operators of that.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <optional>

#include "omninorm/executor.h"
#include "omninorm/norm.h"

namespace omninorm::torch_ops {

// The options of all norms; an op has some of them.
struct NormOptions {
  double eps = 0;
  double weight_offset = 0;
  CastPolicy cast_policy = CastPolicy::after_weight;
  Activation activation = Activation::none;
  double partial = 1;
  std::int64_t groups = 1;
  bool center = true;
  bool per_position = false;
  bool allow_degenerate = false;
  bool evaluates = false;                // running statistics normalise, and are only read
  std::optional<double> momentum = 0.1;  // none: the average of all batches
};

inline const at::Tensor kNoTensor;
inline const std::optional<at::Tensor> kNotGiven;

struct RunningTensors {
  const std::optional<at::Tensor>& mean = kNotGiven;  // [C]
  const std::optional<at::Tensor>& var = kNotGiven;
  const std::optional<at::Tensor>& num_batches_tracked = kNotGiven;  // int64, one element

  bool given() const { return mean.has_value(); }
};

// x: [rows..., normalized_shape...], weight, bias: [normalized_shape...]; or, for the norms of
// channels, x: [N, C, spatial...], weight, bias: [C], and normalized_shape is not read.
struct NormForwardCall {
  const at::Tensor& x;
  const at::Tensor& residual = kNoTensor;  // add_*: shape and type of x
  c10::SymIntArrayRef normalized_shape{};
  const std::optional<at::Tensor>& weight;
  const std::optional<at::Tensor>& bias;
  RunningTensors running{};
  NormOptions options{};
  std::optional<at::ScalarType> dtype{};  // of y; x's where not given
  bool in_place = false;                  // add_*: y takes x's place, the sum the residual's

  at::ScalarType y_dtype() const { return dtype.value_or(x.scalar_type()); }
};

// y, sum: shape and layout of x. mean, rstd: float32 (float64 for float64 x), of the shape that
// statistics_shape() tells; undefined where there are none (mean of uncentred norms, both in
// evaluation).
struct NormForwardResult {
  at::Tensor y;
  at::Tensor sum{};  // add_* only
  at::Tensor mean{};
  at::Tensor rstd{};
};

struct NormBackwardCall {
  const at::Tensor& x;  // add_*: the sum
  c10::SymIntArrayRef normalized_shape{};
  const std::optional<at::Tensor>& weight;
  const std::optional<at::Tensor>& bias = kNotGiven;  // read only behind an activation
  RunningTensors running{};                           // read only in evaluation
  const at::Tensor& mean = kNoTensor;                 // read where forward has one
  const at::Tensor& rstd = kNoTensor;                 // likewise
  const at::Tensor& dy;
  const std::optional<at::Tensor>& dsum = kNotGiven;  // add_*
  NormOptions options{};
  std::optional<at::ScalarType> affine_dtype{};  // of dweight and dbias; weight's, else x's
  std::array<bool, 3> output_mask{};             // dx, dweight, dbias

  at::ScalarType gradient_dtype() const {
    return affine_dtype.value_or(weight ? weight->scalar_type() : x.scalar_type());
  }
};

// Undefined where the mask said no.
struct NormBackwardResult {
  at::Tensor dx;
  at::Tensor dweight;
  at::Tensor dbias;
};

// What only some ops hand to libomninorm.
struct CoreForwardExtras {
  ConstTensor residual{};
  omninorm::Tensor sum{};
  RunningStatistics running{};
};
struct CoreBackwardExtras {
  ConstTensor dsum{};
  RunningStatistics running{};
};

// Which elements share statistics.
enum class NormKind : std::uint8_t {
  last_dims,  // the last dimensions: a row
  features,   // a group of the last dimension; with per_position, of the channels at one position
  group,      // a group of channels of one image
  instance,   // one channel of one image
  batch,      // one channel of all images
};

// One op: its name, and how to reach libomninorm and the dispatcher. `dims`: how many dimensions
// normalized_shape has.
struct NormOp {
  const char* name;  // "rms_norm"
  NormKind kind;
  bool adds;  // takes residual and dsum, returns sum

  void (*forward)(const NormForwardArgs&, const CoreForwardExtras&, const NormOptions&, int dims,
                  const Context&);
  void (*backward)(const NormBackwardArgs&, const CoreBackwardExtras&, const NormOptions&, int dims,
                   const Context&);

  // In place: by the operator's own name and a "_", and nothing is returned.
  NormForwardResult (*dispatch_forward)(const NormForwardCall&);
  NormBackwardResult (*dispatch_backward)(const NormBackwardCall&);
};

// libomninorm on the CPU, on torch's threads.
NormForwardResult norm_forward_cpu(const NormOp& op, const NormForwardCall& call);
NormBackwardResult norm_backward_cpu(const NormOp& op, const NormBackwardCall& call);

// Shapes only, symbolic ones too.
NormForwardResult norm_forward_meta(const NormOp& op, const NormForwardCall& call);
NormBackwardResult norm_backward_meta(const NormOp& op, const NormBackwardCall& call);

// ATen formulas for a device without a kernel; warns once for each op and device type. The backward
// computes the statistics from x again, which is more exact than what float32 keeps of the mean.
NormForwardResult norm_forward_fallback(const NormOp& op, const NormForwardCall& call);
NormBackwardResult norm_backward_fallback(const NormOp& op, const NormBackwardCall& call);

// Records the graph. y and sum are differentiable, mean and rstd are not. The backward op is
// differentiable with respect to x, weight, bias, dy and dsum (through ATen formulas; mean and rstd
// count as functions of x, running statistics as constants). Forward-mode AD takes the formulas
// too.
NormForwardResult norm_forward_autograd(const NormOp& op, const NormForwardCall& call);
NormBackwardResult norm_backward_autograd(const NormOp& op, const NormBackwardCall& call);

}  // namespace omninorm::torch_ops
