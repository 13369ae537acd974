#include "lab/experiment/plan_file.h"

#include <fmt/format.h>
#include <toml++/toml.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>

#include "omninorm/error.h"

namespace omninorm::lab {
namespace {

namespace fs = std::filesystem;

class Reader {
 public:
  explicit Reader(const fs::path& file) : file_(file) {}

  PlanFile read() {
    const toml::table root = parse();
    const std::vector<std::string> keys = {"vary", "settings", "seeds", "budget"};
    for (const auto& [key, node] : root) {
      const std::string name(key.str());
      if (name == "settings") {
        read_settings(table(node, name));
      } else if (name == "vary") {
        read_axes(table(node, name));
      } else if (name == "seeds") {
        result_.plan.seeds = node.is_integer()
                                 ? *node.value<std::int64_t>()
                                 : fail<std::int64_t>(node, "expected an integer for seeds");
      } else if (name == "budget") {
        result_.plan.budget_seconds = node.is_number()
                                          ? *node.value<double>()
                                          : fail<double>(node, "expected seconds for budget");
      } else {
        fail<int>(node,
                  fmt::format("expected a known key, got '{}'; {}", name, suggestion(name, keys)));
      }
    }
    if (!result_.plan.base.text.empty() && !sets("data")) result_.plan.base.data = "text";
    return std::move(result_);
  }

 private:
  template <class T>
  [[noreturn]] T fail(const toml::node& node, const std::string& what) const {
    throw Error(fmt::format("[{}:{}] {}", file_.string(), node.source().begin.line, what));
  }

  bool sets(std::string_view name) const { return std::ranges::count(result_.settings, name) > 0; }

  toml::table parse() const {
    std::error_code error;
    if (!fs::is_regular_file(file_, error)) {
      throw Error(fmt::format("[from] expected a TOML file, got {}: {}", file_.string(),
                              fs::is_directory(file_, error) ? "a folder" : "no such file"));
    }
    std::ifstream stream(file_, std::ios::binary);
    if (!stream) {
      throw Error(
          fmt::format("[from] expected a TOML file, got {}: it cannot be read", file_.string()));
    }
    const std::string text{std::istreambuf_iterator<char>(stream), {}};
    try {
      return toml::parse(text, file_.string());
    } catch (const toml::parse_error& problem) {
      throw Error(fmt::format("[{}:{}] expected TOML: {}", file_.string(),
                              problem.source().begin.line, problem.description()));
    }
  }

  const toml::table& table(const toml::node& node, const std::string& name) const {
    if (const toml::table* const found = node.as_table()) return *found;
    return fail<const toml::table&>(node, fmt::format("expected a table [{}]", name));
  }

  // A value as `set` takes it.
  std::string text_of(const toml::node& node, const std::string& name) const {
    if (const auto* const text = node.as_string()) return text->get();
    if (const auto* const whole = node.as_integer()) return fmt::format("{}", whole->get());
    if (const auto* const real = node.as_floating_point()) return fmt::format("{}", real->get());
    if (const auto* const flag = node.as_boolean()) return flag->get() ? "true" : "false";
    return fail<std::string>(node, fmt::format("expected one value for {}", name));
  }

  const toml::array& array(const toml::node& node, const std::string& name) const {
    const toml::array* const found = node.as_array();
    if (found != nullptr && !found->empty()) return *found;
    return fail<const toml::array&>(
        node, fmt::format("expected an array of values for {}, such as [1, 2]", name));
  }

  void assign(const toml::node& node, const std::string& name, const std::string& value) {
    try {
      set(result_.plan.base, name, value);
    } catch (const Error& error) {
      fail<int>(node, error.what());
    }
  }

  void read_settings(const toml::table& settings) {
    for (const auto& [key, node] : settings) {
      const std::string name(key.str());
      if (name == "text") {
        std::string paths;
        for (const toml::node& path : array(node, name)) {
          const fs::path full = file_.parent_path() / text_of(path, name);
          paths += full.lexically_normal().string() + "\n";
        }
        assign(node, name, paths);
      } else {
        assign(node, name, text_of(node, name));
      }
      result_.settings.push_back(name);
    }
  }

  void read_axes(const toml::table& vary) {
    struct Placed {
      toml::source_position at;
      Axis axis;
    };
    std::vector<Placed> axes;
    for (const auto& [key, node] : vary) {
      Axis axis{std::string(key.str()), {}};
      std::string text = axis.name + "=";
      for (const toml::node& value : array(node, axis.name)) {
        if (!axis.values.empty()) text += ',';
        text += text_of(value, axis.name);
        axis.values.emplace_back();
      }
      try {
        axes.push_back({key.source().begin, parse_axis(text)});
      } catch (const Error& error) {
        fail<int>(node, error.what());
      }
    }
    // toml++ sorts keys by name; the order of axes is the file's.
    std::ranges::sort(axes, [](const Placed& a, const Placed& b) { return a.at < b.at; });
    for (Placed& placed : axes) result_.plan.axes.push_back(std::move(placed.axis));
  }

  const fs::path& file_;
  PlanFile result_;
};

}  // namespace

PlanFile read_plan_file(const fs::path& file) { return Reader(file).read(); }

}  // namespace omninorm::lab
