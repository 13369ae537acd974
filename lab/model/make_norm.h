// The one place where a norm's name becomes a norm.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <functional>
#include <string>

namespace omninorm::lab {

// A norm over the last dimension, shape in = shape out.
using Norm = std::function<at::Tensor(const at::Tensor&)>;

// Leaves x as it is: the place in a block where this placement has no norm.
at::Tensor identity(const at::Tensor& x);

// Makes the norm `choice` ("rms_norm", "layer_norm", "grouped_layer_norm", "none") of `width`
// entries (in `groups` groups), with weight 1 and, but for rms_norm, bias 0, and registers its
// parameters with `parent` as `name`. Throws omninorm::Error for an unknown name.
Norm make_norm(torch::nn::Module& parent, const std::string& name, const std::string& choice,
               std::int64_t width, double eps, std::int64_t groups = 1);

}  // namespace omninorm::lab
