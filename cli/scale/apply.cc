// transform and inverse: the same but for the direction.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <unordered_set>
#include <vector>

#include "cli/interrupt.h"
#include "cli/parse.h"
#include "cli/program.h"
#include "cli/scale/columns.h"
#include "cli/scale/common.h"
#include "cli/scale/verbs.h"
#include "cli/table/cells.h"

namespace omninorm::cli {
namespace {

struct ApplyFlags {
  TableFlags table;
  std::string scaler, file, out = "-", to;
  std::vector<std::string> columns;
  bool inverse = false;
};

constexpr const char* transform_examples = R"(
Fitted columns are found by name, in any order; without names (--no-header, npy) by place. A fitted
column that is missing is an error; all other columns pass through as they are. Missing cells stay
missing, and are written empty.

Examples:
  omninorm scale transform scaler.json test.csv -o scaled.csv
  omninorm scale transform scaler.json test.csv.gz -o scaled.csv.zst
  omninorm scale transform scaler.json x.npy -o scaled.npy
  cat test.csv | omninorm scale transform scaler.json - | head)";

constexpr const char* inverse_examples = R"(
Takes what transform wrote, or a model's predictions on that scale, back to the units of the data.

Examples:
  omninorm scale inverse scaler.json scaled.csv -o back.csv
  omninorm scale inverse scaler.json predictions.csv --columns price -o prices.csv)";

void add_flags(CLI::App& app, ApplyFlags& flags) {
  app.add_option("scaler", flags.scaler, "the file that scale fit wrote")->required();
  app.add_option("file", flags.file, "a table: csv, tsv, npy, parquet, arrow; - is standard input")
      ->required();
  app.add_option("-o,--out", flags.out,
                 "the table to write; .gz and .zst are compressed [standard output]")
      ->type_name("FILE");
  app.add_option("--to", flags.to, "the format that is written [by the name, or else as read]")
      ->type_name("FORMAT");
  add_columns_flag(app, "--columns", flags.columns,
                   "of the fitted columns those to scale; the table needs no others [all]");
  flags.table.add_to(app);
  app.footer(flags.inverse ? inverse_examples : transform_examples);
}

// Where the columns to scale stand in the table, and which fitted column each is.
struct Choice {
  std::vector<std::size_t> places;
  std::vector<std::int64_t> fitted;
};

// --columns of a table with names: only those have to be there.
Choice chosen_by_name(const Schema& schema, const Scaler& scaler, const ApplyFlags& flags,
                      const std::string& file) {
  Choice choice;
  const std::vector<std::string>& names = scaler.fitted_on().column_names;
  for (const std::size_t place : find_columns(schema, flags.columns, "--columns", file)) {
    const std::string& name = schema.fields[place].name;
    const auto found = std::ranges::find(names, name);
    if (found == names.end()) {
      throw UsageError(fmt::format("--columns expected fitted columns, got {}; {} was fitted on {}",
                                   shown(name), flags.scaler, shown_list(names)));
    }
    choice.places.push_back(place);
    choice.fitted.push_back(found - names.begin());
  }
  return choice;
}

// --columns where places count: the fitted columns that stand there.
Choice chosen_by_place(const Schema& schema, const Scaler& scaler, const ApplyFlags& flags,
                       const std::string& file) {
  const std::vector<std::size_t> all = match_columns(schema, scaler, file);
  Choice choice;
  for (const std::size_t place : find_columns(schema, flags.columns, "--columns", file)) {
    const auto found = std::ranges::find(all, place);
    if (found == all.end()) {
      throw UsageError(fmt::format("--columns expected fitted columns, got {}",
                                   shown(schema.fields[place].name)));
    }
    choice.places.push_back(place);
    choice.fitted.push_back(found - all.begin());
  }
  return choice;
}

Choice choose(const Schema& schema, const Scaler& scaler, const ApplyFlags& flags,
              const std::string& file) {
  if (!flags.columns.empty()) {
    const bool by_name = schema.named && !scaler.fitted_on().column_names.empty();
    return by_name ? chosen_by_name(schema, scaler, flags, file)
                   : chosen_by_place(schema, scaler, flags, file);
  }
  Choice choice;
  choice.places = match_columns(schema, scaler, file);
  for (std::size_t j = 0; j < choice.places.size(); ++j) {
    choice.fitted.push_back(static_cast<std::int64_t>(j));
  }
  return choice;
}

// Scales batches in place.
class Scaling {
 public:
  Scaling(const Scaler& scaler, const Schema& schema, const Choice& choice, bool inverse)
      : scaler_(scaler), inverse_(inverse) {
    const std::vector<std::size_t> places = number_places(schema);
    for (const std::size_t place : places) {
      if (place != SIZE_MAX) fitted_.push_back(-1);
    }
    for (std::size_t k = 0; k < choice.places.size(); ++k) {
      fitted_[places[choice.places[k]]] = choice.fitted[k];
    }
  }

  // Runs of number columns that are all scaled are one call.
  void apply(Batch& batch) const {
    for (std::size_t first = 0; first < fitted_.size();) {
      if (fitted_[first] < 0) {
        ++first;
        continue;
      }
      std::size_t last = first;
      while (last < fitted_.size() && fitted_[last] >= 0) ++last;
      apply(batch, first, last);
      first = last;
    }
  }

 private:
  void apply(Batch& batch, std::size_t first, std::size_t last) const {
    const std::int64_t sizes[] = {batch.rows, static_cast<std::int64_t>(last - first)};
    const std::int64_t strides[] = {1, batch.stride};
    const Tensor x(batch.numbers.data() + first * static_cast<std::size_t>(batch.stride),
                   DType::f64, sizes, strides);
    const std::span columns = std::span(fitted_).subspan(first, last - first);
    const Context context{&serial_executor(), {}};
    if (inverse_) {
      scaler_.inverse_transform(x, x, columns, context);
    } else {
      scaler_.transform(x, x, columns, context);
    }
  }

  const Scaler& scaler_;
  bool inverse_;
  std::vector<std::int64_t> fitted_;  // of each number column; -1: stays as it is
};

std::string output_format(const ApplyFlags& flags, const Schema& schema) {
  const std::string by_name = flags.out == "-" ? "" : table_format(flags.out);
  if (!flags.to.empty()) return table_format(flags.out, flags.to);
  const std::string format = by_name.empty() ? schema.format : by_name;
  const bool text = format == "csv" || format == "tsv";
  if (!text && flags.out == "-" && ::isatty(STDOUT_FILENO) == 1) {
    throw UsageError(fmt::format("{} is not for a terminal; -o FILE, or --to csv", format));
  }
  return format;
}

void tell(const Scaler& scaler, const Schema& schema, const Choice& choice, const ApplyFlags& flags,
          const std::string& file) {
  if (named_without_use(schema, scaler)) {
    note(flags.table.quiet, file + by_place_note);
  }
  std::unordered_set<std::size_t> scaled(choice.places.begin(), choice.places.end());
  const std::vector<std::string>& before = scaler.fitted_on().table_columns;
  const std::unordered_set<std::string> known(before.begin(), before.end());
  std::vector<std::string> extra;
  for (std::size_t j = 0; j < schema.fields.size(); ++j) {
    const std::string& name = schema.fields[j].name;
    if (!scaled.contains(j) && !before.empty() && !known.contains(name)) extra.push_back(name);
  }
  if (!extra.empty() && flags.columns.empty()) {
    note(flags.table.quiet, fmt::format("{}: passed through, as they were not there in fit: {}",
                                        file, shown_list(extra)));
  }
  for (const std::size_t place : choice.places) {
    const std::string dtype = name(schema.fields[place].dtype);
    const std::string& fitted = scaler.fitted_on().dtype;
    if (fitted.empty() || fitted == "mixed" || fitted == dtype) continue;
    note(flags.table.quiet,
         fmt::format("{}: holds {}, the scaler was fitted on {}", file, dtype, fitted));
    break;
  }
}

int apply(int argc, char** argv, bool inverse) {
  CLI::App app(inverse ? "Takes scaled columns back to what they were."
                       : "Scales the columns of a table that a scaler was fitted on.",
               inverse ? "omninorm scale inverse" : "omninorm scale transform");
  ApplyFlags flags;
  flags.inverse = inverse;
  add_flags(app, flags);
  parse_arguments(app, argc, argv);
  if (flags.scaler == "-" && flags.file == "-") {
    throw UsageError("standard input can be read once, got - for the scaler and the table");
  }
  check_output("-o", flags.out, {flags.scaler});  // the table's own file may be the output
  const std::unique_ptr<Scaler> scaler = read_state(flags.scaler);
  if (scaler->rows() == 0) {
    throw UsageError(flags.scaler + ": expected a fitted scaler, got one that has seen no rows");
  }
  const ReadOptions options = flags.table.options();
  const auto reader = open_table(flags.file, options, flags.table.from);
  const std::string name = flags.file == "-" ? "standard input" : flags.file;
  const Choice choice = choose(reader->schema(), *scaler, flags, name);
  reader->select(choice.places);
  const Schema& schema = reader->schema();
  tell(*scaler, schema, choice, flags, name);
  const Scaling scaling(*scaler, schema, choice, inverse);
  const auto writer = create_table(flags.out, schema, options, output_format(flags, schema));
  ByteProgress progress(flags.table.quiet, flags.file, flags.out);
  Batch batch;
  while (reader->next(batch)) {
    check_interrupt();
    scaling.apply(batch);
    writer->write(batch);
    progress.show(*reader);
  }
  writer->finish();
  return exit_done;
}

}  // namespace

int run_scale_transform(int argc, char** argv) { return apply(argc, argv, false); }

int run_scale_inverse(int argc, char** argv) { return apply(argc, argv, true); }

}  // namespace omninorm::cli
