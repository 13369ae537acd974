// Group norm (Wu and He, "Group Normalization", ECCV 2018).
#pragma once

#include <cstddef>
#include <cstdint>

#include "omninorm/executor.h"
#include "omninorm/norm.h"

namespace omninorm {

struct GroupNormOptions {
  std::int64_t num_groups = 1;  // must divide C. 1 normalises whole images, C single channels.
  double eps = 1e-5;            // inside the square root; >= 0. Never tied to the dtype.
  double weight_offset = 0.0;   // 1 for zero-centred gamma
  Activation activation = Activation::none;

  bool operator==(const GroupNormOptions&) const = default;
};

// x [N, C, spatial...], any number of spatial dimensions, with strides that say how it lies in
// memory: channels-last is an [N, C, H, W] whose stride along C is 1. y lies as its own strides
// say.
//
// y = activation((x - mean) * rstd * (weight + weight_offset) + bias), mean and biased variance
// over the C / num_groups channels of a group and all spatial positions of one image. weight and
// bias [C]; saves mean and rstd [N, num_groups] when given. Throws Error.
void group_norm_forward(const NormForwardArgs& args, const GroupNormOptions& options = {},
                        const Context& context = {});

// Fills those of dx, dweight and dbias that are given. With an activation, weight and bias must be
// those of forward. Throws Error.
void group_norm_backward(const NormBackwardArgs& args, const GroupNormOptions& options = {},
                         const Context& context = {});

// Bytes of workspace that the call with these arguments uses (pointers are not read).
std::size_t group_norm_forward_workspace(const NormForwardArgs& args,
                                         const GroupNormOptions& options = {});
std::size_t group_norm_backward_workspace(const NormBackwardArgs& args,
                                          const GroupNormOptions& options = {});

}  // namespace omninorm
