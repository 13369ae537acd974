// What norms.md derives about the placements, held by the models that are trained.
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "lab/model/initialise.h"
#include "lab/model/transformer.h"
#include "tests/lab/torch/fixtures.h"
#include "tests/lab/torch/reference_model.h"

namespace omninorm::lab::testing {
namespace {

// Root mean square of each token, the largest over tokens.
double largest_token_rms(const at::Tensor& x) {
  return at::sqrt((x * x).mean(-1)).max().item<double>();
}

class Recorder : public ForwardObserver {
 public:
  void on_branch(std::int64_t, Sublayer, const at::Tensor& residual,
                 const at::Tensor& branch) override {
    residuals.push_back(residual);
    branches.push_back(branch);
  }
  void on_block(std::int64_t, const at::Tensor& residual) override { last = residual; }
  void on_output(const at::Tensor&) override {}

  std::vector<at::Tensor> residuals, branches;
  at::Tensor last;
};

at::Tensor tokens_for(const Settings& settings) {
  return (at::arange(settings.batch * settings.context, at::kLong) * 91 % 256)
      .view({settings.batch, settings.context});
}

// f64, with matrices `gain` times larger than at the start, as training may make them.
Transformer make_model(const Settings& settings, double gain) {
  Transformer model(settings);
  initialise(model, "fan-in", 5);
  model.to(at::kDouble);
  const torch::NoGradGuard no_grad;
  for (auto& parameter : model.parameters()) {
    if (parameter.dim() >= 2) {
      parameter.mul_(gain);
    }
  }
  return model;
}

TEST(Invariants, PeriGrowsByAtMostOneRmsASublayer) {
  for (const double gain : {0.01, 1.0, 50.0}) {
    Settings settings = small_settings();
    settings.layers = 6;
    settings.placement = "peri";
    Transformer model = make_model(settings, gain);
    Recorder seen;
    model.forward(tokens_for(settings), &seen);
    ASSERT_EQ(seen.residuals.size(), 12u);
    const double start = largest_token_rms(seen.residuals[0]);
    for (std::size_t k = 0; k < seen.residuals.size(); ++k) {
      EXPECT_LE(largest_token_rms(seen.branches[k]), 1 + 1e-12) << gain;
      if (gain > 1) {
        EXPECT_GT(largest_token_rms(seen.branches[k]), 0.9)
            << "a dead model would keep the bound too";
      }
      EXPECT_LE(largest_token_rms(seen.residuals[k]), start + static_cast<double>(k) + 1e-9)
          << gain;
    }
    EXPECT_LE(largest_token_rms(seen.last), start + 12 + 1e-9);
  }
}

TEST(Invariants, PreHasNoSuchBound) {
  Settings settings = small_settings();
  settings.placement = "pre";
  Transformer model = make_model(settings, 50.0);
  Recorder seen;
  model.forward(tokens_for(settings), &seen);
  EXPECT_GT(largest_token_rms(seen.last), largest_token_rms(seen.residuals[0]) + 4);
}

TEST(Invariants, PeriIgnoresTheScaleOfABranchsLastWeight) {
  for (const char* placement : {"peri", "output"}) {
    for (const char* name : {"block0.attention.out", "block1.mlp.down"}) {
      Settings settings = small_settings();
      settings.placement = placement;
      settings.norm_eps = 0;
      Transformer model = make_model(settings, 1.0);
      at::Tensor weight = parameters_of(model).at(name);
      const at::Tensor tokens = tokens_for(settings);
      const auto run = [&](at::Tensor& gradient) {
        weight.mutable_grad() = at::Tensor();
        const at::Tensor logits = model.forward(tokens);
        (logits * at::cos(at::arange(logits.numel(), at::kDouble)).view(logits.sizes()))
            .sum()
            .backward();
        gradient = weight.grad().clone();
        return logits.detach();
      };
      at::Tensor gradient, scaled_gradient;
      const at::Tensor logits = run(gradient);
      constexpr double scale = 7.0;
      {
        const torch::NoGradGuard no_grad;
        weight.mul_(scale);
      }
      const at::Tensor scaled = run(scaled_gradient);
      EXPECT_TRUE(at::allclose(logits, scaled, 1e-10, 1e-12)) << placement << " " << name;
      // With eps 0 one rounding, which BLAS does in an order that follows memory's alignment, comes
      // out 1e7 times as large in the gradient: 2e-9 of its largest entry in one process of twenty.
      const double furthest = (gradient / scale - scaled_gradient).abs().max().item<double>();
      EXPECT_LE(furthest, 1e-7 * scaled_gradient.abs().max().item<double>())
          << placement << " " << name;
      EXPECT_GT(gradient.abs().max().item<double>(), 1e-6);
    }
  }
}

TEST(Invariants, RmsNormsGradientIsBounded) {
  constexpr std::int64_t width = 24;
  torch::nn::Module parent;
  const Norm norm = make_norm(parent, "norm", "rms_norm", width, 0.0);
  parent.to(at::kDouble);
  vary_vectors(parent);
  const double largest_weight = parent.parameters()[0].abs().max().item<double>();
  double closest = 0;
  for (const double scale : {1e-3, 1.0, 1e3}) {
    at::Tensor a = at::sin(at::arange(40 * width, at::kDouble) * 1.7).view({40, width}) * scale;
    a.requires_grad_(true);
    const at::Tensor g = at::cos(at::arange(40 * width, at::kDouble) * 0.9).view({40, width});
    norm(a).backward(g);
    const at::Tensor gradient = a.grad().norm(2, -1);
    const at::Tensor bound = largest_weight * std::sqrt(static_cast<double>(width)) /
                             a.detach().norm(2, -1) * g.norm(2, -1);
    EXPECT_TRUE((gradient <= bound * (1 + 1e-12)).all().item<bool>());
    closest = std::max(closest, (gradient / bound).max().item<double>());
  }
  EXPECT_GT(closest, 0.5) << "the bound is not near: something scales the gradient down";
}

}  // namespace
}  // namespace omninorm::lab::testing
