#include "omninorm/scaler.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <limits>
#include <numeric>
#include <system_error>
#include <tuple>

#include "src/core/atomic_file.h"
#include "src/core/check.h"
#include "src/core/overlap.h"
#include "src/scaler/double_double.h"
#include "src/scaler/scaler_checks.h"

namespace omninorm {

using namespace internal;

ColumnMoments merge(const ColumnMoments& a, const ColumnMoments& b) {
  if (a.count.high == 0) return b;
  if (b.count.high == 0) return a;
  const auto key = [](const ColumnMoments& m) {
    return std::tuple(m.count.high, m.count.low, m.mean.high, m.mean.low, m.m2.high, m.m2.low);
  };
  // The larger part first: what is added to its mean is the smaller share. One order for both
  // calls.
  const bool in_order = key(b) <= key(a);
  const ColumnMoments& more = in_order ? a : b;
  const ColumnMoments& less = in_order ? b : a;
  const DoubleDouble count = more.count + less.count;
  const DoubleDouble delta = less.mean - more.mean;
  const DoubleDouble share = less.count / count;
  return {count, more.mean + delta * share,
          more.m2 + less.m2 + delta * delta * (more.count * share)};
}

ColumnExtremes merge(const ColumnExtremes& a, const ColumnExtremes& b) {
  if (a.count.high == 0) return b;
  if (b.count.high == 0) return a;
  // -0 and 0 are equal: + 0 makes the result the same for both orders.
  return {a.count + b.count, std::min(a.minimum, b.minimum) + 0.0,
          std::max(a.maximum, b.maximum) + 0.0};
}

namespace {

void check_same_names(const std::string& op, const std::vector<std::string>& a,
                      const std::vector<std::string>& b) {
  if (a.empty() || b.empty()) return;
  if (a.size() != b.size()) {
    fail(op, std::to_string(a.size()) + " column names in both scalers", std::to_string(b.size()));
  }
  for (std::size_t j = 0; j < a.size(); ++j) {
    if (a[j] == b[j]) continue;
    fail(op, "column " + std::to_string(j) + " to be \"" + a[j] + "\" in both scalers",
         "\"" + b[j] + "\"");
  }
}

FittedOn joined(FittedOn on, const FittedOn& other) {
  if (on.dtype.empty()) {  // nothing was fitted here yet
    on.table_columns = other.table_columns;
  } else if (!other.dtype.empty() && on.table_columns != other.table_columns) {
    on.table_columns.clear();
  }
  if (on.column_names.empty()) on.column_names = other.column_names;
  if (on.dtype.empty()) on.dtype = other.dtype;
  if (!other.dtype.empty() && on.dtype != other.dtype) on.dtype = "mixed";
  on.time = std::max(on.time, other.time);
  on.sources.insert(on.sources.end(), other.sources.begin(), other.sources.end());
  return on;
}

}  // namespace

void Scaler::fit(const ConstTensor& x, const ConstTensor& sample_weight, const Context& context) {
  const std::unique_ptr<Scaler> fresh = clone();
  fresh->reset();
  fresh->columns_ = -1;
  fresh->rows_ = 0;
  fresh->fitted_on_ = {};
  fresh->partial_fit(x, sample_weight, context);
  take(std::move(*fresh));
}

void Scaler::partial_fit(const ConstTensor& x, const ConstTensor& sample_weight,
                         const Context& context) {
  partial_fit_parts({&x, 1}, sample_weight, context);
}

void Scaler::partial_fit_parts(std::span<const ConstTensor> parts, const ConstTensor& sample_weight,
                               const Context& context) {
  const std::string op = op_name(*this);
  std::vector<Matrix> matrices;
  matrices.reserve(parts.size());
  for (const ConstTensor& x : parts) {
    matrices.push_back(check_matrix(op, "x", x));
    if (matrices.back().rows != matrices.front().rows) {
      fail(op, "parts of x of " + std::to_string(matrices.front().rows) + " rows each",
           std::to_string(matrices.back().rows));
    }
  }
  const std::int64_t columns = columns_of(matrices);
  if (columns < 1) fail(op, "x with at least one column", "none");
  if (columns_ >= 0 && columns != columns_) {
    fail(op, "x of " + std::to_string(columns_) + " columns, as fitted before",
         std::to_string(columns));
  }
  const std::int64_t rows = matrices.front().rows;
  if (rows > std::numeric_limits<std::int64_t>::max() - rows_) {
    fail(op, "at most 2^63 - 1 rows in all", "more");
  }
  const std::vector<double> weights = check_weights(op, sample_weight, rows);
  Executor& executor = context.executor ? *context.executor : default_executor();
  add_rows(matrices, weights.empty() ? nullptr : weights.data(), executor);
  columns_ = columns;
  rows_ += rows;
  for (const ConstTensor& x : parts) {
    if (x.sizes[1] == 0) continue;
    const std::string dtype = omninorm::name(x.dtype);
    if (fitted_on_.dtype != dtype) {
      fitted_on_.dtype = fitted_on_.dtype.empty() ? dtype : "mixed";
    }
  }
}

void Scaler::merge(const Scaler& other) {
  const std::string op = op_name(*this);
  if (std::string(other.kind()) != kind()) {
    fail(op, std::string("another ") + kind() + " scaler to merge", other.kind());
  }
  if (columns_ >= 0 && other.columns_ >= 0 && columns_ != other.columns_) {
    fail(op, "a scaler of " + std::to_string(columns_) + " columns to merge",
         std::to_string(other.columns_));
  }
  check_same_names(op, fitted_on_.column_names, other.fitted_on_.column_names);
  if (other.rows_ > std::numeric_limits<std::int64_t>::max() - rows_) {
    fail(op, "at most 2^63 - 1 rows in all", "more");
  }
  if (this == &other) {
    merge(*clone());
    return;
  }
  FittedOn on = joined(fitted_on_, other.fitted_on_);
  add_scaler(other);
  rows_ += other.rows_;
  columns_ = std::max(columns_, other.columns_);
  fitted_on_ = std::move(on);
}

void Scaler::transform(const ConstTensor& x, const Tensor& y, std::span<const std::int64_t> columns,
                       const Context& context) const {
  apply("transform", false, x, y, columns, context);
}

void Scaler::inverse_transform(const ConstTensor& x, const Tensor& y,
                               std::span<const std::int64_t> columns,
                               const Context& context) const {
  apply("inverse_transform", true, x, y, columns, context);
}

void Scaler::apply(const char* call, bool inverse, const ConstTensor& x, const Tensor& y,
                   std::span<const std::int64_t> columns, const Context& context) const {
  const std::string op = op_name(*this);
  if (columns_ < 0) fail(op, std::string("fit before ") + call, "a scaler that has seen nothing");
  const Matrix from = check_matrix(op, "x", x);
  const Matrix checked = check_matrix(op, "y", y);
  const MutableMatrix to = {y.data,          checked.f64,        checked.rows,
                            checked.columns, checked.row_stride, checked.column_stride};
  const std::int64_t wanted =
      columns.empty() ? columns_ : static_cast<std::int64_t>(columns.size());
  if (from.columns != wanted) {
    fail(op,
         "x of " + std::to_string(wanted) + " columns, " +
             (columns.empty() ? "as fitted" : "one for each of `columns`"),
         std::to_string(from.columns));
  }
  if (to.rows != from.rows || to.columns != from.columns) {
    fail(op, "y of the shape of x, " + shape_text({x.sizes.data(), 2}),
         shape_text({y.sizes.data(), 2}));
  }
  if (y.elements() != 0 && may_overlap_itself(y)) {
    fail(op, "y with an element of its own at every index",
         "strides " + shape_text({y.strides.data(), 2}));
  }
  if (!(same_memory(x, y) && x.dtype == y.dtype) && overlap(x, y)) {
    fail(op, "y to be x itself or apart from it", "two that share memory");
  }
  std::vector<ScaleColumn> scales;
  scales.reserve(static_cast<std::size_t>(wanted));
  for (std::int64_t j = 0; j < wanted; ++j) {
    const std::int64_t column = columns.empty() ? j : columns[static_cast<std::size_t>(j)];
    if (column < 0 || column >= columns_) {
      fail(op, "columns from 0 to " + std::to_string(columns_ - 1), std::to_string(column));
    }
    scales.push_back(column_transform(column, inverse));
  }
  Executor& executor = context.executor ? *context.executor : default_executor();
  scale_columns(from, to, scales.data(), executor);
}

namespace {

// Not of std::ifstream, which opens a folder and then throws without its path.
std::string file_text(const std::string& path) {
  std::string text;
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"),
                                                             &std::fclose);
  bool good = file != nullptr;
  for (std::size_t got = 1; good && got != 0;) {
    char buffer[1 << 14];
    got = std::fread(buffer, 1, sizeof buffer, file.get());
    text.append(buffer, got);
    good = !std::ferror(file.get());
  }
  if (!good) throw std::system_error(errno, std::generic_category(), "cannot read " + path);
  return text;
}

}  // namespace

void save_scaler(const Scaler& scaler, const std::string& path) {
  write_file_atomically(path, scaler.to_json());
}

std::unique_ptr<Scaler> read_scaler(const std::string& path) {
  const std::string text = file_text(path);
  try {
    return load_scaler(text);
  } catch (const Error& error) {
    throw Error(path + ": " + error.what());
  }
}

}  // namespace omninorm
