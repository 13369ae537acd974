// The loops over data of the scalers: how a matrix is cut into tasks and blocks. The inner loops
// are those of block_kernels.h and scale_kernels.h.
#pragma once

#include <cstddef>
#include <cstdint>

#include "omninorm/scaler.h"

namespace omninorm::internal {

template <class Pointer>
struct BasicMatrix {
  Pointer data = nullptr;
  bool f64 = false;  // else f32
  std::int64_t rows = 0, columns = 0;
  std::int64_t row_stride = 0, column_stride = 0;  // in elements

  std::int64_t element_bytes() const { return f64 ? 8 : 4; }

  Pointer at(std::int64_t row, std::int64_t column) const {
    using Byte = std::conditional_t<std::is_const_v<std::remove_pointer_t<Pointer>>,
                                    const std::byte, std::byte>;
    return static_cast<Byte*>(data) + (row * row_stride + column * column_stride) * element_bytes();
  }

  double value(std::int64_t row, std::int64_t column) const {
    const void* p = at(row, column);
    return f64 ? *static_cast<const double*>(p) : *static_cast<const float*>(p);
  }
};
using Matrix = BasicMatrix<const void*>;
using MutableMatrix = BasicMatrix<void*>;

// y = clamp(((x - subtract.high) - subtract.low) * multiply + add.low + add.high), in double; NaN
// stays NaN.
struct ScaleColumn {
  DoubleDouble subtract{};
  double multiply = 1;
  DoubleDouble add{};
  double low = -__builtin_inf();
  double high = __builtin_inf();
};

// The first value, by rows, that fit cannot take.
struct BadValue {
  enum class Kind : std::uint8_t { none, infinite, too_large } kind = Kind::none;
  std::int64_t row = -1, column = -1;
  double value = 0;

  explicit operator bool() const { return kind != Kind::none; }
};

// Takes the rows of x into `columns`, one entry a column. NaN is left out, infinities too where
// `ignore_infinite`. `weights`, one a row, may be null: 1; a row of weight 0 is not looked at.
// After a bad value `columns` is undefined. The same bits for every executor.
BadValue add_moments(const Matrix& x, const double* weights, bool ignore_infinite,
                     ColumnMoments* columns, Executor& executor);
BadValue add_extremes(const Matrix& x, const double* weights, bool ignore_infinite,
                      ColumnExtremes* columns, Executor& executor);
BadValue add_running(const Matrix& x, const double* weights, bool ignore_infinite, double alpha,
                     RunningMoments* columns, Executor& executor);

// y may be x, with the same strides; else they don't overlap.
void scale_columns(const Matrix& x, const MutableMatrix& y, const ScaleColumn* columns,
                   Executor& executor);

}  // namespace omninorm::internal
