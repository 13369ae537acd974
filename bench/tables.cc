#include "bench/tables.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <fstream>
#include <iterator>
#include <sstream>
#include <system_error>

#include "bench/ops.h"
#include "omninorm/error.h"

namespace omninorm::bench {
namespace {

std::string microseconds(const CellResult& result, const std::string& side) {
  const auto* time = find_side(result.measurement.sides, side);
  if (time == nullptr) return std::string(1, '-');
  const double us = time->seconds * 1e6;
  return us < 100 ? fmt::format("{:.3g}", us) : fmt::format("{:.0f}", us);
}

std::string gigabytes(const CellResult& result, const std::string& side) {
  const auto* time = find_side(result.measurement.sides, side);
  return time == nullptr ? "-" : fmt::format("{:.1f}", bandwidth(result, *time));
}

std::string ratio(const std::optional<double>& value) {
  if (!value) return "-";
  return *value < 10 ? fmt::format("{:.2f}", *value) : fmt::format("{:.1f}", *value);
}

// Times in microseconds. "/limit" is share_of_limit; "/PyTorch" and "/oneDNN" are their time over
// ours; "/separate" is our time over that of two passes, "/kernel" over that of the
// kernel alone, for one row.
struct Column {
  const char* heading;
  int width;
  std::string (*cell)(const CellResult&);
  const char* only = "";  // for the ops whose name starts so
  bool others = true;     // says something of others, or of ours beside them: not in --alone runs
};
using In = const CellResult&;
constexpr Column kColumns[] = {
    {"shape", 19, [](In r) { return label(r.cell) + (r.measurement.steady ? "" : " ~"); }, "",
     false},
    {"copy us", 9, [](In r) { return microseconds(r, "copy"); }, "", false},
    {"C++ API us", 12, [](In r) { return microseconds(r, kLibrary); }, "", false},
    {"/kernel", 9, [](In r) { return ratio(time_ratio(r, kLibrary, kKernel)); }, "layer_norm",
     false},
    {"/kernel", 9, [](In r) { return ratio(time_ratio(r, kLibrary, kKernel)); }, "rms_norm", false},
    {"GB/s", 7, [](In r) { return gigabytes(r, kLibrary); }, "", false},
    {"/limit", 8, [](In r) { return ratio(share_of_limit(r, kLibrary)); }, "", false},
    {"/PyTorch", 10, [](In r) { return ratio(versus_torch(r, kLibrary)); }},
    {"/oneDNN", 9, [](In r) { return ratio(time_ratio(r, "onednn", kLibrary)); }},
    {"/separate", 11, [](In r) { return ratio(time_ratio(r, kLibrary, kSeparate)); }, "add_"},
    {"op us", 9, [](In r) { return microseconds(r, kOperator); }},
    {"/PyTorch", 10, [](In r) { return ratio(versus_torch(r, kOperator)); }},
    {"PyTorch us", 12, [](In r) { return microseconds(r, "torch"); }},
    {"direct us", 11, [](In r) { return microseconds(r, "torch_direct"); }, "layer_norm"},
    {"oneDNN us", 11, [](In r) { return microseconds(r, "onednn"); }},
    {"separate us", 13, [](In r) { return microseconds(r, kSeparate); }, "add_"},
    {"fresh op us", 13, [](In r) { return microseconds(r, "omninorm_torch_fresh"); }},
    {"fresh PyTorch us", 18, [](In r) { return microseconds(r, "torch_fresh"); }}};

std::vector<const Column*> columns(const Cell& cell, bool alone) {
  std::vector<const Column*> result;
  for (const Column& column : kColumns) {
    if (!(alone && column.others) && cell.op.starts_with(column.only)) result.push_back(&column);
  }
  return result;
}

std::vector<std::string> table_cells(const CellResult& result, bool alone) {
  std::vector<std::string> cells;
  for (const Column* column : columns(result.cell, alone)) cells.push_back(column->cell(result));
  return cells;
}

// Calls of less are told line by line, not in the means: there a call's overhead is what is timed.
constexpr std::int64_t kLeastRows = 64;

// Geometric mean and worst cell of one ratio over a group.
struct Extreme {
  double log_sum = 0;
  int count = 0;
  double worst = 0;
  std::string worst_cell;

  void add(const std::optional<double>& value, const std::string& cell) {
    if (!value) return;
    log_sum += std::log(*value);
    if (count == 0 || *value < worst) {
      worst = *value;
      worst_cell = cell;
    }
    ++count;
  }
  std::string mean() const { return count == 0 ? "-" : ratio(std::exp(log_sum / count)); }
  std::string worst_text() const {
    return count == 0 ? "-" : fmt::format("{} at {}", ratio(worst), worst_cell);
  }
};

// What the means are taken of.
struct Ratio {
  const char* heading;
  std::optional<double> (*of)(const CellResult&);
};
constexpr Ratio kRatios[] = {
    {"C++ API, of the limit", [](In r) { return share_of_limit(r, kLibrary); }},
    {"C++ API, times PyTorch", [](In r) { return versus_torch(r, kLibrary); }},
    {"C++ API, times oneDNN", [](In r) { return time_ratio(r, "onednn", kLibrary); }},
    {"operator, times PyTorch", [](In r) { return versus_torch(r, kOperator); }},
    {"one pass, times two", [](In r) { return time_ratio(r, kSeparate, kLibrary); }}};

struct GroupSummary {
  std::string group;
  std::array<Extreme, std::size(kRatios)> ratios;
};

bool counts(const CellResult& result) {
  return result.not_timed.empty() &&
         (!result.cell.shape.is_rows() || result.cell.shape.sizes[0] >= kLeastRows);
}

std::vector<GroupSummary> summarize(const Results& results) {
  std::vector<GroupSummary> groups;
  for (const CellResult& result : results.cells) {
    if (!counts(result)) continue;
    if (groups.empty() || groups.back().group != group(result.cell)) {
      groups.push_back({.group = group(result.cell), .ratios = {}});
    }
    for (std::size_t i = 0; i < std::size(kRatios); ++i) {
      groups.back().ratios[i].add(kRatios[i].of(result), label(result.cell));
    }
  }
  return groups;
}

// What stands under PyTorch's name in these tables.
std::string comparison(const Cell& cell) {
  return fmt::format("{} is compared with {}", cell.op, find_op(cell.op).compared);
}

std::string markdown_row(const std::vector<std::string>& cells) {
  return fmt::format("| {} |\n", fmt::join(cells, " | "));
}

std::string markdown_summary(const Results& results) {
  std::vector<std::string> headings{""};
  std::string rule = "|---|";
  for (const Ratio& each : kRatios) {
    headings.insert(headings.end(), {each.heading, "worst"});
    rule += "---:|---|";
  }
  std::string text = markdown_row(headings) + rule + "\n";
  for (const GroupSummary& each : summarize(results)) {
    std::vector<std::string> cells{each.group};
    for (const Extreme& extreme : each.ratios) {
      cells.insert(cells.end(), {extreme.mean(), extreme.worst_text()});
    }
    text += markdown_row(cells);
  }
  return text;
}

std::string markdown_tables(const Results& results) {
  std::string text = machine_line(results.machine) + ".\n\n" + markdown_summary(results);
  std::string last;
  for (const CellResult& result : results.cells) {
    if (group(result.cell) != last) {
      last = group(result.cell);
      text += fmt::format("\n### {}\n\n{}.\n\n", last, comparison(result.cell));
      std::vector<std::string> headings;
      std::string rule(1, '|');
      for (const Column* column : columns(result.cell, false)) {
        headings.emplace_back(column->heading);
        rule += "---:|";
      }
      text += markdown_row(headings) + rule + "\n";
    }
    if (result.not_timed.empty()) {
      text += markdown_row(table_cells(result, false));
    } else {
      text += markdown_row({label(result.cell), "not timed: " + result.not_timed});
    }
  }
  return text;
}

// ---- The limit alone: a row for each op and layout, a column for each direction and dtype.

struct LimitRow {
  std::string name;
  std::vector<Extreme> columns;
};

void add_to_row(std::vector<LimitRow>& rows, const std::string& name, std::size_t column,
                std::size_t columns, const CellResult& result, const std::string& cell) {
  auto row =
      std::find_if(rows.begin(), rows.end(), [&](const LimitRow& r) { return r.name == name; });
  if (row == rows.end()) {
    rows.push_back({name, std::vector<Extreme>(columns)});
    row = rows.end() - 1;
  }
  row->columns[column].add(share_of_limit(result, kLibrary), cell);
}

std::string limit_heading(const Cell& cell) {
  return fmt::format("{} {}", name(cell.direction), omninorm::name(cell.dtype));
}

std::string markdown_limit(const Results& results) {
  std::vector<std::string> headings{""};
  for (const CellResult& result : results.cells) {
    const std::string heading = limit_heading(result.cell);
    if (std::find(headings.begin(), headings.end(), heading) == headings.end()) {
      headings.push_back(heading);
    }
  }
  const auto private_cache = results.machine.value("private_cache_bytes", std::size_t{0});
  std::vector<LimitRow> classes, ops;
  std::vector<std::string> not_timed;
  std::size_t cells = 0, unsteady = 0;
  for (const CellResult& result : results.cells) {
    if (!result.not_timed.empty()) {
      not_timed.push_back(fmt::format("{}: {}", name(result.cell), result.not_timed));
    }
    if (!counts(result)) continue;
    const Cell& cell = result.cell;
    ++cells;
    unsteady += result.measurement.steady ? 0 : 1;
    const auto column = static_cast<std::size_t>(
        std::find(headings.begin() + 1, headings.end(), limit_heading(cell)) - headings.begin() -
        1);
    const bool of_rows = cell.layout == Layout::rows && !cell.op.starts_with("batch_norm");
    const std::string op =
        cell.layout == Layout::rows ? cell.op : cell.op + " " + name(cell.layout);
    add_to_row(classes,
               fmt::format("{}, {}", of_rows ? "norms of rows" : "the others",
                           result.bytes <= private_cache ? "in L2" : "past it"),
               column, headings.size() - 1, result, op + " " + label(cell));
    add_to_row(ops, op, column, headings.size() - 1, result, label(cell));
  }
  std::string text = machine_line(results.machine) +
                     fmt::format(". {} cells, of which {} unsteady.\n\n", cells, unsteady) +
                     markdown_row(headings) + "|---|";
  for (std::size_t i = 1; i < headings.size(); ++i) text += "---|";
  text += "\n";
  for (const auto* rows : {&classes, &ops}) {
    for (const LimitRow& row : *rows) {
      std::vector<std::string> line{row.name};
      for (const Extreme& each : row.columns) {
        line.push_back(each.count == 0 ? "-"
                                       : fmt::format("**{}**, {}", each.mean(), each.worst_text()));
      }
      text += markdown_row(line);
    }
  }
  for (const std::string& each : not_timed) text += fmt::format("\nNot timed: {}.\n", each);
  return text;
}

// Replaces what stands between the lines "<!-- bench:NAME begin -->" and "... end -->".
void replace_between_markers(const std::filesystem::path& file, const std::string& name,
                             const std::string& text) {
  const std::string begin_line = fmt::format("<!-- bench:{} begin -->", name);
  const std::string end_line = fmt::format("<!-- bench:{} end -->", name);
  std::ifstream in(file);
  std::stringstream stream;
  stream << in.rdbuf();
  std::string all = stream.str();
  const auto begin = all.find(begin_line + "\n");
  const auto end = all.find(end_line);
  if (begin == std::string::npos || end == std::string::npos || end < begin) {
    throw Error(fmt::format("[bench] expected the lines '{}' and '{}' in '{}', did not find them",
                            begin_line, end_line, file.string()));
  }
  const auto from = begin + begin_line.size() + 1;
  all.replace(from, end - from, fmt::format("\n{}\n", text));
  errno = 0;
  std::ofstream out(file);
  out << all;
  out.close();
  if (!out) throw std::system_error(errno, std::generic_category(), file.string());
}

}  // namespace

bool is_alone(const nlohmann::json& machine) { return machine.value("alone", false); }

std::string machine_line(const nlohmann::json& machine) {
  const auto text = [&](const char* key) {
    return machine.value(key, nlohmann::json()).is_string() ? machine[key].get<std::string>()
                                                            : std::string();
  };
  const auto others = [&](const std::string& name) { return is_alone(machine) ? "" : name; };
  std::vector<std::string> parts{
      text("cpu"),
      fmt::format("{} threads of {} cores", machine.value("threads", 0), machine.value("cores", 0)),
      text("simd"),
      others(text("torch").empty() ? "without torch" : "torch " + text("torch")),
      others(text("onednn").empty() ? "" : "oneDNN " + text("onednn")),
      fmt::format("omninorm {}", text("omninorm")),
      text("git"),
      text("date")};
  std::erase(parts, "");
  return fmt::format("{}", fmt::join(parts, ", "));
}

std::string group_heading(const CellResult& first, bool alone) {
  std::string line;
  for (const Column* column : columns(first.cell, alone)) {
    line += fmt::format("{:>{}}", column->heading, column->width);
  }
  const std::string compared = alone ? "" : fmt::format(" ({})", comparison(first.cell));
  return fmt::format("\n{}{}\n{}\n", group(first.cell), compared, line);
}

std::string table_line(const CellResult& result, bool alone) {
  std::string line;
  if (!result.not_timed.empty()) {
    line = fmt::format("{:>19}  not timed: {}\n", label(result.cell), result.not_timed);
  } else {
    const auto cells = table_cells(result, alone);
    const auto shown = columns(result.cell, alone);
    for (std::size_t i = 0; i < cells.size(); ++i) {
      line += fmt::format("{:>{}}", cells[i], shown[i]->width);
    }
    line += "\n";
    if (!result.measurement.steady) {
      line += fmt::format(
          "{:>15} in each of {} tries the copy moved by {:.0f} % within the run, or "
          "waking the threads took long ({:.3g} us)\n",
          "~", result.measurement.tries, result.measurement.drift * 100,
          result.measurement.handover * 1e6);
    }
  }
  for (const std::string& note : result.notes) line += fmt::format("              {}\n", note);
  return line;
}

std::string summary(const Results& results) {
  std::string text = fmt::format(
      "\nGeometric means over the cells of {} rows or more, and all images (1.00 of the limit: the "
      "speed of a copy of the bytes that must move; 2.00 times PyTorch: twice as fast)\n{:<42}",
      kLeastRows, "");
  const std::size_t shown = is_alone(results.machine) ? 1 : std::size(kRatios);
  for (std::size_t i = 0; i < shown; ++i) text += fmt::format("{:<34}", kRatios[i].heading);
  text += "\n";
  for (const GroupSummary& each : summarize(results)) {
    text += fmt::format("{:<42}", each.group);
    for (std::size_t i = 0; i < shown; ++i) {
      const Extreme& extreme = each.ratios[i];
      text +=
          fmt::format("{:<34}", extreme.count == 0 ? std::string(1, '-')
                                                   : extreme.mean() + ", " + extreme.worst_text());
    }
    text += "\n";
  }
  const auto unsteady =
      std::count_if(results.cells.begin(), results.cells.end(), [](const CellResult& result) {
        return result.not_timed.empty() && !result.measurement.steady;
      });
  if (unsteady > 0) {
    text += fmt::format("{} cells, marked ~, were measured while the machine did not hold still.\n",
                        unsteady);
  }
  return text;
}

void write_markdown(const Results& results, const std::filesystem::path& file) {
  if (is_alone(results.machine)) {
    replace_between_markers(file, "limit", markdown_limit(results));
  } else {
    replace_between_markers(file, "kernels", markdown_tables(results));
  }
}

}  // namespace omninorm::bench
