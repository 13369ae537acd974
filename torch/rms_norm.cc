#include "torch/rms_norm.h"

#include "omninorm/rms_norm.h"
#include "torch/norm_register.h"

namespace omninorm::torch_ops {
namespace {

namespace a = argument;

struct RmsNorm {
  static constexpr const char* kName = "rms_norm";
  static constexpr NormKind kKind = NormKind::last_dims;
  static constexpr bool kAdds = false;
  static constexpr bool kHasMean = false;
  static constexpr NormOptions kDefaults{.center = false};

  using Forward = Arguments<a::X, a::NormalizedShape, a::Weight, a::Bias, a::Eps6, a::WeightOffset,
                            a::Policy, a::Partial, a::Dtype>;
  using Backward = Arguments<a::X, a::NormalizedShape, a::SavedWeight, a::Rstd, a::Dy, a::Eps6,
                             a::WeightOffset, a::Policy, a::Partial, a::AffineDtype, a::OutputMask>;

  static RmsNormOptions core(const NormOptions& options, int dims) {
    return {.eps = options.eps,
            .weight_offset = options.weight_offset,
            .cast_policy = options.cast_policy,
            .normalized_dims = dims,
            .partial = options.partial};
  }
  static void forward(const NormForwardArgs& args, const CoreForwardExtras&,
                      const NormOptions& options, int dims, const Context& context) {
    rms_norm_forward(args, core(options, dims), context);
  }
  static void backward(const NormBackwardArgs& args, const CoreBackwardExtras&,
                       const NormOptions& options, int dims, const Context& context) {
    rms_norm_backward(args, core(options, dims), context);
  }
};

OMNINORM_TORCH_OPERATOR(RmsNorm)

}  // namespace

at::Tensor rms_norm(const at::Tensor& x, at::IntArrayRef normalized_shape,
                    const std::optional<at::Tensor>& weight, const std::optional<at::Tensor>& bias,
                    double eps, double weight_offset, std::string_view cast_policy, double partial,
                    std::optional<at::ScalarType> dtype) {
  return ForwardOperator<RmsNorm>::user(x, c10::fromIntArrayRefSlow(normalized_shape), weight, bias,
                                        eps, weight_offset, cast_policy, partial, dtype);
}

}  // namespace omninorm::torch_ops
