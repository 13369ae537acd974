#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "cli/parse.h"
#include "cli/program.h"
#include "cli/verbs.h"
#include "lab/data/text.h"
#include "lab/experiment/settings.h"
#include "lab/model/placement.h"

namespace omninorm::cli {
namespace {

struct Item {
  std::string name, detail, summary, source;
};

struct Section {
  std::string name;
  std::vector<Item> items;
};

std::vector<Section> sections() {
  Section norms{"norms", {}}, places{"placements", {}}, data{"data", {}};
  for (const auto& norm : lab::norm_choices()) {
    norms.items.push_back({std::string(norm.name), "", std::string(norm.summary), ""});
  }
  for (const auto& placement : lab::placements()) {
    places.items.push_back({std::string(placement.name), std::string(placement.equation),
                            std::string(placement.summary), std::string(placement.source)});
  }
  for (const auto& choice : lab::data_choices()) {
    data.items.push_back({std::string(choice.name), "", std::string(choice.summary), ""});
  }
  return {norms, places, data};
}

std::string as_json(const std::vector<Section>& chosen) {
  nlohmann::json json = nlohmann::json::object();
  for (const Section& section : chosen) {
    nlohmann::json items = nlohmann::json::array();
    for (const Item& item : section.items) {
      nlohmann::json entry = {{"name", item.name}, {"summary", item.summary}};
      if (!item.detail.empty()) entry["equation"] = item.detail;
      if (!item.source.empty()) entry["source"] = item.source;
      items.push_back(entry);
    }
    json[section.name] = items;
  }
  return json.dump(2) + "\n";
}

std::string as_text(const std::vector<Section>& chosen) {
  std::string text;
  for (const Section& section : chosen) {
    if (chosen.size() > 1) text += section.name + "\n";
    std::size_t name_width = 0, detail_width = 0;
    for (const Item& item : section.items) {
      name_width = std::max(name_width, item.name.size());
      detail_width = std::max(detail_width, item.detail.size());
    }
    for (const Item& item : section.items) {
      text += fmt::format("{}{:<{}}  ", chosen.size() > 1 ? "  " : "", item.name, name_width);
      if (detail_width > 0) text += fmt::format("{:<{}}  ", item.detail, detail_width);
      text += item.summary + "\n";
    }
  }
  return text;
}

}  // namespace

int run_list(int argc, char** argv) {
  CLI::App app("The norms, placements and data that there are, a line each.", "omninorm list");
  std::string what;
  bool json = false;
  app.add_option("what", what, "norms, placements or data; all when left out");
  app.add_flag("--json", json, "as one JSON object, with equations and sources");
  parse_arguments(app, argc, argv);
  std::vector<Section> chosen = sections();
  if (!what.empty()) {
    std::vector<std::string> names;
    for (const Section& section : chosen) names.push_back(section.name);
    if (std::ranges::find(names, what) == names.end()) {
      throw UsageError(fmt::format("list expected a known list, got '{}'; {}", what,
                                   lab::suggestion(what, names)));
    }
    std::erase_if(chosen, [&](const Section& section) { return section.name != what; });
  }
  std::fputs((json ? as_json(chosen) : as_text(chosen)).c_str(), stdout);
  return exit_done;
}

}  // namespace omninorm::cli
