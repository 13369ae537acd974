// add_layer_norm for torch tensors, with autograd; docs of the op: omninorm/add_layer_norm.h.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <string_view>
#include <tuple>

namespace omninorm::torch_ops {

// sum = x + residual, y = layer_norm(sum): both are returned, in this order. residual and sum have
// x's shape and type, the rest is as in layer_norm.h. Throws c10::ValueError.
std::tuple<at::Tensor, at::Tensor> add_layer_norm(
    const at::Tensor& x, const at::Tensor& residual, at::IntArrayRef normalized_shape,
    const std::optional<at::Tensor>& weight = std::nullopt,
    const std::optional<at::Tensor>& bias = std::nullopt, double eps = 1e-5,
    double weight_offset = 0, std::string_view cast_policy = "after_weight",
    std::optional<at::ScalarType> dtype = std::nullopt);

// In place and for inference: y takes the place of x, the sum that of residual, which must not be
// the same memory. A graph that wants a gradient is refused.
void add_layer_norm_(const at::Tensor& x, const at::Tensor& residual,
                     at::IntArrayRef normalized_shape,
                     const std::optional<at::Tensor>& weight = std::nullopt,
                     const std::optional<at::Tensor>& bias = std::nullopt, double eps = 1e-5,
                     double weight_offset = 0, std::string_view cast_policy = "after_weight");

}  // namespace omninorm::torch_ops
