// What the reference's two directions share: walking a view, and the formulas' common terms.
#pragma once

#include <cstdint>

#include "src/core/element.h"
#include "src/core/norm_problem.h"

namespace omninorm::internal {

// Sums are kept in long double: where that is wider than double (x86, AArch64 Linux) the squares of
// all doubles are in its range, so f64 input may be as large or small as f64 goes. Elsewhere the
// limit is inputs between 1e-150 and 1e150.
using Sum = long double;

struct Position {
  std::int64_t n;
  std::int64_t g;
  std::int64_t c;
  std::int64_t s;
};

// Element offset of a position in an operand.
std::int64_t offset(const NormView& view, const NormStrides& strides, const Position& at);

// Which of mean[] and rstd[] a position uses.
inline std::int64_t statistic(const NormView& view, const Position& at) {
  return (view.pool_n ? 0 : at.n) * view.g + at.g;
}

// Calls visit(position) for every element that shares the statistics of (n, g), c from 0 to
// count_c - 1. Where n is pooled it is walked whole, whatever n says.
template <class Visit>
void for_each_pooled(const NormView& view, const Position& of, std::int64_t count_c,
                     const Visit& visit) {
  if (view.empty()) return;  // the other sizes may be anything: 2^40 rows of nothing, say
  const std::int64_t n_begin = view.pool_n ? 0 : of.n, n_end = view.pool_n ? view.n : of.n + 1;
  for (std::int64_t n = n_begin; n < n_end; ++n) {
    for (std::int64_t c = 0; c < count_c; ++c) {
      for (std::int64_t s = 0; s < view.s; ++s) visit(Position{n, of.g, c, s});
    }
  }
}

// Calls visit(position) once for each set of elements that shares statistics; c and s are 0,
// and so is a pooled n.
template <class Visit>
void for_each_statistic(const NormView& view, const Visit& visit) {
  if (view.g == 0) return;
  const std::int64_t n_end = view.pool_n ? 1 : view.n;
  for (std::int64_t n = 0; n < n_end; ++n) {
    for (std::int64_t g = 0; g < view.g; ++g) visit(Position{n, g, 0, 0});
  }
}

// How many elements the statistics are taken from.
inline std::int64_t pooled_count(const NormView& view) {
  return (view.pool_n ? view.n : 1) * view.stats_c * view.s;
}

// weight + weight_offset at channel (g, c); 1 where there is no weight.
inline double scale(const void* weight, DType dtype, const NormParameters& parameters,
                    const NormView& view, const Position& at) {
  if (weight == nullptr) return 1.0;
  return load(weight, dtype, at.g * view.c + at.c) + parameters.weight_offset;
}

// xhat as the weight sees it: rounded to x's dtype first where the policy says so.
inline double scaled_input(double xhat, DType x, CastPolicy policy) {
  return policy == CastPolicy::before_weight ? rounded(x, xhat) : xhat;
}

// bias at channel (g, c); 0 where there is none.
inline double shift(const void* bias, DType dtype, const NormView& view, const Position& at) {
  return bias == nullptr ? 0.0 : load(bias, dtype, at.g * view.c + at.c);
}

struct Statistics {
  double mean;
  double variance;
  double rstd;
};

// Of running statistics (f32, or f64 with f64 x), at one index.
Statistics given_statistics(const void* mean, const void* variance, DType x, double eps,
                            std::int64_t index);

// act(z) and its derivative.
double activate(Activation activation, double z);
double activation_slope(Activation activation, double z);

}  // namespace omninorm::internal
