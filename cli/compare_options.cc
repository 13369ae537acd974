#include "cli/compare_options.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <string_view>

#include "lab/experiment/plan_file.h"
#include "omninorm/error.h"

namespace omninorm::cli {
namespace {

using lab::Axis;
using lab::Plan;

std::string flag_of(std::string_view setting) {
  std::string flag = "--" + std::string(setting);
  std::ranges::replace(flag, '_', '-');
  return flag;
}

std::string help_of(const lab::SettingInfo& info) {
  const std::string standard = lab::get(lab::Settings{}, info.name);
  std::string values = info.expected;
  if (!info.choices.empty()) values = fmt::format("{}", fmt::join(info.choices, ", "));
  return fmt::format("{}: {} [{}]", info.help, values, standard);
}

template <class Number>
Number parse_number(std::string_view name, std::string_view expected, const std::string& text) {
  Number number{};
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc{} || stop != end) {
    throw Error(fmt::format("[{}] expected {}, got '{}'", name, expected, text));
  }
  return number;
}

void remove_axis(Plan& plan, std::string_view name) {
  std::erase_if(plan.axes, [&](const Axis& axis) { return axis.name == name; });
}

// --vary replaces the file's axis of that name and comes after the others.
void apply_axes(const CompareOptions& options, Plan& plan) {
  std::vector<Axis> axes;
  for (const std::string& text : options.vary) axes.push_back(lab::parse_axis(text));
  for (const Axis& axis : axes) remove_axis(plan, axis.name);
  for (Axis& axis : axes) plan.axes.push_back(std::move(axis));
  for (const auto& [name, value] : options.settings) {
    const bool varied = std::ranges::count(plan.axes, name, &Axis::name) > 0;
    if (varied && value) {
      throw Error(fmt::format("[{}] expected either {} or --vary {}=..., got both", name,
                              flag_of(name), name));
    }
  }
}

void apply_settings(const CompareOptions& options, Plan& plan, bool file_sets_data) {
  bool data_given = file_sets_data;
  for (const auto& [name, value] : options.settings) {
    if (!value) continue;
    lab::set(plan.base, name, *value);
    remove_axis(plan, name);  // the file's: the command line wins
    data_given = data_given || name == "data";
  }
  if (!options.text.empty()) {
    plan.base.text = options.text;
    if (!data_given) plan.base.data = "text";
  }
}

bool is_given(const CompareOptions& options, std::string_view setting) {
  return std::ranges::any_of(options.settings, [&](const auto& given) {
    return given.first == setting && given.second.has_value();
  });
}

// What is varied when nobody said: the default comparison as long as it is that, else every
// placement at the settings given.
std::vector<Axis> standard_axes(const CompareOptions& options, const Plan& plan) {
  if (is_given(options, "placement")) return {{"placement", {plan.base.placement}}};
  const bool settings_given = !options.from.empty() || !options.text.empty() ||
                              std::ranges::any_of(options.settings, [](const auto& given) {
                                return given.second.has_value() && !lab::is_incidental(given.first);
                              });
  if (settings_given) return {lab::placement_axis()};
  return lab::default_plan().axes;
}

}  // namespace

void add_compare_flags(CLI::App& app, CompareOptions& options) {
  app.add_option("--vary", options.vary,
                 "what to compare, setting=value,value,...; repeat it for more settings: the cross "
                 "product runs. Any setting below but text and seed")
      ->type_name("AXIS")
      ->group("What is compared");
  app.add_option("--seeds", options.seeds, "runs of each variant, at seed, seed + 1, ... [1]")
      ->type_name("N")
      ->group("What is compared");
  app.add_option("--from", options.from, "a TOML file that says all this; flags win over it")
      ->type_name("FILE")
      ->group("What is compared");
  app.add_option("--budget", options.budget,
                 "seconds of training that all runs together aim at when --steps is 0 [180]")
      ->type_name("SECONDS")
      ->group("What is compared");
  app.add_option("--out", options.out, "the experiment's folder [runs/<what is varied>-<hash>]")
      ->type_name("DIR")
      ->group("Output");
  app.add_flag("--dry-run", options.dry_run, "show what would run, and stop")->group("Output");
  app.add_flag("--quiet", options.quiet, "print errors and the report's path only")
      ->group("Output");
  app.add_flag("--json", options.json, "print one JSON object a line for each event")
      ->group("Output");
  options.settings.reserve(lab::setting_table().size());  // CLI11 keeps references to its elements
  for (const lab::SettingInfo& info : lab::setting_table()) {
    std::string group(info.group);
    group[0] = static_cast<char>(group[0] - 'a' + 'A');
    if (info.name == "text") {
      app.add_option("--text", options.text,
                     "your own files, read as bytes; of one file the last tenth is validation, of "
                     "several the last files")
          ->type_name("FILE")
          ->group(group);
      continue;
    }
    auto& value = options.settings.emplace_back(info.name, std::nullopt).second;
    const bool flag = info.expected == "true or false";  // --tied alone says yes
    const auto assign = [&value, flag](const CLI::results_t& words) {
      value = flag && words.at(0).empty() ? "true" : words.at(0);
      return true;
    };
    CLI::Option* const option = app.add_option(flag_of(info.name), assign, help_of(info));
    option->group(group)->type_name("");
    if (flag) option->expected(0, 1);
  }
}

Plan make_plan(const CompareOptions& options) {
  Plan plan;
  bool file_sets_data = false;
  if (!options.from.empty()) {
    lab::PlanFile file = lab::read_plan_file(options.from);
    file_sets_data = std::ranges::count(file.settings, "data") > 0;
    plan = std::move(file.plan);
  }
  if (options.seeds) {
    plan.seeds = parse_number<std::int64_t>("seeds", "an integer of at least 1", *options.seeds);
  }
  if (options.budget) {
    plan.budget_seconds = parse_number<double>("budget", "seconds above 0", *options.budget);
  }
  apply_settings(options, plan, file_sets_data);
  apply_axes(options, plan);
  if (plan.axes.empty()) plan.axes = standard_axes(options, plan);
  plan.folder = options.out;
  lab::expand(plan);
  return plan;
}

}  // namespace omninorm::cli
