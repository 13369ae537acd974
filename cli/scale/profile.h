// What the columns of a table look like before a scaler's transform and after it. Two passes over
// the table; memory grows with columns alone.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cli/scale/common.h"
#include "cli/scale/histogram.h"
#include "omninorm/scaler.h"

namespace omninorm::cli {

// What a scaler knows of a column, in the table's units.
struct FittedColumn {
  ColumnSummary summary;
  double mean = 0, deviation = 0;   // z-score and running; NaN: not known
  double minimum = 0, maximum = 0;  // min-max; NaN: not known
  double low = 0, high = 0;         // values beyond count as outliers; NaN: none do
};
FittedColumn fitted_column(const Scaler& scaler, std::int64_t j);

// "beyond 5 standard deviations"
const char* outlier_words(const Scaler& scaler);

struct ColumnProfile {
  std::string name;
  FittedColumn fitted;
  Figures before, after;
  Histogram bins_before, bins_after;
  std::int64_t below = 0, above = 0;  // outliers; infinities are no values
};

struct TableProfile {
  std::int64_t rows = 0;
  std::vector<ColumnProfile> columns;  // the fitted ones, in the scaler's order
};

// UsageError for a table that has not the fitted columns, or can be read once only.
TableProfile profile_table(const Scaler& scaler, const std::string& file, const TableFlags& flags);

}  // namespace omninorm::cli
