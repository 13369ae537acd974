#include "src/scaler/fit_plan.h"

#include <cmath>
#include <numeric>

namespace omninorm::internal {
namespace {

// A column's plain sums have at most so many terms: they err by less than 512 * 2^-53 = 6e-14 of
// the sum of magnitudes.
constexpr std::int64_t kTerms = 512;
constexpr std::int64_t kFirstTerms = 32;
constexpr std::int64_t kTaskElements = std::int64_t{1} << 19;
constexpr std::int64_t kTileColumns = 256;  // of a task by rows: 512 of them stay in L2
constexpr std::int64_t kColumnsTile = 16;   // of a task by columns: vectors for the merges
constexpr std::int64_t kColumnFold = 32;    // 4 vectors of the widest target
constexpr std::int64_t kFewColumns = 32;

template <class T>
void gather(const Matrix& x, std::int64_t row, std::int64_t count, std::int64_t column, T* to) {
  const T* from = static_cast<const T*>(x.at(row, column));
  for (std::int64_t i = 0; i < count; ++i) to[i] = from[i * x.row_stride];
}

}  // namespace

FitPlan plan_fit(const Matrix& x, bool weighted) {
  const bool in_one_piece = x.column_stride == 1 && x.row_stride == x.columns;
  const bool folds = in_one_piece && x.columns < kFewColumns && !weighted;
  FitPlan plan;
  plan.by_rows = x.columns > 1 && x.column_stride == 1 && (folds || x.columns >= 16);
  if (plan.by_rows) {
    if (folds) plan.fold = std::max(16 / std::gcd<std::int64_t>(x.columns, 16), 32 / x.columns);
    plan.tile = std::min(x.columns, kTileColumns);
  } else {
    plan.fold = kColumnFold;
    plan.tile = std::min(x.columns, kColumnsTile);
  }
  plan.first = kFirstTerms * plan.fold;
  plan.most = kTerms * plan.fold;
  if (!plan.by_rows) {
    // Every block of a column is a walk of its own: few short ones. Those that are gathered come
    // from lines that should still be there for the next column.
    if (x.row_stride == 1) {
      plan.first *= 4;
    } else {
      plan.most = plan.first;
    }
  }
  plan.task_rows = std::max(plan.most, kTaskElements / plan.tile / plan.most * plan.most);
  return plan;
}

FitReader::FitReader(const Matrix& x, const double* weights, bool ignore_infinite,
                     const FitPlan& plan)
    : x_(x), weights_(weights), ignore_infinite_(ignore_infinite), plan_(plan) {
  if (plan.by_rows || x.row_stride == 1) return;
  gathered_.resize(static_cast<std::size_t>(std::min(plan.most, x.rows)));
}

Stretch FitReader::read(std::int64_t row, std::int64_t count, std::int64_t column,
                        std::int64_t columns) {
  Stretch stretch;
  scaling::BlockRows& rows = stretch.rows;
  rows.x = x_.at(row, column);
  rows.f64 = x_.f64;
  rows.width = plan_.fold * columns;
  rows.rows = count / plan_.fold;
  rows.stride = plan_.fold > 1 ? rows.width : x_.row_stride;
  if (weights_) rows.weights = weights_ + row;
  rows.weight_each = !plan_.by_rows;
  rows.limit = limit();
  stretch.rest = count % plan_.fold * columns;
  if (gathered_.empty()) return stretch;
  rows.x = gathered_.data();
  if (x_.f64) {
    gather(x_, row, count, column, gathered_.data());
  } else {
    gather(x_, row, count, column, reinterpret_cast<float*>(gathered_.data()));
  }
  return stretch;
}

double FitReader::first_value(std::int64_t row, std::int64_t count, std::int64_t column) const {
  for (std::int64_t i = row; i < row + count; ++i) {
    if (!counts(i)) continue;
    const double value = x_.value(i, column);
    if (std::isfinite(value)) return value;
  }
  return 0;
}

BadValue FitReader::first_infinite(std::int64_t row, std::int64_t count, std::int64_t column,
                                   std::int64_t columns) const {
  if (ignore_infinite_) return {};
  for (std::int64_t i = row; i < row + count; ++i) {
    if (!counts(i)) continue;
    for (std::int64_t j = column; j < column + columns; ++j) {
      const double value = x_.value(i, j);
      if (std::isinf(value)) return {BadValue::Kind::infinite, i, j, value};
    }
  }
  return {};
}

BadValue FitReader::farthest(std::int64_t row, std::int64_t count, std::int64_t column,
                             std::int64_t columns, const double* pivots) const {
  BadValue bad = {BadValue::Kind::too_large, row, column, 0};
  double distance = -1;
  for (std::int64_t i = row; i < row + count; ++i) {
    if (!counts(i)) continue;
    for (std::int64_t j = 0; j < columns; ++j) {
      const double value = x_.value(i, column + j);
      if (!std::isfinite(value) || !(std::abs(value - pivots[j]) > distance)) continue;
      distance = std::abs(value - pivots[j]);
      bad = {BadValue::Kind::too_large, i, column + j, value};
    }
  }
  return bad;
}

void keep_first(BadValue& bad, const BadValue& other) {
  if (!other) return;
  if (!bad || other.row < bad.row || (other.row == bad.row && other.column < bad.column)) {
    bad = other;
  }
}

}  // namespace omninorm::internal
