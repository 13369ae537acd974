#include "torch/rms_norm.h"

#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/library.h>

#include <array>
#include <tuple>

#include "omninorm/rms_norm.h"
#include "torch/convert.h"
#include "torch/row_norm.h"

namespace omninorm::torch_ops {
namespace {

using at::Tensor;
using OptionalTensor = std::optional<Tensor>;
using OptionalType = std::optional<at::ScalarType>;

RmsNormOptions core_options(const RowNormOptions& options, int dims) {
  return {.eps = options.eps,
          .weight_offset = options.weight_offset,
          .cast_policy = options.cast_policy,
          .normalized_dims = dims,
          .partial = options.partial};
}

RowNormForwardResult dispatch_forward(const RowNormForwardCall& call);
RowNormBackwardResult dispatch_backward(const RowNormBackwardCall& call);

constexpr RowNormOp kOp{
    .name = "rms_norm",
    .center = false,
    .forward =
        [](const NormForwardArgs& args, const RowNormOptions& options, int dims,
           const Context& context) {
          rms_norm_forward(args, core_options(options, dims), context);
        },
    .backward =
        [](const NormBackwardArgs& args, const RowNormOptions& options, int dims,
           const Context& context) {
          rms_norm_backward(args, core_options(options, dims), context);
        },
    .dispatch_forward = dispatch_forward,
    .dispatch_backward = dispatch_backward,
};

template <auto Kernel>
std::tuple<Tensor, Tensor> forward(const Tensor& x, c10::SymIntArrayRef normalized_shape,
                                   const OptionalTensor& weight, const OptionalTensor& bias,
                                   double eps, double weight_offset, std::string_view cast_policy,
                                   double partial, OptionalType dtype) {
  const RowNormOptions options{eps, weight_offset, cast_policy_of(kOp.name, cast_policy), partial};
  RowNormForwardResult result = Kernel(kOp, {x, normalized_shape, weight, bias, options, dtype});
  return {std::move(result.y), std::move(result.rstd)};
}

template <auto Kernel>
std::tuple<Tensor, Tensor, Tensor> backward(const Tensor& x, c10::SymIntArrayRef normalized_shape,
                                            const OptionalTensor& weight, const Tensor& rstd,
                                            const Tensor& dy, double eps, double weight_offset,
                                            std::string_view cast_policy, double partial,
                                            OptionalType affine_dtype,
                                            std::array<bool, 3> output_mask) {
  const RowNormOptions options{eps, weight_offset, cast_policy_of(kOp.name, cast_policy), partial};
  RowNormBackwardResult result =
      Kernel(kOp, {x, normalized_shape, weight, {}, rstd, dy, options, affine_dtype, output_mask});
  return {std::move(result.dx), std::move(result.dweight), std::move(result.dbias)};
}

using ForwardSignature = decltype(forward<row_norm_forward_cpu>);
using BackwardSignature = decltype(backward<row_norm_backward_cpu>);

RowNormForwardResult dispatch_forward(const RowNormForwardCall& call) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("omninorm::rms_norm_forward", "")
                             .typed<ForwardSignature>();
  const RowNormOptions& options = call.options;
  auto [y, rstd] =
      op.call(call.x, call.normalized_shape, call.weight, call.bias, options.eps,
              options.weight_offset, name_of(options.cast_policy), options.partial, call.dtype);
  return {std::move(y), {}, std::move(rstd)};
}

RowNormBackwardResult dispatch_backward(const RowNormBackwardCall& call) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("omninorm::rms_norm_backward", "")
                             .typed<BackwardSignature>();
  const RowNormOptions& options = call.options;
  auto [dx, dweight, dbias] =
      op.call(call.x, call.normalized_shape, call.weight, call.rstd, call.dy, options.eps,
              options.weight_offset, name_of(options.cast_policy), options.partial,
              call.affine_dtype, call.output_mask);
  return {std::move(dx), std::move(dweight), std::move(dbias)};
}

template <auto Forward, auto Backward>
void implement(torch::Library& library) {
  library.impl("rms_norm_forward", forward<Forward>);
  library.impl("rms_norm_backward", backward<Backward>);
}

}  // namespace

Tensor rms_norm_symint(const Tensor& x, c10::SymIntArrayRef normalized_shape,
                       const OptionalTensor& weight, const OptionalTensor& bias, double eps,
                       double weight_offset, std::string_view cast_policy, double partial,
                       OptionalType dtype) {
  const RowNormOptions options{eps, weight_offset, cast_policy_of(kOp.name, cast_policy), partial};
  return dispatch_forward({x, normalized_shape, weight, bias, options, dtype}).y;
}

Tensor rms_norm(const Tensor& x, at::IntArrayRef normalized_shape, const OptionalTensor& weight,
                const OptionalTensor& bias, double eps, double weight_offset,
                std::string_view cast_policy, double partial, OptionalType dtype) {
  return rms_norm_symint(x, c10::fromIntArrayRefSlow(normalized_shape), weight, bias, eps,
                         weight_offset, cast_policy, partial, dtype);
}

TORCH_LIBRARY_IMPL(omninorm, CPU, library) {
  implement<row_norm_forward_cpu, row_norm_backward_cpu>(library);
}
TORCH_LIBRARY_IMPL(omninorm, Meta, library) {
  implement<row_norm_forward_meta, row_norm_backward_meta>(library);
}
TORCH_LIBRARY_IMPL(omninorm, CompositeExplicitAutograd, library) {
  implement<row_norm_forward_fallback, row_norm_backward_fallback>(library);
}
TORCH_LIBRARY_IMPL(omninorm, Autograd, library) {
  implement<row_norm_forward_autograd, row_norm_backward_autograd>(library);
}

}  // namespace omninorm::torch_ops
