#include "tests/report/synthetic.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <stdexcept>

namespace omninorm::lab::report::synthetic {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

json number_or_text(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  return value;
}

// A fixed scatter in [-1, 1] that differs from run to run.
double scatter(std::int64_t step, std::int64_t salt) {
  auto state = static_cast<std::uint64_t>(step * 7919 + salt * 104729 + 12345);
  state ^= state >> 13;
  state *= 0x9E3779B97F4A7C15ULL;
  state ^= state >> 31;
  return static_cast<double>(state % 20001) / 10000.0 - 1.0;
}

std::int64_t salt_of(const SyntheticRun& run) {
  auto salt = static_cast<std::uint64_t>(run.seed);  // wraps
  for (const auto& [name, value] : run.varied)
    for (char letter : value) salt = salt * 31 + static_cast<std::uint64_t>(letter);
  return static_cast<std::int64_t>(salt) % 100003;
}

double loss_at(const SyntheticRun& run, std::int64_t step, std::int64_t salt) {
  if (run.status == "diverged" && step == run.steps) return std::nan("");
  const double share = static_cast<double>(step) / static_cast<double>(run.planned);
  const double noise = 1 + 0.012 * scatter(step, salt);
  if (run.status == "diverged") return (3.2 + 6 * share * share) * noise;
  return (run.final_loss + (5.55 - run.final_loss) * std::exp(-7 * share)) * noise;
}

json layer_at(const SyntheticRun& run, int layer, double share, std::int64_t salt) {
  const double depth = run.layers > 1 ? double(layer) / (run.layers - 1) : 1;
  const double growth = std::pow(run.variance_end / run.variance_start, share);
  const double variance = run.variance_start * growth *
                          std::pow(run.depth_growth, (depth - 1) * (0.3 + 0.7 * share)) *
                          (1 + 0.03 * scatter(layer, salt));
  const double rms = std::sqrt(variance);
  const double grad = 0.1 * std::pow(run.grad_first / 0.1, (1 - depth) * share) *
                      (1 + 0.05 * scatter(layer + 50, salt));
  const double peak = 4 + 6 * share;
  const double branch = 1 + 0.6 * scatter(3, salt_of(run));
  return {{"layer", layer + 1},
          {"residual_rms", rms},
          {"residual_variance", variance},
          {"attention_ratio", 0.5 / (1 + depth * 2) * branch},
          {"mlp_ratio", 0.8 / (1 + depth) * branch},
          {"max_abs", rms * peak},
          {"max_over_median", peak * 1.48},
          {"fp16_headroom", rms * peak / 65504},
          {"grad_norm", grad}};
}

json probe_at(const SyntheticRun& run, std::int64_t step, std::int64_t salt) {
  const double share = static_cast<double>(step) / static_cast<double>(run.planned);
  json layers = json::array();
  for (int layer = 0; layer < run.layers; ++layer)
    layers.push_back(layer_at(run, layer, share, salt + step));
  return {{"kind", "probe"},
          {"step", step},
          {"layers", std::move(layers)},
          {"output", {{"residual_rms", 1.0}, {"residual_variance", 1.0}, {"max_abs", 4.5}}},
          {"norm_seconds", 0.11 * run.norm_share},
          {"step_seconds", 0.11},
          {"probe_seconds", 0.002}};
}

}  // namespace

std::string run_id(const SyntheticRun& run) {
  std::string id;
  for (const auto& [name, value] : run.varied) id += name + "=" + value + ",";
  return id + "seed=" + std::to_string(run.seed);
}

json run_json(const SyntheticRun& run) {
  json settings = {{"placement", "pre"}, {"norm", "rms_norm"},   {"layers", run.layers},
                   {"width", 128},       {"heads", 4},           {"context", 128},
                   {"mlp", "gelu"},      {"dropout", 0.0},       {"init", "normal-0.02"},
                   {"lr", 0.003},        {"steps", run.planned}, {"batch", 8},
                   {"dtype", "f32"},     {"device", "cpu"},      {"seed", run.seed}};
  json varied = json::object();
  for (const auto& [name, value] : run.varied) {
    varied[name] = value;
    settings[name] = value;
  }
  return {
      {"format", 1},
      {"id", run_id(run)},
      {"label", run_id(run)},
      {"varied", varied},
      {"seed", run.seed},
      {"settings", settings},
      {"parameters", 1218048},
      {"data",
       {{"name", "prose"}, {"sha256", "abc"}, {"train_bytes", 7600000}, {"valid_bytes", 800000}}},
      {"versions", {{"omninorm", "0.1.0"}, {"torch", "2.13.0"}, {"compiler", "GNU 12.2.0"}}},
      {"machine", {{"cpu", run.cpu}, {"simd", "AVX3"}, {"threads", 2}}},
      {"git", {{"commit", run.commit}, {"dirty", false}}},
      {"started", "2026-11-22T10:00:00Z"}};
}

std::vector<json> records(const SyntheticRun& run) {
  std::vector<json> made;
  const std::int64_t salt = salt_of(run);
  for (std::int64_t step = 1; step <= run.steps; ++step) {
    const double loss = loss_at(run, step, salt);
    const bool spike = run.spikes > 0 && step % (run.steps / (run.spikes + 1)) == 0 &&
                       step / (run.steps / (run.spikes + 1)) <= run.spikes;
    const double grad = (spike ? 6.0 : 0.4) * (1 + 0.2 * scatter(step, salt + 7));
    made.push_back({{"kind", "step"},
                    {"step", step},
                    {"loss", number_or_text(loss)},
                    {"grad_norm", number_or_text(std::isnan(loss) ? loss : grad)},
                    {"lr", 0.003},
                    {"seconds", 0.11 * double(step)},
                    {"tokens", step * 1024}});
    if (spike)
      made.push_back({{"kind", "spike"},
                      {"step", step},
                      {"what", "grad_norm"},
                      {"value", grad},
                      {"mean", 0.4},
                      {"sigma", 0.05}});
    if (run.probes && (step == 1 || step % run.probe_every == 0))
      made.push_back(probe_at(run, step, salt));
    if (step % std::max<std::int64_t>(run.planned / 4, 1) == 0)
      made.push_back(
          {{"kind", "valid"},
           {"step", step},
           {"loss", number_or_text(step == run.planned ? run.final_loss : loss + 0.03)}});
  }
  if (run.status != "unfinished")
    made.push_back({{"kind", "end"},
                    {"step", run.steps},
                    {"status", run.status},
                    {"reason", run.reason},
                    {"seconds", 0.11 * double(run.steps)},
                    {"tokens_per_second", 9300.0 * (1 - run.norm_share)},
                    {"probe_share", 0.018}});
  return made;
}

void write_text(const fs::path& file, const std::string& text) {
  fs::create_directories(file.parent_path());
  std::ofstream(file, std::ios::binary) << text;
}

fs::path write_run(const fs::path& folder, const SyntheticRun& run) {
  std::string name = run_id(run);
  std::replace(name.begin(), name.end(), '/', '_');
  const fs::path at = folder / "runs" / name;
  write_text(at / "run.json", run_json(run).dump(2));
  std::string lines;
  for (const json& record : records(run)) lines += record.dump() + "\n";
  write_text(at / "metrics.jsonl", lines);
  return at;
}

void write_plan(const fs::path& folder, const std::vector<SyntheticAxis>& axes,
                const std::vector<SyntheticRun>& runs, const json& more) {
  json plan = {{"format", 1},
               {"axes", json::array()},
               {"seeds", 1},
               {"is_default", false},
               {"steps", 200},
               {"steps_reason", "200 steps: 0.11 s a step"},
               {"shortened", false},
               {"command", "omninorm compare"},
               {"variants", json::array()}};
  for (const SyntheticAxis& axis : axes)
    plan["axes"].push_back({{"name", axis.name}, {"values", axis.values}});
  for (const SyntheticRun& run : runs)
    plan["variants"].push_back({{"id", run_id(run)}, {"label", run_id(run)}});
  if (more.is_object()) plan.update(more);
  write_text(folder / "experiment.json", plan.dump(2));
}

}  // namespace omninorm::lab::report::synthetic
