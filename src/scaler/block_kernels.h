// The scalers' inner loops, in SIMD: over a block of rows whose columns lie side by side, and over
// the columns' results. Arrays "of columns" have room for whole vectors: kPadding more doubles.
#pragma once

#include <cstdint>

namespace omninorm::internal::scaling {

inline constexpr std::int64_t kPadding = 16;

inline std::int64_t padded(std::int64_t columns) {
  return (columns + kPadding - 1) / kPadding * kPadding;
}

// Rows of `width` elements side by side, f32 or f64.
struct BlockRows {
  const void* x = nullptr;
  bool f64 = false;
  std::int64_t rows = 0, width = 0;
  std::int64_t stride = 0;          // of rows, in elements
  const double* weights = nullptr;  // one a row; or, where `weight_each`, one an element, as x lies
  bool weight_each = false;
  std::int64_t ahead = 0;  // how many elements further on to fetch
  // What is not <= limit in magnitude is left out, and so are weights of 0. Not masked: every value
  // counts, there are no weights, and a NaN or an infinity shows in the sums.
  bool masked = false;
  double limit = 0;
};

// Adds to the columns' sums of (x - pivot) and of its square; where masked, to `count` the weights
// of what was not left out. Each column's sum runs over its rows in order.
void sum_deviations(const BlockRows& block, const double* pivot, double* sum, double* squares,
                    double* count);

// Lowers `low` and raises `high` to the columns' extremes. Not masked: low, high and poison are of
// x's own type, and poison becomes NaN where there was a NaN or an infinity. Masked: they are
// doubles, and count, in the place of poison, takes the weights of what was not left out.
void find_extremes(const BlockRows& block, void* low, void* high, void* poison);

// Moments of columns, field by field: field f of column j is at data[f * stride + j], in the order
// of ColumnMoments.
struct MomentTable {
  double* data = nullptr;
  std::int64_t stride = 0;
};

// table += the moments of a block: count, sum of deviations from pivot, sum of their squares.
void merge_block(std::int64_t columns, const double* pivot, const double* sum,
                 const double* squares, const double* count, MomentTable table);

// table += part (Chan, Golub and LeVeque), as merge(ColumnMoments, ColumnMoments).
void merge_table(std::int64_t columns, MomentTable part, MomentTable table);

// RunningMoments of columns, one after another: `width` of them in each field, `stride` apart.
struct RunningTable {
  double* weight = nullptr;
  double* weight_squares = nullptr;
  double* mean = nullptr;
  double* m2 = nullptr;
};

// Takes rows [rows, width] of doubles, `stride` apart, into the table, one after another. weights,
// one a row, may be null.
void run_rows(const double* x, std::int64_t rows, std::int64_t width, std::int64_t stride,
              const double* weights, double limit, double keep, RunningTable table);

}  // namespace omninorm::internal::scaling
