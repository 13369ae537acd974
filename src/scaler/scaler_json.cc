// The file of a scaler, and what is refused when it is read.
#include <algorithm>
#include <cmath>

#include "src/scaler/double_double.h"
#include "src/scaler/scaler_state.h"

namespace omninorm {
namespace internal {

using nlohmann::json;
using nlohmann::ordered_json;

namespace {

constexpr const char* kFormat = "omninorm-scaler";
constexpr int kVersion = 1;

[[noreturn]] void refuse(const std::string& where, const std::string& expected,
                         const std::string& got) {
  fail("scaler", expected + " at " + where, got);
}

// A short text of what stands there instead. Not the text of lists and objects: one that is nested
// deeply enough would end the stack.
std::string shown(const json& value) {
  if (value.is_structured()) return value.is_array() ? "a list" : "an object";
  std::string text = value.dump(-1, ' ', true, json::error_handler_t::replace);
  if (text.size() > 40) text = text.substr(0, 37) + "...";
  return text;
}

const json& member(const json& object, const std::string& where, const char* key) {
  if (!object.is_object()) refuse(where, "an object", shown(object));
  const auto found = object.find(key);
  if (found == object.end()) refuse(where, std::string("\"") + key + "\"", "no such entry");
  return *found;
}

double number_at(const json& value, const std::string& where) {
  if (!value.is_number() || !std::isfinite(value.get<double>())) {
    refuse(where, "a finite number", shown(value));
  }
  return value.get<double>();
}

double number_of(const json& object, const std::string& where, const char* key) {
  return number_at(member(object, where, key), where + "." + key);
}

double at_least_0(const json& object, const std::string& where, const char* key) {
  const double value = number_of(object, where, key);
  if (!(value >= 0)) refuse(where + "." + key, "a number >= 0", number_text(value));
  return value;
}

DoubleDouble two_doubles(const json& object, const std::string& where, const char* key) {
  const std::string here = where + "." + key;
  const json& pair = member(object, where, key);
  if (!pair.is_array() || pair.size() != 2) refuse(here, "two numbers, [high, low]", shown(pair));
  const DoubleDouble value{number_at(pair[0], here), number_at(pair[1], here)};
  if (two_sum(value.high, value.low) != value) {
    refuse(here, "two numbers of which the first is their rounded sum", shown(pair));
  }
  return value;
}

DoubleDouble two_at_least_0(const json& object, const std::string& where, const char* key) {
  const DoubleDouble value = two_doubles(object, where, key);
  if (!(value.high >= 0)) refuse(where + "." + key, "numbers >= 0", number_text(value.high));
  return value;
}

DoubleDouble count_of(const json& column, const std::string& where) {
  const DoubleDouble count = two_at_least_0(column, where, "count");
  if (!is_count(count.high)) refuse(where + ".count", kCounts, number_text(count.high));
  return count;
}

bool truth_of(const json& object, const std::string& where, const char* key) {
  const json& value = member(object, where, key);
  if (!value.is_boolean()) refuse(where + "." + key, "true or false", shown(value));
  return value.get<bool>();
}

std::string text_of(const json& object, const std::string& where, const char* key) {
  const json& value = member(object, where, key);
  if (!value.is_string()) refuse(where + "." + key, "a text", shown(value));
  return value.get<std::string>();
}

template <class Enum>
Enum choice_of(const json& object, const std::string& where, const char* key, Enum a, Enum b) {
  const std::string text = text_of(object, where, key);
  for (const Enum choice : {a, b}) {
    if (text == name(choice)) return choice;
  }
  refuse(where + "." + key, std::string("\"") + name(a) + "\" or \"" + name(b) + "\"",
         shown(member(object, where, key)));
}

Infinite infinite_in(const json& options) {
  return choice_of(options, "options", "infinite", Infinite::error, Infinite::ignore);
}

Variance variance_in(const json& options) {
  return choice_of(options, "options", "variance", Variance::biased, Variance::unbiased);
}

std::vector<std::string> texts_of(const json& object, const std::string& where, const char* key) {
  const json& list = member(object, where, key);
  if (!list.is_array()) refuse(where + "." + key, "a list of texts", shown(list));
  std::vector<std::string> texts;
  for (const json& text : list) {
    if (!text.is_string()) refuse(where + "." + key, "a list of texts", shown(text));
    texts.push_back(text.get<std::string>());
  }
  return texts;
}

ColumnMoments moments_of(const ZScoreOptions& options, const json& column,
                         const std::string& where) {
  ColumnMoments m{count_of(column, where), two_doubles(column, where, "mean"),
                  two_at_least_0(column, where, "m2")};
  if (m.count.high == 0 && m != ColumnMoments{}) {
    refuse(where, "mean and m2 of 0 where count is 0", "others");
  }
  if (std::isinf(variance_of(m, options.variance))) {
    refuse(where, "a variance that fits a double",
           number_text(m.m2.high) + " over a count of " + number_text(m.count.high));
  }
  return m;
}

ColumnExtremes extremes_of(const MinMaxOptions& options, const json& column,
                           const std::string& where) {
  ColumnExtremes e;
  e.count = count_of(column, where);
  if (e.count.high == 0) return e;
  e.minimum = number_of(column, where, "minimum");
  e.maximum = number_of(column, where, "maximum");
  const double range = e.maximum - e.minimum;
  if (!(range >= 0) || !std::isfinite(range)) {
    refuse(where, "minimum <= maximum, and a range that fits a double",
           number_text(e.minimum) + " and " + number_text(e.maximum));
  }
  if (!is_factor((options.high - options.low) / range)) {
    refuse(where, kFactors, number_text(e.minimum) + " to " + number_text(e.maximum));
  }
  return e;
}

RunningMoments running_of(const RunningOptions& options, const json& column,
                          const std::string& where) {
  const RunningMoments m{at_least_0(column, where, "weight"),
                         at_least_0(column, where, "weight_squares"),
                         number_of(column, where, "mean"), at_least_0(column, where, "m2")};
  if (m.weight == 0 && m != RunningMoments{}) {
    refuse(where, "weight_squares, mean and m2 of 0 where weight is 0", "others");
  }
  if (std::isinf(variance_of(m, Variance::biased)) ||
      std::isinf(variance_of(m, options.variance))) {
    refuse(where, "a variance that fits a double",
           number_text(m.m2) + " over a weight of " + number_text(m.weight));
  }
  return m;
}

std::int64_t rows_of(const json& object) {
  const json& rows = member(object, "fitted_on", "rows");
  if (!rows.is_number_integer() || rows.is_number_float() ||
      (rows.is_number_unsigned() && rows.get<std::uint64_t>() > INT64_MAX) ||
      rows.get<std::int64_t>() < 0) {
    refuse("fitted_on.rows", "a whole number from 0 to 2^63 - 1", shown(rows));
  }
  return rows.get<std::int64_t>();
}

FittedOn fitted_on_of(const json& object) {
  FittedOn on;
  on.column_names = texts_of(object, "fitted_on", "column_names");
  if (object.contains("table_columns")) {
    on.table_columns = texts_of(object, "fitted_on", "table_columns");
  }
  on.dtype = text_of(object, "fitted_on", "dtype");
  on.time = text_of(object, "fitted_on", "time");
  on.sources = texts_of(object, "fitted_on", "sources");
  return on;
}

bool is_utf8(const std::string& text) {
  try {
    static_cast<void>(json(text).dump());
    return true;
  } catch (const json::exception&) {
    return false;
  }
}

// A file must not hold what cannot be read back as it was.
void check_names(const std::string& op, const FittedOn& on, std::int64_t columns) {
  const std::size_t names = on.column_names.size();
  const std::int64_t count = std::max<std::int64_t>(columns, 0);
  if (names != 0 && static_cast<std::int64_t>(names) != count) {
    fail(op, std::to_string(count) + " column names or none", std::to_string(names));
  }
  for (std::size_t j = 0; j < names; ++j) {
    if (is_utf8(on.column_names[j])) continue;
    fail(op, "column names in UTF-8",
         shown(on.column_names[j]) + " for column " + std::to_string(j));
  }
}

// Of columns that were not fitted names may be in any encoding; then they are not kept.
std::vector<std::string> kept_columns(const FittedOn& on) {
  const bool good = std::all_of(on.table_columns.begin(), on.table_columns.end(), is_utf8);
  return good ? on.table_columns : std::vector<std::string>();
}

}  // namespace

ordered_json pair_of(DoubleDouble value) { return {value.high, value.low}; }

const char* name(Infinite infinite) { return infinite == Infinite::error ? "error" : "ignore"; }

const char* name(Variance variance) { return variance == Variance::biased ? "biased" : "unbiased"; }

struct ScalerLoader {
  template <class Kind, class Options, class Column>
  static std::unique_ptr<Scaler> make(const Options& options, std::vector<Column> Kind::*state,
                                      const json& file,
                                      Column (*read)(const Options&, const json&,
                                                     const std::string&)) {
    Kind scaler(options);
    const json& columns = member(file, "the top", "columns");
    if (!columns.is_array()) refuse("columns", "a list", shown(columns));
    for (std::size_t j = 0; j < columns.size(); ++j) {
      (scaler.*state).push_back(read(options, columns[j], "columns[" + std::to_string(j) + "]"));
    }
    const json& on = member(file, "the top", "fitted_on");
    Scaler& base = scaler;
    base.rows_ = rows_of(on);
    base.columns_ = columns.empty() ? -1 : static_cast<std::int64_t>(columns.size());
    base.fitted_on_ = fitted_on_of(on);
    const std::size_t names = base.fitted_on_.column_names.size();
    if (names != 0 && names != columns.size()) {
      refuse("fitted_on.column_names", std::to_string(columns.size()) + " names or none",
             std::to_string(names));
    }
    return std::make_unique<Kind>(std::move(scaler));
  }

  static std::unique_ptr<Scaler> load(const json& file) {
    const std::string kind = text_of(file, "the top", "kind");
    const json& options = member(file, "the top", "options");
    if (kind == "z_score") {
      ZScoreOptions o;
      o.variance = variance_in(options);
      o.with_mean = truth_of(options, "options", "with_mean");
      o.with_std = truth_of(options, "options", "with_std");
      o.infinite = infinite_in(options);
      return make(o, &ZScoreScaler::moments_, file, moments_of);
    }
    if (kind == "min_max") {
      MinMaxOptions o;
      o.low = number_of(options, "options", "low");
      o.high = number_of(options, "options", "high");
      o.clip = truth_of(options, "options", "clip");
      o.infinite = infinite_in(options);
      return make(o, &MinMaxScaler::extremes_, file, extremes_of);
    }
    if (kind == "running") {
      RunningOptions o;
      o.alpha = number_of(options, "options", "alpha");
      o.variance = variance_in(options);
      o.infinite = infinite_in(options);
      return make(o, &RunningScaler::moments_, file, running_of);
    }
    refuse("kind", "\"z_score\", \"min_max\" or \"running\"",
           shown(member(file, "the top", "kind")));
  }
};

}  // namespace internal

using namespace internal;

// One line for each column, so that a wide file can still be read, and compared, by lines.
std::string Scaler::to_json() const {
  check_names(op_name(*this), fitted_on_, columns_);
  ScalerJson parts;
  write_json(parts);
  const auto line = [](const ordered_json& value) {
    return value.dump(-1, ' ', false, json::error_handler_t::replace);
  };
  const ordered_json on = {{"column_names", fitted_on_.column_names},
                           {"table_columns", kept_columns(fitted_on_)},
                           {"dtype", fitted_on_.dtype},
                           {"rows", rows_},
                           {"time", fitted_on_.time},
                           {"sources", fitted_on_.sources}};
  std::string text = "{\n";
  text += "\"format\": \"" + std::string(kFormat) + "\",\n";
  text += "\"version\": " + std::to_string(kVersion) + ",\n";
  text += "\"kind\": \"" + std::string(kind()) + "\",\n";
  text += "\"options\": " + line(parts.options) + ",\n";
  text += "\"fitted_on\": " + line(on) + ",\n";
  text += "\"columns\": [";
  for (std::size_t j = 0; j < parts.columns.size(); ++j) {
    text += (j == 0 ? "\n  " : ",\n  ") + line(parts.columns[j]);
  }
  return text + "\n]\n}\n";
}

std::unique_ptr<Scaler> load_scaler(std::string_view text) {
  json file;
  try {
    file = json::parse(text);
  } catch (const json::exception& error) {
    fail("scaler", "the JSON of a scaler", error.what(), "the file may have been cut short");
  }
  if (!file.is_object() || !file.contains("format") || file["format"] != kFormat) {
    fail("scaler", std::string("JSON whose \"format\" is \"") + kFormat + "\"", shown(file));
  }
  if (!file.contains("version") || file["version"] != kVersion) {
    fail("scaler", "version " + std::to_string(kVersion) + " of the format",
         file.contains("version") ? "version " + shown(file["version"]) : "none",
         "this is omninorm's older or newer file");
  }
  return ScalerLoader::load(file);
}

}  // namespace omninorm
