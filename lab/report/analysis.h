// An experiment's folder, read and grouped: runs, the axes that were varied, and the variants (runs
// that differ in their seed only). Everything that the words, tables and charts are made of.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

namespace omninorm::lab::report {

// Values that are missing from a record are NaN.
struct Point {
  std::int64_t step = 0;
  double value = 0;
};

// One block of one probe; docs/runs.md says what each figure is.
struct LayerFigures {
  double residual_rms = 0;
  double residual_variance = 0;
  double attention_ratio = 0;
  double mlp_ratio = 0;
  double max_abs = 0;
  double max_over_median = 0;
  double fp16_headroom = 0;
  double grad_norm = 0;
};

struct Probe {
  std::int64_t step = 0;
  std::vector<LayerFigures> layers;
  double output_variance = 0;  // of what enters the output layer
  double norm_share = 0;       // of the step's time
};

struct Spike {
  std::int64_t step = 0;
  std::string what;  // "loss" or "grad_norm"
  double value = 0;
  double mean = 0;
  double sigma = 0;
};

struct Run {
  std::string id;
  std::vector<std::size_t> values;  // one index per axis
  std::int64_t seed = 0;
  std::string status;  // done diverged stuck stopped failed unfinished
  std::string reason;
  nlohmann::json run;        // run.json
  std::int64_t steps = 0;    // done so far
  std::int64_t planned = 0;  // 0: not known
  std::vector<Point> loss, grad_norm, valid;
  std::vector<Probe> probes;
  std::vector<Spike> spikes;
  double seconds = 0;
  double tokens_per_second = 0;
  double probe_share = 0;
  double train_loss = 0;  // mean of the last steps; NaN when one of them is not finite
  double valid_loss = 0;  // the last one; NaN without
  double norm_share = 0;  // of a step's time; median of the probes after step 1, NaN without

  bool done() const { return status == "done"; }
};

struct ReportAxis {
  std::string name;  // a setting
  std::vector<std::string> values;
};

struct VariantGroup {
  std::vector<std::size_t> values;  // one index per axis
  std::vector<std::size_t> runs;    // by seed
};

struct Experiment {
  std::string name;                      // the folder's
  nlohmann::json plan;                   // experiment.json; an empty object without one
  std::vector<ReportAxis> axes;          // the first is the primary one; empty for a single run
  std::vector<Run> runs;                 // those that belong together; the notes name the others
  std::vector<VariantGroup> variants;    // in the order of the axes' values
  std::vector<std::string> not_started;  // planned runs without a folder
  std::vector<std::string> notes;        // what was left out, and why
  std::size_t train_window = 1;          // steps that a final training loss is the mean of, at most
  bool by_validation = true;  // final losses are validation losses: every finished run has one

  bool several_seeds() const;
  bool open() const;  // a planned run has not ended
  // The loss that runs are compared by; NaN unless the run is done or stuck.
  double final_loss(const Run& run) const;
  // Variants with one combination of the non-primary values stand together: a condition.
  std::vector<std::vector<std::size_t>> conditions() const;
};

// A setting as text, "" when run.json does not have it.
std::string setting(const Run& run, const std::string& name);

// A number as docs/runs.md writes it; NaN for what is not one.
double number(const nlohmann::json& object, const char* name);

// Throws omninorm::Error when the folder does not exist or holds no readable run.
Experiment load_experiment(const std::filesystem::path& folder);

}  // namespace omninorm::lab::report
