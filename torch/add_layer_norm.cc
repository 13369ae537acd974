#include "torch/add_layer_norm.h"

#include "omninorm/add_layer_norm.h"
#include "torch/norm_register.h"

namespace omninorm::torch_ops {
namespace {

namespace a = argument;

struct AddLayerNorm {
  static constexpr const char* kName = "add_layer_norm";
  static constexpr NormKind kKind = NormKind::last_dims;
  static constexpr bool kAdds = true;
  static constexpr bool kHasMean = true;
  static constexpr NormOptions kDefaults{};

  using Forward = Arguments<a::X, a::Residual, a::NormalizedShape, a::Weight, a::Bias, a::Eps5,
                            a::WeightOffset, a::Policy, a::Dtype>;
  using InPlace = Arguments<a::WrittenX, a::WrittenResidual, a::NormalizedShape, a::Weight, a::Bias,
                            a::Eps5, a::WeightOffset, a::Policy>;
  using Backward =
      Arguments<a::Sum, a::NormalizedShape, a::SavedWeight, a::Mean, a::Rstd, a::Dy, a::Dsum,
                a::Eps5, a::WeightOffset, a::Policy, a::AffineDtype, a::OutputMask>;

  static LayerNormOptions core(const NormOptions& options, int dims) {
    return {.eps = options.eps,
            .weight_offset = options.weight_offset,
            .cast_policy = options.cast_policy,
            .normalized_dims = dims};
  }
  static void forward(const NormForwardArgs& args, const CoreForwardExtras& extras,
                      const NormOptions& options, int dims, const Context& context) {
    add_layer_norm_forward({.x = args.x,
                            .residual = extras.residual,
                            .weight = args.weight,
                            .bias = args.bias,
                            .sum = extras.sum,
                            .y = args.y,
                            .mean = args.mean,
                            .rstd = args.rstd},
                           core(options, dims), context);
  }
  static void backward(const NormBackwardArgs& args, const CoreBackwardExtras& extras,
                       const NormOptions& options, int dims, const Context& context) {
    add_layer_norm_backward({.sum = args.x,
                             .weight = args.weight,
                             .mean = args.mean,
                             .rstd = args.rstd,
                             .dy = args.dy,
                             .dsum = extras.dsum,
                             .dx = args.dx,
                             .dweight = args.dweight,
                             .dbias = args.dbias},
                            core(options, dims), context);
  }
};

OMNINORM_TORCH_OPERATOR(AddLayerNorm)

}  // namespace

std::tuple<at::Tensor, at::Tensor> add_layer_norm(
    const at::Tensor& x, const at::Tensor& residual, at::IntArrayRef normalized_shape,
    const std::optional<at::Tensor>& weight, const std::optional<at::Tensor>& bias, double eps,
    double weight_offset, std::string_view cast_policy, std::optional<at::ScalarType> dtype) {
  return ForwardOperator<AddLayerNorm>::user(x, residual,
                                             c10::fromIntArrayRefSlow(normalized_shape), weight,
                                             bias, eps, weight_offset, cast_policy, dtype);
}

void add_layer_norm_(const at::Tensor& x, const at::Tensor& residual,
                     at::IntArrayRef normalized_shape, const std::optional<at::Tensor>& weight,
                     const std::optional<at::Tensor>& bias, double eps, double weight_offset,
                     std::string_view cast_policy) {
  InPlaceOperator<AddLayerNorm, AddLayerNorm::InPlace>::user(
      x, residual, c10::fromIntArrayRefSlow(normalized_shape), weight, bias, eps, weight_offset,
      cast_policy);
}

}  // namespace omninorm::torch_ops
