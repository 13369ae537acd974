// transform and inverse_transform: which stretches of memory go to the kernel.
#include <algorithm>
#include <cstddef>
#include <limits>
#include <numeric>
#include <span>
#include <vector>

#include "src/cpu/row_kernels.h"
#include "src/cpu/streaming.h"
#include "src/scaler/column_kernels.h"
#include "src/scaler/scale_kernels.h"
#include "src/scaler/tasks.h"

namespace omninorm::internal {
namespace {

using scaling::ScaleArrays;
using scaling::ScaleRows;
using scaling::ScaleSteps;

constexpr std::int64_t kTaskElements = 65536;
constexpr std::int64_t kWidest = 16384;    // columns of a task
constexpr std::int64_t kFewColumns = 64;   // fewer are folded
constexpr std::int64_t kLine = 16;         // elements of f32 in 64 bytes
constexpr std::int64_t kPieceRows = 256;   // of a column that is gathered
constexpr std::int64_t kTileColumns = 64;  // of a task that gathers

// The arrays of `columns`, repeated up to `width`.
class Arrays {
 public:
  Arrays(std::span<const ScaleColumn> columns, std::int64_t width)
      : stride_(static_cast<std::size_t>(width + scaling::kScalePadding)), data_(7 * stride_) {
    for (std::size_t i = 0; i < stride_; ++i) {
      const ScaleColumn& c = columns[i % columns.size()];
      const double fields[7] = {c.subtract.high,  c.subtract.low, c.multiply, zero(c.add.low),
                                zero(c.add.high), c.low,          c.high};
      for (std::size_t f = 0; f < 7; ++f) data_[f * stride_ + i] = fields[f];
    }
  }

  ScaleArrays get() const {
    const auto at = [&](std::size_t f) { return data_.data() + f * stride_; };
    return {at(0), at(1), at(2), at(3), at(4), at(5), at(6)};
  }

 private:
  static double zero(double add) { return add == 0 ? -0.0 : add; }

  std::size_t stride_;
  std::vector<double> data_;
};

ScaleSteps steps_of(std::span<const ScaleColumn> columns) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  bool subtracts = false, adds = false;
  for (const ScaleColumn& c : columns) {
    if (c.low != -kInfinity || c.high != kInfinity) return ScaleSteps::clamp;
    subtracts |= c.subtract != DoubleDouble{};
    adds |= c.add != DoubleDouble{};
  }
  if (!adds) return ScaleSteps::subtract;
  return subtracts ? ScaleSteps::both : ScaleSteps::add;
}

struct Scale {
  const Matrix& x;
  const MutableMatrix& y;
  std::span<const ScaleColumn> columns;
  Executor& executor;
  ScaleSteps steps = steps_of(columns);
  bool streams = false;

  ScaleRows rows_at(const void* from, void* to) const {
    ScaleRows rows;
    rows.x = from;
    rows.y = to;
    rows.x_f64 = x.f64;
    rows.y_f64 = y.f64;
    rows.steps = steps;
    rows.streams = streams;
    return rows;
  }

  // Rows of many columns, or with gaps.
  void by_rows() const {
    const std::int64_t tile = std::min(x.columns, kWidest);
    const std::int64_t tiles = (x.columns + tile - 1) / tile;
    const std::int64_t task_rows = std::max<std::int64_t>(1, kTaskElements / tile);
    const std::int64_t ranges = (x.rows + task_rows - 1) / task_rows;
    const Arrays arrays(columns, x.columns);
    executor.parallel_for(ranges * tiles, [&](std::int64_t index) {
      const std::int64_t row = index / tiles * task_rows, column = index % tiles * tile;
      ScaleRows rows = rows_at(x.at(row, column), y.at(row, column));
      rows.rows = std::min(task_rows, x.rows - row);
      rows.width = std::min(tile, x.columns - column);
      rows.x_stride = x.row_stride;
      rows.y_stride = y.row_stride;
      rows.arrays = arrays.get().from(column);
      scaling::scale_rows(rows);
    });
  }

  // One piece of memory, of `elements` of which every columns.size()-th has the same column: as
  // rows of whole lines of y, from its first line on.
  void piece(const void* from, void* to, std::int64_t elements, const Arrays& arrays,
             std::int64_t width) const {
    ScaleRows rows = rows_at(from, to);
    rows.arrays = arrays.get();
    const std::int64_t y_bytes = y.element_bytes();
    const auto beyond = static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(to) % 64);
    const std::int64_t head = std::min(elements, beyond == 0 ? 0 : (64 - beyond) / y_bytes);
    part(rows, 0, 0, 1, head, arrays);
    part(rows, head, head % static_cast<std::int64_t>(columns.size()), (elements - head) / width,
         width, arrays);
    const std::int64_t rest = (elements - head) % width;
    part(rows, elements - rest, (elements - rest) % static_cast<std::int64_t>(columns.size()), 1,
         rest, arrays);
  }

  void part(ScaleRows rows, std::int64_t at, std::int64_t column, std::int64_t count,
            std::int64_t width, const Arrays& arrays) const {
    if (count == 0 || width == 0) return;
    rows.x = static_cast<const std::byte*>(rows.x) + at * x.element_bytes();
    rows.y = static_cast<std::byte*>(rows.y) + at * y.element_bytes();
    rows.rows = count;
    rows.width = rows.x_stride = rows.y_stride = width;
    rows.arrays = arrays.get().from(column);
    scaling::scale_rows(rows);
  }

  // Few columns without gaps.
  void in_one_piece() const {
    const std::int64_t whole = x.columns * kLine / std::gcd(x.columns, kLine);
    const std::int64_t width = whole * std::max<std::int64_t>(1, kFewColumns / whole);
    // One line more: a piece may begin in the midst of a row.
    const Arrays arrays(columns, width + x.columns);
    const std::int64_t task_rows = std::max<std::int64_t>(1, kTaskElements / x.columns);
    executor.parallel_for((x.rows + task_rows - 1) / task_rows, [&](std::int64_t index) {
      const std::int64_t row = index * task_rows;
      piece(x.at(row, 0), y.at(row, 0), std::min(task_rows, x.rows - row) * x.columns, arrays,
            width);
    });
  }

  // Column by column, each without gaps.
  void by_columns() const {
    const std::int64_t ranges = (x.rows + kTaskElements - 1) / kTaskElements;
    run_tasks(executor, ranges * x.columns, [&](std::int64_t index) {
      const std::int64_t row = index % ranges * kTaskElements, column = index / ranges;
      const std::span<const ScaleColumn> one = columns.subspan(static_cast<std::size_t>(column), 1);
      const Scale self{x, y, one, executor, steps, streams};
      self.piece(x.at(row, column), y.at(row, column), std::min(kTaskElements, x.rows - row),
                 Arrays(one, kFewColumns), kFewColumns);
    });
  }

  // Any strides: through memory of our own.
  void gathered() const {
    constexpr std::int64_t kTaskRows = 4 * kPieceRows;
    const std::int64_t tiles = (x.columns + kTileColumns - 1) / kTileColumns;
    const std::int64_t ranges = (x.rows + kTaskRows - 1) / kTaskRows;
    run_tasks(executor, ranges * tiles, [&](std::int64_t index) {
      const std::int64_t first = index / tiles * kTaskRows, begin = index % tiles * kTileColumns;
      const std::int64_t last = std::min(first + kTaskRows, x.rows);
      for (std::int64_t j = begin; j < std::min(begin + kTileColumns, x.columns); ++j) {
        gathered_column(first, last, j);
      }
    });
  }

  void gathered_column(std::int64_t first, std::int64_t last, std::int64_t column) const {
    alignas(64) double from[kPieceRows], to[kPieceRows];
    const std::span<const ScaleColumn> one = columns.subspan(static_cast<std::size_t>(column), 1);
    const Arrays arrays(one, kFewColumns);
    const Scale self{x, y, one, executor, steps, false};
    for (std::int64_t row = first; row < last; row += kPieceRows) {
      const std::int64_t count = std::min(kPieceRows, last - row);
      copy(x.f64, x.at(row, column), x.row_stride, from, 1, count);
      self.piece(from, to, count, arrays, kFewColumns);
      copy(y.f64, to, 1, y.at(row, column), y.row_stride, count);
    }
  }

  static void copy(bool f64, const void* from, std::int64_t from_stride, void* to,
                   std::int64_t to_stride, std::int64_t count) {
    const auto all = [&](auto* out, const auto* in) {
      for (std::int64_t i = 0; i < count; ++i) out[i * to_stride] = in[i * from_stride];
    };
    if (f64) {
      all(static_cast<double*>(to), static_cast<const double*>(from));
    } else {
      all(static_cast<float*>(to), static_cast<const float*>(from));
    }
  }
};

}  // namespace

void scale_columns(const Matrix& x, const MutableMatrix& y, const ScaleColumn* columns,
                   Executor& executor) {
  if (x.rows == 0 || x.columns == 0) return;
  choose_cpu_target();
  Scale scale{x, y, {columns, static_cast<std::size_t>(x.columns)}, executor};
  scale.streams = y.data != x.data &&
                  worth_streaming(Traffic::forward,
                                  x.rows * x.columns * (x.element_bytes() + y.element_bytes()));
  const bool rows = x.column_stride == 1 && y.column_stride == 1 && x.columns > 1;
  if (rows && x.columns < kFewColumns && x.row_stride == x.columns && y.row_stride == x.columns) {
    return scale.in_one_piece();
  }
  if (rows) return scale.by_rows();
  if (x.row_stride == 1 && y.row_stride == 1) return scale.by_columns();
  scale.gathered();
}

}  // namespace omninorm::internal
