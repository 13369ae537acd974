// Root mean square norm (Zhang and Sennrich, "Root Mean Square Layer Normalization", 2019).
#pragma once

#include <cstddef>

#include "omninorm/executor.h"
#include "omninorm/norm.h"

namespace omninorm {

struct RmsNormOptions {
  double eps = 1e-6;           // inside the square root; >= 0. Never tied to the dtype.
  double weight_offset = 0.0;  // 1 for (1 + weight) models such as Gemma
  CastPolicy cast_policy = CastPolicy::after_weight;
  int normalized_dims = 1;  // how many trailing dimensions are normalised together
  double partial = 1.0;     // statistics from the first int(d * partial) entries (pRMSNorm)

  bool operator==(const RmsNormOptions&) const = default;
};

// y = x * rstd * (weight + weight_offset) + bias, rstd = 1 / sqrt(mean(x^2) + eps) over the last
// `normalized_dims` dimensions. Saves rstd when given. Throws Error.
void rms_norm_forward(const NormForwardArgs& args, const RmsNormOptions& options = {},
                      const Context& context = {});

// Fills those of dx, dweight and dbias that are given. Throws Error.
void rms_norm_backward(const NormBackwardArgs& args, const RmsNormOptions& options = {},
                       const Context& context = {});

// Bytes of workspace that the call with these arguments uses (pointers are not read).
std::size_t rms_norm_forward_workspace(const NormForwardArgs& args,
                                       const RmsNormOptions& options = {});
std::size_t rms_norm_backward_workspace(const NormBackwardArgs& args,
                                        const RmsNormOptions& options = {});

}  // namespace omninorm
