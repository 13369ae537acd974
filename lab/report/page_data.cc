#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "lab/report/page.h"
#include "lab/report/series.h"
#include "lab/report/words.h"

namespace omninorm::lab::report {
namespace {

using nlohmann::json;

constexpr std::int64_t kPoints = 600;      // of a line
constexpr std::size_t kRunPoints = 24000;  // of all runs' lines together, about
constexpr std::size_t kFigures = 150000;   // of all probes together, about 1 MB

json compact(double value) {
  if (!std::isfinite(value)) return nullptr;
  return std::strtod(fmt::format("{:.5g}", value).c_str(), nullptr);
}

json columns(const std::vector<Point>& points) {
  json x = json::array(), y = json::array();
  for (const Point& point : points) {
    x.push_back(point.step);
    y.push_back(compact(point.value));
  }
  return {{"x", std::move(x)}, {"y", std::move(y)}};
}

std::int64_t longest(const Experiment& experiment) {
  std::int64_t steps = 1;
  for (const Run& run : experiment.runs) steps = std::max(steps, run.steps);
  return steps;
}

// How many probes of the longest run are shown.
std::size_t probe_limit(const Experiment& experiment) {
  std::size_t layers = 1;
  for (const Run& run : experiment.runs)
    if (!run.probes.empty()) layers = std::max(layers, run.probes.back().layers.size());
  return std::clamp<std::size_t>(kFigures / (experiment.runs.size() * layers * 7), 4, 120);
}

json probes_data(const Run& run, std::int64_t stride) {
  struct Column {
    const char* name;
    double LayerFigures::*field;
  };
  static constexpr Column kColumns[] = {
      {"residual_variance", &LayerFigures::residual_variance},
      {"residual_rms", &LayerFigures::residual_rms},
      {"attention_ratio", &LayerFigures::attention_ratio},
      {"mlp_ratio", &LayerFigures::mlp_ratio},
      {"max_abs", &LayerFigures::max_abs},
      {"max_over_median", &LayerFigures::max_over_median},
      {"grad_norm", &LayerFigures::grad_norm},
  };
  std::vector<const Probe*> kept;
  for (std::size_t i = 0; i < run.probes.size(); ++i)
    if (i == 0 || i + 1 == run.probes.size() || run.probes[i].step % stride == 0)
      kept.push_back(&run.probes[i]);
  json data = {{"step", json::array()}, {"output_variance", json::array()}};
  for (const Probe* probe : kept) {
    data["step"].push_back(probe->step);
    data["output_variance"].push_back(compact(probe->output_variance));
  }
  for (const Column& column : kColumns) {
    json rows = json::array();
    for (const Probe* probe : kept) {
      json row = json::array();
      for (const LayerFigures& layer : probe->layers) row.push_back(compact(layer.*column.field));
      rows.push_back(std::move(row));
    }
    data[column.name] = std::move(rows);
  }
  return data;
}

// Steps between the probes that are shown: a multiple of the steps between those that were made.
std::int64_t probe_stride(const Experiment& experiment) {
  std::size_t most = 0;
  std::int64_t apart = 1;
  for (const Run& run : experiment.runs) {
    if (run.probes.size() <= most) continue;
    most = run.probes.size();
    if (most > 1) apart = run.probes[most - 1].step - run.probes[most - 2].step;
    if (most > 2) apart = run.probes[2].step - run.probes[1].step;
  }
  const std::size_t limit = probe_limit(experiment);
  if (most <= limit) return 1;
  return std::max<std::int64_t>(apart, 1) * static_cast<std::int64_t>((most + limit - 1) / limit);
}

json spikes_data(const Run& run) {
  json spikes = json::array();
  for (const Spike& spike : run.spikes) {
    if (spikes.size() == 200) break;  // a run with more has no use for a mark at each
    spikes.push_back({{"step", spike.step},
                      {"what", spike.what},
                      {"value", compact(spike.value)},
                      {"mean", compact(spike.mean)},
                      {"sigma", compact(spike.sigma)}});
  }
  return spikes;
}

json axis_data(const ReportAxis& axis) {
  json titles = json::array();
  for (const std::string& value : axis.values) titles.push_back(value_title(axis.name, value));
  return {{"name", axis.name},
          {"title", axis_title(axis.name)},
          {"values", axis.values},
          {"titles", std::move(titles)}};
}

}  // namespace

json page_data(const Experiment& experiment) {
  const std::int64_t steps = longest(experiment);
  const auto share = static_cast<std::int64_t>(kRunPoints / experiment.runs.size());
  const std::int64_t points = std::clamp<std::int64_t>(share, 150, kPoints);
  const std::int64_t stride = (steps + points - 1) / points;
  const std::int64_t probes = probe_stride(experiment);
  const auto window = static_cast<std::size_t>(std::clamp<std::int64_t>(steps / 40, 1, 200));

  json runs = json::array();
  for (const Run& run : experiment.runs) {
    runs.push_back({
        {"title", run_title(experiment, run)},
        {"seed", run.seed},
        {"status", run.status},
        {"steps", run.steps},
        {"final", compact(experiment.final_loss(run))},
        {"norm_share", compact(run.norm_share)},
        {"tokens_per_second", compact(run.tokens_per_second)},
        {"loss", columns(thin(trailing_mean(run.loss, window), stride))},
        {"raw", columns(extremes(run.loss, static_cast<std::size_t>(points)))},
        {"grad", columns(extremes(run.grad_norm, static_cast<std::size_t>(points)))},
        {"valid", columns(thin(run.valid, std::max<std::int64_t>(1, stride / 4)))},
        {"probes", probes_data(run, probes)},
        {"spikes", spikes_data(run)},
    });
  }
  json variants = json::array();
  for (const VariantGroup& variant : experiment.variants)
    variants.push_back({{"values", variant.values},
                        {"title", variant_title(experiment, variant)},
                        {"primary", primary_title(experiment, variant)},
                        {"runs", variant.runs}});
  json axes = json::array();
  for (const ReportAxis& axis : experiment.axes) axes.push_back(axis_data(axis));
  return {{"axes", std::move(axes)},
          {"variants", std::move(variants)},
          {"runs", std::move(runs)},
          {"metric", experiment.by_validation ? "validation loss" : "training loss"},
          {"window", window},
          {"sampled", stride > 1 || probes > 1}};
}

}  // namespace omninorm::lab::report
