// A plan from a TOML file, so that an experiment can be kept and run again:
//
//   seeds = 3                                # optional, as are all the others
//   budget = 600                             # seconds of training aimed at
//   [settings]
//   init = "fan-in"
//   [vary]
//   placement = ["post", "pre"]              # axes in the order of the file
//   lr = [3e-3, 1e-2]
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "lab/experiment/plan.h"

namespace omninorm::lab {

struct PlanFile {
  Plan plan;                          // not expanded; axes only as the file has them
  std::vector<std::string> settings;  // names that the file sets
};

// Paths of `text` count from the file's folder. Throws omninorm::Error for a file that cannot be
// read, that is not TOML (with the line), and for unknown keys and bad values.
PlanFile read_plan_file(const std::filesystem::path& file);

}  // namespace omninorm::lab
