#include "cli/scale/profile.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "cli/interrupt.h"
#include "cli/program.h"
#include "cli/scale/columns.h"

namespace omninorm::cli {
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double deviations =
    5;  // beyond that a value is an outlier: one of 1.7 million normal ones

// Reads the table's fitted columns, in the scaler's order, batch by batch: column j of `rows` rows
// begins at values + j * rows.
using Take = std::function<void(std::vector<double>& values, std::int64_t rows)>;

std::int64_t read_columns(const Scaler& scaler, const std::string& file, const TableFlags& flags,
                          bool again, const Take& take) {
  ReadOptions options = flags.options();
  options.others = false;
  const auto reader = open_table(file, options, flags.from);
  if (!reader->bytes()) {
    throw UsageError(
        fmt::format("{}: a page of histograms reads the data twice, and a pipe can be "
                    "read once: expected a file",
                    file == "-" ? "standard input" : file));
  }
  const std::vector<std::size_t> columns = match_columns(reader->schema(), scaler, file);
  if (!again && named_without_use(reader->schema(), scaler)) {
    note(flags.quiet, file + by_place_note);
  }
  reader->select(columns);
  const std::vector<std::size_t> places = number_places(reader->schema());
  ByteProgress progress(flags.quiet, file, "");
  Batch batch;
  std::vector<double> values;
  std::int64_t rows = 0;
  while (reader->next(batch)) {
    check_interrupt();
    values.resize(columns.size() * static_cast<std::size_t>(batch.rows));
    for (std::size_t j = 0; j < columns.size(); ++j) {
      const auto place = static_cast<std::int64_t>(places[columns[j]]);
      std::copy_n(batch.numbers.begin() + place * batch.stride, batch.rows,
                  values.begin() + static_cast<std::int64_t>(j) * batch.rows);
    }
    take(values, batch.rows);
    rows += batch.rows;
    progress.show(*reader);
  }
  return rows;
}

bool standardises(const Scaler& scaler) {
  const auto* const z_score = dynamic_cast<const ZScoreScaler*>(&scaler);
  return z_score == nullptr || (z_score->options().with_mean && z_score->options().with_std);
}

// Where scaled values are expected, the same for all columns; of a scaler that leaves columns in
// units of their own, the scaled ends of the bins before.
Histogram bins_after(const Scaler& scaler, std::int64_t j, const Histogram& before) {
  Histogram bins;
  if (const auto* const min_max = dynamic_cast<const MinMaxScaler*>(&scaler)) {
    const double low = min_max->options().low, high = min_max->options().high;
    // Forty bins from middle to middle, as values at both ends are many; and a quarter beyond.
    const double bin = high / 40 - low / 40;
    bins.low = low - 10.5 * bin;
    bins.high = high + 10.5 * bin;
    bins.counts.assign(61, 0);
  } else if (standardises(scaler)) {
    bins.low = -5.1;
    bins.high = 5.1;
    bins.counts.assign(51, 0);
  } else {
    double ends[] = {before.low, before.high};
    const std::int64_t columns[] = {j};
    const Tensor x(ends, {2, 1});
    scaler.transform(x, x, columns);
    bins.low = ends[0];
    bins.high = ends[1] > ends[0] ? ends[1] : ends[0] + 1;
    bins.counts.assign(before.counts.size(), 0);
  }
  return bins;
}

void add_second_pass(const Scaler& scaler, TableProfile& profile, std::vector<double>& values,
                     std::int64_t rows) {
  const auto each = [&](const auto& take) {
    for (std::size_t j = 0; j < profile.columns.size(); ++j) {
      const double* const column = values.data() + static_cast<std::int64_t>(j) * rows;
      for (std::int64_t i = 0; i < rows; ++i) {
        if (std::isfinite(column[i])) take(profile.columns[j], column[i]);
      }
    }
  };
  each([](ColumnProfile& column, double value) {
    column.bins_before.add(value);
    column.below += value < column.fitted.low ? 1 : 0;
    column.above += value > column.fitted.high ? 1 : 0;
  });
  const std::int64_t sizes[] = {rows, std::ssize(profile.columns)};
  const std::int64_t strides[] = {1, rows};
  const Tensor x(values.data(), DType::f64, sizes, strides);
  scaler.transform(x, x, {}, {&serial_executor(), {}});
  each([](ColumnProfile& column, double value) { column.bins_after.add(value); });
  for (std::size_t j = 0; j < profile.columns.size(); ++j) {
    profile.columns[j].after.add(values.data() + static_cast<std::int64_t>(j) * rows, rows);
  }
}

}  // namespace

FittedColumn fitted_column(const Scaler& scaler, std::int64_t j) {
  FittedColumn fitted = {scaler.summary(j), nan, nan, nan, nan, nan, nan};
  if (fitted.summary.count == 0) return fitted;
  const auto at = static_cast<std::size_t>(j);
  if (const auto* const min_max = dynamic_cast<const MinMaxScaler*>(&scaler)) {
    fitted.low = fitted.minimum = min_max->extremes()[at].minimum;
    fitted.high = fitted.maximum = min_max->extremes()[at].maximum;
    return fitted;
  }
  double variance = nan;
  if (const auto* const z_score = dynamic_cast<const ZScoreScaler*>(&scaler)) {
    fitted.mean = z_score->moments()[at].mean.high;
    variance = z_score->variance(j);
  } else {
    const auto& running = dynamic_cast<const RunningScaler&>(scaler);
    fitted.mean = running.moments()[at].mean;
    variance = running.variance(j);
  }
  fitted.deviation = std::sqrt(variance);
  const double reach = fitted.summary.constant ? 0 : deviations * fitted.deviation;
  fitted.low = fitted.mean - reach;
  fitted.high = fitted.mean + reach;
  return fitted;
}

const char* outlier_words(const Scaler& scaler) {
  return dynamic_cast<const MinMaxScaler*>(&scaler) != nullptr
             ? "outside the fitted range"
             : "more than 5 standard deviations from the fitted mean";
}

TableProfile profile_table(const Scaler& scaler, const std::string& file, const TableFlags& flags) {
  TableProfile profile;
  std::vector<Sample> samples(static_cast<std::size_t>(scaler.columns()));
  for (std::int64_t j = 0; j < scaler.columns(); ++j) {
    ColumnProfile& column = profile.columns.emplace_back();
    const auto& names = scaler.fitted_on().column_names;
    column.name = names.empty() ? std::to_string(j) : names[static_cast<std::size_t>(j)];
    column.fitted = fitted_column(scaler, j);
  }
  profile.rows = read_columns(
      scaler, file, flags, false, [&](const std::vector<double>& values, std::int64_t rows) {
        for (std::size_t j = 0; j < samples.size(); ++j) {
          const double* const column = values.data() + static_cast<std::int64_t>(j) * rows;
          profile.columns[j].before.add(column, rows);
          for (std::int64_t i = 0; i < rows; ++i) {
            if (std::isfinite(column[i])) samples[j].add(column[i]);
          }
        }
      });
  for (std::size_t j = 0; j < samples.size(); ++j) {
    ColumnProfile& column = profile.columns[j];
    column.bins_before = bins_for(samples[j], column.before);
    column.bins_after = bins_after(scaler, static_cast<std::int64_t>(j), column.bins_before);
  }
  const std::int64_t again =
      read_columns(scaler, file, flags, true, [&](std::vector<double>& values, std::int64_t rows) {
        add_second_pass(scaler, profile, values, rows);
      });
  if (again != profile.rows) {
    throw UsageError(fmt::format("{}: the file changed while it was read: {} rows, then {}", file,
                                 profile.rows, again));
  }
  return profile;
}

}  // namespace omninorm::cli
