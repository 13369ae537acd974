// Run folders as docs/runs.md describes them, made of formulas instead of training: the same bytes
// every time.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

namespace omninorm::lab::report::synthetic {

struct SyntheticRun {
  std::vector<std::pair<std::string, std::string>> varied;  // setting, value
  std::int64_t seed = 1;
  std::string status = "done";  // "unfinished": no end record
  std::string reason;
  std::int64_t steps = 200;  // recorded
  std::int64_t planned = 200;
  int layers = 6;
  std::int64_t probe_every = 10;
  double final_loss = 1.65;
  double variance_start = 17;  // behind the last block, at the first probe
  double variance_end = 20;    // and at the last
  double depth_growth = 2;     // variance behind the last block over that behind the first
  double grad_first = 0.1;     // block 1 at the end; the last block's is 0.1
  double norm_share = 0.07;
  int spikes = 0;
  bool probes = true;
  std::string commit = "0123456789abcdef0123456789abcdef01234567";
  std::string cpu = "Example CPU";
};

// "placement=pre,lr=0.003,seed=1"
std::string run_id(const SyntheticRun& run);

nlohmann::json run_json(const SyntheticRun& run);
std::vector<nlohmann::json> records(const SyntheticRun& run);

// Writes folder/runs/<id>/.
std::filesystem::path write_run(const std::filesystem::path& folder, const SyntheticRun& run);

struct SyntheticAxis {
  std::string name;
  std::vector<std::string> values;
};

// Writes experiment.json; `more` is merged into it. Axes, variants and seeds come from the runs.
void write_plan(const std::filesystem::path& folder, const std::vector<SyntheticAxis>& axes,
                const std::vector<SyntheticRun>& runs, const nlohmann::json& more = {});

void write_text(const std::filesystem::path& file, const std::string& text);

// Whole experiments, each in `folder`: "default" (four placements, two rates, one stuck, one
// diverged), "seeds" (three seeds), "axes" (four axes), "single", "unfinished", "hostile" (names
// that are markup), "long" (20,000 steps). Throws std::invalid_argument for another name.
void write_experiment(const std::filesystem::path& folder, const std::string& name);

}  // namespace omninorm::lab::report::synthetic
