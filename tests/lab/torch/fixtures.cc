#include "tests/lab/torch/fixtures.h"

#include <stdlib.h>

#include <array>
#include <atomic>
#include <stdexcept>

#include "lab/model/counter_random.h"

namespace omninorm::lab::testing {

Settings small_settings() {
  Settings settings;
  settings.layers = 2;
  settings.width = 16;
  settings.heads = 2;
  settings.context = 12;
  settings.batch = 3;
  settings.steps = 10;
  settings.probe_every = 5;
  return settings;
}

std::string made_up_text(std::size_t bytes) {
  constexpr std::array words = {"the",   "norm", "stands",   "before", "after", "sum",  "and",
                                "layer", "of",   "residual", "what",   "grows", "here", "quietly"};
  std::string text;
  for (std::uint64_t i = 0; text.size() < bytes; ++i) {
    text += words[random_word(7, i) % words.size()];
    text += ' ';
  }
  text.resize(bytes);
  return text;
}

TextData made_up_data(std::size_t bytes) {
  const std::string text = made_up_text(bytes);
  TextData data;
  data.name = "made up";
  data.train.assign(text.begin(), text.end());
  data.valid.assign(text.rbegin(), text.rbegin() + static_cast<std::ptrdiff_t>(bytes / 4));
  data.sha256 = "made up";
  return data;
}

TemporaryFolder::TemporaryFolder() {
  std::string name = (std::filesystem::temp_directory_path() / "omninorm-test-XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr) {
    throw std::runtime_error("cannot make a temporary folder");
  }
  path = name;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path, ignored);
}

std::vector<nlohmann::json> TrainedRun::of_kind(const std::string& kind) const {
  std::vector<nlohmann::json> found;
  for (const auto& record : records) {
    if (record.at("kind") == kind) {
      found.push_back(record);
    }
  }
  return found;
}

TrainedRun train_and_read(const Settings& settings, const TextData& data) {
  const TemporaryFolder folder;
  const std::atomic<bool> stop{false};
  TrainedRun run;
  {
    RunWriter writer(folder.path / "run", {{"format", 1}});
    run.result = train(settings, data, writer, stop, [](const StepEvent&) {});
  }
  run.records = read_run(folder.path / "run").records;
  return run;
}

void vary_vectors(torch::nn::Module& model) {
  const torch::NoGradGuard no_grad;
  double shift = 0;
  for (auto& parameter : model.named_parameters()) {
    auto& value = parameter.value();
    if (value.dim() == 1) {
      shift += 0.1;
      value.add_(at::sin(at::arange(value.numel(), value.options()) + shift) * 0.4);
    }
  }
}

}  // namespace omninorm::lab::testing
