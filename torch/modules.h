// omninorm::RMSNorm and omninorm::LayerNorm: torch modules, used like torch::nn::LayerNorm.
//
//   omninorm::RMSNorm norm(omninorm::RMSNormModuleOptions(768).weight_offset(1));
//   torch::Tensor y = norm(x);  // x: [..., 768]
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <iosfwd>
#include <string>
#include <vector>

namespace omninorm {

struct RMSNormModuleOptions {
  RMSNormModuleOptions(std::vector<std::int64_t> normalized_shape)
      : normalized_shape_(std::move(normalized_shape)) {}
  RMSNormModuleOptions(std::int64_t width) : normalized_shape_{width} {}

  TORCH_ARG(std::vector<std::int64_t>, normalized_shape);
  TORCH_ARG(double, eps) = 1e-6;
  // The weight is multiplied as (weight + weight_offset) and starts at 1 - weight_offset.
  TORCH_ARG(double, weight_offset) = 0;
  TORCH_ARG(std::string, cast_policy) = "after_weight";
  TORCH_ARG(bool, elementwise_affine) = true;  // false: neither weight nor bias
  TORCH_ARG(bool, bias) = false;
  TORCH_ARG(double, partial) = 1;  // statistics from the first int(d * partial) entries
};

struct LayerNormModuleOptions {
  LayerNormModuleOptions(std::vector<std::int64_t> normalized_shape)
      : normalized_shape_(std::move(normalized_shape)) {}
  LayerNormModuleOptions(std::int64_t width) : normalized_shape_{width} {}

  TORCH_ARG(std::vector<std::int64_t>, normalized_shape);
  TORCH_ARG(double, eps) = 1e-5;
  TORCH_ARG(double, weight_offset) = 0;
  TORCH_ARG(std::string, cast_policy) = "after_weight";
  TORCH_ARG(bool, elementwise_affine) = true;
  TORCH_ARG(bool, bias) = true;
};

namespace torch_ops {

// Parameters and their initial values, which both modules share. Options: the module's own.
template <class Derived, class Options>
class RowNormModule : public torch::nn::Cloneable<Derived> {
 public:
  explicit RowNormModule(Options options);

  void reset() override;
  void reset_parameters();  // weight 1 - weight_offset, bias 0

  Options options;
  torch::Tensor weight;  // undefined without elementwise_affine
  torch::Tensor bias;    // likewise, and without bias
};

}  // namespace torch_ops

class RMSNormImpl : public torch_ops::RowNormModule<RMSNormImpl, RMSNormModuleOptions> {
 public:
  using RowNormModule::RowNormModule;
  torch::Tensor forward(const torch::Tensor& x);
  void pretty_print(std::ostream& stream) const override;
};
TORCH_MODULE(RMSNorm);

class LayerNormImpl : public torch_ops::RowNormModule<LayerNormImpl, LayerNormModuleOptions> {
 public:
  using RowNormModule::RowNormModule;
  torch::Tensor forward(const torch::Tensor& x);
  void pretty_print(std::ostream& stream) const override;
};
TORCH_MODULE(LayerNorm);

}  // namespace omninorm
