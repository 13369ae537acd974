// rms_norm for torch tensors, with autograd; docs of the op: omninorm/rms_norm.h.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <string_view>

namespace omninorm::torch_ops {

// x: [..., normalized_shape...], any strides; weight, bias: normalized_shape, of x's type or
// float32 (the same for both). y has x's shape and layout, and type `dtype`: x's unless given;
// float32 is allowed where the weight is float32. Throws c10::ValueError.
at::Tensor rms_norm(const at::Tensor& x, at::IntArrayRef normalized_shape,
                    const std::optional<at::Tensor>& weight = std::nullopt,
                    const std::optional<at::Tensor>& bias = std::nullopt, double eps = 1e-6,
                    double weight_offset = 0, std::string_view cast_policy = "after_weight",
                    double partial = 1, std::optional<at::ScalarType> dtype = std::nullopt);

}  // namespace omninorm::torch_ops
