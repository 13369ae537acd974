// omninorm_train_bench: the lab's own training step, run in blocks on request, so that
// train_throughput.py can alternate it with PyTorch in Python on an otherwise idle machine.
//
// Reads lines "steps N" from stdin, runs N steps of lab::train and answers with one line of JSON:
// {"seconds":[...],"losses":[...]}, one entry a step. Ends with the last step or with stdin.
#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <torch/torch.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <system_error>
#include <vector>

#include "lab/data/text.h"
#include "lab/experiment/run_folder.h"
#include "lab/experiment/settings.h"
#include "lab/model/initialise.h"
#include "lab/model/transformer.h"
#include "lab/train/batches.h"
#include "lab/train/schedule.h"
#include "lab/train/trainer.h"
#include "omninorm/cpu.h"
#include "omninorm/error.h"

namespace omninorm::bench {
namespace {

using Clock = std::chrono::steady_clock;
using nlohmann::json;

void reply(const json& message) {
  fmt::print("{}\n", message.dump());
  std::fflush(stdout);
}

// Lets lab::train run as many steps as were asked for, and waits for the next request inside
// on_step; what it times is all that the lab does between two such calls.
class Pacer {
 public:
  explicit Pacer(std::atomic<bool>& stop) : stop_(stop) {}

  void wait_for_request() {
    std::string line, word;
    while (remaining_ == 0 && std::getline(std::cin, line)) {
      std::istringstream in(line);
      if (!(in >> word >> remaining_) || word != "steps" || remaining_ < 1) {
        throw Error(
            fmt::format("[train_bench] expected 'steps N' with N of at least 1, got '{}'", line));
      }
    }
    if (remaining_ == 0) stop_ = true;
    resumed_ = Clock::now();
  }

  void on_step(const lab::StepEvent& event) {
    const auto now = Clock::now();
    seconds_.push_back(std::chrono::duration<double>(now - resumed_).count());
    losses_.push_back(event.loss);
    resumed_ = now;
    if (--remaining_ > 0) return;
    reply({{"seconds", seconds_}, {"losses", losses_}});
    seconds_.clear();
    losses_.clear();
    wait_for_request();
  }

 private:
  std::atomic<bool>& stop_;
  std::int64_t remaining_ = 0;
  std::vector<double> seconds_, losses_;
  Clock::time_point resumed_;
};

// One line of JSON that says what follows, then the raw values: each parameter before the first
// step (f32), then of each batch the tokens and the targets (int64).
void export_start(const lab::Settings& settings, const lab::TextData& data, std::int64_t batches,
                  const std::string& file) {
  lab::Transformer model(settings);
  lab::initialise(model, settings.init, settings.seed);
  json header = {{"settings", lab::to_json(settings)}, {"parameters", json::array()}};
  for (const auto& parameter : model.named_parameters()) {
    header["parameters"].push_back(
        {{"name", parameter.key()}, {"shape", parameter.value().sizes().vec()}});
  }
  header["batches"] = batches;
  for (std::int64_t step = 1; step <= settings.steps; ++step) {
    header["lr"].push_back(lab::learning_rate(settings, step));
  }
  errno = 0;
  std::ofstream out(file, std::ios::binary);
  out << header.dump() << '\n';
  const auto write = [&](const at::Tensor& tensor) {
    out.write(static_cast<const char*>(tensor.const_data_ptr()),
              static_cast<std::streamsize>(tensor.nbytes()));
  };
  for (const auto& parameter : model.named_parameters()) {
    write(parameter.value().detach().contiguous());
  }
  for (std::int64_t step = 1; step <= batches; ++step) {
    const auto batch = lab::training_batch(data, settings, step);
    write(batch.tokens);
    write(batch.targets);
  }
  out.close();
  if (!out) throw std::system_error(errno, std::generic_category(), file);
}

int run(const std::vector<std::string>& assignments, int threads, const std::string& file,
        std::int64_t batches, const std::string& folder,
        const std::vector<std::filesystem::path>& text) {
  lab::Settings settings;
  for (const std::string& assignment : assignments) {
    const auto equals = assignment.find('=');
    if (equals == std::string::npos) {
      throw Error(fmt::format("[train_bench] expected --set name=value, got '{}'", assignment));
    }
    lab::set(settings, assignment.substr(0, equals), assignment.substr(equals + 1));
  }
  lab::check(settings);
  at::set_num_threads(threads);
  const lab::TextData data = text.empty() ? lab::load_prose() : lab::load_text(text);
  lab::check_length(data, settings.batch, settings.context);
  if (!file.empty()) export_start(settings, data, batches, file);
  reply({{"ready", true},
         {"threads", at::get_num_threads()},
         {"simd", cpu_target()},
         {"parameters", lab::parameter_count(settings)}});

  std::atomic<bool> stop{false};
  Pacer pacer(stop);
  pacer.wait_for_request();
  if (stop) return 0;
  lab::RunWriter writer(folder, {{"settings", lab::to_json(settings)}});
  const auto result = lab::train(settings, data, writer, stop,
                                 [&](const lab::StepEvent& event) { pacer.on_step(event); });
  if (result.status == "diverged" || result.status == "failed") {
    throw Error(fmt::format("[train_bench] the run ended as {}: {}", result.status, result.reason));
  }
  return 0;
}

}  // namespace
}  // namespace omninorm::bench

int main(int argc, char** argv) {
  std::vector<std::string> assignments;
  std::string file, folder;
  std::vector<std::filesystem::path> text;
  int threads = 1;
  std::int64_t batches = 1;
  CLI::App app("The lab's training step, in blocks, for bench/train_throughput.py", "train_bench");
  app.add_option("--set", assignments, "name=value, any setting of the lab");
  app.add_option("--threads", threads, "threads")->check(CLI::Range(1, 4096));
  app.add_option("--export", file, "write the initial parameters and the batches to this file");
  app.add_option("--batches", batches, "how many batches to write")->check(CLI::Range(1, 1000));
  app.add_option("--text", text, "files to train on (default: the prose)");
  app.add_option("--folder", folder, "where the run's files go")->required();
  CLI11_PARSE(app, argc, argv);
  try {
    return omninorm::bench::run(assignments, threads, file, batches, folder, text);
  } catch (const std::exception& error) {
    fmt::print(stderr, "omninorm_train_bench: {}\n", error.what());
    return 2;
  }
}
