#include "bench/tables.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <fstream>
#include <sstream>
#include <system_error>

#include "omninorm/error.h"

namespace omninorm::bench {
namespace {

constexpr const char* kBegin = "<!-- bench:kernels begin -->\n";
constexpr const char* kEnd = "<!-- bench:kernels end -->";

struct Column {
  const char* heading;
  int width;
};
// Times in microseconds. "/copy" and "/PyTorch" as versus_copy and versus_torch say.
constexpr Column kColumns[] = {{"rows x width", 13}, {"copy us", 10},    {"GB/s", 7},
                               {"C++ API us", 12},   {"GB/s", 7},        {"/copy", 7},
                               {"/PyTorch", 9},      {"op us", 10},      {"/copy", 7},
                               {"/PyTorch", 9},      {"PyTorch us", 11}, {"direct us", 11}};

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

std::vector<std::string> table_cells(const CellResult& result) {
  return {name(result.cell.shape) + (result.measurement.steady ? "" : " ~"),
          microseconds(result, "copy"),
          gigabytes(result, "copy"),
          microseconds(result, kLibrary),
          gigabytes(result, kLibrary),
          ratio(versus_copy(result, kLibrary)),
          ratio(versus_torch(result, kLibrary)),
          microseconds(result, kOperator),
          ratio(versus_copy(result, kOperator)),
          ratio(versus_torch(result, kOperator)),
          microseconds(result, "torch"),
          microseconds(result, "torch_direct")};
}

// Geometric mean and worst cell of one ratio over a group.
struct Extreme {
  double log_sum = 0;
  int count = 0;
  double worst = 0;
  std::string worst_cell;

  void add(const std::optional<double>& value, const CellResult& result) {
    if (!value) return;
    log_sum += std::log(*value);
    if (count == 0 || *value < worst) {
      worst = *value;
      worst_cell = name(result.cell.shape);
    }
    ++count;
  }
  std::string mean() const { return count == 0 ? "-" : ratio(std::exp(log_sum / count)); }
  std::string worst_text() const {
    return count == 0 ? "-" : fmt::format("{} at {}", ratio(worst), worst_cell);
  }
};

struct GroupSummary {
  std::string group;
  Extreme library_copy, library_torch, operator_torch;
};

std::vector<GroupSummary> summarize(const Results& results) {
  std::vector<GroupSummary> groups;
  for (const CellResult& result : results.cells) {
    if (!result.not_timed.empty()) continue;
    if (groups.empty() || groups.back().group != group(result.cell)) {
      groups.push_back({.group = group(result.cell),
                        .library_copy = {},
                        .library_torch = {},
                        .operator_torch = {}});
    }
    groups.back().library_copy.add(versus_copy(result, kLibrary), result);
    groups.back().library_torch.add(versus_torch(result, kLibrary), result);
    groups.back().operator_torch.add(versus_torch(result, kOperator), result);
  }
  return groups;
}

std::string markdown_row(const std::vector<std::string>& cells) {
  return fmt::format("| {} |\n", fmt::join(cells, " | "));
}

std::string markdown_summary(const Results& results) {
  std::string text = markdown_row({"", "C++ API, of copy", "worst", "C++ API, times PyTorch",
                                   "worst", "operator, times PyTorch", "worst"});
  text += "|---|---:|---|---:|---|---:|---|\n";
  for (const GroupSummary& each : summarize(results)) {
    text += markdown_row({each.group, each.library_copy.mean(), each.library_copy.worst_text(),
                          each.library_torch.mean(), each.library_torch.worst_text(),
                          each.operator_torch.mean(), each.operator_torch.worst_text()});
  }
  return text;
}

}  // namespace

std::string machine_line(const nlohmann::json& machine) {
  const auto text = [&](const char* key) {
    return machine.value(key, nlohmann::json()).is_string() ? machine[key].get<std::string>()
                                                            : std::string();
  };
  std::vector<std::string> parts{
      text("cpu"),
      fmt::format("{} threads of {} cores", machine.value("threads", 0), machine.value("cores", 0)),
      text("simd"),
      text("torch").empty() ? "without torch" : fmt::format("torch {}", text("torch")),
      fmt::format("omninorm {}", text("omninorm")),
      text("git"),
      text("date")};
  std::erase(parts, "");
  return fmt::format("{}", fmt::join(parts, ", "));
}

std::string group_heading(const CellResult& first) {
  std::string line;
  for (const Column& column : kColumns) line += fmt::format("{:>{}}", column.heading, column.width);
  return fmt::format("\n{}\n{}\n", group(first.cell), line);
}

std::string table_line(const CellResult& result) {
  std::string line;
  if (!result.not_timed.empty()) {
    line = fmt::format("{:>13}  not timed: {}\n", name(result.cell.shape), result.not_timed);
  } else {
    const auto cells = table_cells(result);
    for (std::size_t i = 0; i < cells.size(); ++i) {
      line += fmt::format("{:>{}}", cells[i], kColumns[i].width);
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
  std::string text =
      "\nGeometric means (1.00 of copy: the speed of a copy of the same bytes; 2.00 times PyTorch: "
      "twice as fast)\n";
  text += fmt::format("{:<26}{:>16}  {:<20}{:>18}  {:<20}{:>17}  {:<20}\n", "", "C++ API of copy",
                      "worst", "times PyTorch", "worst", "op times PyTorch", "worst");
  for (const GroupSummary& each : summarize(results)) {
    text += fmt::format("{:<26}{:>16}  {:<20}{:>18}  {:<20}{:>17}  {:<20}\n", each.group,
                        each.library_copy.mean(), each.library_copy.worst_text(),
                        each.library_torch.mean(), each.library_torch.worst_text(),
                        each.operator_torch.mean(), each.operator_torch.worst_text());
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

std::string markdown(const Results& results) {
  std::string text = machine_line(results.machine) + ".\n\n" + markdown_summary(results);
  std::string last;
  for (const CellResult& result : results.cells) {
    if (group(result.cell) != last) {
      last = group(result.cell);
      text += fmt::format("\n### {}\n\n", last);
      std::vector<std::string> headings;
      std::string rule(1, '|');
      for (const Column& column : kColumns) {
        headings.emplace_back(column.heading);
        rule += "---:|";
      }
      text += markdown_row(headings) + rule + "\n";
    }
    if (result.not_timed.empty()) {
      text += markdown_row(table_cells(result));
    } else {
      text += markdown_row({name(result.cell.shape), "not timed: " + result.not_timed});
    }
  }
  return text;
}

void replace_between_markers(const std::filesystem::path& file, const std::string& text) {
  std::ifstream in(file);
  std::stringstream stream;
  stream << in.rdbuf();
  std::string all = stream.str();
  const auto begin = all.find(kBegin);
  const auto end = all.find(kEnd);
  if (begin == std::string::npos || end == std::string::npos || end < begin) {
    throw Error(fmt::format("[bench] expected the lines '{}' and '{}' in '{}', did not find them",
                            std::string_view(kBegin).substr(0, 28), kEnd, file.string()));
  }
  const auto from = begin + std::string_view(kBegin).size();
  all.replace(from, end - from, fmt::format("\n{}\n", text));
  errno = 0;
  std::ofstream out(file);
  out << all;
  out.close();
  if (!out) throw std::system_error(errno, std::generic_category(), file.string());
}

}  // namespace omninorm::bench
