#include "torch/layer_norm.h"

#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/library.h>

#include <array>
#include <tuple>

#include "omninorm/layer_norm.h"
#include "torch/convert.h"
#include "torch/row_norm.h"

namespace omninorm::torch_ops {
namespace {

using at::Tensor;
using OptionalTensor = std::optional<Tensor>;
using OptionalType = std::optional<at::ScalarType>;

LayerNormOptions core_options(const RowNormOptions& options, int dims) {
  return {.eps = options.eps,
          .weight_offset = options.weight_offset,
          .cast_policy = options.cast_policy,
          .normalized_dims = dims};
}

RowNormForwardResult dispatch_forward(const RowNormForwardCall& call);
RowNormBackwardResult dispatch_backward(const RowNormBackwardCall& call);

constexpr RowNormOp kOp{
    .name = "layer_norm",
    .center = true,
    .forward =
        [](const NormForwardArgs& args, const RowNormOptions& options, int dims,
           const Context& context) {
          layer_norm_forward(args, core_options(options, dims), context);
        },
    .backward =
        [](const NormBackwardArgs& args, const RowNormOptions& options, int dims,
           const Context& context) {
          layer_norm_backward(args, core_options(options, dims), context);
        },
    .dispatch_forward = dispatch_forward,
    .dispatch_backward = dispatch_backward,
};

template <auto Kernel>
std::tuple<Tensor, Tensor, Tensor> forward(const Tensor& x, c10::SymIntArrayRef normalized_shape,
                                           const OptionalTensor& weight, const OptionalTensor& bias,
                                           double eps, double weight_offset,
                                           std::string_view cast_policy, OptionalType dtype) {
  const RowNormOptions options{eps, weight_offset, cast_policy_of(kOp.name, cast_policy)};
  RowNormForwardResult result = Kernel(kOp, {x, normalized_shape, weight, bias, options, dtype});
  return {std::move(result.y), std::move(result.mean), std::move(result.rstd)};
}

template <auto Kernel>
std::tuple<Tensor, Tensor, Tensor> backward(const Tensor& x, c10::SymIntArrayRef normalized_shape,
                                            const OptionalTensor& weight, const Tensor& mean,
                                            const Tensor& rstd, const Tensor& dy, double eps,
                                            double weight_offset, std::string_view cast_policy,
                                            OptionalType affine_dtype,
                                            std::array<bool, 3> output_mask) {
  const RowNormOptions options{eps, weight_offset, cast_policy_of(kOp.name, cast_policy)};
  RowNormBackwardResult result = Kernel(
      kOp, {x, normalized_shape, weight, mean, rstd, dy, options, affine_dtype, output_mask});
  return {std::move(result.dx), std::move(result.dweight), std::move(result.dbias)};
}

using ForwardSignature = decltype(forward<row_norm_forward_cpu>);
using BackwardSignature = decltype(backward<row_norm_backward_cpu>);

RowNormForwardResult dispatch_forward(const RowNormForwardCall& call) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("omninorm::layer_norm_forward", "")
                             .typed<ForwardSignature>();
  const RowNormOptions& options = call.options;
  auto [y, mean, rstd] = op.call(call.x, call.normalized_shape, call.weight, call.bias, options.eps,
                                 options.weight_offset, name_of(options.cast_policy), call.dtype);
  return {std::move(y), std::move(mean), std::move(rstd)};
}

RowNormBackwardResult dispatch_backward(const RowNormBackwardCall& call) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("omninorm::layer_norm_backward", "")
                             .typed<BackwardSignature>();
  const RowNormOptions& options = call.options;
  auto [dx, dweight, dbias] = op.call(
      call.x, call.normalized_shape, call.weight, call.mean, call.rstd, call.dy, options.eps,
      options.weight_offset, name_of(options.cast_policy), call.affine_dtype, call.output_mask);
  return {std::move(dx), std::move(dweight), std::move(dbias)};
}

template <auto Forward, auto Backward>
void implement(torch::Library& library) {
  library.impl("layer_norm_forward", forward<Forward>);
  library.impl("layer_norm_backward", backward<Backward>);
}

}  // namespace

Tensor layer_norm_symint(const Tensor& x, c10::SymIntArrayRef normalized_shape,
                         const OptionalTensor& weight, const OptionalTensor& bias, double eps,
                         double weight_offset, std::string_view cast_policy, OptionalType dtype) {
  const RowNormOptions options{eps, weight_offset, cast_policy_of(kOp.name, cast_policy)};
  return dispatch_forward({x, normalized_shape, weight, bias, options, dtype}).y;
}

Tensor layer_norm(const Tensor& x, at::IntArrayRef normalized_shape, const OptionalTensor& weight,
                  const OptionalTensor& bias, double eps, double weight_offset,
                  std::string_view cast_policy, OptionalType dtype) {
  return layer_norm_symint(x, c10::fromIntArrayRefSlow(normalized_shape), weight, bias, eps,
                           weight_offset, cast_policy, dtype);
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
