// Layer norm (Ba, Kiros and Hinton, "Layer Normalization", 2016).
#pragma once

#include <cstddef>

#include "omninorm/executor.h"
#include "omninorm/norm.h"

namespace omninorm {

struct LayerNormOptions {
  double eps = 1e-5;           // inside the square root; >= 0. Never tied to the dtype.
  double weight_offset = 0.0;  // 1 for zero-centred gamma
  CastPolicy cast_policy = CastPolicy::after_weight;
  int normalized_dims = 1;  // how many trailing dimensions are normalised together

  bool operator==(const LayerNormOptions&) const = default;
};

// y = (x - mean) * rstd * (weight + weight_offset) + bias, mean and biased variance over the last
// `normalized_dims` dimensions, rstd = 1 / sqrt(variance + eps). Saves mean and rstd when given.
// Throws Error.
void layer_norm_forward(const NormForwardArgs& args, const LayerNormOptions& options = {},
                        const Context& context = {});

// Fills those of dx, dweight and dbias that are given. Throws Error.
void layer_norm_backward(const NormBackwardArgs& args, const LayerNormOptions& options = {},
                         const Context& context = {});

// Bytes of workspace that the call with these arguments uses (pointers are not read).
std::size_t layer_norm_forward_workspace(const NormForwardArgs& args,
                                         const LayerNormOptions& options = {});
std::size_t layer_norm_backward_workspace(const NormBackwardArgs& args,
                                          const LayerNormOptions& options = {});

}  // namespace omninorm
