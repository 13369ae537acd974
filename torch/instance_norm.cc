#include "torch/instance_norm.h"

#include "omninorm/instance_norm.h"
#include "torch/norm_register.h"

namespace omninorm::torch_ops {
namespace {

namespace a = argument;

struct InstanceNorm {
  static constexpr const char* kName = "instance_norm";
  static constexpr NormKind kKind = NormKind::instance;
  static constexpr bool kAdds = false;
  static constexpr bool kHasMean = true;
  static constexpr NormOptions kDefaults{};

  using Forward = Arguments<a::X, a::Weight, a::Bias, a::RunningMean, a::RunningVar, a::UseRunning,
                            a::Momentum, a::Eps5, a::WeightOffset, a::Activated, a::Dtype>;
  using Backward = Arguments<a::X, a::SavedWeight, a::SavedBias, a::ReadMean, a::ReadVar, a::Mean,
                             a::Rstd, a::Dy, a::UseRunning, a::Eps5, a::WeightOffset, a::Activated,
                             a::AffineDtype, a::OutputMask>;

  static InstanceNormOptions core(const NormOptions& options) {
    return {.eps = options.eps,
            .momentum = options.momentum.value_or(0),
            .use_running = options.evaluates,
            .weight_offset = options.weight_offset,
            .activation = options.activation};
  }
  static void forward(const NormForwardArgs& args, const CoreForwardExtras& extras,
                      const NormOptions& options, int, const Context& context) {
    instance_norm_forward(args, extras.running, core(options), context);
  }
  static void backward(const NormBackwardArgs& args, const CoreBackwardExtras& extras,
                       const NormOptions& options, int, const Context& context) {
    instance_norm_backward(args, extras.running, core(options), context);
  }
};

OMNINORM_TORCH_OPERATOR(InstanceNorm)

}  // namespace

at::Tensor instance_norm(const at::Tensor& x, const std::optional<at::Tensor>& weight,
                         const std::optional<at::Tensor>& bias,
                         const std::optional<at::Tensor>& running_mean,
                         const std::optional<at::Tensor>& running_var, bool use_running,
                         std::optional<double> momentum, double eps, double weight_offset,
                         std::string_view activation, std::optional<at::ScalarType> dtype) {
  return ForwardOperator<InstanceNorm>::user(x, weight, bias, running_mean, running_var,
                                             use_running, momentum, eps, weight_offset, activation,
                                             dtype);
}

}  // namespace omninorm::torch_ops
