// What every kind of scaler does in the same way with its entry for each column.
#pragma once

#include <limits>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "src/core/check.h"
#include "src/scaler/column_kernels.h"
#include "src/scaler/fit_plan.h"
#include "src/scaler/scaler_checks.h"

namespace omninorm::internal {

// A scaler's file under construction: options, and one object a column.
struct ScalerJson {
  nlohmann::ordered_json options = nlohmann::ordered_json::object();
  std::vector<nlohmann::ordered_json> columns;
};

// (high - low) / range of min-max, 0 / 0 and infinite included. A smaller one has lost digits.
inline bool is_factor(double factor) { return !(factor < std::numeric_limits<double>::min()); }
inline constexpr const char* kFactors = "(high - low) / range of at least 2^-1022";

// NaN where there are too few values, infinite where it fits no double: a state that is refused.
double variance_of(const ColumnMoments& m, Variance variance);
double variance_of(const RunningMoments& m, Variance variance);

nlohmann::ordered_json pair_of(DoubleDouble value);
const char* name(Infinite infinite);
const char* name(Variance variance);

// Takes rows into a copy of the columns' state, part by part by `add(part, its columns)`, and keeps
// it if all was well; `check(column, j)` throws for a result that cannot be.
template <class Column, class Add, class Check>
void add_to_copy(const std::string& op, std::vector<Column>& state, std::span<const Matrix> parts,
                 Add&& add, Check&& check) {
  std::vector<Column> next = state;
  next.resize(static_cast<std::size_t>(columns_of(parts)));
  BadValue worst;
  std::int64_t first = 0;
  for (const Matrix& x : parts) {
    if (x.columns == 0) continue;
    BadValue bad = add(x, next.data() + first);
    if (bad) bad.column += first;
    keep_first(worst, bad);
    first += x.columns;
  }
  check_values(op, worst);
  for (std::size_t j = 0; j < next.size(); ++j) check(next[j], static_cast<std::int64_t>(j));
  state = std::move(next);
}

// Merges column by column; `check` throws for a result that cannot be.
template <class Column, class Check>
void merge_columns(std::vector<Column>& state, const std::vector<Column>& other, Check&& check) {
  std::vector<Column> next = state;
  next.resize(std::max(state.size(), other.size()));
  for (std::size_t j = 0; j < other.size(); ++j) {
    next[j] = merge(next[j], other[j]);
    check(next[j], static_cast<std::int64_t>(j));
  }
  state = std::move(next);
}

template <class Options>
void check_same_options(const std::string& op, const Options& a, const Options& b) {
  if (!(a == b)) fail(op, "scalers with the same options to merge", "different ones");
}

}  // namespace omninorm::internal
