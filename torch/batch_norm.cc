#include "torch/batch_norm.h"

#include "omninorm/batch_norm.h"
#include "torch/norm_register.h"

namespace omninorm::torch_ops {
namespace {

namespace a = argument;

struct BatchNorm {
  static constexpr const char* kName = "batch_norm";
  static constexpr NormKind kKind = NormKind::batch;
  static constexpr bool kAdds = false;
  static constexpr bool kHasMean = true;
  static constexpr NormOptions kDefaults{};

  using Forward =
      Arguments<a::X, a::Weight, a::Bias, a::RunningMean, a::RunningVar, a::BatchCount, a::Training,
                a::Momentum, a::Eps5, a::WeightOffset, a::Activated, a::Dtype>;
  using Backward = Arguments<a::X, a::SavedWeight, a::SavedBias, a::ReadMean, a::ReadVar, a::Mean,
                             a::Rstd, a::Dy, a::Training, a::Eps5, a::WeightOffset, a::Activated,
                             a::AffineDtype, a::OutputMask>;

  static BatchNormOptions core(const NormOptions& options) {
    return {.eps = options.eps,
            .momentum = options.momentum,
            .training = !options.evaluates,
            .weight_offset = options.weight_offset,
            .activation = options.activation};
  }
  static void forward(const NormForwardArgs& args, const CoreForwardExtras& extras,
                      const NormOptions& options, int, const Context& context) {
    batch_norm_forward(args, extras.running, core(options), context);
  }
  static void backward(const NormBackwardArgs& args, const CoreBackwardExtras& extras,
                       const NormOptions& options, int, const Context& context) {
    batch_norm_backward(args, extras.running, core(options), context);
  }
};

OMNINORM_TORCH_OPERATOR(BatchNorm)

}  // namespace

at::Tensor batch_norm(const at::Tensor& x, const std::optional<at::Tensor>& weight,
                      const std::optional<at::Tensor>& bias,
                      const std::optional<at::Tensor>& running_mean,
                      const std::optional<at::Tensor>& running_var,
                      const std::optional<at::Tensor>& num_batches_tracked, bool training,
                      std::optional<double> momentum, double eps, double weight_offset,
                      std::string_view activation, std::optional<at::ScalarType> dtype) {
  return ForwardOperator<BatchNorm>::user(x, weight, bias, running_mean, running_var,
                                          num_batches_tracked, training, momentum, eps,
                                          weight_offset, activation, dtype);
}

}  // namespace omninorm::torch_ops
