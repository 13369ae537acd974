// Whole experiments, near to what training gave in trials.
#include <fstream>
#include <stdexcept>

#include "tests/report/synthetic.h"

namespace omninorm::lab::report::synthetic {
namespace {

namespace fs = std::filesystem;

SyntheticRun placed(const std::string& placement, const std::string& lr, std::int64_t seed = 1) {
  SyntheticRun run;
  run.varied = {{"placement", placement}, {"lr", lr}};
  run.seed = seed;
  const bool high = lr == "0.01";
  if (placement == "post") {
    run.final_loss = 1.668, run.variance_start = 1, run.variance_end = 1, run.depth_growth = 1;
    run.grad_first = 0.05, run.norm_share = 0.062;
  } else if (placement == "pre") {
    run.final_loss = high ? 1.79 : 1.702, run.variance_start = high ? 17 : 3;
    run.variance_end = high ? 1950 : 120, run.depth_growth = high ? 40 : 14;
    run.grad_first = 0.6, run.norm_share = 0.064;
  } else {
    run.final_loss = placement == "peri" ? (high ? 1.698 : 1.659) : (high ? 1.716 : 1.671);
    run.variance_start = placement == "peri" ? 9 : 8,
    run.variance_end = placement == "peri" ? 20.4 : 18.8;
    run.depth_growth = 5, run.grad_first = 0.22,
    run.norm_share = placement == "peri" ? 0.098 : 0.071;
  }
  return run;
}

const std::vector<SyntheticAxis> kAxes = {{"placement", {"post", "pre", "peri", "output"}},
                                          {"lr", {"0.003", "0.01"}}};

std::vector<SyntheticRun> grid(std::int64_t seeds) {
  std::vector<SyntheticRun> runs;
  for (const std::string& placement : kAxes[0].values)
    for (const std::string& lr : kAxes[1].values)
      for (std::int64_t seed = 1; seed <= seeds; ++seed) {
        runs.push_back(placed(placement, lr, seed));
        const std::int64_t chance = seed * 7 + std::int64_t(runs.size()) * (seed + 3);
        if (seeds > 1) runs.back().final_loss += 0.008 * double(chance % 5 - 2);
      }
  return runs;
}

void write_all(const fs::path& folder, const std::vector<SyntheticAxis>& axes,
               const std::vector<SyntheticRun>& runs, const nlohmann::json& more = {}) {
  for (const SyntheticRun& run : runs) write_run(folder, run);
  write_plan(folder, axes, runs, more);
}

void stuck(SyntheticRun& run) {
  run.status = "stuck";
  run.reason = "the loss has not fallen since step 40";
  run.final_loss = 3.15;
  run.grad_first = 4e-9;
}

void diverged(SyntheticRun& run) {
  run.status = "diverged";
  run.reason = "the loss was not finite";
  run.steps = 143;
  run.spikes = 2;
}

void write_default(const fs::path& folder) {
  auto runs = grid(1);
  stuck(runs[1]);  // post at 0.01
  SyntheticRun third = placed("output", "0.01");
  diverged(third);
  runs[7] = third;
  runs[3].spikes = 3;
  write_all(folder, kAxes, runs, {{"is_default", true}, {"command", "omninorm compare"}});
}

void write_axes(const fs::path& folder) {
  const std::vector<SyntheticAxis> axes = {{"norm", {"rms_norm", "layer_norm"}},
                                           {"placement", {"pre", "peri"}},
                                           {"init", {"normal-0.02", "fan-in"}},
                                           {"dropout", {"0", "0.1"}}};
  std::vector<SyntheticRun> runs;
  for (const auto& norm : axes[0].values)
    for (const auto& placement : axes[1].values)
      for (const auto& init : axes[2].values)
        for (const auto& dropout : axes[3].values) {
          SyntheticRun run = placed(placement, "0.003");
          run.varied = {
              {"norm", norm}, {"placement", placement}, {"init", init}, {"dropout", dropout}};
          run.final_loss += (norm == "rms_norm" ? 0.0 : 0.01) + (init == "fan-in" ? 0.05 : 0.0);
          runs.push_back(run);
        }
  write_all(folder, axes, runs);
}

void write_hostile(const fs::path& folder) {
  const std::string evil = "</script><script>window.pwned=1</script>";
  const std::string quote = "\"'><img src=x onerror=window.pwned=1>";
  SyntheticRun a, b;
  a.varied = {{"text", evil}, {"lr", "0.003"}};
  b.varied = {{"text", quote}, {"lr", "0.003"}};
  b.status = "diverged", b.steps = 90;
  b.reason = "<b>bold</b> {{data}} `code` & </style>";
  write_all(folder, {{"text", {evil, quote}}, {"lr", {"0.003"}}}, {a, b},
            {{"command", "omninorm compare --vary text='" + evil + "'"}, {"steps_reason", quote}});
}

void write_unfinished(const fs::path& folder) {
  auto runs = grid(1);
  std::vector<SyntheticRun> begun(runs.begin(), runs.begin() + 5);
  begun[4].status = "unfinished";
  begun[4].steps = 37;
  for (const SyntheticRun& run : begun) write_run(folder, run);
  std::ofstream(folder / "runs" / run_id(begun[4]) / "metrics.jsonl", std::ios::app)
      << R"({"kind":"st)";
  write_plan(folder, kAxes, runs, {{"shortened", true}, {"steps", 200}});
}

}  // namespace

void write_experiment(const fs::path& folder, const std::string& name) {
  if (name == "default") return write_default(folder);
  if (name == "axes") return write_axes(folder);
  if (name == "hostile") return write_hostile(folder);
  if (name == "unfinished") return write_unfinished(folder);
  if (name == "seeds") {
    auto runs = grid(3);
    stuck(runs[4]);  // post at 0.01, seed 2
    return write_all(folder, kAxes, runs, {{"seeds", 3}});
  }
  if (name == "single") {
    SyntheticRun run;
    return write_all(folder, {}, {run});
  }
  if (name == "long") {
    auto runs = grid(1);
    for (SyntheticRun& run : runs) run.steps = run.planned = 20000;
    return write_all(folder, kAxes, runs);
  }
  throw std::invalid_argument("no experiment named " + name);
}

}  // namespace omninorm::lab::report::synthetic
