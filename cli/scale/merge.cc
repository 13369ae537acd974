#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>
#include <string>
#include <vector>

#include "cli/parse.h"
#include "cli/program.h"
#include "cli/scale/common.h"
#include "cli/scale/verbs.h"
#include "cli/table/cells.h"

namespace omninorm::cli {
namespace {

constexpr const char* examples = R"(
The parts must be of one kind, with the same options and columns. The result is the same, bit for
bit, in whatever order they are named; another grouping agrees to 1e-12.

Examples:
  omninorm scale fit part1.csv -o a.json     # on one machine
  omninorm scale fit part2.csv -o b.json     # on another
  omninorm scale merge a.json b.json -o scaler.json)";

// Rows that count twice are rarely meant.
void tell_of_repeats(const std::vector<std::unique_ptr<Scaler>>& parts, bool quiet) {
  std::set<std::string> seen;
  std::vector<std::string> repeated;
  for (const auto& part : parts) {
    for (const std::string& source : part->fitted_on().sources) {
      const bool known = !seen.insert(source + "\n" + part->fitted_on().time).second;
      if (known && !source.starts_with("standard input")) repeated.push_back(source);
    }
  }
  if (!repeated.empty()) note(quiet, "counted more than once: " + shown_list(repeated));
}

// "variance is "biased" in a.json and "unbiased" in b.json": the first option that differs, where
// one does; the library says only that one does.
std::string different_option(const Scaler& a, const std::string& a_file, const Scaler& b,
                             const std::string& b_file) {
  const auto first = nlohmann::json::parse(a.to_json()).at("options");
  const auto second = nlohmann::json::parse(b.to_json()).at("options");
  for (const auto& [name, value] : first.items()) {
    if (!second.contains(name) || second.at(name) == value) continue;
    return fmt::format("; {} is {} in {} and {} in {}", name, value.dump(), a_file,
                       second.at(name).dump(), b_file);
  }
  return {};
}

}  // namespace

int run_scale_merge(int argc, char** argv) {
  CLI::App app("Joins scalers that were fitted on parts of the data.", "omninorm scale merge");
  std::vector<std::string> files;
  std::string out = "-";
  bool quiet = false;
  app.add_option("scalers", files, "the files that scale fit wrote")->required();
  app.add_option("-o,--out", out, "the merged scaler's file [standard output]")->type_name("FILE");
  app.add_flag("--quiet", quiet, "print errors only");
  app.footer(examples);
  parse_arguments(app, argc, argv);
  std::vector<std::unique_ptr<Scaler>> parts;
  for (const std::string& file : files) parts.push_back(read_state(file));

  // By what was fitted, not by who comes first: any order gives the same bits.
  std::vector<std::string> states;
  for (const auto& part : parts) {
    const std::unique_ptr<Scaler> bare = part->clone();
    bare->fitted_on() = {};
    states.push_back(bare->to_json());
  }
  std::vector<std::size_t> order(parts.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, {}, [&](std::size_t i) { return states[i]; });
  const std::unique_ptr<Scaler> merged = parts[order[0]]->clone();
  for (std::size_t i = 1; i < order.size(); ++i) {
    try {
      merged->merge(*parts[order[i]]);
    } catch (const Error& error) {
      const std::string &a = files[order[0]], &b = files[order[i]];
      throw UsageError(fmt::format("{} and {}: {}{}", a, b, error.what(),
                                   different_option(*merged, a, *parts[order[i]], b)));
    }
  }
  std::vector<std::string> sources;
  for (const auto& part : parts) {
    const auto& more = part->fitted_on().sources;
    sources.insert(sources.end(), more.begin(), more.end());
  }
  merged->fitted_on().sources = sources;
  tell_of_repeats(parts, quiet);
  write_state(*merged, out);
  return exit_done;
}

}  // namespace omninorm::cli
