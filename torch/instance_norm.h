// instance_norm for torch tensors, with autograd; docs of the op: omninorm/instance_norm.h.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <string_view>

namespace omninorm::torch_ops {

// x: [N, C, spatial...], any strides; weight, bias: [C]. y has x's layout. Running statistics [C],
// float32 (float64 for float64 x) or of x's type, are updated, or read with use_running.
// activation: "none", "relu" or "silu". Types as in layer_norm.h. Throws c10::ValueError.
at::Tensor instance_norm(const at::Tensor& x,
                         const std::optional<at::Tensor>& weight = std::nullopt,
                         const std::optional<at::Tensor>& bias = std::nullopt,
                         const std::optional<at::Tensor>& running_mean = std::nullopt,
                         const std::optional<at::Tensor>& running_var = std::nullopt,
                         bool use_running = false, std::optional<double> momentum = 0.1,
                         double eps = 1e-5, double weight_offset = 0,
                         std::string_view activation = "none",
                         std::optional<at::ScalarType> dtype = std::nullopt);

}  // namespace omninorm::torch_ops
