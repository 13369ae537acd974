#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "cli/parse.h"
#include "cli/program.h"
#include "cli/scale/common.h"
#include "cli/scale/show_html.h"
#include "cli/scale/verbs.h"
#include "src/core/atomic_file.h"

namespace omninorm::cli {
namespace {

using nlohmann::ordered_json;

constexpr const char* examples = R"(
Examples:
  omninorm scale show scaler.json
  omninorm scale show scaler.json --json | jq '.columns[] | select(.constant)'
  omninorm scale fit train.csv | omninorm scale show -
  omninorm scale show scaler.json --data test.csv --html)";

// What a kind of scaler tells of a column, beside what all tell: names and values.
using Values = std::vector<std::pair<const char*, double>>;

Values values_of(const Scaler& scaler, std::int64_t j) {
  const auto at = static_cast<std::size_t>(j);
  const double nan = std::nan("");
  if (const auto* z_score = dynamic_cast<const ZScoreScaler*>(&scaler)) {
    const ColumnMoments& m = z_score->moments()[at];
    return {{"mean", m.count.high > 0 ? m.mean.high : nan},
            {"std", std::sqrt(z_score->variance(j))}};
  }
  if (const auto* min_max = dynamic_cast<const MinMaxScaler*>(&scaler)) {
    const ColumnExtremes& e = min_max->extremes()[at];
    const bool any = e.count.high > 0;
    return {{"minimum", any ? e.minimum : nan}, {"maximum", any ? e.maximum : nan}};
  }
  const auto& running = dynamic_cast<const RunningScaler&>(scaler);
  const RunningMoments& m = running.moments()[at];
  return {{"mean", m.weight > 0 ? m.mean : nan}, {"std", std::sqrt(running.variance(j))}};
}

const char* word(Variance variance) { return variance == Variance::biased ? "biased" : "unbiased"; }

const char* word(Infinite infinite) { return infinite == Infinite::error ? "error" : "ignore"; }

ordered_json options_of(const Scaler& scaler) {
  if (const auto* z_score = dynamic_cast<const ZScoreScaler*>(&scaler)) {
    const ZScoreOptions& o = z_score->options();
    return {{"variance", word(o.variance)},
            {"with_mean", o.with_mean},
            {"with_std", o.with_std},
            {"infinite", word(o.infinite)}};
  }
  if (const auto* min_max = dynamic_cast<const MinMaxScaler*>(&scaler)) {
    const MinMaxOptions& o = min_max->options();
    return {{"low", o.low}, {"high", o.high}, {"clip", o.clip}, {"infinite", word(o.infinite)}};
  }
  const RunningOptions& o = dynamic_cast<const RunningScaler&>(scaler).options();
  return {{"alpha", o.alpha}, {"variance", word(o.variance)}, {"infinite", word(o.infinite)}};
}

std::string name_of(const Scaler& scaler, std::int64_t j) {
  const auto& names = scaler.fitted_on().column_names;
  return names.empty() ? std::to_string(j) : names[static_cast<std::size_t>(j)];
}

ordered_json json_of(const Scaler& scaler) {
  const FittedOn& on = scaler.fitted_on();
  ordered_json columns = ordered_json::array();
  for (std::int64_t j = 0; j < scaler.columns(); ++j) {
    const ColumnSummary summary = scaler.summary(j);
    ordered_json column = {{"name", name_of(scaler, j)}, {"count", summary.count}};
    for (const auto& [name, value] : values_of(scaler, j)) column[name] = value;
    column["center"] = summary.center;
    column["scale"] = summary.scale;
    column["constant"] = summary.constant;
    columns.push_back(std::move(column));
  }
  return {{"kind", scaler.kind()}, {"options", options_of(scaler)},
          {"rows", scaler.rows()}, {"dtype", on.dtype},
          {"time", on.time},       {"sources", on.sources},
          {"columns", columns}};
}

// Characters of UTF-8, which is what a terminal lines up by.
std::size_t width_of(const std::string& text) {
  return static_cast<std::size_t>(
      std::ranges::count_if(text, [](char c) { return (c & 0xc0) != 0x80; }));
}

std::string remark(const ColumnSummary& summary) {
  if (summary.count == 0) return "no values: transform gives none";
  return summary.constant ? "constant: the scale is 1" : "";
}

// Names to the left, numbers to the right.
std::string table_text(const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t j = 0; j < row.size(); ++j) widths[j] = std::max(widths[j], width_of(row[j]));
  }
  std::string text;
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t j = 0; j < row.size(); ++j) {
      const std::string space(widths[j] - width_of(row[j]), ' ');
      const bool left = j == 0 || j + 1 == row.size();
      line += (j == 0 ? "" : "  ") + (left ? row[j] + space : space + row[j]);
    }
    line.resize(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

std::string options_text(const Scaler& scaler) {
  const ordered_json options = options_of(scaler);
  std::vector<std::string> words;
  for (const auto& [name, value] : options.items()) {
    words.push_back(name + " " + (value.is_string() ? value.get<std::string>() : value.dump()));
  }
  return fmt::format("{}", fmt::join(words, ", "));
}

std::string text_of(const Scaler& scaler) {
  const FittedOn& on = scaler.fitted_on();
  const std::int64_t count = std::max<std::int64_t>(0, scaler.columns());
  std::string text =
      fmt::format("{} scaler of {} column{}, fitted on {} rows{}\n", scaler.kind(), count,
                  count == 1 ? "" : "s", scaler.rows(), on.dtype.empty() ? "" : " of " + on.dtype);
  text += "options: " + options_text(scaler) + "\n";
  if (!on.time.empty()) text += "time: " + on.time + "\n";
  for (const std::string& source : on.sources) text += "from: " + source + "\n";
  std::vector<std::vector<std::string>> rows;
  for (std::int64_t j = 0; j < count; ++j) {
    const ColumnSummary summary = scaler.summary(j);
    const Values values = values_of(scaler, j);
    if (j == 0) {
      rows.push_back({"column", "count"});
      for (const auto& value : values) rows[0].emplace_back(value.first);
      rows[0].emplace_back("");
    }
    rows.push_back({name_of(scaler, j), fmt::format("{:.10g}", summary.count)});
    for (const auto& value : values) {
      rows.back().push_back(std::isnan(value.second) ? "-" : fmt::format("{:.6g}", value.second));
    }
    rows.back().push_back(remark(summary));
  }
  return text + (rows.empty() ? "" : "\n") + table_text(rows);
}

void write_page(const Scaler& scaler, const std::string& file, const std::string& data,
                const std::string& out, const TableFlags& flags) {
  if (scaler.columns() <= 0) {
    throw UsageError(fmt::format("{}: nothing was fitted yet: there are no columns to show", file));
  }
  if (scaler.rows() == 0) {
    throw UsageError(file + ": expected a fitted scaler, got one that has seen no rows");
  }
  check_output("--html", out, {data, file});
  const ScalePage page = scale_page(scaler, file, options_text(scaler), data, flags);
  internal::write_file_atomically(out, page.html);
  if (flags.quiet) {
    fmt::print("{}\n", out);
  } else {
    fmt::print("{}\npage: {}\n", page.headline, out);
  }
}

}  // namespace

int run_scale_show(int argc, char** argv) {
  CLI::App app("Shows what a scaler was fitted on and what it does to each column.",
               "omninorm scale show");
  std::string file;
  bool json = false;
  TableFlags table;
  std::string data, html;
  app.add_option("scaler", file, "the file that scale fit wrote; - is standard input")->required();
  app.add_flag("--json", json, "print one JSON object");
  app.add_option("--data", data, "with --html: a table, which is read twice")->type_name("FILE");
  CLI::Option* const page =
      app.add_option("--html", html,
                     "write a page of the table's columns before and after scaling [the table's "
                     "name, .html]")
          ->type_name("FILE")
          ->expected(0, 1);
  table.add_to(app);
  app.footer(examples);
  parse_arguments(app, argc, argv);
  if ((page->count() > 0) != !data.empty()) {
    throw UsageError("scale show: --data and --html go together: a table, and the page about it");
  }
  if (page->count() > 0 && json)
    throw UsageError("scale show: expected --html or --json, got both");
  const std::unique_ptr<Scaler> scaler = read_state(file);
  if (page->count() > 0) {
    write_page(*scaler, file, data, html.empty() ? page_name(data) : html, table);
  } else if (json) {
    fmt::print("{}\n",
               json_of(*scaler).dump(2, ' ', false, ordered_json::error_handler_t::replace));
  } else {
    fmt::print("{}", text_of(*scaler));
  }
  return exit_done;
}

}  // namespace omninorm::cli
