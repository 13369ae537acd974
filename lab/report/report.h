// One HTML file from the files of an experiment's runs.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace omninorm::lab {

struct ReportResult {
  std::filesystem::path file;
  std::string headline;            // the first sentence of the report
  std::vector<std::string> notes;  // runs left out or unfinished, and why
};

// Reads `folder` (an experiment's, holding runs/*/run.json and metrics.jsonl) and writes `file`
// (default: folder/report.html), replacing it in one step. Can be called while runs go on. Throws
// omninorm::Error when the folder holds no readable run.
ReportResult write_report(const std::filesystem::path& folder,
                          const std::filesystem::path& file = {});

}  // namespace omninorm::lab
