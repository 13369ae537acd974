// Matrices of tests, in every layout, and the exact moments of their columns.
#pragma once

#include <boost/multiprecision/cpp_int.hpp>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "omninorm/scaler.h"

namespace omninorm::scaler_tests {

inline constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
inline constexpr double kInf = std::numeric_limits<double>::infinity();

struct Table {
  std::int64_t rows = 0, columns = 0;
  std::vector<double> values;  // row by row

  Table(std::int64_t rows, std::int64_t columns)
      : rows(rows), columns(columns), values(static_cast<std::size_t>(rows * columns)) {}
  Table(std::int64_t rows, std::int64_t columns, std::vector<double> values)
      : rows(rows), columns(columns), values(std::move(values)) {}

  double& at(std::int64_t i, std::int64_t j) {
    return values[static_cast<std::size_t>(i * columns + j)];
  }
  double at(std::int64_t i, std::int64_t j) const {
    return values[static_cast<std::size_t>(i * columns + j)];
  }

  Table part(std::int64_t first, std::int64_t last) const {
    return {
        last - first, columns, {values.begin() + first * columns, values.begin() + last * columns}};
  }
};

// Normal numbers; f32 ones, so that both types hold them.
inline Table normal_table(std::int64_t rows, std::int64_t columns, double mean, double deviation,
                          unsigned seed = 1) {
  Table table(rows, columns);
  std::mt19937 random(seed);
  std::normal_distribution<double> normal(mean, deviation);
  for (double& value : table.values) value = static_cast<float>(normal(random));
  return table;
}

enum class Layout { row_major, column_major, row_gaps, column_gaps, spread, reversed };
inline constexpr Layout kLayouts[] = {Layout::row_major,   Layout::column_major, Layout::row_gaps,
                                      Layout::column_gaps, Layout::spread,       Layout::reversed};

// A table in memory. What lies between its elements is a NaN that nobody may write.
class Laid {
 public:
  Laid(const Table& table, DType dtype, Layout layout = Layout::row_major)
      : rows_(table.rows), columns_(table.columns), dtype_(dtype) {
    const std::int64_t r = rows_, c = columns_;
    switch (layout) {
      case Layout::row_major:
        place(c, 1);
        break;
      case Layout::column_major:
        place(1, r);
        break;
      case Layout::row_gaps:
        place(c + 3, 1);
        break;
      case Layout::column_gaps:
        place(1, r + 5);
        break;
      case Layout::spread:
        place(2 * c + 1, 2);
        break;
      case Layout::reversed:
        place(-c, -1);
        break;
    }
    for (std::int64_t i = 0; i < r; ++i) {
      for (std::int64_t j = 0; j < c; ++j) set(offset(i, j), table.at(i, j));
    }
  }

  Tensor tensor() {
    const std::int64_t sizes[] = {rows_, columns_}, strides[] = {row_stride_, column_stride_};
    return {memory_.data() + start_ * bytes(), dtype_, sizes, strides};
  }

  Table table() const {
    Table result(rows_, columns_);
    for (std::int64_t i = 0; i < rows_; ++i) {
      for (std::int64_t j = 0; j < columns_; ++j) result.at(i, j) = get(offset(i, j));
    }
    return result;
  }

  // Whether what lies between the elements is as it was.
  bool gaps_intact() const {
    std::vector<bool> ours(memory_.size() / static_cast<std::size_t>(bytes()));
    for (std::int64_t i = 0; i < rows_; ++i) {
      for (std::int64_t j = 0; j < columns_; ++j) {
        ours[static_cast<std::size_t>(offset(i, j))] = true;
      }
    }
    for (std::size_t at = 0; at < ours.size(); ++at) {
      if (!ours[at] && !std::isnan(get(static_cast<std::int64_t>(at)))) return false;
    }
    return true;
  }

  const std::vector<std::byte>& memory() const { return memory_; }

 private:
  std::int64_t bytes() const { return dtype_ == DType::f64 ? 8 : 4; }
  std::int64_t offset(std::int64_t i, std::int64_t j) const {
    return start_ + i * row_stride_ + j * column_stride_;
  }

  void place(std::int64_t row_stride, std::int64_t column_stride) {
    row_stride_ = row_stride;
    column_stride_ = column_stride;
    const std::int64_t down = std::max<std::int64_t>(rows_ - 1, 0) * std::abs(row_stride);
    const std::int64_t across = std::max<std::int64_t>(columns_ - 1, 0) * std::abs(column_stride);
    start_ = (row_stride < 0 ? down : 0) + (column_stride < 0 ? across : 0);
    memory_.assign(static_cast<std::size_t>((down + across + 1) * bytes()), std::byte{0xff});
  }

  void set(std::int64_t at, double value) {
    std::byte* p = memory_.data() + at * bytes();
    if (dtype_ == DType::f64) {
      std::memcpy(p, &value, 8);
    } else {
      const auto narrow = static_cast<float>(value);
      std::memcpy(p, &narrow, 4);
    }
  }
  double get(std::int64_t at) const {
    const std::byte* p = memory_.data() + at * bytes();
    if (dtype_ == DType::f64) {
      double value;
      std::memcpy(&value, p, 8);
      return value;
    }
    float value;
    std::memcpy(&value, p, 4);
    return value;
  }

  std::int64_t rows_, columns_, row_stride_ = 0, column_stride_ = 0, start_ = 0;
  DType dtype_;
  std::vector<std::byte> memory_;
};

inline void partial_fit(Scaler& scaler, const Table& table, const std::vector<double>& weights = {},
                        DType dtype = DType::f64, Layout layout = Layout::row_major) {
  Laid laid(table, dtype, layout);
  ConstTensor weight;
  if (!weights.empty()) weight = {weights.data(), {static_cast<std::int64_t>(weights.size())}};
  scaler.partial_fit(laid.tensor(), weight, {.executor = &serial_executor()});
}

inline Table transform(const Scaler& scaler, const Table& table, bool inverse = false,
                       DType dtype = DType::f64) {
  Laid x(table, dtype), y(table, dtype);
  if (inverse) {
    scaler.inverse_transform(x.tensor(), y.tensor());
  } else {
    scaler.transform(x.tensor(), y.tensor());
  }
  return y.table();
}

// ---- In exact fractions

using Fraction = boost::multiprecision::cpp_rational;

inline Fraction exact(DoubleDouble value) { return Fraction(value.high) + Fraction(value.low); }

struct ExactMoments {
  Fraction count, sum, squares;

  void add(double value, double weight = 1) {
    if (std::isnan(value) || weight == 0) return;
    const Fraction w(weight), v(value);
    count += w;
    sum += w * v;
    squares += w * v * v;
  }
  void add(const ExactMoments& part, std::int64_t times = 1) {
    count += part.count * times;
    sum += part.sum * times;
    squares += part.squares * times;
  }
  Fraction mean() const { return sum / count; }
  Fraction m2() const { return squares - sum * sum / count; }
};

inline std::vector<ExactMoments> exact_moments(const Table& table,
                                               const std::vector<double>& weights = {}) {
  std::vector<ExactMoments> result(static_cast<std::size_t>(table.columns));
  for (std::int64_t i = 0; i < table.rows; ++i) {
    for (std::int64_t j = 0; j < table.columns; ++j) {
      result[static_cast<std::size_t>(j)].add(
          table.at(i, j), weights.empty() ? 1 : weights[static_cast<std::size_t>(i)]);
    }
  }
  return result;
}

// |got - want| / |scale|.
inline double relative_error(DoubleDouble got, const Fraction& want, const Fraction& scale) {
  const Fraction error = abs(exact(got) - want);
  if (error == 0) return 0;
  return scale == 0 ? kInf : static_cast<double>(Fraction(error / abs(scale)));
}

// The bound that the library states: 1e-12, of the mean or, where that is smaller, of the standard
// deviation, and of M2. Empty where it holds, else what is wrong.
inline std::string far_from_exact(const ColumnMoments& got, const ExactMoments& want) {
  if (want.count == 0) return got == ColumnMoments{} ? "" : "something of nothing";
  const double count = relative_error(got.count, want.count, want.count);
  const double m2 = relative_error(got.m2, want.m2(), want.m2());
  const Fraction deviation(std::sqrt(static_cast<double>(Fraction(want.m2() / want.count))));
  const Fraction size = abs(want.mean()) > deviation ? Fraction(abs(want.mean())) : deviation;
  const double mean = relative_error(got.mean, want.mean(), size);
  if (count <= 1e-12 && mean <= 1e-12 && m2 <= 1e-12) return "";
  return "relative errors: count " + std::to_string(count * 1e12) + "e-12, mean " +
         std::to_string(mean * 1e12) + "e-12, m2 " + std::to_string(m2 * 1e12) + "e-12";
}

}  // namespace omninorm::scaler_tests
