// What the tests of the torch half share: small settings, made-up text, folders of their own.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "lab/data/text.h"
#include "lab/experiment/run_folder.h"
#include "lab/experiment/settings.h"
#include "lab/train/trainer.h"

namespace omninorm::lab::testing {

// 2 layers, 16 wide, 2 heads, context 12, batch 3, 10 steps.
Settings small_settings();

// Made-up words: text with something to learn beyond the frequencies of its bytes.
std::string made_up_text(std::size_t bytes);
TextData made_up_data(std::size_t bytes = 20'000);

// Removed at the end.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  std::filesystem::path path;
};

struct TrainedRun {
  TrainResult result;
  std::vector<nlohmann::json> records;

  std::vector<nlohmann::json> of_kind(const std::string& kind) const;
};

// Trains into a folder of its own and reads back what was written.
TrainedRun train_and_read(const Settings& settings, const TextData& data);

// Fills norm weights and biases with values other than 1 and 0.
void vary_vectors(torch::nn::Module& model);

}  // namespace omninorm::lab::testing
