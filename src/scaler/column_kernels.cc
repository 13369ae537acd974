#include "src/scaler/column_kernels.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <mutex>
#include <vector>

#include "src/scaler/double_double.h"

namespace omninorm::internal {
namespace {

constexpr std::int64_t kBlockRows = 256;   // rows whose sums are plain doubles
constexpr std::int64_t kTileColumns = 64;  // columns of one task
constexpr std::int64_t kTaskRows = 16384;  // rows of one task
constexpr std::int64_t kWaveTasks = 64;    // row ranges whose results are kept at once

double element(const Matrix& x, std::int64_t row, std::int64_t column) {
  const std::int64_t at = row * x.row_stride + column * x.column_stride;
  return x.f64 ? static_cast<const double*>(x.data)[at] : static_cast<const float*>(x.data)[at];
}

// Whether fit takes the value in; an infinity that must not be there is told in `bad`.
bool takes(double value, bool ignore_infinite, std::int64_t row, std::int64_t column,
           BadValue& bad) {
  if (std::isfinite(value)) return true;
  if (!std::isnan(value) && !ignore_infinite && bad.kind == BadValue::Kind::none) {
    bad = {BadValue::Kind::infinite, row, column, value};
  }
  return false;
}

// Moments of rows [first, last) of one column about `pivot`, taken in.
void add_block(const Matrix& x, const double* weights, bool ignore_infinite, std::int64_t column,
               std::int64_t first, std::int64_t last, ColumnMoments& moments, BadValue& bad) {
  double pivot = moments.mean.high;
  const bool first_block = moments.count.high == 0;
  for (int pass = first_block ? 0 : 1; pass < 2; ++pass) {
    double count = 0, sum = 0, squares = 0;
    for (std::int64_t row = first; row < last; ++row) {
      const double value = element(x, row, column);
      const double weight = weights ? weights[row] : 1;
      if (!takes(value, ignore_infinite, row, column, bad) || weight == 0) continue;
      if (pass == 0 && count == 0) pivot = value;
      const double deviation = value - pivot;
      count += weight;
      sum += weight * deviation;
      squares += weight * deviation * deviation;
    }
    if (count == 0) return;
    if (pass == 0) {
      pivot += sum / count;
      continue;
    }
    const double shift = sum / count;
    const double m2 = std::max(0.0, squares - sum * shift);
    if (!std::isfinite(m2) && bad.kind == BadValue::Kind::none) {
      bad = {BadValue::Kind::too_large, first, column, pivot + shift};
      return;
    }
    moments = merge(moments, ColumnMoments{{count, 0}, two_sum(pivot, shift), {m2, 0}});
  }
}

// Runs `task(first row, last row, first column, last column, columns of that task)` over tiles of x
// and merges the tasks' results in order of their rows.
template <class Column, class Task, class Merge>
BadValue over_tiles(const Matrix& x, Column* columns, Executor& executor, Task&& task,
                    Merge&& merge_into) {
  const std::int64_t ranges = (x.rows + kTaskRows - 1) / kTaskRows;
  const std::int64_t tiles = (x.columns + kTileColumns - 1) / kTileColumns;
  BadValue worst;
  std::mutex mutex;
  std::vector<Column> parts;
  for (std::int64_t wave = 0; wave < ranges; wave += kWaveTasks) {
    const std::int64_t count = std::min(kWaveTasks, ranges - wave);
    parts.assign(static_cast<std::size_t>(count * x.columns), Column{});
    executor.parallel_for(count * tiles, [&](std::int64_t index) {
      const std::int64_t range = index / tiles, tile = index % tiles;
      const std::int64_t first = (wave + range) * kTaskRows;
      const std::int64_t last = std::min(first + kTaskRows, x.rows);
      const std::int64_t column = tile * kTileColumns;
      const BadValue bad = task(first, last, column, std::min(column + kTileColumns, x.columns),
                                &parts[static_cast<std::size_t>(range * x.columns + column)]);
      if (bad.kind == BadValue::Kind::none) return;
      const std::lock_guard lock(mutex);
      if (worst.kind == BadValue::Kind::none || bad.row < worst.row ||
          (bad.row == worst.row && bad.column < worst.column)) {
        worst = bad;
      }
    });
    if (worst.kind != BadValue::Kind::none) return worst;
    for (std::int64_t range = 0; range < count; ++range) {
      for (std::int64_t j = 0; j < x.columns; ++j) {
        merge_into(columns[j], parts[static_cast<std::size_t>(range * x.columns + j)]);
      }
    }
  }
  return worst;
}

template <class T>
void scale_one(const Matrix& x, const MutableMatrix& y, const ScaleColumn& s, std::int64_t j,
               std::int64_t first, std::int64_t last) {
  T* out = static_cast<T*>(y.data) + j * y.column_stride;
  for (std::int64_t row = first; row < last; ++row) {
    const double value = element(x, row, j);
    double scaled =
        ((value - s.subtract.high) - s.subtract.low) * s.multiply + s.add.low + s.add.high;
    if (scaled < s.low) scaled = s.low;
    if (scaled > s.high) scaled = s.high;
    out[row * y.row_stride] = static_cast<T>(scaled);
  }
}

}  // namespace

BadValue add_moments(const Matrix& x, const double* weights, bool ignore_infinite,
                     ColumnMoments* columns, Executor& executor) {
  return over_tiles(
      x, columns, executor,
      [&](std::int64_t first, std::int64_t last, std::int64_t begin, std::int64_t end,
          ColumnMoments* parts) {
        BadValue worst;
        for (std::int64_t row = first; row < last; row += kBlockRows) {
          for (std::int64_t j = begin; j < end; ++j) {
            BadValue bad;
            add_block(x, weights, ignore_infinite, j, row, std::min(row + kBlockRows, last),
                      parts[j - begin], bad);
            earlier(worst, bad);
          }
          if (worst.kind != BadValue::Kind::none) break;
        }
        return worst;
      },
      [](ColumnMoments& into, const ColumnMoments& part) { into = merge(into, part); });
}

BadValue add_extremes(const Matrix& x, const double* weights, bool ignore_infinite,
                      ColumnExtremes* columns, Executor& executor) {
  return over_tiles(
      x, columns, executor,
      [&](std::int64_t first, std::int64_t last, std::int64_t begin, std::int64_t end,
          ColumnExtremes* parts) {
        BadValue bad;
        for (std::int64_t row = first; row < last && bad.kind == BadValue::Kind::none; ++row) {
          const double weight = weights ? weights[row] : 1;
          for (std::int64_t j = begin; j < end; ++j) {
            const double value = element(x, row, j);
            if (!takes(value, ignore_infinite, row, j, bad) || weight == 0) continue;
            ColumnExtremes& part = parts[j - begin];
            part = merge(part, ColumnExtremes{{weight, 0}, value, value});
          }
        }
        return bad;
      },
      [](ColumnExtremes& into, const ColumnExtremes& part) { into = merge(into, part); });
}

BadValue add_running(const Matrix& x, const double* weights, bool ignore_infinite, double alpha,
                     RunningMoments* columns, Executor& executor) {
  BadValue worst;
  std::mutex mutex;
  const double keep = 1 - alpha;
  const std::int64_t tiles = (x.columns + kTileColumns - 1) / kTileColumns;
  executor.parallel_for(tiles, [&](std::int64_t tile) {
    BadValue bad;
    const std::int64_t begin = tile * kTileColumns;
    const std::int64_t end = std::min(begin + kTileColumns, x.columns);
    for (std::int64_t row = 0; row < x.rows && bad.kind == BadValue::Kind::none; ++row) {
      const double weight = weights ? weights[row] : 1;
      for (std::int64_t j = begin; j < end; ++j) {
        const double value = element(x, row, j);
        if (!takes(value, ignore_infinite, row, j, bad) || weight == 0) continue;
        RunningMoments& m = columns[j];
        const double kept = keep * m.weight;
        const double total = kept + weight;
        const double deviation = value - m.mean;
        const double step = deviation * (weight / total);
        m.m2 = keep * m.m2 + kept * deviation * step;
        m.mean += step;
        m.weight = total;
        m.weight_squares = keep * keep * m.weight_squares + weight * weight;
        if (!std::isfinite(m.m2) && bad.kind == BadValue::Kind::none) {
          bad = {BadValue::Kind::too_large, row, j, value};
        }
      }
    }
    if (bad.kind == BadValue::Kind::none) return;
    const std::lock_guard lock(mutex);
    earlier(worst, bad);
  });
  return worst;
}

void scale_columns(const Matrix& x, const MutableMatrix& y, const ScaleColumn* columns,
                   Executor& executor) {
  const std::int64_t ranges = (x.rows + kTaskRows - 1) / kTaskRows;
  executor.parallel_for(ranges * x.columns, [&](std::int64_t index) {
    const std::int64_t first = index / x.columns * kTaskRows, j = index % x.columns;
    const std::int64_t last = std::min(first + kTaskRows, x.rows);
    if (y.f64) {
      scale_one<double>(x, y, columns[j], j, first, last);
    } else {
      scale_one<float>(x, y, columns[j], j, first, last);
    }
  });
}

}  // namespace omninorm::internal
