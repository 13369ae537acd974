#include "bench/results.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <fstream>
#include <system_error>

#include "omninorm/error.h"

namespace omninorm::bench {
namespace {

using nlohmann::json;

constexpr int kFormat = 2;
constexpr int kOldFormat = 1;  // rows x width only

json to_json(const CellResult& result) {
  json sides = json::object();
  for (const SideTime& side : result.measurement.sides) {
    sides[side.name] = {{"seconds", side.seconds},
                        {"halves", {side.halves[0], side.halves[1]}},
                        {"calls", side.calls},
                        {"gb_per_s", bandwidth(result, side)}};
  }
  json cell = {{"op", result.cell.op},
               {"direction", name(result.cell.direction)},
               {"dtype", omninorm::name(result.cell.dtype)},
               {"sizes", result.cell.shape.sizes},
               {"layout", name(result.cell.layout)},
               {"group_channels", result.cell.group_channels},
               {"bytes", result.bytes},
               {"sides", sides}};
  if (!result.not_timed.empty()) {
    cell["not_timed"] = result.not_timed;
    cell["wrong"] = result.wrong;
    return cell;
  }
  cell["control_drift"] = result.measurement.drift;
  cell["handover_seconds"] = result.measurement.handover;
  cell["tries"] = result.measurement.tries;
  cell["steady"] = result.measurement.steady;
  cell["notes"] = result.notes;
  for (const char* side : {kLibrary, kOperator}) {
    if (const auto ratio = share_of_limit(result, side)) cell["share_of_limit"][side] = *ratio;
    if (const auto ratio = versus_torch(result, side)) cell["versus_torch"][side] = *ratio;
  }
  return cell;
}

CellResult from_json(const json& cell) {
  CellResult result;
  result.cell.op = cell.at("op");
  result.cell.direction =
      cell.at("direction") == "forward" ? Direction::forward : Direction::backward;
  result.cell.dtype = parse_dtype(cell.at("dtype").get<std::string>());
  if (cell.contains("rows")) {
    result.cell.shape.sizes = {cell.at("rows"), cell.at("width")};
  } else {
    result.cell.shape.sizes = cell.at("sizes").get<std::vector<std::int64_t>>();
    result.cell.layout = parse_layout(cell.at("layout").get<std::string>());
    result.cell.group_channels = cell.at("group_channels");
  }
  result.bytes = cell.at("bytes");
  result.not_timed = cell.value("not_timed", "");
  result.wrong = cell.value("wrong", false);
  result.notes = cell.value("notes", std::vector<std::string>());
  result.measurement.drift = cell.value("control_drift", 0.0);
  result.measurement.handover = cell.value("handover_seconds", 0.0);
  result.measurement.tries = cell.value("tries", 0);
  result.measurement.steady = cell.value("steady", false);
  for (const auto& [name, side] : cell.at("sides").items()) {
    SideTime time;
    time.name = name;
    time.seconds = side.at("seconds");
    time.halves[0] = side.at("halves").at(0);
    time.halves[1] = side.at("halves").at(1);
    time.calls = side.at("calls");
    result.measurement.sides.push_back(time);
  }
  return result;
}

// The least change that is told: minima of two runs differ by a few percent on a quiet machine.
constexpr double kLeastChange = 0.05;

double noise(const CellResult& result, const std::string& side) {
  double sum = 0;
  for (const std::string& each : {side, std::string("copy")}) {
    if (const auto* time = find_side(result.measurement.sides, each)) sum += half_difference(*time);
  }
  return sum;
}

std::string compare_cell(const CellResult& before, const CellResult& now, int& compared) {
  std::string text;
  for (const char* side : {kLibrary, kOperator}) {
    const auto old_ratio = share_of_limit(before, side);
    const auto new_ratio = share_of_limit(now, side);
    if (!old_ratio || !new_ratio) continue;
    ++compared;
    const double band = std::max(kLeastChange, noise(before, side) + noise(now, side));
    const double change = *new_ratio / *old_ratio;
    if (std::abs(std::log(change)) <= std::log1p(band)) continue;
    const bool faster = change > 1;
    text += fmt::format(
        "  {:<52} {:<14} {:.2f}x as {}   ({:.2f} -> {:.2f} of the limit, noise {:.0f} %)\n",
        name(now.cell), side, faster ? change : 1 / change, faster ? "fast" : "slow", *old_ratio,
        *new_ratio, band * 100);
  }
  return text;
}

}  // namespace

double bandwidth(const CellResult& result, const SideTime& side) {
  return static_cast<double>(result.bytes) / side.seconds * 1e-9;
}

std::optional<double> time_ratio(const CellResult& result, const std::string& over,
                                 const std::string& under) {
  const auto* first = find_side(result.measurement.sides, over);
  const auto* second = find_side(result.measurement.sides, under);
  if (first == nullptr || second == nullptr) return {};
  return first->seconds / second->seconds;
}

std::optional<double> share_of_limit(const CellResult& result, const std::string& side) {
  return time_ratio(result, "copy", side);
}

std::optional<double> versus_torch(const CellResult& result, const std::string& side) {
  const auto* time = find_side(result.measurement.sides, side);
  const auto* torch = find_side(result.measurement.sides, "torch");
  if (time == nullptr || torch == nullptr) return {};
  double theirs = torch->seconds;
  const auto* direct = find_side(result.measurement.sides, "torch_direct");
  if (side == kLibrary && direct != nullptr) theirs = std::min(theirs, direct->seconds);
  return theirs / time->seconds;
}

void write_json(const Results& results, const std::filesystem::path& file) {
  json cells = json::array();
  for (const CellResult& result : results.cells) cells.push_back(to_json(result));
  const json all = {{"format", kFormat}, {"machine", results.machine}, {"cells", cells}};
  errno = 0;
  std::ofstream out(file);
  out << all.dump(1) << '\n';
  out.close();
  if (!out) throw std::system_error(errno, std::generic_category(), file.string());
}

Results read_json(const std::filesystem::path& file) {
  std::ifstream in(file);
  if (!in) throw Error(fmt::format("[bench] cannot read '{}'", file.string()));
  try {
    const json all = json::parse(in);
    if (all.at("format") != kFormat && all.at("format") != kOldFormat) {
      throw Error(fmt::format("[bench] expected format {} or {} in '{}', got {}", kOldFormat,
                              kFormat, file.string(), all.at("format").dump()));
    }
    Results results;
    results.machine = all.at("machine");
    for (const json& cell : all.at("cells")) results.cells.push_back(from_json(cell));
    return results;
  } catch (const json::exception& error) {
    throw Error(fmt::format("[bench] expected a file that --json wrote, got '{}': {}",
                            file.string(), error.what()));
  }
}

std::string compare(const Results& before, const Results& now) {
  std::string text, changes;
  for (const char* key : {"cpu", "threads", "simd", "torch", "onednn"}) {
    if (before.machine.value(key, json()) == now.machine.value(key, json())) continue;
    text += fmt::format("  not the same {}: {} before, {} now\n", key,
                        before.machine.value(key, json()).dump(),
                        now.machine.value(key, json()).dump());
  }
  int compared = 0;
  for (const CellResult& result : now.cells) {
    const auto same = [&](const CellResult& other) {
      return name(other.cell) == name(result.cell);
    };
    const auto old = std::find_if(before.cells.begin(), before.cells.end(), same);
    if (old != before.cells.end()) changes += compare_cell(*old, result, compared);
  }
  text += changes;
  const auto changed = std::count(changes.begin(), changes.end(), '\n');
  return text + fmt::format("  {} of {} figures changed beyond noise.\n", changed, compared);
}

}  // namespace omninorm::bench
