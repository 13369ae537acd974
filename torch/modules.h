// All norms as torch modules, used like those of torch::nn, whose names of parameters and buffers
// they keep: RMSNorm, LayerNorm, AddRMSNorm, AddLayerNorm, GroupedLayerNorm, GroupNorm,
// InstanceNorm and BatchNorm, the last three for any number of spatial dimensions.
//
//   omninorm::RMSNorm norm(omninorm::RMSNormModuleOptions(768).weight_offset(1));
//   torch::Tensor y = norm(x);  // x: [..., 768]
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <iosfwd>
#include <optional>
#include <string>
#include <tuple>
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

// The weight of every module is multiplied as (weight + weight_offset) and starts at
// 1 - weight_offset. activation: "none", "relu" or "silu", applied behind the norm.

struct GroupedLayerNormModuleOptions {
  GroupedLayerNormModuleOptions(std::int64_t groups, std::int64_t num_channels)
      : groups_(groups), num_channels_(num_channels) {}

  TORCH_ARG(std::int64_t, groups);
  TORCH_ARG(std::int64_t, num_channels);
  TORCH_ARG(bool, center) = true;             // false: grouped RMS norm
  TORCH_ARG(bool, per_position) = false;      // x is [N, C, spatial...] instead of [..., C]
  TORCH_ARG(bool, allow_degenerate) = false;  // take groups whose output is a constant
  TORCH_ARG(double, eps) = 1e-5;
  TORCH_ARG(double, weight_offset) = 0;
  TORCH_ARG(std::string, cast_policy) = "after_weight";
  TORCH_ARG(bool, affine) = true;  // false: neither weight nor bias
};

struct GroupNormModuleOptions {
  GroupNormModuleOptions(std::int64_t num_groups, std::int64_t num_channels)
      : num_groups_(num_groups), num_channels_(num_channels) {}

  TORCH_ARG(std::int64_t, num_groups);
  TORCH_ARG(std::int64_t, num_channels);
  TORCH_ARG(double, eps) = 1e-5;
  TORCH_ARG(double, weight_offset) = 0;
  TORCH_ARG(std::string, activation) = "none";
  TORCH_ARG(bool, affine) = true;
};

struct InstanceNormModuleOptions {
  InstanceNormModuleOptions(std::int64_t num_features) : num_features_(num_features) {}

  TORCH_ARG(std::int64_t, num_features);
  TORCH_ARG(double, eps) = 1e-5;
  TORCH_ARG(double, momentum) = 0.1;
  TORCH_ARG(double, weight_offset) = 0;
  TORCH_ARG(std::string, activation) = "none";
  TORCH_ARG(bool, affine) = false;
  TORCH_ARG(bool, track_running_stats) = false;  // true: evaluation normalises with them
};

struct BatchNormModuleOptions {
  BatchNormModuleOptions(std::int64_t num_features) : num_features_(num_features) {}

  TORCH_ARG(std::int64_t, num_features);
  TORCH_ARG(double, eps) = 1e-5;
  TORCH_ARG(std::optional<double>, momentum) = 0.1;  // nullopt: the average of all batches
  TORCH_ARG(double, weight_offset) = 0;
  TORCH_ARG(std::string, activation) = "none";
  TORCH_ARG(bool, affine) = true;
  TORCH_ARG(bool, track_running_stats) = true;  // false: evaluation too normalises with the batch
};

namespace torch_ops {

struct NoBuffers {};

// Undefined unless track_running_stats.
struct RunningBuffers {
  torch::Tensor running_mean;         // starts at 0
  torch::Tensor running_var;          // starts at 1
  torch::Tensor num_batches_tracked;  // int64 scalar; counted by BatchNorm only, as in torch::nn
};

// Parameters and buffers and their initial values, which all modules share. Options: the module's.
template <class Derived, class Options, class Buffers = NoBuffers>
class NormModule : public torch::nn::Cloneable<Derived>, public Buffers {
 public:
  explicit NormModule(Options options);

  void reset() override;
  void reset_parameters();  // weight 1 - weight_offset, bias 0, running statistics as at the start

  Options options;
  torch::Tensor weight;  // undefined where the options leave it out
  torch::Tensor bias;    // likewise
};

}  // namespace torch_ops

class RMSNormImpl : public torch_ops::NormModule<RMSNormImpl, RMSNormModuleOptions> {
 public:
  using NormModule::NormModule;
  torch::Tensor forward(const torch::Tensor& x);
  void pretty_print(std::ostream& stream) const override;
};
TORCH_MODULE(RMSNorm);

class LayerNormImpl : public torch_ops::NormModule<LayerNormImpl, LayerNormModuleOptions> {
 public:
  using NormModule::NormModule;
  torch::Tensor forward(const torch::Tensor& x);
  void pretty_print(std::ostream& stream) const override;
};
TORCH_MODULE(LayerNorm);

// norm(x + residual) and x + residual, in this order; as are those of AddLayerNorm.
class AddRMSNormImpl : public torch_ops::NormModule<AddRMSNormImpl, RMSNormModuleOptions> {
 public:
  using NormModule::NormModule;
  std::tuple<torch::Tensor, torch::Tensor> forward(const torch::Tensor& x,
                                                   const torch::Tensor& residual);
  void pretty_print(std::ostream& stream) const override;
};
TORCH_MODULE(AddRMSNorm);

class AddLayerNormImpl : public torch_ops::NormModule<AddLayerNormImpl, LayerNormModuleOptions> {
 public:
  using NormModule::NormModule;
  std::tuple<torch::Tensor, torch::Tensor> forward(const torch::Tensor& x,
                                                   const torch::Tensor& residual);
  void pretty_print(std::ostream& stream) const override;
};
TORCH_MODULE(AddLayerNorm);

class GroupedLayerNormImpl
    : public torch_ops::NormModule<GroupedLayerNormImpl, GroupedLayerNormModuleOptions> {
 public:
  using NormModule::NormModule;
  torch::Tensor forward(const torch::Tensor& x);
  void pretty_print(std::ostream& stream) const override;
};
TORCH_MODULE(GroupedLayerNorm);

class GroupNormImpl : public torch_ops::NormModule<GroupNormImpl, GroupNormModuleOptions> {
 public:
  using NormModule::NormModule;
  torch::Tensor forward(const torch::Tensor& x);
  void pretty_print(std::ostream& stream) const override;
};
TORCH_MODULE(GroupNorm);

// x: [N, C, spatial...]
class InstanceNormImpl : public torch_ops::NormModule<InstanceNormImpl, InstanceNormModuleOptions,
                                                      torch_ops::RunningBuffers> {
 public:
  using NormModule::NormModule;
  torch::Tensor forward(const torch::Tensor& x);
  void pretty_print(std::ostream& stream) const override;
};
TORCH_MODULE(InstanceNorm);

// x: [N, C] or [N, C, spatial...]
class BatchNormImpl : public torch_ops::NormModule<BatchNormImpl, BatchNormModuleOptions,
                                                   torch_ops::RunningBuffers> {
 public:
  using NormModule::NormModule;
  torch::Tensor forward(const torch::Tensor& x);
  void pretty_print(std::ostream& stream) const override;
};
TORCH_MODULE(BatchNorm);

}  // namespace omninorm
