// One view for the whole family: x[n][g][c][s] with a stride for each. An op file turns its
// arguments into a NormForward or NormBackward; everything after that is the same for all ops.
//
//   op                    n      g  c    s   statistics pooled over
//   rms_norm, layer_norm  rows   1  d    1   c
//   grouped_layer_norm    rows   G  d/G  1   c
//     per_position        N, HW  G  C/G  1   c
//   group_norm            N      G  C/G  HW  c, s
//   instance_norm         N      C  1    HW  s
//   batch_norm            N      C  1    HW  n, s
//
// instance_norm in evaluation has batch_norm's view, since each channel has one mean and variance.
#pragma once

#include <array>
#include <cstdint>

#include "omninorm/norm.h"
#include "omninorm/tensor.h"

namespace omninorm::internal {

// Element strides of one operand along the dimensions of a NormView.
struct NormStrides {
  std::array<std::int64_t, kMaxRank> n{};
  std::int64_t g = 0;
  std::int64_t c = 0;  // where c_rank is 1; else 0, so that a test for stride 1 declines
  std::int64_t s = 0;  // where s_rank is 1; else 0
  std::array<std::int64_t, kMaxRank> c_dims{};  // always, one a dimension of c_sizes
  std::array<std::int64_t, kMaxRank> s_dims{};  // likewise, of s_sizes
};

struct NormView {
  // n may be several dimensions that no single stride can walk (a slice of q, k and v, say);
  // collapsed as far as all operands allow, row-major order, their product is n.
  int n_rank = 1;
  std::array<std::int64_t, kMaxRank> n_sizes{1};
  std::int64_t n = 1;
  std::int64_t g = 1;
  std::int64_t c = 1;
  std::int64_t s = 1;
  // c and s likewise, for operands whose normalised dimensions no single stride walks (layer_norm
  // over [C, H, W] in channels-last memory). Only the reference takes ranks above 1.
  int c_rank = 1;
  std::array<std::int64_t, kMaxRank> c_sizes{1};
  int s_rank = 1;
  std::array<std::int64_t, kMaxRank> s_sizes{1};
  bool center = true;
  bool pool_n = false;       // batch_norm
  std::int64_t stats_c = 1;  // statistics from the first stats_c entries of c (partial RMSNorm)

  // Where n, g, c or s is 0 there is nothing to normalise: launch() gives such views to the
  // reference.
  bool empty() const { return n == 0 || g == 0 || c == 0 || s == 0; }

  // Statistic index of (n, g): row-major over the dimensions that are not pooled.
  std::int64_t statistics() const { return (pool_n ? 1 : n) * g; }
  // Affine index of (g, c).
  std::int64_t affine_size() const { return g * c; }
};

template <class Pointer>
struct NormOperand {
  Pointer data = nullptr;
  DType dtype = DType::f32;
  NormStrides strides;
};
using ConstOperand = NormOperand<const void*>;
using MutableOperand = NormOperand<void*>;

struct NormParameters {
  double eps = 0;
  double weight_offset = 0;
  CastPolicy cast_policy = CastPolicy::after_weight;
};

// Checked arguments. weight, bias, dweight and dbias are contiguous, affine_size() long; mean, rstd
// and variance contiguous, statistics() long; null where not given.
struct NormForward {
  const char* op = "";
  NormView view;
  NormParameters parameters;
  ConstOperand x;
  const void* weight = nullptr;
  const void* bias = nullptr;
  DType weight_dtype = DType::f32;           // of bias too
  Activation activation = Activation::none;  // behind the affine part
  // add_*: data null where there is none. The norm is that of `sum`, which is x + residual rounded
  // to x's dtype; sum may be x or residual itself, and y may be whichever of them sum is not.
  ConstOperand residual;
  MutableOperand sum;
  MutableOperand y;  // data null: statistics only
  void* mean = nullptr;
  void* rstd = nullptr;
  void* variance = nullptr;             // biased; the mean square where not centred
  DType statistics_dtype = DType::f32;  // of mean, rstd and variance; f64 for f64 x or where asked
  // Both or neither, statistics() long, f32 (f64 for f64 x): nothing is summed. Only with pool_n.
  const void* given_mean = nullptr;
  const void* given_variance = nullptr;
};

struct NormBackward {
  const char* op = "";
  NormView view;
  NormParameters parameters;
  ConstOperand x;
  const void* weight = nullptr;
  const void* bias = nullptr;       // for the argument of the activation
  DType weight_dtype = DType::f32;  // of bias too
  // dy below is meant behind the activation's derivative at xhat * (weight + weight_offset) + bias.
  Activation activation = Activation::none;
  const void* mean = nullptr;
  const void* rstd = nullptr;
  DType statistics_dtype = DType::f32;  // of mean and rstd
  // As in NormForward; mean and rstd are null then, and dx = dy * (weight + weight_offset) * rstd.
  const void* given_mean = nullptr;
  const void* given_variance = nullptr;
  // Both or neither, f64, statistics() long: sums of dy and dy * xhat over given_count elements,
  // which dx is taken from instead of sums over x. Only with pool_n and c = 1.
  const void* given_sum_dy = nullptr;
  const void* given_sum_dy_xhat = nullptr;
  double given_count = 0;
  ConstOperand dy;
  ConstOperand dsum;        // add_*: added to dx before it is rounded; data null: none
  MutableOperand dx;        // data null: not wanted
  void* dweight = nullptr;  // likewise
  void* dbias = nullptr;
  DType dweight_dtype = DType::f32;  // of dbias too; f64 for f64 x or where asked
};

}  // namespace omninorm::internal
