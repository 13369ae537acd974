#include "lab/probe/probe.h"

#include <torch/torch.h>

#include <chrono>
#include <cmath>

#include "lab/experiment/run_folder.h"

namespace omninorm::lab {
namespace {

// Adds the time of a scope to a sum.
class Stopwatch {
 public:
  explicit Stopwatch(double& sum) : sum_(sum) {}
  ~Stopwatch() {
    sum_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

 private:
  double& sum_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

double frobenius(const at::Tensor& x) {
  return at::linalg_vector_norm(x, 2, std::nullopt, false, at::kDouble).item<double>();
}

struct Shape {
  double rms = 0, variance = 0;
};

// Root mean square of all entries, and the biased variance over the width averaged over tokens,
// both from each token's variance and mean: mean square = variance + mean^2.
Shape shape_of(const at::Tensor& x) {
  const auto [variance, mean] = at::var_mean(x, at::OptionalIntArrayRef({-1}), 0, false);
  Shape shape;
  shape.variance = variance.mean(at::kDouble).item<double>();
  shape.rms = std::sqrt(shape.variance + mean.square().mean(at::kDouble).item<double>());
  return shape;
}

}  // namespace

Probe::Probe(std::int64_t layers) {
  for (std::int64_t i = 0; i < layers; ++i) {
    layers_.push_back({{"layer", i + 1}});
  }
}

void Probe::on_branch(std::int64_t block, Sublayer sublayer, const at::Tensor& residual,
                      const at::Tensor& branch) {
  const Stopwatch watch(seconds_);
  const torch::NoGradGuard no_grad;
  const char* field = sublayer == Sublayer::attention ? "attention_ratio" : "mlp_ratio";
  layers_[static_cast<std::size_t>(block)][field] = number(frobenius(branch) / frobenius(residual));
}

void Probe::on_block(std::int64_t block, const at::Tensor& residual) {
  const Stopwatch watch(seconds_);
  const torch::NoGradGuard no_grad;
  const auto x = residual.to(at::kFloat);
  const auto shape = shape_of(x);
  const auto magnitudes = x.abs();
  const double max_abs = magnitudes.max().item<double>();
  const double median = magnitudes.median().item<double>();
  auto& layer = layers_[static_cast<std::size_t>(block)];
  layer["residual_rms"] = number(shape.rms);
  layer["residual_variance"] = number(shape.variance);
  layer["max_abs"] = number(max_abs);
  layer["max_over_median"] = number(max_abs / median);
  layer["fp16_headroom"] = number(max_abs / kMaxFloat16);
}

void Probe::on_output(const at::Tensor& x) {
  const Stopwatch watch(seconds_);
  const torch::NoGradGuard no_grad;
  const auto wide = x.to(at::kFloat);
  const auto shape = shape_of(wide);
  output_["residual_rms"] = number(shape.rms);
  output_["residual_variance"] = number(shape.variance);
  output_["max_abs"] = number(wide.abs().max().item<double>());
}

void Probe::add_gradients(const std::vector<std::string>& names, const std::vector<double>& norms) {
  const Stopwatch watch(seconds_);
  for (std::size_t block = 0; block < layers_.size(); ++block) {
    const std::string prefix = "block" + std::to_string(block) + ".";
    double squares = 0;
    for (std::size_t i = 0; i < names.size(); ++i) {
      if (names[i].starts_with(prefix)) {
        squares += norms[i] * norms[i];
      }
    }
    layers_[block]["grad_norm"] = number(std::sqrt(squares));
  }
}

nlohmann::json Probe::record() const { return {{"layers", layers_}, {"output", output_}}; }

}  // namespace omninorm::lab
