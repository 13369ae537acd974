#include <fmt/chrono.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "cli/interrupt.h"
#include "cli/parse.h"
#include "cli/program.h"
#include "cli/scale/columns.h"
#include "cli/scale/common.h"
#include "cli/scale/verbs.h"
#include "cli/table/cells.h"
#include "lab/experiment/settings.h"

namespace omninorm::cli {
namespace {

struct FitFlags {
  TableFlags table;
  std::vector<std::string> files, columns, text;
  std::string out = "-", append, weights;
  std::string kind = "z_score", infinite = "error";
  std::vector<double> range = {0, 1};
  bool clip = false, unbiased = false, no_mean = false, no_std = false;
  double alpha = 0.01, half_life = 0;
};

// Behind a source's name: a scaler keeps no other trace of weights.
constexpr const char* weighted = ", with weights";

constexpr const char* examples = R"(
A column is fitted if its cells are numbers or missing; a column none of whose first cells is a
number is left out, and so it says. A word among numbers is an error that shows where it stands.

Examples:
  omninorm scale fit train.csv -o scaler.json
  omninorm scale fit train.csv --kind min_max --range -1 1 --clip -o scaler.json
  omninorm scale fit people.csv --columns age,income --na NA --na '?' -o scaler.json
  omninorm scale fit day1.csv.gz day2.csv.zst -o scaler.json
  omninorm scale fit day3.csv --append scaler.json -o scaler.json
  zcat big.tsv.gz | omninorm scale fit - --from tsv -o scaler.json)";

void add_flags(CLI::App& app, FitFlags& flags) {
  app.add_option("files", flags.files, "tables: csv, tsv, npy, parquet, arrow; - is standard input")
      ->required();
  app.add_option("-o,--out", flags.out, "the scaler's file [standard output]")->type_name("FILE");
  app.add_option("--kind", flags.kind, "z_score, min_max or running [z_score]")->type_name("KIND");
  app.add_option("--append", flags.append, "go on from this scaler; its options hold")
      ->type_name("FILE");
  add_columns_flag(app, "--columns", flags.columns,
                   "the columns to fit, with commas or one a flag [all of numbers]");
  add_columns_flag(app, "--text", flags.text, "columns not to fit, though they hold numbers");
  app.add_option("--weights", flags.weights, "the column of how often each row counts; not fitted")
      ->type_name("NAME");
  app.add_option("--range", flags.range, "min_max: where the least and the largest go [0 1]")
      ->type_name("LOW HIGH")
      ->expected(2);
  app.add_flag("--clip", flags.clip, "min_max: bring values beyond the fitted ones to the range");
  app.add_flag("--unbiased", flags.unbiased, "divide by n - 1 for the standard deviation, not n");
  app.add_flag("--no-mean", flags.no_mean, "z_score: do not subtract the mean");
  app.add_flag("--no-std", flags.no_std, "z_score: do not divide by the standard deviation");
  app.add_option("--alpha", flags.alpha,
                 "running: weight that a row loses with each later one [0.01]")
      ->type_name("NUMBER");
  app.add_option("--half-life", flags.half_life, "running: rows after which a row counts half")
      ->type_name("ROWS");
  app.add_option("--infinite", flags.infinite, "infinities are an error, or ignore them [error]")
      ->type_name("WORD");
  flags.table.add_to(app);
  app.footer(examples);
}

// The flags that say what scaler it is, as given.
std::vector<std::string> kind_flags(const CLI::App& app) {
  std::vector<std::string> given;
  for (const char* name : {"--kind", "--range", "--clip", "--unbiased", "--no-mean", "--no-std",
                           "--alpha", "--half-life", "--infinite"}) {
    if (app.count(name) > 0) given.emplace_back(name);
  }
  return given;
}

// Flags that mean nothing for this kind would be ignored in silence.
void check_kind(const CLI::App& app, const std::string& kind) {
  const auto only = [&](std::initializer_list<const char*> names, const std::string& of) {
    for (const char* name : names) {
      if (app.count(name) == 0 || of.find(kind) != std::string::npos) continue;
      throw UsageError(
          fmt::format("scale fit: {} is for --kind {}, got --kind {}", name, of, kind));
    }
  };
  only({"--range", "--clip"}, "min_max");
  only({"--no-mean", "--no-std"}, "z_score");
  only({"--alpha", "--half-life"}, "running");
  only({"--unbiased"}, "z_score or running");
  if (app.count("--alpha") > 0 && app.count("--half-life") > 0) {
    throw UsageError("scale fit: expected either --alpha or --half-life, got both");
  }
}

std::unique_ptr<Scaler> new_scaler(const CLI::App& app, const FitFlags& flags) {
  static const std::vector<std::string> kinds = {"z_score", "min_max", "running"};
  if (std::ranges::find(kinds, flags.kind) == kinds.end()) {
    throw UsageError(fmt::format("scale fit: there is no --kind '{}'; {}", flags.kind,
                                 lab::suggestion(flags.kind, kinds)));
  }
  if (flags.infinite != "error" && flags.infinite != "ignore") {
    throw UsageError(
        fmt::format("scale fit: --infinite expected error or ignore, got '{}'", flags.infinite));
  }
  check_kind(app, flags.kind);
  const Infinite infinite = flags.infinite == "error" ? Infinite::error : Infinite::ignore;
  const Variance variance = flags.unbiased ? Variance::unbiased : Variance::biased;
  try {
    if (flags.kind == "min_max") {
      return std::make_unique<MinMaxScaler>(
          MinMaxOptions{flags.range[0], flags.range[1], flags.clip, infinite});
    }
    if (flags.kind == "running") {
      const double alpha =
          app.count("--half-life") > 0 ? alpha_of_half_life(flags.half_life) : flags.alpha;
      return std::make_unique<RunningScaler>(RunningOptions{alpha, variance, infinite});
    }
    return std::make_unique<ZScoreScaler>(
        ZScoreOptions{variance, !flags.no_mean, !flags.no_std, infinite});
  } catch (const Error& error) {
    throw UsageError(error.what());
  }
}

std::unique_ptr<Scaler> starting_scaler(const CLI::App& app, const FitFlags& flags) {
  if (flags.append.empty()) return new_scaler(app, flags);
  if (const auto given = kind_flags(app); !given.empty()) {
    throw UsageError(fmt::format(
        "scale fit: --append takes the options of {}, and {} would be another; leave it out",
        flags.append, given.front()));
  }
  std::unique_ptr<Scaler> scaler = read_state(flags.append);
  const auto had_weights = [](const std::string& source) { return source.ends_with(weighted); };
  if (flags.weights.empty() && std::ranges::any_of(scaler->fitted_on().sources, had_weights)) {
    note(flags.table.quiet, fmt::format("{} was fitted with --weights; without it, each row now "
                                        "counts once",
                                        flags.append));
  }
  if (scaler->columns() >= 0 && !(flags.columns.empty() && flags.text.empty())) {
    throw UsageError(
        fmt::format("scale fit: --append fits the columns of {}; leave --columns and --text out",
                    flags.append));
  }
  return scaler;
}

// Which columns of the first table are fitted.
std::vector<std::size_t> choose_columns(const Schema& schema, const FitFlags& flags,
                                        std::optional<std::size_t> weights,
                                        const std::string& file) {
  std::vector<std::size_t> left_out = find_columns(schema, flags.text, "--text", file);
  if (weights) left_out.push_back(*weights);
  const auto is_left_out = [&](std::size_t j) {
    return std::ranges::find(left_out, j) != left_out.end();
  };
  if (!flags.columns.empty()) {
    const auto columns = find_columns(schema, flags.columns, "--columns", file);
    for (const std::size_t j : columns) {
      if (!is_left_out(j)) continue;
      throw UsageError(
          fmt::format("{}: column {} is to be fitted (--columns) and not (--text, "
                      "--weights)",
                      file, shown(schema.fields[j].name)));
    }
    return columns;
  }
  std::vector<std::size_t> columns, others;
  for (std::size_t j = 0; j < schema.fields.size(); ++j) {
    if (is_left_out(j)) continue;
    (schema.fields[j].number ? columns : others).push_back(j);
  }
  if (columns.empty()) {
    throw UsageError(fmt::format(
        "{}: expected a column of numbers, got {}; is the --delimiter right, and is there a header "
        "(--no-header)?",
        file, shown_list(names_of(schema, others))));
  }
  if (!others.empty()) {
    note(flags.table.quiet,
         fmt::format("{}: not fitted, as none of the first cells is a number: {}", file,
                     shown_list(names_of(schema, others))));
  }
  return columns;
}

// Names are what later tables are matched by.
void check_names(const Schema& schema, const std::vector<std::size_t>& columns,
                 const std::string& file) {
  for (const std::string& name : names_of(schema, columns)) {
    try {
      static_cast<void>(nlohmann::json(name).dump());
    } catch (const nlohmann::json::exception&) {
      throw UsageError(
          fmt::format("{}: expected column names in UTF-8, got {}; iconv -f LATIN1 -t UTF-8 may "
                      "convert the file",
                      file, shown(name)));
    }
  }
  // Those of columns that are not fitted count too: transform could not tell which is meant.
  std::unordered_map<std::string_view, int> counts;
  for (const Field& field : schema.fields) ++counts[field.name];
  for (const std::size_t j : columns) {
    const std::string& name = schema.fields[j].name;
    if (counts[name] == 1) continue;
    throw UsageError(fmt::format(
        "{}: expected fitted columns to have names of their own, got {} twice; rename one, or "
        "leave it out with --columns",
        file, shown(name)));
  }
}

// Names that are all numbers may be a row, but for those that pandas gives.
void tell_of_names(const Schema& schema, const std::string& file, bool quiet) {
  if (!schema.named || (schema.format != "csv" && schema.format != "tsv")) return;
  bool counted = true;
  for (std::size_t j = 0; j < schema.fields.size(); ++j) {
    double value = 0;
    const std::string& name = schema.fields[j].name;
    if (read_number(name, {}, value) != Cell::number) return;
    counted = counted && name == std::to_string(j);
  }
  if (counted) return;
  note(quiet, fmt::format("{}: the names of all columns are numbers: {}; if that is a row, use "
                          "--no-header",
                          file, shown(schema.fields[0].name)));
}

// A later table may have columns that the first had not.
void tell_of_extra(const Schema& schema, const Scaler& scaler, const std::string& file,
                   bool quiet) {
  const std::vector<std::string>& table = scaler.fitted_on().table_columns;
  if (named_without_use(schema, scaler)) note(quiet, file + by_place_note);
  if (!schema.named || table.empty()) return;
  const std::unordered_set<std::string> known(table.begin(), table.end());
  std::vector<std::string> extra;
  for (const Field& field : schema.fields) {
    if (!known.contains(field.name)) extra.push_back(field.name);
  }
  if (extra.empty()) return;
  note(quiet,
       fmt::format("{}: not fitted, as they were not there before: {}", file, shown_list(extra)));
}

// The fitted columns of a batch as one matrix, in the scaler's order.
class FittedMatrix {
 public:
  FittedMatrix(const Schema& schema, const std::vector<std::size_t>& columns) {
    const std::vector<std::size_t> places = number_places(schema);
    for (const std::size_t j : columns) places_.push_back(places[j]);
    for (std::size_t k = 0; k < places_.size(); ++k) side_by_side_ &= places_[k] == places_[0] + k;
  }

  ConstTensor of(const Batch& batch) {
    const auto stride = static_cast<std::size_t>(batch.stride);
    const double* from = batch.numbers.data() + places_[0] * stride;
    if (!side_by_side_) {
      copy_.resize(places_.size() * stride);
      for (std::size_t k = 0; k < places_.size(); ++k) {
        std::copy_n(batch.numbers.data() + places_[k] * stride, batch.rows,
                    copy_.data() + k * stride);
      }
      from = copy_.data();
    }
    const std::int64_t sizes[] = {batch.rows, static_cast<std::int64_t>(places_.size())};
    const std::int64_t strides[] = {1, batch.stride};
    return {from, DType::f64, sizes, strides};
  }

 private:
  std::vector<std::size_t> places_;
  bool side_by_side_ = true;
  std::vector<double> copy_;
};

// What fit cannot take, with the place in the file.
[[noreturn]] void restate(const ValueError& error, const Batch& batch, const std::string& file,
                          const std::vector<std::string>& names, const std::string& weights) {
  if (error.column < 0) {
    throw UsageError(fmt::format(
        "{}: expected a weight >= 0, got {}", place_text(file, batch, error.row, weights),
        std::isnan(error.value) ? "none" : fmt::format("{}", error.value)));
  }
  const std::string where =
      place_text(file, batch, error.row, names[static_cast<std::size_t>(error.column)]);
  if (std::isinf(error.value)) {
    throw UsageError(
        fmt::format("{}: expected a finite number, got {}; --infinite ignore leaves infinities out",
                    where, error.value));
  }
  throw UsageError(fmt::format(
      "{}: expected numbers whose squared deviations fit a double (below about 1e153), got {} or "
      "near it",
      where, error.value));
}

std::string joined_dtype(const std::string& before, const Schema& schema,
                         const std::vector<std::size_t>& columns) {
  std::string dtype = before;
  for (const std::size_t j : columns) {
    const std::string one = name(schema.fields[j].dtype);
    if (dtype.empty()) dtype = one;
    if (dtype != one) return "mixed";
  }
  return dtype;
}

std::string host() {
  char text[256] = {};
  return ::gethostname(text, sizeof text - 1) == 0 && text[0] != 0 ? text : "unknown host";
}

void remember(Scaler& scaler, const Schema& schema, const std::vector<std::size_t>& columns,
              const std::string& dtype, const std::string& file, const std::string& weights) {
  FittedOn& on = scaler.fitted_on();
  std::vector<std::string> table;
  for (const Field& field : schema.fields) table.push_back(field.name);
  if (on.column_names.empty()) {
    on.column_names = names_of(schema, columns);
    on.table_columns = table;
  } else if (on.table_columns != table) {
    on.table_columns.clear();
  }
  on.dtype = dtype;
  on.time = fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr)));
  on.sources.push_back(fmt::format("{} on {}{}", file == "-" ? "standard input" : file, host(),
                                   weights.empty() ? "" : weighted));
}

void fit_file(Scaler& scaler, const std::string& file, const FitFlags& flags) {
  ReadOptions options = flags.table.options();
  options.others = false;
  const auto reader = open_table(file, options, flags.table.from);
  const std::string name = file == "-" ? "standard input" : file;
  std::optional<std::size_t> weights;
  if (!flags.weights.empty()) {
    const auto found = find_columns(reader->schema(), {flags.weights}, "--weights", name);
    if (found.size() != 1) throw UsageError(name + ": --weights expected one column");
    weights = found[0];
  }
  const bool first = scaler.columns() < 0;
  const auto columns = first ? choose_columns(reader->schema(), flags, weights, name)
                             : match_columns(reader->schema(), scaler, name);
  if (first) {
    check_names(reader->schema(), columns, name);
    tell_of_names(reader->schema(), name, flags.table.quiet);
  } else {
    tell_of_extra(reader->schema(), scaler, name, flags.table.quiet);
  }
  std::vector<std::size_t> numbers = columns;
  if (weights) numbers.push_back(*weights);
  reader->select(numbers);
  const Schema& schema = reader->schema();
  const std::vector<std::string> names = names_of(schema, columns);
  const std::string dtype = joined_dtype(scaler.fitted_on().dtype, schema, columns);
  FittedMatrix matrix(schema, columns);
  ByteProgress progress(flags.table.quiet, file, flags.out);
  Batch batch;
  batch.stride = 1;
  batch.numbers.resize(schema.fields.size());
  // A table without rows has columns all the same.
  scaler.partial_fit(matrix.of(batch), {}, {&serial_executor(), {}});
  while (reader->next(batch)) {
    check_interrupt();
    ConstTensor weight;
    if (weights) {
      const auto place = static_cast<std::int64_t>(number_places(schema)[*weights]);
      weight = ConstTensor(batch.numbers.data() + place * batch.stride, {batch.rows});
    }
    try {
      scaler.partial_fit(matrix.of(batch), weight, {&serial_executor(), {}});
    } catch (const ValueError& error) {
      restate(error, batch, name, names, flags.weights);
    } catch (const Error& error) {
      throw UsageError(fmt::format("{}: {}", name, error.what()));
    }
    progress.show(*reader);
  }
  remember(scaler, schema, columns, dtype, file, flags.weights);
}

// What people should know of the result before they use it.
void tell(const Scaler& scaler, bool quiet) {
  if (scaler.rows() == 0) {
    note(quiet, "no rows: the scaler can be merged with others, but not transform yet");
    return;
  }
  std::vector<std::string> constant, empty;
  for (std::int64_t j = 0; j < scaler.columns(); ++j) {
    const std::string& name = scaler.fitted_on().column_names[static_cast<std::size_t>(j)];
    const ColumnSummary summary = scaler.summary(j);
    if (summary.constant) constant.push_back(name);
    if (summary.count == 0) empty.push_back(name);
  }
  if (!constant.empty()) note(quiet, "constant, so the scale is 1: " + shown_list(constant));
  if (!empty.empty()) note(quiet, "no values, so transform gives none: " + shown_list(empty));
}

}  // namespace

int run_scale_fit(int argc, char** argv) {
  CLI::App app("Fits a scaler to the number columns of tables, in one pass over any size.",
               "omninorm scale fit");
  FitFlags flags;
  add_flags(app, flags);
  parse_arguments(app, argc, argv);
  if (std::ranges::count(flags.files, "-") > 1) {
    throw UsageError("scale fit: standard input can be read once, got - twice");
  }
  check_output("-o", flags.out, flags.files);  // that of --append may be the output
  const std::unique_ptr<Scaler> scaler = starting_scaler(app, flags);
  for (const std::string& file : flags.files) fit_file(*scaler, file, flags);
  tell(*scaler, flags.table.quiet);
  write_state(*scaler, flags.out);
  return exit_done;
}

}  // namespace omninorm::cli
