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

// Share of the step's time that norms took, of each probe after step 1, whose first calls are slow.
std::vector<double> norm_shares(const Run& run);

}  // namespace omninorm::lab::report
