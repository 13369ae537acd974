// The flags of `omninorm compare` as given, and the plan that they make.
#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "lab/experiment/plan.h"

namespace omninorm::cli {

struct CompareOptions {
  // By setting, in the table's order; empty where the flag was not given.
  std::vector<std::pair<std::string, std::optional<std::string>>> settings;
  std::vector<std::string> text;
  std::vector<std::string> vary;
  std::optional<std::string> seeds, budget;
  std::string out, from;
  bool dry_run = false, quiet = false, json = false;
};

// Adds every flag, those of the settings from their table. `options` must outlive the parse.
void add_compare_flags(CLI::App& app, CompareOptions& options);

// Throws omninorm::Error.
lab::Plan make_plan(const CompareOptions& options);

}  // namespace omninorm::cli
