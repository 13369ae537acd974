#include "lab/experiment/settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <system_error>
#include <variant>

#include "lab/data/text.h"
#include "lab/model/placement.h"
#include "omninorm/error.h"

namespace omninorm::lab {
namespace {

using Member = std::variant<std::string Settings::*, double Settings::*, std::int64_t Settings::*,
                            bool Settings::*, std::vector<std::string> Settings::*>;

// Bounds of a number; `above` and `below` exclude the bound itself.
struct Range {
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();
  bool above = false;
  bool below = false;
};

struct Row {
  std::string_view name;
  std::string_view group;
  std::string_view help;
  Member member;
  Range range{};
  std::vector<std::string> choices{};
};

template <class Table>
std::vector<std::string> names_of(const Table& table) {
  std::vector<std::string> names;
  for (const auto& row : table) names.emplace_back(row.name);
  return names;
}

// The upper bounds of sizes only keep products inside 64 bits and typing errors out.
const std::vector<Row>& rows() {
  using S = Settings;
  static const std::vector<Row> table = {
      // clang-format off
      {"placement", "model", "where the norms stand in a block (omninorm list placements)", &S::placement, {}, names_of(placements())},
      {"norm", "model", "which norm (omninorm list norms)", &S::norm, {}, names_of(norm_choices())},
      {"norm_eps", "model", "added to the variance or mean square, inside the root", &S::norm_eps, {0, 1}},
      {"norm_groups", "model", "groups of channels of grouped_layer_norm; must divide the width", &S::norm_groups, {1, 65536}},
      {"layers", "model", "Transformer blocks", &S::layers, {1, 1024}},
      {"width", "model", "width of the residual stream", &S::width, {2, 65536}},
      {"heads", "model", "attention heads; must divide the width into even parts", &S::heads, {1, 4096}},
      {"context", "model", "tokens (bytes) a sequence", &S::context, {1, 1048576}},
      {"mlp", "model", "the block's second sublayer", &S::mlp, {}, {"gelu", "swiglu"}},
      {"dropout", "model", "share of activations dropped in training", &S::dropout, {0, 1, false, true}},
      {"tied", "model", "output layer shares the embedding's weight", &S::tied},
      {"qk_norm", "model", "a norm over each head of q and k", &S::qk_norm},
      {"embedding_norm", "model", "a norm on the embedding", &S::embedding_norm},
      {"init", "model", "initial weights: all N(0, 0.02), or N(0, 1/fan-in)", &S::init, {}, {"normal-0.02", "fan-in"}},
      {"lr", "training", "peak learning rate", &S::lr, {0, 1000, true}},
      {"steps", "training", "optimiser steps; 0: sized from a few timed ones to fit --budget", &S::steps, {0, 1e9}},
      {"batch", "training", "sequences a step", &S::batch, {1, 1048576}},
      {"warmup", "training", "share of the steps in which the learning rate rises", &S::warmup, {0, 1}},
      {"weight_decay", "training", "AdamW's decay, on matrices only", &S::weight_decay, {0, 1000}},
      {"beta1", "training", "AdamW's first decay rate", &S::beta1, {0, 1, false, true}},
      {"beta2", "training", "AdamW's second decay rate", &S::beta2, {0, 1, false, true}},
      {"clip", "training", "largest gradient norm; 0: no clipping", &S::clip, {0, 1e9}},
      {"dtype", "training", "f32, or bf16 autocast", &S::dtype, {}, {"f32", "bf16"}},
      {"device", "training", "cpu, cuda or cuda:N", &S::device},
      {"seed", "training", "of the initial weights and the batches", &S::seed, {0, 9e15}},
      {"data", "data", "what to train on (omninorm list data)", &S::data, {}, names_of(data_choices())},
      {"text", "data", "your own files, read as bytes", &S::text},
      {"probe_every", "measuring", "steps between two probes", &S::probe_every, {1, 1e9}},
      {"validate_every", "measuring", "steps between two validations; 0: a quarter of the run", &S::validate_every, {0, 1e9}},
      // clang-format on
  };
  return table;
}

const Row& find_row(std::string_view name) {
  const std::vector<Row>& table = rows();
  const auto row = std::ranges::find(table, name, &Row::name);
  if (row == table.end()) {
    throw Error(fmt::format("[settings] expected the name of a setting, got '{}'; {}", name,
                            suggestion(name, names_of(table))));
  }
  return *row;
}

std::string range_words(const Range& range) {
  const bool low = std::isfinite(range.low);
  const bool high = std::isfinite(range.high);
  if (low && high && !range.above && !range.below) {
    return fmt::format(" from {:.16g} to {:.16g}", range.low, range.high);
  }
  std::string words;
  if (low) words += fmt::format("{} {:.16g}", range.above ? " above" : " of at least", range.low);
  if (low && high) words += " and";
  if (high) words += fmt::format("{} {:.16g}", range.below ? " below" : " at most", range.high);
  return words;
}

std::string expected_words(const Row& row) {
  if (!row.choices.empty()) return fmt::format("one of {}", fmt::join(row.choices, ", "));
  switch (row.member.index()) {
    case 1:
      return "a number" + range_words(row.range);
    case 2:
      return "an integer" + range_words(row.range);
    case 3:
      return "true or false";
    case 4:
      return "paths of files";
    default:
      return "cpu, cuda or cuda:N";  // device, the one free text field
  }
}

[[noreturn]] void bad_value(const Row& row, std::string_view value) {
  std::string message =
      fmt::format("[{}] expected {}, got '{}'", row.name, expected_words(row), value);
  const std::string near = nearest(value, row.choices);
  const std::string_view reason = row.name == "norm" ? why_no_norm(value) : std::string_view{};
  if (!reason.empty()) {
    message += fmt::format("; {}", reason);
  } else if (!near.empty()) {
    message += fmt::format("; did you mean '{}'?", near);
  }
  throw Error(message);
}

bool is_device(std::string_view value) {
  if (value == "cpu" || value == "cuda") return true;
  if (!value.starts_with("cuda:")) return false;
  value.remove_prefix(5);
  return !value.empty() && value.size() <= 3 &&
         std::ranges::all_of(value, [](char c) { return c >= '0' && c <= '9'; });
}

bool in_range(const Range& range, double value) {
  return std::isfinite(value) && (range.above ? value > range.low : value >= range.low) &&
         (range.below ? value < range.high : value <= range.high);
}

// The whole of `value` as a number; false for anything else, "nan", "inf" and overflow included.
template <class Number>
bool parse_number(std::string_view value, Number& number) {
  const char* const end = value.data() + value.size();
  const auto [stop, error] = std::from_chars(value.data(), end, number);
  return error == std::errc{} && stop == end;
}

bool parse_bool(std::string_view value, bool& flag) {
  flag = value == "true" || value == "on" || value == "yes" || value == "1";
  return flag || value == "false" || value == "off" || value == "no" || value == "0";
}

std::vector<std::string> split_lines(std::string_view value) {
  std::vector<std::string> lines;
  while (!value.empty()) {
    const std::size_t end = std::min(value.find('\n'), value.size());
    if (end > 0) lines.emplace_back(value.substr(0, end));
    value.remove_prefix(std::min(end + 1, value.size()));
  }
  return lines;
}

// One assign_text a type; each leaves the field alone when the text is not valid.
void assign_text(const Row& row, std::string& field, std::string_view value) {
  const bool valid =
      row.choices.empty() ? is_device(value) : std::ranges::count(row.choices, value) > 0;
  if (!valid) bad_value(row, value);
  field = value;
}

void assign_text(const Row& row, double& field, std::string_view value) {
  double number = 0;
  if (!parse_number(value, number) || !in_range(row.range, number)) bad_value(row, value);
  field = number == 0 ? 0 : number;  // -0 and 0 are one setting
}

void assign_text(const Row& row, std::int64_t& field, std::string_view value) {
  std::int64_t number = 0;
  if (!parse_number(value, number) || !in_range(row.range, static_cast<double>(number))) {
    bad_value(row, value);
  }
  field = number;
}

void assign_text(const Row& row, bool& field, std::string_view value) {
  bool flag = false;
  if (!parse_bool(value, flag)) bad_value(row, value);
  field = flag;
}

void assign_text(const Row&, std::vector<std::string>& field, std::string_view value) {
  field = split_lines(value);
}

std::string text_of(const std::string& field) { return field; }
std::string text_of(double field) { return fmt::format("{}", field); }
std::string text_of(std::int64_t field) { return fmt::format("{}", field); }
std::string text_of(bool field) { return field ? "true" : "false"; }
std::string text_of(const std::vector<std::string>& field) {
  return fmt::format("{}", fmt::join(field, "\n"));
}

bool json_fits(const nlohmann::json& value, const Member& member) {
  switch (member.index()) {
    case 0:
      return value.is_string();
    case 1:
      return value.is_number();
    case 2:
      return value.is_number_integer();
    case 3:
      return value.is_boolean();
    default:
      return value.is_array() &&
             std::ranges::all_of(value, [](const auto& item) { return item.is_string(); });
  }
}

}  // namespace

std::span<const SettingInfo> setting_table() {
  static const std::vector<SettingInfo> table = [] {
    std::vector<SettingInfo> infos;
    for (const Row& row : rows()) {
      infos.push_back({row.name, row.group, row.help, row.choices, expected_words(row)});
    }
    return infos;
  }();
  return table;
}

void set(Settings& settings, std::string_view name, std::string_view value) {
  const Row& row = find_row(name);
  std::visit([&](auto member) { assign_text(row, settings.*member, value); }, row.member);
}

std::string get(const Settings& settings, std::string_view name) {
  return std::visit([&](auto member) { return text_of(settings.*member); }, find_row(name).member);
}

nlohmann::json to_json(const Settings& settings) {
  nlohmann::json json = nlohmann::json::object();
  for (const Row& row : rows()) {
    std::visit([&](auto member) { json[std::string(row.name)] = settings.*member; }, row.member);
  }
  return json;
}

Settings from_json(const nlohmann::json& json) {
  if (!json.is_object()) {
    throw Error(fmt::format("[settings] expected a JSON object, got {}", json.type_name()));
  }
  Settings settings;
  for (const auto& [name, value] : json.items()) {
    const Row& row = find_row(name);
    if (!json_fits(value, row.member)) bad_value(row, value.dump());
    const auto assign = [&](auto member) {
      using Field = std::remove_cvref_t<decltype(settings.*member)>;
      if constexpr (std::is_same_v<Field, std::vector<std::string>>) {
        settings.*member = value.template get<Field>();
      } else {
        // An unsigned JSON integer beyond int64 would wrap in get<>; as text it is out of range.
        assign_text(row, settings.*member,
                    value.is_string() ? value.template get<std::string>() : value.dump());
      }
    };
    std::visit(assign, row.member);
  }
  return settings;
}

namespace {

// Groups of less than 3 channels would be constants. `what` has `width` channels.
void check_groups(const Settings& settings, std::int64_t width, std::string_view what) {
  if (width % settings.norm_groups == 0 && width / settings.norm_groups >= 3) return;
  throw Error(fmt::format(
      "[norm_groups] expected groups of 3 or more channels that divide the width of {}, {}, got {} "
      "groups",
      what, width, settings.norm_groups));
}

}  // namespace

void check(const Settings& settings) {
  for (const Row& row : rows()) {
    Settings copy;
    set(copy, row.name, get(settings, row.name));
  }
  if (settings.width % settings.heads != 0) {
    throw Error(fmt::format(
        "[width] expected a width that the heads divide, got width {} with {} heads; the nearest "
        "that fits is {}",
        settings.width, settings.heads,
        std::max<std::int64_t>(1, (settings.width + settings.heads / 2) / settings.heads) *
            settings.heads));
  }
  if ((settings.width / settings.heads) % 2 != 0) {
    throw Error(fmt::format(
        "[heads] expected an even width of a head, which rotary positions need, got width {} / {} "
        "heads = {}",
        settings.width, settings.heads, settings.width / settings.heads));
  }
  if (settings.norm == "grouped_layer_norm") {
    check_groups(settings, settings.width, "the model");
    if (settings.qk_norm) check_groups(settings, settings.width / settings.heads, "a head");
  }
  if (settings.data == "text" && settings.text.empty()) {
    throw Error("[data] expected files for data 'text', got none; name them with --text FILE...");
  }
  if (settings.data != "text" && !settings.text.empty()) {
    throw Error(fmt::format("[data] expected data 'text' with --text, got '{}'", settings.data));
  }
}

std::size_t edit_distance(std::string_view a, std::string_view b) {
  // Rows i-2, i-1 and i of the usual table ("optimal string alignment").
  std::vector<std::size_t> before(b.size() + 1), last(b.size() + 1), now(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) last[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    now[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replace = last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      now[j] = std::min({last[j] + 1, now[j - 1] + 1, replace});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        now[j] = std::min(now[j], before[j - 2] + 1);
      }
    }
    before.swap(last);
    last.swap(now);
  }
  return last[b.size()];
}

std::string nearest(std::string_view given, std::span<const std::string> valid) {
  // One spelling for all: case, "-" and "_" do not count.
  const auto plain = [](std::string_view word) {
    std::string out;
    for (const char c : word) {
      if (c == '-' || c == '_') continue;
      out += static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
    }
    return out;
  };
  const std::string word = plain(given.substr(0, 100));
  if (word.empty()) return {};
  std::string best;
  std::size_t best_distance = std::max<std::size_t>(1, (word.size() + 1) / 3) + 1;
  for (const std::string& candidate : valid) {
    const std::string other = plain(candidate);
    std::size_t distance = edit_distance(word, other);
    // "rms" for rms_norm, "periln" for peri: a beginning counts as one edit.
    const bool begins = word.size() >= 3 && (other.starts_with(word) || word.starts_with(other));
    if (begins && other.size() >= 3) distance = std::min<std::size_t>(distance, 1);
    if (distance < best_distance) {
      best_distance = distance;
      best = candidate;
    }
  }
  return best;
}

std::string suggestion(std::string_view given, std::span<const std::string> valid) {
  const std::string near = nearest(given, valid);
  std::string words = near.empty() ? "" : fmt::format("did you mean '{}'? ", near);
  return words + fmt::format("valid: {}", fmt::join(valid, ", "));
}

}  // namespace omninorm::lab
