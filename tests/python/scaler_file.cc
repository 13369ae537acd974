// The C++ side of the tests of a scaler's file.
//
//   scaler_file fit KIND FILE       fits on a fixed matrix, saves, prints the doubles of transform
//   scaler_file unfitted KIND FILE  saves one that has seen nothing
//   scaler_file copy FROM TO        reads and saves
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "omninorm/scaler.h"

namespace {

constexpr std::int64_t kRows = 40, kColumns = 3;

std::unique_ptr<omninorm::Scaler> make(const std::string& kind) {
  using omninorm::Variance;
  if (kind == "z_score") {
    return std::make_unique<omninorm::ZScoreScaler>(
        omninorm::ZScoreOptions{.variance = Variance::unbiased, .with_mean = false});
  }
  if (kind == "min_max") {
    return std::make_unique<omninorm::MinMaxScaler>(
        omninorm::MinMaxOptions{.low = -1, .high = 2, .clip = true});
  }
  return std::make_unique<omninorm::RunningScaler>(
      omninorm::RunningOptions{.alpha = 0.25, .variance = Variance::unbiased});
}

void fit(const std::string& kind, const std::string& path) {
  std::vector<double> x, y(kRows * kColumns);
  for (int i = 0; i < kRows; ++i) {
    for (int j = 0; j < kColumns; ++j) x.push_back(i * i / 7.0 + j);
  }
  const auto scaler = make(kind);
  scaler->fit({x.data(), {kRows, kColumns}});
  save_scaler(*scaler, path);
  scaler->transform({x.data(), {kRows, kColumns}}, {y.data(), {kRows, kColumns}});
  std::fwrite(y.data(), sizeof(double), y.size(), stdout);
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 4) return 2;
  const std::string verb = arguments[1], first = arguments[2], second = arguments[3];
  if (verb == "fit") fit(first, second);
  if (verb == "unfitted") save_scaler(*make(first), second);
  if (verb == "copy") save_scaler(*omninorm::read_scaler(first), second);
  return 0;
}
