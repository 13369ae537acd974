#include "torch/add_rms_norm.h"

#include "omninorm/add_rms_norm.h"
#include "torch/norm_register.h"

namespace omninorm::torch_ops {
namespace {

namespace a = argument;

struct AddRmsNorm {
  static constexpr const char* kName = "add_rms_norm";
  static constexpr NormKind kKind = NormKind::last_dims;
  static constexpr bool kAdds = true;
  static constexpr bool kHasMean = false;
  static constexpr NormOptions kDefaults{.center = false};

  using Forward = Arguments<a::X, a::Residual, a::NormalizedShape, a::Weight, a::Bias, a::Eps6,
                            a::WeightOffset, a::Policy, a::Partial, a::Dtype>;
  using InPlace = Arguments<a::WrittenX, a::WrittenResidual, a::NormalizedShape, a::Weight, a::Bias,
                            a::Eps6, a::WeightOffset, a::Policy, a::Partial>;
  using Backward =
      Arguments<a::Sum, a::NormalizedShape, a::SavedWeight, a::Rstd, a::Dy, a::Dsum, a::Eps6,
                a::WeightOffset, a::Policy, a::Partial, a::AffineDtype, a::OutputMask>;

  static RmsNormOptions core(const NormOptions& options, int dims) {
    return {.eps = options.eps,
            .weight_offset = options.weight_offset,
            .cast_policy = options.cast_policy,
            .normalized_dims = dims,
            .partial = options.partial};
  }
  static void forward(const NormForwardArgs& args, const CoreForwardExtras& extras,
                      const NormOptions& options, int dims, const Context& context) {
    add_rms_norm_forward({.x = args.x,
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
    add_rms_norm_backward({.sum = args.x,
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

OMNINORM_TORCH_OPERATOR(AddRmsNorm)

}  // namespace

std::tuple<at::Tensor, at::Tensor> add_rms_norm(const at::Tensor& x, const at::Tensor& residual,
                                                at::IntArrayRef normalized_shape,
                                                const std::optional<at::Tensor>& weight,
                                                const std::optional<at::Tensor>& bias, double eps,
                                                double weight_offset, std::string_view cast_policy,
                                                double partial,
                                                std::optional<at::ScalarType> dtype) {
  return ForwardOperator<AddRmsNorm>::user(x, residual, c10::fromIntArrayRefSlow(normalized_shape),
                                           weight, bias, eps, weight_offset, cast_policy, partial,
                                           dtype);
}

void add_rms_norm_(const at::Tensor& x, const at::Tensor& residual,
                   at::IntArrayRef normalized_shape, const std::optional<at::Tensor>& weight,
                   const std::optional<at::Tensor>& bias, double eps, double weight_offset,
                   std::string_view cast_policy, double partial) {
  InPlaceOperator<AddRmsNorm, AddRmsNorm::InPlace>::user(
      x, residual, c10::fromIntArrayRefSlow(normalized_shape), weight, bias, eps, weight_offset,
      cast_policy, partial);
}

}  // namespace omninorm::torch_ops
