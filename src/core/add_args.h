// add_*'s arguments as the builder takes them.
#pragma once

#include "omninorm/add_norm.h"
#include "src/core/norm_build.h"

namespace omninorm::internal {

inline NormForwardArgs norm_args(const AddNormForwardArgs& args) {
  return {.x = args.x,
          .weight = args.weight,
          .bias = args.bias,
          .y = args.y,
          .mean = args.mean,
          .rstd = args.rstd};
}

inline ForwardExtras extras(const AddNormForwardArgs& args) {
  return {.residual = args.residual, .sum = args.sum};
}

inline NormBackwardArgs norm_args(const AddNormBackwardArgs& args) {
  return {.x = args.sum,
          .weight = args.weight,
          .mean = args.mean,
          .rstd = args.rstd,
          .dy = args.dy,
          .dx = args.dx,
          .dweight = args.dweight,
          .dbias = args.dbias};
}

inline BackwardExtras extras(const AddNormBackwardArgs& args) { return {.dsum = args.dsum}; }

}  // namespace omninorm::internal
