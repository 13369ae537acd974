#include "lab/report/read_record.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "lab/experiment/run_folder.h"
#include "lab/report/statistics.h"

namespace omninorm::lab::report {
namespace {

using nlohmann::json;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

std::string text(const json& object, const char* name) {
  const auto found = object.is_object() ? object.find(name) : object.end();
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

LayerFigures read_layer(const json& layer) {
  LayerFigures figures;
  figures.residual_rms = number(layer, "residual_rms");
  figures.residual_variance = number(layer, "residual_variance");
  figures.attention_ratio = number(layer, "attention_ratio");
  figures.mlp_ratio = number(layer, "mlp_ratio");
  figures.max_abs = number(layer, "max_abs");
  figures.max_over_median = number(layer, "max_over_median");
  figures.fp16_headroom = number(layer, "fp16_headroom");
  figures.grad_norm = number(layer, "grad_norm");
  return figures;
}

void read_probe(const json& record, std::int64_t step, Run& run) {
  Probe probe;
  probe.step = step;
  if (record.contains("layers") && record["layers"].is_array())
    for (const json& layer : record["layers"]) probe.layers.push_back(read_layer(layer));
  probe.output_variance =
      record.contains("output") ? number(record["output"], "residual_variance") : kNan;
  const double norms = number(record, "norm_seconds");
  const double whole = number(record, "step_seconds");
  probe.norm_share = whole > 0 ? norms / whole : kNan;
  run.probes.push_back(std::move(probe));
}

void read_step(const json& record, std::int64_t step, Run& run) {
  run.loss.push_back({step, number(record, "loss")});
  run.grad_norm.push_back({step, number(record, "grad_norm")});
  run.steps = std::max(run.steps, step);
  const double seconds = number(record, "seconds");
  if (!std::isfinite(seconds)) return;
  run.seconds = seconds;
  const double tokens = number(record, "tokens");
  if (seconds > 0 && std::isfinite(tokens)) run.tokens_per_second = tokens / seconds;
}

void read_end(const json& record, Run& run) {
  run.reason = text(record, "reason");
  if (const double value = number(record, "seconds"); std::isfinite(value)) run.seconds = value;
  if (const double value = number(record, "tokens_per_second"); std::isfinite(value))
    run.tokens_per_second = value;
  run.probe_share = number(record, "probe_share");
}

void read_record(const json& record, Run& run, std::size_t& unknown) {
  const std::string kind = text(record, "kind");
  if (kind == "end") return read_end(record, run);
  const double at = number(record, "step");
  if (!std::isfinite(at) || at < 0 || at > 1e15) {
    ++unknown;
    return;
  }
  const auto step = static_cast<std::int64_t>(at);
  if (kind == "step") {
    read_step(record, step, run);
  } else if (kind == "probe") {
    read_probe(record, step, run);
  } else if (kind == "valid") {
    run.valid.push_back({step, number(record, "loss")});
  } else if (kind == "spike") {
    run.spikes.push_back({step, text(record, "what"), number(record, "value"),
                          number(record, "mean"), number(record, "sigma")});
  } else {
    ++unknown;
  }
}

}  // namespace

std::vector<double> norm_shares(const Run& run) {
  std::vector<double> shares;
  for (const Probe& probe : run.probes)
    if (probe.step > 1 && std::isfinite(probe.norm_share)) shares.push_back(probe.norm_share);
  return shares;
}

Run read_run_figures(const std::filesystem::path& folder, std::vector<std::string>& notes) {
  RunRecords read = read_run(folder);
  Run run;
  run.run = std::move(read.run);
  const std::string name = folder.filename().string();
  run.id = text(run.run, "id").empty() ? name : text(run.run, "id");
  const double seed = number(run.run, "seed");
  run.seed = std::isfinite(seed) ? static_cast<std::int64_t>(seed) : 0;
  run.status = read.status;
  run.seconds = run.tokens_per_second = run.probe_share = kNan;
  for (const std::string& note : read.notes) notes.push_back(fmt::format("{}: {}", name, note));

  std::size_t unknown = 0;
  for (const json& record : read.records) read_record(record, run, unknown);
  run.norm_share = median(norm_shares(run));
  if (run.run.contains("settings")) {
    const double planned = number(run.run["settings"], "steps");
    run.planned = std::isfinite(planned) ? static_cast<std::int64_t>(planned) : 0;
  }
  if (unknown > 0)
    notes.push_back(fmt::format("{}: {} records of an unknown kind are left out", name, unknown));
  if (run.loss.empty()) notes.push_back(fmt::format("{}: no step recorded yet", name));
  return run;
}

}  // namespace omninorm::lab::report
