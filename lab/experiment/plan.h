// What `compare` will run: the cross product of what is varied, times the seeds.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "lab/experiment/settings.h"

namespace omninorm::lab {

struct Axis {
  std::string name;  // a setting
  std::vector<std::string> values;
};

struct Variant {
  std::string id;  // folder name, from the varied values and seed: "placement=peri,lr=0.003,seed=1"
  std::string label;  // for people: "peri, lr 0.003" (seed only where there are several)
  Settings settings;
};

struct Plan {
  Settings base;
  std::vector<Axis> axes;
  std::int64_t seeds = 1;         // seed, seed + 1, ...
  double budget_seconds = 180;    // training time to aim at when steps = 0
  std::filesystem::path folder;   // empty before expand: runs/<axes>-<hash>
  bool is_default = false;        // the default comparison: settings chosen to separate placements
  std::vector<Variant> variants;  // expanded and checked
};

// What `compare` runs when nothing is asked for, not yet expanded: four placements at two learning
// rates.
Plan default_plan();

// Settings with which the default comparison stays what it is: how long, where and how often
// measured, but not what is compared.
bool is_incidental(std::string_view setting);

// The axis over every placement: what is varied when settings are given but no axis.
Axis placement_axis();

// "lr=3e-3,1e-2". Throws omninorm::Error.
Axis parse_axis(std::string_view text);

// Writes the axes' values in their canonical form, expands them (the last axis varies fastest, each
// with all seeds), checks every variant, and fills folder, is_default and variants. Throws
// omninorm::Error that names what is wrong with which variants.
void expand(Plan& plan);

}  // namespace omninorm::lab
