#include "torch/layer_norm.h"

#include "omninorm/layer_norm.h"
#include "torch/norm_register.h"

namespace omninorm::torch_ops {
namespace {

namespace a = argument;

struct LayerNorm {
  static constexpr const char* kName = "layer_norm";
  static constexpr NormKind kKind = NormKind::last_dims;
  static constexpr bool kAdds = false;
  static constexpr bool kHasMean = true;
  static constexpr NormOptions kDefaults{};

  using Forward = Arguments<a::X, a::NormalizedShape, a::Weight, a::Bias, a::Eps5, a::WeightOffset,
                            a::Policy, a::Dtype>;
  using Backward = Arguments<a::X, a::NormalizedShape, a::SavedWeight, a::Mean, a::Rstd, a::Dy,
                             a::Eps5, a::WeightOffset, a::Policy, a::AffineDtype, a::OutputMask>;

  static LayerNormOptions core(const NormOptions& options, int dims) {
    return {.eps = options.eps,
            .weight_offset = options.weight_offset,
            .cast_policy = options.cast_policy,
            .normalized_dims = dims};
  }
  static void forward(const NormForwardArgs& args, const CoreForwardExtras&,
                      const NormOptions& options, int dims, const Context& context) {
    layer_norm_forward(args, core(options, dims), context);
  }
  static void backward(const NormBackwardArgs& args, const CoreBackwardExtras&,
                       const NormOptions& options, int dims, const Context& context) {
    layer_norm_backward(args, core(options, dims), context);
  }
};

OMNINORM_TORCH_OPERATOR(LayerNorm)

}  // namespace

at::Tensor layer_norm(const at::Tensor& x, at::IntArrayRef normalized_shape,
                      const std::optional<at::Tensor>& weight,
                      const std::optional<at::Tensor>& bias, double eps, double weight_offset,
                      std::string_view cast_policy, std::optional<at::ScalarType> dtype) {
  return ForwardOperator<LayerNorm>::user(x, c10::fromIntArrayRefSlow(normalized_shape), weight,
                                          bias, eps, weight_offset, cast_policy, dtype);
}

}  // namespace omninorm::torch_ops
