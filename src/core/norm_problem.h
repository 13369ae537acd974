// One view for the whole family: x[n][g][c][s] with a stride for each. An op file turns its
// arguments into a NormForward or NormBackward; everything after that is the same for all ops.
//
//   op                    n      g  c    s   statistics pooled over
//   rms_norm, layer_norm  rows   1  d    1   c
//   grouped_layer_norm    rows   G  d/G  1   c
//   group_norm            N      G  C/G  HW  c, s
//   instance_norm         N      C  1    HW  s
//   batch_norm            N      C  1    HW  n, s
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
  bool pool_s = true;        // false: every position s has statistics of its own
  std::int64_t stats_c = 1;  // statistics from the first stats_c entries of c (partial RMSNorm)

  // Where n, g, c or s is 0 there is nothing to normalise: launch() gives such views to the
  // reference.
  bool empty() const { return n == 0 || g == 0 || c == 0 || s == 0; }

  // Statistic index of (n, g, s): row-major over the dimensions that are not pooled.
  std::int64_t statistics() const { return (pool_n ? 1 : n) * g * (pool_s ? 1 : s); }
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

// Checked arguments. weight, bias, dweight and dbias are contiguous, affine_size() long; mean and
// rstd contiguous, statistics() long, f64 for f64 x and f32 otherwise; null where not given.
struct NormForward {
  const char* op = "";
  NormView view;
  NormParameters parameters;
  ConstOperand x;
  const void* weight = nullptr;
  const void* bias = nullptr;
  DType weight_dtype = DType::f32;  // of bias too
  MutableOperand y;
  void* mean = nullptr;
  void* rstd = nullptr;
};

struct NormBackward {
  const char* op = "";
  NormView view;
  NormParameters parameters;
  ConstOperand x;
  const void* weight = nullptr;
  DType weight_dtype = DType::f32;
  const void* mean = nullptr;
  const void* rstd = nullptr;
  ConstOperand dy;
  MutableOperand dx;        // data null: not wanted
  void* dweight = nullptr;  // likewise
  void* dbias = nullptr;
  DType dweight_dtype = DType::f32;  // of dbias too
};

}  // namespace omninorm::internal
