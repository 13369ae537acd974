// group_norm for torch tensors, with autograd; docs of the op: omninorm/group_norm.h.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <string_view>

namespace omninorm::torch_ops {

// x: [N, C, spatial...], any strides; weight, bias: [C]. y has x's layout. activation: "none",
// "relu" or "silu". Types as in layer_norm.h. Throws c10::ValueError.
at::Tensor group_norm(const at::Tensor& x, std::int64_t num_groups,
                      const std::optional<at::Tensor>& weight = std::nullopt,
                      const std::optional<at::Tensor>& bias = std::nullopt, double eps = 1e-5,
                      double weight_offset = 0, std::string_view activation = "none",
                      std::optional<at::ScalarType> dtype = std::nullopt);

}  // namespace omninorm::torch_ops
