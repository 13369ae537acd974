#include "torch/group_norm.h"

#include "omninorm/group_norm.h"
#include "torch/norm_register.h"

namespace omninorm::torch_ops {
namespace {

namespace a = argument;

struct GroupNorm {
  static constexpr const char* kName = "group_norm";
  static constexpr NormKind kKind = NormKind::group;
  static constexpr bool kAdds = false;
  static constexpr bool kHasMean = true;
  static constexpr NormOptions kDefaults{};

  using Forward = Arguments<a::X, a::NumGroups, a::Weight, a::Bias, a::Eps5, a::WeightOffset,
                            a::Activated, a::Dtype>;
  using Backward =
      Arguments<a::X, a::NumGroups, a::SavedWeight, a::SavedBias, a::Mean, a::Rstd, a::Dy, a::Eps5,
                a::WeightOffset, a::Activated, a::AffineDtype, a::OutputMask>;

  static GroupNormOptions core(const NormOptions& options) {
    return {.num_groups = options.groups,
            .eps = options.eps,
            .weight_offset = options.weight_offset,
            .activation = options.activation};
  }
  static void forward(const NormForwardArgs& args, const CoreForwardExtras&,
                      const NormOptions& options, int, const Context& context) {
    group_norm_forward(args, core(options), context);
  }
  static void backward(const NormBackwardArgs& args, const CoreBackwardExtras&,
                       const NormOptions& options, int, const Context& context) {
    group_norm_backward(args, core(options), context);
  }
};

OMNINORM_TORCH_OPERATOR(GroupNorm)

}  // namespace

at::Tensor group_norm(const at::Tensor& x, std::int64_t num_groups,
                      const std::optional<at::Tensor>& weight,
                      const std::optional<at::Tensor>& bias, double eps, double weight_offset,
                      std::string_view activation, std::optional<at::ScalarType> dtype) {
  return ForwardOperator<GroupNorm>::user(x, num_groups, weight, bias, eps, weight_offset,
                                          activation, dtype);
}

}  // namespace omninorm::torch_ops
