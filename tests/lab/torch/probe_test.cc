#include "lab/probe/probe.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "lab/model/initialise.h"
#include "lab/model/transformer.h"
#include "lab/probe/norm_clock.h"
#include "tests/lab/torch/fixtures.h"
#include "tests/lab/torch/reference_model.h"

namespace omninorm::lab::testing {
namespace {

std::vector<double> values_of(const at::Tensor& x) {
  const at::Tensor flat = x.to(at::kDouble).contiguous().flatten();
  return {flat.const_data_ptr<double>(), flat.const_data_ptr<double>() + flat.numel()};
}

double squares(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) {
    sum += value * value;
  }
  return sum;
}

TEST(Probe, StatisticsAreThoseOfTheDirectFormulas) {
  constexpr std::int64_t width = 10, tokens = 6;
  const at::Tensor x =
      at::sin(at::arange(tokens * width, at::kFloat) * 1.3).view({2, 3, width}) * 4 +
      at::arange(width, at::kFloat);
  const at::Tensor branch = at::cos(at::arange(tokens * width, at::kFloat)).view({2, 3, width});
  Probe probe(2);
  probe.on_branch(1, Sublayer::attention, x, branch);
  probe.on_branch(1, Sublayer::mlp, x, branch * 2);
  probe.on_block(1, x);
  probe.on_output(x * 3);
  probe.add_gradients({"embedding", "block1.attention.qkv", "block1.mlp.up", "block10.mlp.up"},
                      {100, 3, 4, 100});
  const auto record = probe.record();
  const auto layer = record.at("layers").at(1);

  const auto values = values_of(x);
  double variance = 0;
  for (std::size_t t = 0; t < tokens; ++t) {
    double sum = 0, square = 0;
    for (std::size_t c = 0; c < width; ++c) {
      sum += values[t * width + c];
    }
    for (std::size_t c = 0; c < width; ++c) {
      square += std::pow(values[t * width + c] - sum / width, 2);
    }
    variance += square / width / tokens;
  }
  std::vector<double> magnitudes = values;
  for (double& value : magnitudes) {
    value = std::abs(value);
  }
  std::ranges::sort(magnitudes);
  const double rms = std::sqrt(squares(values) / (tokens * width));
  const double median = magnitudes[(tokens * width - 1) / 2];
  const double ratio = std::sqrt(squares(values_of(branch)) / squares(values));
  const auto near = [&](const nlohmann::json& actual, double expected) {
    EXPECT_NEAR(actual.get<double>(), expected, 1e-5 * expected);
  };
  EXPECT_EQ(layer.at("layer"), 2);
  near(layer.at("residual_rms"), rms);
  near(layer.at("residual_variance"), variance);
  near(layer.at("attention_ratio"), ratio);
  near(layer.at("mlp_ratio"), 2 * ratio);
  near(layer.at("max_abs"), magnitudes.back());
  near(layer.at("max_over_median"), magnitudes.back() / median);
  near(layer.at("fp16_headroom"), magnitudes.back() / 65504);
  near(layer.at("grad_norm"), 5);
  near(record.at("output").at("residual_rms"), 3 * rms);
  near(record.at("output").at("residual_variance"), 9 * variance);
  near(record.at("output").at("max_abs"), 3 * magnitudes.back());
  EXPECT_GT(probe.seconds(), 0);
}

TEST(Probe, NumbersThatAreNotFiniteAreWords) {
  Probe probe(1);
  at::Tensor x = at::ones({1, 2, 4});
  x[0][1][2] = std::numeric_limits<float>::infinity();
  probe.on_block(0, x);
  probe.on_branch(0, Sublayer::mlp, at::zeros({1, 2, 4}), at::zeros({1, 2, 4}));
  const auto layer = probe.record().at("layers").at(0);
  EXPECT_EQ(layer.at("max_abs"), "inf");
  EXPECT_EQ(layer.at("residual_variance"), "nan");
  EXPECT_EQ(layer.at("mlp_ratio"), "nan");
}

TEST(Probe, SeesTheResidualStreamOfTheModelAndLeavesItAlone) {
  for (const Placement& placement : placements()) {
    Settings settings = small_settings();
    settings.placement = placement.name;
    Transformer model(settings);
    initialise(model, "fan-in", 1);
    const at::Tensor tokens = at::arange(24, at::kLong).view({2, 12});
    Probe probe(settings.layers);
    const at::Tensor watched = model.forward(tokens, &probe);
    EXPECT_TRUE(watched.equal(model.forward(tokens)));
    for (const auto& layer : probe.record().at("layers")) {
      for (const char* field : {"residual_rms", "residual_variance", "attention_ratio", "mlp_ratio",
                                "max_abs", "max_over_median", "fp16_headroom"}) {
        EXPECT_GT(layer.at(field).get<double>(), 0) << field;
      }
      if (settings.placement == "post") {
        EXPECT_NEAR(layer.at("residual_rms").get<double>(), 1, 1e-3);
      }
    }
  }
}

TEST(NormClock, CountsEachNormOnceForwardAndBackward) {
  Settings settings = small_settings();
  settings.placement = "peri";  // 4 norms a block and a last one
  Transformer model(settings);
  initialise(model, "normal-0.02", 1);
  const at::Tensor tokens = at::arange(24, at::kLong).view({2, 12});
  for (const char* norm : {"rms_norm", "layer_norm"}) {
    settings.norm = norm;
    Transformer watched(settings);
    initialise(watched, "normal-0.02", 1);
    std::int64_t forward = 0;
    {
      const NormClock clock(at::kCPU);
      const at::Tensor loss = watched.forward(tokens).sum();
      forward = clock.calls();
      EXPECT_EQ(forward, 2 * 4 + 1) << norm;
      loss.backward();
      EXPECT_EQ(clock.calls(), 2 * forward) << norm;
      EXPECT_GT(clock.seconds(), 0);
    }
    watched.forward(tokens);
    const NormClock clock(at::kCPU);
    EXPECT_EQ(clock.calls(), 0) << "counts only while it lives";
  }
}

TEST(NormClock, CountsNothingElse) {
  Settings settings = small_settings();
  settings.norm = "none";
  Transformer model(settings);
  initialise(model, "normal-0.02", 1);
  const NormClock clock(at::kCPU);
  model.forward(at::arange(24, at::kLong).view({2, 12})).sum().backward();
  EXPECT_EQ(clock.calls(), 0);
  EXPECT_EQ(clock.seconds(), 0);
}

}  // namespace
}  // namespace omninorm::lab::testing
