#include "torch/grouped_layer_norm.h"

#include "omninorm/grouped_layer_norm.h"
#include "torch/norm_register.h"

namespace omninorm::torch_ops {
namespace {

namespace a = argument;

struct GroupedLayerNorm {
  static constexpr const char* kName = "grouped_layer_norm";
  static constexpr NormKind kKind = NormKind::features;
  static constexpr bool kAdds = false;
  static constexpr bool kHasMean = true;
  static constexpr NormOptions kDefaults{};

  using Forward = Arguments<a::X, a::Groups, a::Weight, a::Bias, a::Center, a::PerPosition,
                            a::AllowDegenerate, a::Eps5, a::WeightOffset, a::Policy, a::Dtype>;
  using Backward = Arguments<a::X, a::Groups, a::SavedWeight, a::Mean, a::Rstd, a::Dy, a::Center,
                             a::PerPosition, a::AllowDegenerate, a::Eps5, a::WeightOffset,
                             a::Policy, a::AffineDtype, a::OutputMask>;

  static GroupedLayerNormOptions core(const NormOptions& options) {
    return {.eps = options.eps,
            .groups = options.groups,
            .center = options.center,
            .per_position = options.per_position,
            .allow_degenerate = options.allow_degenerate,
            .weight_offset = options.weight_offset,
            .cast_policy = options.cast_policy};
  }
  static void forward(const NormForwardArgs& args, const CoreForwardExtras&,
                      const NormOptions& options, int, const Context& context) {
    grouped_layer_norm_forward(args, core(options), context);
  }
  static void backward(const NormBackwardArgs& args, const CoreBackwardExtras&,
                       const NormOptions& options, int, const Context& context) {
    grouped_layer_norm_backward(args, core(options), context);
  }
};

OMNINORM_TORCH_OPERATOR(GroupedLayerNorm)

}  // namespace

at::Tensor grouped_layer_norm(const at::Tensor& x, std::int64_t groups,
                              const std::optional<at::Tensor>& weight,
                              const std::optional<at::Tensor>& bias, bool center, bool per_position,
                              bool allow_degenerate, double eps, double weight_offset,
                              std::string_view cast_policy, std::optional<at::ScalarType> dtype) {
  return ForwardOperator<GroupedLayerNorm>::user(x, groups, weight, bias, center, per_position,
                                                 allow_degenerate, eps, weight_offset, cast_policy,
                                                 dtype);
}

}  // namespace omninorm::torch_ops
