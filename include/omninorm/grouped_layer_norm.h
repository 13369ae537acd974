// Group-based layer norm, LN-G and LN-G-Position (Ni et al., "On the Nonlinearity of Layer
// Normalization", ICML 2024; also called Parallel LN).
#pragma once

#include <cstddef>
#include <cstdint>

#include "omninorm/executor.h"
#include "omninorm/norm.h"

namespace omninorm {

struct GroupedLayerNormOptions {
  double eps = 1e-5;              // inside the square root; >= 0. Never tied to the dtype.
  std::int64_t groups = 1;        // must divide the channels; contiguous channels form a group
  bool center = true;             // false: grouped RMS norm
  bool per_position = false;      // x is [N, C, spatial...] instead of [rows..., d]
  bool allow_degenerate = false;  // take groups of less than 3 channels (2 where not centred),
                                  // whose outputs are constants without a gradient
  double weight_offset = 0.0;     // 1 for zero-centred gamma
  CastPolicy cast_policy = CastPolicy::after_weight;

  bool operator==(const GroupedLayerNormOptions&) const = default;
};

// x [rows..., d]; or, per_position, [N, C, spatial...] with strides that say how it lies in memory
// (channels-last is an [N, C, H, W] whose stride along C is 1).
//
// y = (x - mean) * rstd * (weight + weight_offset) + bias, mean and biased variance over the d /
// groups (C / groups) channels of one group in one row (at one position). weight and bias [d]
// ([C]); saves mean and rstd [rows..., groups] ([N, spatial..., groups]) when given. Throws Error.
void grouped_layer_norm_forward(const NormForwardArgs& args,
                                const GroupedLayerNormOptions& options = {},
                                const Context& context = {});

// Fills those of dx, dweight and dbias that are given. Throws Error.
void grouped_layer_norm_backward(const NormBackwardArgs& args,
                                 const GroupedLayerNormOptions& options = {},
                                 const Context& context = {});

// Bytes of workspace that the call with these arguments uses (pointers are not read).
std::size_t grouped_layer_norm_forward_workspace(const NormForwardArgs& args,
                                                 const GroupedLayerNormOptions& options = {});
std::size_t grouped_layer_norm_backward_workspace(const NormBackwardArgs& args,
                                                  const GroupedLayerNormOptions& options = {});

}  // namespace omninorm
