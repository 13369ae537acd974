// How fit walks a matrix: tasks of rows and columns, blocks of rows, and stretches of memory that
// the kernels take as rows of columns side by side.
#pragma once

#include <algorithm>
#include <limits>
#include <vector>

#include "src/scaler/block_kernels.h"
#include "src/scaler/column_kernels.h"

namespace omninorm::internal {

// By shape and strides alone, so that every executor and every SIMD target cuts alike.
struct FitPlan {
  // Rows as they lie, columns side by side. Else column by column, each as one stretch, gathered
  // where its values do not lie side by side.
  bool by_rows = false;
  // Rows that the kernels see as one of fold times the columns: columns fewer than a vector's lanes
  // then fill it. Folded columns are summed where a block ends.
  std::int64_t fold = 1;
  std::int64_t tile = 1;       // columns of a task
  std::int64_t task_rows = 1;  // rows of a task
  std::int64_t first = 1;      // rows of a task's first block; each later one has at most as many
  std::int64_t most = 1;       // as all before it, and at most these

  std::int64_t unit() const { return by_rows ? tile : 1; }  // columns that are read together
};

FitPlan plan_fit(const Matrix& x, bool weighted);

// `rows`, and behind them one of `rest` elements, all in one piece where rest > 0.
struct Stretch {
  scaling::BlockRows rows;
  std::int64_t rest = 0;

  // Calls use(rows) for pieces that stay in the nearest cache.
  template <class Use>
  void for_each(Use&& use) const {
    // The kernel goes down a piece several columns at a time: what it will want next is the next
    // piece, or, where all columns fit its registers, simply what lies ahead.
    const bool at_once = rows.width <= 32;
    const std::int64_t most = std::max<std::int64_t>(8, (at_once ? 16384 : 2048) / rows.width);
    scaling::BlockRows piece = rows;
    piece.ahead = at_once ? 2048 / (rows.f64 ? 8 : 4) : most * rows.stride;
    for (std::int64_t row = 0; row < rows.rows; row += most) {
      move(piece, row, std::min(most, rows.rows - row));
      use(piece);
    }
    if (rest == 0) return;
    move(piece, rows.rows, 1);
    piece.width = rest;
    use(piece);
  }

 private:
  void move(scaling::BlockRows& piece, std::int64_t row, std::int64_t count) const {
    piece.rows = count;
    piece.x = static_cast<const std::byte*>(rows.x) + row * rows.stride * (rows.f64 ? 8 : 4);
    if (rows.weights) piece.weights = rows.weights + row * (rows.weight_each ? rows.stride : 1);
  }
};

// What a task reads x with.
class FitReader {
 public:
  FitReader(const Matrix& x, const double* weights, bool ignore_infinite, const FitPlan& plan);

  // Rows [row, row + count) of columns [column, column + columns) as a stretch, not masked. It is
  // of this reader's memory where it is gathered: one at a time.
  Stretch read(std::int64_t row, std::int64_t count, std::int64_t column, std::int64_t columns);

  // What a mask lets through.
  double limit() const {
    return ignore_infinite_ ? std::numeric_limits<double>::max()
                            : std::numeric_limits<double>::infinity();
  }
  bool weighted() const { return weights_ != nullptr; }

  // The column's first value that counts in these rows; 0 where there is none.
  double first_value(std::int64_t row, std::int64_t count, std::int64_t column) const;

  // The first infinity of these rows and columns, by rows, if infinities are an error.
  BadValue first_infinite(std::int64_t row, std::int64_t count, std::int64_t column,
                          std::int64_t columns) const;

  // What lies farthest from its column's pivot.
  BadValue farthest(std::int64_t row, std::int64_t count, std::int64_t column, std::int64_t columns,
                    const double* pivots) const;

 private:
  bool counts(std::int64_t row) const { return !weights_ || weights_[row] != 0; }

  const Matrix& x_;
  const double* weights_;
  bool ignore_infinite_;
  const FitPlan& plan_;
  std::vector<double> gathered_;
};

// Replaces `bad` by `other` where that is of an earlier row, or of an earlier column in it.
void keep_first(BadValue& bad, const BadValue& other);

}  // namespace omninorm::internal
