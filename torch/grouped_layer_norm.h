// grouped_layer_norm for torch tensors, with autograd; docs of the op:
// omninorm/grouped_layer_norm.h.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <string_view>

namespace omninorm::torch_ops {

// x: [..., d], weight, bias: [d]; or, per_position, x: [N, C, spatial...], weight, bias: [C]. Any
// strides, and x's layout is y's. Types as in layer_norm.h. Throws c10::ValueError.
at::Tensor grouped_layer_norm(const at::Tensor& x, std::int64_t groups,
                              const std::optional<at::Tensor>& weight = std::nullopt,
                              const std::optional<at::Tensor>& bias = std::nullopt,
                              bool center = true, bool per_position = false,
                              bool allow_degenerate = false, double eps = 1e-5,
                              double weight_offset = 0,
                              std::string_view cast_policy = "after_weight",
                              std::optional<at::ScalarType> dtype = std::nullopt);

}  // namespace omninorm::torch_ops
