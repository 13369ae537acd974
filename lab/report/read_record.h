// One run's folder as figures.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "lab/report/analysis.h"

namespace omninorm::lab::report {

// Reads a run; what is wrong with its files but can be lived with goes to `notes`. Throws when
// run.json is missing or damaged. `values` and the final losses are left to load_experiment.
Run read_run_figures(const std::filesystem::path& folder, std::vector<std::string>& notes);

}  // namespace omninorm::lab::report
