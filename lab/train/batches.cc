#include "lab/train/batches.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <span>

#include "lab/model/counter_random.h"

namespace omninorm::lab {
namespace {

// Rows of context + 1 bytes that start at `starts`.
Batch cut(std::span<const std::uint8_t> bytes, std::span<const std::uint64_t> starts,
          std::int64_t context) {
  const auto sequences = static_cast<std::int64_t>(starts.size());
  Batch batch{at::empty({sequences, context}, at::kLong),
              at::empty({sequences, context}, at::kLong)};
  auto* tokens = batch.tokens.mutable_data_ptr<std::int64_t>();
  auto* targets = batch.targets.mutable_data_ptr<std::int64_t>();
  for (const std::uint64_t start : starts) {
    const auto window = bytes.subspan(start, static_cast<std::size_t>(context) + 1);
    tokens = std::copy(window.begin(), window.end() - 1, tokens);
    targets = std::copy(window.begin() + 1, window.end(), targets);
  }
  return batch;
}

}  // namespace

Batch training_batch(const TextData& data, const Settings& settings, std::int64_t step) {
  const std::uint64_t places = data.train.size() - static_cast<std::size_t>(settings.context);
  std::vector<std::uint64_t> starts(static_cast<std::size_t>(settings.batch));
  for (std::size_t row = 0; row < starts.size(); ++row) {
    starts[row] = random_word(settings.seed, static_cast<std::uint64_t>(step), row) % places;
  }
  return cut(data.train, starts, settings.context);
}

std::vector<Batch> validation_batches(const TextData& data, const Settings& settings) {
  const std::uint64_t last = data.valid.size() - static_cast<std::size_t>(settings.context) - 1;
  std::vector<std::uint64_t> starts(kValidationWindows);
  for (std::size_t i = 0; i < starts.size(); ++i) {
    starts[i] = last * i / std::max<std::size_t>(1, starts.size() - 1);
  }
  std::vector<Batch> batches;
  const auto rows = static_cast<std::size_t>(settings.batch);
  for (std::size_t i = 0; i < starts.size(); i += rows) {
    const auto part = std::span(starts).subspan(i, std::min(rows, starts.size() - i));
    batches.push_back(cut(data.valid, part, settings.context));
  }
  return batches;
}

}  // namespace omninorm::lab
