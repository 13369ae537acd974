// Data scalers: every column of a matrix brought to mean 0 and standard deviation 1 (z-score), or
// into a range (min-max). Fitted in one pass, in parts of any size, merged exactly, inverted,
// saved. docs/scalers.md: formulas, error bounds, the file.
//
// All take x [rows, columns], f32 or f64, any strides (row-major, column-major, a part of a larger
// matrix). A missing value is NaN: fit leaves it out, transform keeps it. A call that cannot do
// what is asked throws Error, and has then changed nothing; nor has one that throws
// std::bad_alloc, but that transform may then have written a part of y.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "omninorm/error.h"
#include "omninorm/executor.h"
#include "omninorm/tensor.h"

namespace omninorm {

namespace internal {
template <class Pointer>
struct BasicMatrix;
using Matrix = BasicMatrix<const void*>;
struct ScaleColumn;
struct ScalerJson;
struct ScalerLoader;
}  // namespace internal

// An unevaluated sum of two doubles, |low| at most half a unit in the last place of high: 106 bits.
struct DoubleDouble {
  double high = 0;
  double low = 0;

  bool operator==(const DoubleDouble&) const = default;
};

// Sum of weights, mean, and sum of squared deviations from it, of one column.
struct ColumnMoments {
  DoubleDouble count{};
  DoubleDouble mean{};
  DoubleDouble m2{};

  bool operator==(const ColumnMoments&) const = default;
};

// The moments of both parts together (Chan, Golub and LeVeque 1979), the same bits whichever comes
// first.
ColumnMoments merge(const ColumnMoments& a, const ColumnMoments& b);

struct ColumnExtremes {
  DoubleDouble count{};  // sum of weights; where it is 0, there is no minimum and no maximum
  double minimum = 0;
  double maximum = 0;

  bool operator==(const ColumnExtremes&) const = default;
};
ColumnExtremes merge(const ColumnExtremes& a, const ColumnExtremes& b);

// Thrown by fit for a value or a weight that it cannot take. `row` counts from 0 in the x of that
// call; column is -1 for a weight.
struct ValueError : Error {
  ValueError(const std::string& message, std::int64_t row, std::int64_t column, double value)
      : Error(message), row(row), column(column), value(value) {}
  std::int64_t row, column;
  double value;
};

// An infinity in fit's x: an error that names row and column, or left out like NaN. transform
// passes infinities through.
enum class Infinite : std::uint8_t { error, ignore };

// biased: divided by n (scikit-learn's). unbiased: by n - 1; a column of one value is then
// constant.
enum class Variance : std::uint8_t { biased, unbiased };

// What a scaler was fitted on. Not part of the fitted state: merge joins the sources, and two
// scalers with the same state may differ here.
struct FittedOn {
  std::vector<std::string> column_names;  // empty: not known; else one a column
  // All columns, in order, of the table that those were chosen from; empty: not known, or of
  // several tables. Where column_names are not empty, they are among them.
  std::vector<std::string> table_columns;
  std::string dtype;                 // "f32", "f64", "mixed" (of parts); empty: nothing yet
  std::string time;                  // ISO 8601 UTC of the last fit; empty: the caller kept none
  std::vector<std::string> sources;  // files, hosts, partitions: whatever the caller says
};

// One column as people read it.
struct ColumnSummary {
  double count = 0;       // sum of weights of the values that were not missing
  double center = 0;      // what transform subtracts
  double scale = 1;       // what it divides by, before it goes to a target range
  bool constant = false;  // the scale is 1 because the column's spread cannot be resolved
};

class Scaler {
 public:
  virtual ~Scaler() = default;

  // "z_score", "min_max" or "running".
  virtual const char* kind() const = 0;
  virtual std::unique_ptr<Scaler> clone() const = 0;

  // Forgets what was fitted, fitted_on() included, then partial_fit.
  void fit(const ConstTensor& x, const ConstTensor& sample_weight = {},
           const Context& context = {});

  // More rows. sample_weight [rows], f32 or f64, >= 0: how often the row counts (frequency weights;
  // fractions allowed; a row of weight 0 is not looked at; their sum, and that of all calls in each
  // column, is 0, or from 2^-500 to 2^500). The number of columns is that of the first call.
  void partial_fit(const ConstTensor& x, const ConstTensor& sample_weight = {},
                   const Context& context = {});

  // The same with x in parts that lie side by side, each [rows, columns of that part]: tables that
  // keep every column by itself have it so.
  void partial_fit_parts(std::span<const ConstTensor> parts, const ConstTensor& sample_weight = {},
                         const Context& context = {});

  // Takes in what another scaler with the same options has seen. a.merge(b) and b.merge(a) have the
  // same state, bit for bit. A scaler that has seen nothing is neutral. RunningScaler throws: what
  // it forgot depends on the order of rows.
  void merge(const Scaler& other);

  // y [rows, columns] of x's sizes, f32 or f64, may be x. `columns` says which fitted column each
  // column of x is; empty: all of them, in order.
  void transform(const ConstTensor& x, const Tensor& y, std::span<const std::int64_t> columns = {},
                 const Context& context = {}) const;
  void inverse_transform(const ConstTensor& x, const Tensor& y,
                         std::span<const std::int64_t> columns = {},
                         const Context& context = {}) const;

  std::int64_t columns() const { return columns_; }  // -1: nothing was fitted yet
  std::int64_t rows() const { return rows_; }        // seen by all calls of fit, missing or not

  // What transform does to column j, 0 <= j < columns().
  virtual ColumnSummary summary(std::int64_t j) const = 0;

  FittedOn& fitted_on() { return fitted_on_; }
  const FittedOn& fitted_on() const { return fitted_on_; }

  // Versioned JSON; every double reads back as the same bits. load_scaler() takes it. Throws Error
  // for column names that are not one a column, or not UTF-8; leaves out table_columns that are
  // not.
  std::string to_json() const;

  // Same kind, options and state; fitted_on() is not compared.
  virtual bool same_state(const Scaler& other) const = 0;

 protected:
  Scaler() = default;
  Scaler(const Scaler&) = default;
  Scaler& operator=(const Scaler&) = default;

  // What a kind of scaler adds; the checks are done. take() moves what another of its kind holds.
  virtual void reset() = 0;
  virtual void take(Scaler&& other) = 0;
  virtual void add_rows(std::span<const internal::Matrix> parts, const double* weights,
                        Executor& executor) = 0;
  virtual void add_scaler(const Scaler& other) = 0;
  virtual internal::ScaleColumn column_transform(std::int64_t j, bool inverse) const = 0;
  virtual void write_json(internal::ScalerJson& json) const = 0;

 private:
  friend struct internal::ScalerLoader;
  void apply(const char* call, bool inverse, const ConstTensor& x, const Tensor& y,
             std::span<const std::int64_t> columns, const Context& context) const;

  std::int64_t columns_ = -1;
  std::int64_t rows_ = 0;
  FittedOn fitted_on_;
};

struct ZScoreOptions {
  Variance variance = Variance::biased;
  bool with_mean = true;  // false: transform does not subtract the mean
  bool with_std = true;   // false: transform does not divide by the standard deviation
  Infinite infinite = Infinite::error;

  bool operator==(const ZScoreOptions&) const = default;
};

// y = (x - mean) / standard deviation.
//
// Moments are kept as two doubles each, so that any split of the rows into calls of partial_fit and
// any tree of merges agree with the exact result to 1e-12 relative (M2; the mean to 1e-12 of itself
// or of the standard deviation, whichever is larger). A column is constant, and its
// scale 1, where the standard deviation is at most 2^-98 |mean|, or 2^-500: below that the stored
// numbers cannot tell it from 0. (With a sum of weights w far below 1, M2 underflows earlier: at
// about 2^-511 / sqrt(w).)
class ZScoreScaler final : public Scaler {
 public:
  explicit ZScoreScaler(const ZScoreOptions& options = {});

  const ZScoreOptions& options() const { return options_; }
  const std::vector<ColumnMoments>& moments() const { return moments_; }
  double variance(std::int64_t j) const;  // NaN where there are too few values

  const char* kind() const override { return "z_score"; }
  std::unique_ptr<Scaler> clone() const override;
  ColumnSummary summary(std::int64_t j) const override;
  bool same_state(const Scaler& other) const override;

 protected:
  void reset() override;
  void take(Scaler&& other) override;
  void add_rows(std::span<const internal::Matrix> parts, const double* weights,
                Executor& executor) override;
  void add_scaler(const Scaler&) override;
  internal::ScaleColumn column_transform(std::int64_t j, bool inverse) const override;
  void write_json(internal::ScalerJson& json) const override;

 private:
  friend struct internal::ScalerLoader;
  ZScoreOptions options_;
  std::vector<ColumnMoments> moments_;
};

struct MinMaxOptions {
  double low = 0;  // the target range, low < high
  double high = 1;
  // transform brings values beyond the fitted ones to the range's ends, in f64: a y of f32 is that
  // rounded, and 0.1f > 0.1.
  bool clip = false;
  Infinite infinite = Infinite::error;

  bool operator==(const MinMaxOptions&) const = default;
};

// y = (x - minimum) / (maximum - minimum) * (high - low) + low. A fitted value never leaves the
// range by rounding (of f64). A column is constant where its range is 0, or so small that the
// factor overflows; the range counts as 1 then. One so large that the factor is below 2^-1022,
// where doubles have fewer digits, is an Error of fit. Minimum and maximum have the same bits for
// any chunks and merges; so has the count where weights are whole.
class MinMaxScaler final : public Scaler {
 public:
  explicit MinMaxScaler(const MinMaxOptions& options = {});

  const MinMaxOptions& options() const { return options_; }
  const std::vector<ColumnExtremes>& extremes() const { return extremes_; }

  const char* kind() const override { return "min_max"; }
  std::unique_ptr<Scaler> clone() const override;
  ColumnSummary summary(std::int64_t j) const override;
  bool same_state(const Scaler& other) const override;

 protected:
  void reset() override;
  void take(Scaler&& other) override;
  void add_rows(std::span<const internal::Matrix> parts, const double* weights,
                Executor& executor) override;
  void add_scaler(const Scaler&) override;
  internal::ScaleColumn column_transform(std::int64_t j, bool inverse) const override;
  void write_json(internal::ScalerJson& json) const override;

 private:
  friend struct internal::ScalerLoader;
  MinMaxOptions options_;
  std::vector<ColumnExtremes> extremes_;
};

struct RunningOptions {
  // The share of its weight that a value loses with every later row, 0 < alpha < 1.
  double alpha = 0.01;
  Variance variance = Variance::biased;
  Infinite infinite = Infinite::error;

  bool operator==(const RunningOptions&) const = default;
};

// The alpha with which a value counts half after `rows` more rows, rows > 0.
double alpha_of_half_life(double rows);

// Weights (1 - alpha)^age, their sum, the sum of their squares, and the weighted mean and squared
// deviations.
struct RunningMoments {
  double weight = 0;
  double weight_squares = 0;
  double mean = 0;
  double m2 = 0;

  bool operator==(const RunningMoments&) const = default;
};

// Z-score with exponential forgetting, for streams: row i of n has the weight (1 - alpha)^(n - i),
// and weights are divided by their sum, so there is no bias at the start (pandas' ewm with
// adjust=True). A missing value leaves its column as it is, age included. A row of sample_weight w
// has w times its weight, and is one row older than the next: w = 3 is not the row three times.
// Any split into calls gives the same bits.
class RunningScaler final : public Scaler {
 public:
  explicit RunningScaler(const RunningOptions& options = {});

  const RunningOptions& options() const { return options_; }
  const std::vector<RunningMoments>& moments() const { return moments_; }
  double variance(std::int64_t j) const;  // NaN where there are too few values

  const char* kind() const override { return "running"; }
  std::unique_ptr<Scaler> clone() const override;
  ColumnSummary summary(std::int64_t j) const override;
  bool same_state(const Scaler& other) const override;

 protected:
  void reset() override;
  void take(Scaler&& other) override;
  void add_rows(std::span<const internal::Matrix> parts, const double* weights,
                Executor& executor) override;
  void add_scaler(const Scaler&) override;
  internal::ScaleColumn column_transform(std::int64_t j, bool inverse) const override;
  void write_json(internal::ScalerJson& json) const override;

 private:
  friend struct internal::ScalerLoader;
  RunningOptions options_;
  std::vector<RunningMoments> moments_;
};

// The scaler that Scaler::to_json() wrote. Throws Error for text that is no JSON, not of a scaler,
// cut short, of another version, or whose numbers cannot be: the message says where.
std::unique_ptr<Scaler> load_scaler(std::string_view json);

// The same with a file; it is replaced in one step, so that a reader, or a kill, sees the old file
// or the new. Also throw std::system_error, with the path and the reason.
void save_scaler(const Scaler& scaler, const std::string& path);
std::unique_ptr<Scaler> read_scaler(const std::string& path);

}  // namespace omninorm
