// Shapes that follow from x, for sizes that are numbers (int64) and symbolic ones (SymInt) alike.
#pragma once

#include <c10/util/SmallVector.h>

#include "omninorm/tensor.h"
#include "torch/norm_op.h"

namespace omninorm::torch_ops {

// Is x [N, C, spatial...], with weight and bias [C]?
inline bool by_channel(const NormOp& op, const NormOptions& options) {
  return op.kind > NormKind::features || options.per_position;
}

// How many of x's last dimensions make a row, for norms that are not by_channel.
inline std::size_t row_dims(const NormOp& op, c10::SymIntArrayRef normalized_shape) {
  return op.kind == NormKind::features ? 1 : normalized_shape.size();
}

// The type that statistics and sums are kept in.
inline at::ScalarType statistics_dtype(const at::Tensor& x) {
  return x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

// Does forward give a mean and an rstd, and backward read them?
inline bool saves_mean(const NormOptions& options) { return options.center && !options.evaluates; }
inline bool saves_rstd(const NormOptions& options) { return !options.evaluates; }

// Of weight, bias and running statistics. `dims` as row_dims() tells.
template <class Int>
c10::ArrayRef<Int> affine_shape(const NormOp& op, const NormOptions& options,
                                c10::ArrayRef<Int> x_shape, std::size_t dims) {
  return by_channel(op, options) ? x_shape.slice(1, 1) : x_shape.slice(x_shape.size() - dims);
}

// Of mean and rstd: every dimension of x that is not pooled, and the groups.
template <class Int>
c10::SmallVector<Int, kMaxRank + 1> statistics_shape(const NormOp& op, const NormOptions& options,
                                                     c10::ArrayRef<Int> x_shape, std::size_t dims) {
  c10::SmallVector<Int, kMaxRank + 1> shape;
  if (op.kind == NormKind::batch) {
    shape.push_back(x_shape[1]);
    return shape;
  }
  if (!by_channel(op, options)) {
    shape.append(x_shape.begin(), x_shape.end() - static_cast<std::ptrdiff_t>(dims));
  } else {
    shape.push_back(x_shape[0]);
    if (options.per_position) shape.append(x_shape.begin() + 2, x_shape.end());
  }
  if (op.kind == NormKind::instance) shape.push_back(x_shape[1]);
  if (op.kind == NormKind::features || op.kind == NormKind::group) {
    shape.push_back(Int(options.groups));
  }
  return shape;
}

}  // namespace omninorm::torch_ops
