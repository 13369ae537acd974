// Instance norm (Ulyanov, Vedaldi and Lempitsky, "Instance Normalization: The Missing Ingredient
// for Fast Stylization", 2016).
#pragma once

#include <cstddef>

#include "omninorm/executor.h"
#include "omninorm/norm.h"

namespace omninorm {

struct InstanceNormOptions {
  double eps = 1e-5;           // inside the square root; >= 0. Never tied to the dtype.
  double momentum = 0.1;       // weight of the new value in the running statistics, 0 to 1
  bool use_running = false;    // evaluation: normalise with the running statistics
  double weight_offset = 0.0;  // 1 for zero-centred gamma
  Activation activation = Activation::none;
};

// x [N, C, spatial...], any number of spatial dimensions, with strides that say how it lies in
// memory: channels-last is an [N, C, H, W] whose stride along C is 1.
//
// y = activation((x - mean) * rstd * (weight + weight_offset) + bias), mean and biased variance
// over the spatial positions of one channel of one image. weight and bias [C]; saves mean and rstd
// [N, C] when given. Where running statistics are given they are updated with the mean over the
// images of mean and unbiased variance. A single spatial position is an Error.
//
// With use_running, mean and variance are the running ones, which are only read; mean and rstd,
// when given, are [C].
//
// Throws Error.
void instance_norm_forward(const NormForwardArgs& args, const RunningStatistics& running = {},
                           const InstanceNormOptions& options = {}, const Context& context = {});

// Fills those of dx, dweight and dbias that are given. With an activation, weight and bias must be
// those of forward. `running` is read where use_running is set, and then mean and rstd are left
// out. Throws Error.
void instance_norm_backward(const NormBackwardArgs& args, const RunningStatistics& running = {},
                            const InstanceNormOptions& options = {}, const Context& context = {});

// Bytes of workspace that the call with these arguments uses (pointers are not read).
std::size_t instance_norm_forward_workspace(const NormForwardArgs& args,
                                            const RunningStatistics& running = {},
                                            const InstanceNormOptions& options = {});
std::size_t instance_norm_backward_workspace(const NormBackwardArgs& args,
                                             const RunningStatistics& running = {},
                                             const InstanceNormOptions& options = {});

}  // namespace omninorm
