#include "lab/experiment/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "lab/data/sha256.h"
#include "lab/model/placement.h"
#include "omninorm/error.h"

namespace omninorm::lab {
namespace {

constexpr std::int64_t most_runs = 10'000;  // beyond it is a slip of the keyboard

constexpr std::string_view incidental[] = {"steps", "seed", "device", "probe_every",
                                           "validate_every"};

const SettingInfo* find_setting(std::string_view name) {
  for (const SettingInfo& info : setting_table()) {
    if (info.name == name) return &info;
  }
  return nullptr;
}

// What can be varied: text would need lists in lists, and seeds have a count of their own.
std::vector<std::string> variable_settings() {
  std::vector<std::string> names;
  for (const SettingInfo& info : setting_table()) {
    if (info.name != "text" && info.name != "seed") names.emplace_back(info.name);
  }
  return names;
}

void check_axis_name(const std::string& name) {
  if (name == "seed") {
    throw Error("[vary] expected a setting other than seed: --seeds N runs N seeds");
  }
  const std::vector<std::string> names = variable_settings();
  if (std::ranges::find(names, name) == names.end()) {
    throw Error(fmt::format("[vary] expected a setting that can be varied, got '{}'; {}", name,
                            suggestion(name, names)));
  }
}

// Values as `get` writes them, so that 3e-3 and 0.003 are one value and one folder name.
void make_canonical(Axis& axis) {
  check_axis_name(axis.name);
  if (axis.values.empty()) {
    throw Error(fmt::format("[vary] expected values for {}, got none", axis.name));
  }
  std::vector<std::string> values;
  for (const std::string& value : axis.values) {
    Settings settings;
    set(settings, axis.name, value);
    values.push_back(get(settings, axis.name));
    if (std::ranges::count(values, values.back()) > 1) {
      throw Error(
          fmt::format("[vary] expected different values for {}, got {} twice", axis.name, value));
    }
  }
  axis.values = std::move(values);
}

std::string folder_safe(std::string_view value) {
  std::string safe(value);
  for (char& c : safe) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '.' || c == '-' || c == '+' || c == '_';
    if (!plain) c = '_';
  }
  return safe;
}

std::string label_of(const Axis& axis, const std::string& value) {
  const SettingInfo& info = *find_setting(axis.name);
  if (value == "true") return "with " + axis.name;
  if (value == "false") return "without " + axis.name;
  if (!info.choices.empty() && value != "none") return value;
  return axis.name + " " + value;
}

Variant make_variant(const Plan& plan, const std::vector<std::size_t>& at, std::int64_t seed) {
  Variant variant;
  variant.settings = plan.base;
  for (std::size_t i = 0; i < plan.axes.size(); ++i) {
    const Axis& axis = plan.axes[i];
    const std::string& value = axis.values[at[i]];
    set(variant.settings, axis.name, value);
    variant.id += fmt::format("{}={},", axis.name, folder_safe(value));
    if (!variant.label.empty()) variant.label += ", ";
    variant.label += label_of(axis, value);
  }
  // --vary data=prose,text: the files belong to the second alone.
  const bool data_varied = std::ranges::count(plan.axes, "data", &Axis::name) > 0;
  if (data_varied && variant.settings.data != "text") variant.settings.text.clear();
  variant.settings.seed = plan.base.seed + seed;
  variant.id += fmt::format("seed={}", variant.settings.seed);
  if (plan.axes.empty()) variant.label = plan.base.placement;
  if (plan.seeds > 1) variant.label += fmt::format(", seed {}", variant.settings.seed);
  return variant;
}

void make_variants(Plan& plan) {
  plan.variants.clear();
  std::vector<std::size_t> at(plan.axes.size(), 0);
  while (true) {
    for (std::int64_t seed = 0; seed < plan.seeds; ++seed) {
      plan.variants.push_back(make_variant(plan, at, seed));
    }
    std::size_t axis = plan.axes.size();
    while (axis > 0 && ++at[axis - 1] == plan.axes[axis - 1].values.size()) at[--axis] = 0;
    if (axis == 0) return;
  }
}

// All that is wrong, each thing once, with the first variant that has it and how many more do.
void check_variants(const Plan& plan) {
  std::vector<std::string> messages;  // in order of appearance
  std::map<std::string, std::vector<std::string>> labels;
  for (const Variant& variant : plan.variants) {
    try {
      check(variant.settings);
    } catch (const Error& error) {
      if (labels[error.what()].empty()) messages.emplace_back(error.what());
      labels[error.what()].push_back(variant.label);
    }
  }
  if (messages.empty()) return;
  // All fail alike: what is wrong is not in what is varied.
  if (messages.size() == 1 && labels[messages[0]].size() == plan.variants.size()) {
    throw Error(messages[0]);
  }
  std::string text = "[compare] expected runs that can all be made, got";
  for (const std::string& message : messages) {
    const std::size_t more = labels[message].size() - 1;
    text += fmt::format("\n  {}{}: {}", labels[message][0],
                        more > 0 ? fmt::format(" and {} more", more) : "", message);
  }
  throw Error(text);
}

void check_counts(const Plan& plan) {
  if (plan.seeds < 1 || plan.seeds > most_runs) {
    throw Error(
        fmt::format("[seeds] expected an integer from 1 to {}, got {}", most_runs, plan.seeds));
  }
  if (!std::isfinite(plan.budget_seconds) || plan.budget_seconds <= 0) {
    throw Error(fmt::format("[budget] expected seconds above 0, got {}", plan.budget_seconds));
  }
  std::int64_t runs = plan.seeds;
  for (const Axis& axis : plan.axes) {
    runs *= static_cast<std::int64_t>(axis.values.size());
    if (runs > most_runs) {
      throw Error(fmt::format("[compare] expected at most {} runs, got more", most_runs));
    }
  }
}

// A run's id names its folder, and file systems take names of 255 bytes at most.
void check_ids(const Plan& plan) {
  constexpr std::size_t longest = 255;
  for (const Variant& variant : plan.variants) {
    if (variant.id.size() > longest) {
      throw Error(fmt::format(
          "[vary] expected folder names of at most {} bytes, which name each varied setting with "
          "its value, got {} for {}; vary fewer settings at once",
          longest, variant.id.size(), variant.id));
    }
  }
}

// Base settings and axes, without what an axis overrides.
nlohmann::json identity(const Plan& plan) {
  nlohmann::json base = to_json(plan.base);
  nlohmann::json axes = nlohmann::json::array();
  for (const Axis& axis : plan.axes) {
    base.erase(axis.name);
    axes.push_back({{"name", axis.name}, {"values", axis.values}});
  }
  return {{"base", base}, {"axes", axes}};
}

std::filesystem::path default_folder(const Plan& plan) {
  std::string name;
  for (const Axis& axis : plan.axes) name += axis.name + "-";
  // Bytes of a path need not be UTF-8, which dump() would throw for.
  const std::string text =
      identity(plan).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  return std::filesystem::path("runs") /
         ((name.size() > 80 ? "compare-" : name) + sha256_hex(text).substr(0, 6));
}

bool is_default(const Plan& plan) {
  Plan standard = default_plan();
  for (Axis& axis : standard.axes) make_canonical(axis);
  nlohmann::json ours = identity(plan);
  nlohmann::json theirs = identity(standard);
  for (const std::string_view name : incidental) {
    ours["base"].erase(std::string(name));
    theirs["base"].erase(std::string(name));
  }
  return ours == theirs;
}

}  // namespace

bool is_incidental(std::string_view setting) {
  return std::ranges::find(incidental, setting) != std::end(incidental);
}

Axis placement_axis() {
  Axis axis{"placement", {}};
  for (const Placement& placement : placements()) axis.values.emplace_back(placement.name);
  return axis;
}

Plan default_plan() {
  Plan plan;
  plan.axes = {{"placement", {"post", "pre", "peri", "output"}}, {"lr", {"3e-3", "1e-2"}}};
  return plan;
}

Axis parse_axis(std::string_view text) {
  const std::size_t equals = text.find('=');
  if (equals == std::string_view::npos) {
    const std::string name(text);
    if (!name.empty()) check_axis_name(name);
    throw Error(fmt::format("[vary] expected setting=value,value,..., got '{}'{}", name,
                            name.empty() ? "" : "; give it values"));
  }
  Axis axis{std::string(text.substr(0, equals)), {}};
  check_axis_name(axis.name);
  std::string_view rest = text.substr(equals + 1);
  while (true) {
    const std::size_t comma = rest.find(',');
    axis.values.emplace_back(rest.substr(0, comma));
    if (comma == std::string_view::npos) break;
    rest.remove_prefix(comma + 1);
  }
  make_canonical(axis);
  return axis;
}

void expand(Plan& plan) {
  for (Axis& axis : plan.axes) {
    make_canonical(axis);
    if (std::ranges::count(plan.axes, axis.name, &Axis::name) > 1) {
      throw Error(fmt::format("[vary] expected each setting once, got {} twice", axis.name));
    }
  }
  check_counts(plan);
  make_variants(plan);
  check_variants(plan);
  check_ids(plan);
  plan.is_default = is_default(plan);
  if (plan.folder.empty()) plan.folder = default_folder(plan);
}

}  // namespace omninorm::lab
