#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <tuple>

#include "lab/model/initialise.h"
#include "lab/model/transformer.h"
#include "lab/train/trainer.h"
#include "omninorm/error.h"
#include "tests/lab/torch/fixtures.h"
#include "tests/lab/torch/reference_model.h"

namespace omninorm::lab::testing {
namespace {

using ::testing::HasSubstr;

at::Tensor some_tokens(const Settings& settings) {
  const auto count = settings.batch * settings.context;
  return (at::arange(count, at::kLong) * 37 % 251).view({settings.batch, settings.context});
}

double largest(const at::Tensor& x) { return x.abs().max().item<double>(); }

// Logits and all gradients of the model against those of the written-out formulas, in f64.
void compare_with_formulas(const Settings& settings) {
  Transformer model(settings);
  initialise(model, settings.init, 3);
  vary_vectors(model);
  model.to(at::kDouble);
  const at::Tensor tokens = some_tokens(settings);
  const at::Tensor weights =
      at::sin(at::arange(settings.batch * settings.context * 256, at::kDouble))
          .view({settings.batch, settings.context, 256});

  const auto parameters = parameters_of(model);
  const at::Tensor expected = reference_logits(settings, parameters, tokens);
  (expected * weights).sum().backward();
  Parameters expected_gradients;
  for (const auto& [name, value] : parameters) {
    ASSERT_TRUE(value.grad().defined()) << name;
    expected_gradients[name] = value.grad().clone();
    value.mutable_grad() = at::Tensor();
  }

  const at::Tensor actual = model.forward(tokens);
  (actual * weights).sum().backward();
  EXPECT_GT(largest(expected), 0.1);
  EXPECT_LT(largest(actual - expected), 1e-11 * largest(expected));
  for (const auto& [name, value] : parameters) {
    const at::Tensor& gradient = expected_gradients[name];
    EXPECT_GT(largest(gradient), 0) << name;
    EXPECT_LT(largest(value.grad() - gradient), 1e-10 * largest(gradient)) << name;
  }
}

// placement, norm
using Shape = std::tuple<std::string, std::string>;

class AgainstFormulas : public ::testing::TestWithParam<Shape> {};

TEST_P(AgainstFormulas, LogitsAndGradientsAgreeInF64) {
  Settings settings = small_settings();
  std::tie(settings.placement, settings.norm) = GetParam();
  settings.norm_groups = 2;
  settings.init = "fan-in";  // larger branches than normal-0.02: differences show
  for (const char* mlp : {"gelu", "swiglu"}) {
    settings.mlp = mlp;
    for (const int switches : {0, 1, 2, 4, 7}) {
      settings.tied = (switches & 1) != 0;
      settings.qk_norm = (switches & 2) != 0;
      settings.embedding_norm = (switches & 4) != 0;
      SCOPED_TRACE(settings.mlp + ", switches " + std::to_string(switches));
      compare_with_formulas(settings);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Models, AgainstFormulas,
    ::testing::Combine(::testing::Values("post", "pre", "peri", "output"),
                       ::testing::Values("rms_norm", "layer_norm", "grouped_layer_norm", "none")),
    [](const auto& info) { return std::get<0>(info.param) + "_" + std::get<1>(info.param); });

TEST(Model, EveryPlacementOfTheTableIsTested) {
  std::set<std::string_view> names;
  for (const Placement& placement : placements()) {
    names.insert(placement.name);
  }
  EXPECT_EQ(names, (std::set<std::string_view>{"post", "pre", "peri", "output"}))
      << "give the new placement its equation in reference_model.cc and its name above";
}

TEST(Model, ALaterByteDoesNotChangeEarlierLogits) {
  for (const Placement& placement : placements()) {
    Settings settings = small_settings();
    settings.placement = placement.name;
    settings.qk_norm = true;
    Transformer model(settings);
    initialise(model, "fan-in", 1);
    const torch::NoGradGuard no_grad;
    at::Tensor tokens = some_tokens(settings);
    const at::Tensor before = model.forward(tokens);
    constexpr std::int64_t changed = 7;
    tokens.select(1, changed).fill_(250);
    const at::Tensor after = model.forward(tokens);
    EXPECT_TRUE(before.narrow(1, 0, changed).equal(after.narrow(1, 0, changed)))
        << settings.placement;
    EXPECT_FALSE(before.select(1, changed).equal(after.select(1, changed))) << settings.placement;
  }
}

TEST(Model, CommonParametersStartEqualWhateverElseIsVaried) {
  const auto start = [](const Settings& settings) {
    Transformer model(settings);
    initialise(model, settings.init, settings.seed);
    return parameters_of(model);
  };
  const Settings base = small_settings();
  const Parameters expected = start(base);
  Settings other = base;
  std::vector<Settings> others;
  for (const Placement& placement : placements()) {
    other.placement = placement.name;
    others.push_back(other);
  }
  other.norm = "layer_norm";
  others.push_back(other);
  other.norm = "none";
  others.push_back(other);
  other.qk_norm = other.embedding_norm = other.tied = true;
  others.push_back(other);
  other.layers = 1;  // a model of fewer blocks starts as the first blocks of a deeper one
  others.push_back(other);
  for (const Settings& settings : others) {
    std::size_t common = 0;
    for (const auto& [name, value] : start(settings)) {
      if (expected.contains(name)) {
        ++common;
        EXPECT_TRUE(value.equal(expected.at(name))) << name;
      }
    }
    EXPECT_GE(common, 5u);
  }
}

TEST(Model, InitialValuesFollowSeedAndName) {
  Settings settings = small_settings();
  settings.width = 128;
  Transformer model(settings);
  initialise(model, "normal-0.02", 1);
  const auto first = parameters_of(model).at("block0.mlp.up").clone();
  EXPECT_FALSE(first.equal(parameters_of(model).at("block1.mlp.up")));
  EXPECT_NEAR(first.std().item<double>(), 0.02, 0.0005);
  EXPECT_NEAR(first.mean().item<double>(), 0, 0.0005);
  initialise(model, "normal-0.02", 2);
  EXPECT_FALSE(first.equal(parameters_of(model).at("block0.mlp.up")));
  initialise(model, "normal-0.02", 1);
  EXPECT_TRUE(first.equal(parameters_of(model).at("block0.mlp.up")));

  initialise(model, "fan-in", 1);
  const auto parameters = parameters_of(model);
  EXPECT_NEAR(parameters.at("block0.mlp.up").std().item<double>(), 1 / std::sqrt(128.0), 0.002);
  EXPECT_NEAR(parameters.at("block0.mlp.down").std().item<double>(), 1 / std::sqrt(512.0), 0.001);
  EXPECT_NEAR(parameters.at("embedding").std().item<double>(), 1 / std::sqrt(128.0), 0.002);
  EXPECT_TRUE(parameters.at("block0.norm_before_mlp.weight").equal(at::ones({128})));
}

TEST(Model, ParameterCountsAreThoseOfTheFormulas) {
  Settings settings;  // the default: 6 × 128
  settings.placement = "peri";
  const std::int64_t w = settings.width;
  const std::int64_t gelu = 6 * (4 * w * w + 8 * w * w + 4 * w) + 2 * 256 * w + w;
  EXPECT_EQ(parameter_count(settings), gelu);
  settings.tied = true;
  EXPECT_EQ(parameter_count(settings), gelu - 256 * w);
  settings.tied = false;
  settings.mlp = "swiglu";  // hidden 344: nearest multiple of 8 to 341.33
  EXPECT_EQ(parameter_count(settings), 6 * (4 * w * w + 3 * 344 * w + 4 * w) + 2 * 256 * w + w);
  settings.norm = "none";
  EXPECT_EQ(parameter_count(settings), 6 * (4 * w * w + 3 * 344 * w) + 2 * 256 * w);
}

TEST(Model, UnknownNamesAreRefused) {
  const auto message = [](const Settings& settings) -> std::string {
    try {
      Transformer model(settings);
      initialise(model, settings.init, 1);
    } catch (const Error& error) {
      return error.what();
    }
    return "nothing thrown";
  };
  Settings settings = small_settings();
  settings.placement = "perry";
  EXPECT_THAT(message(settings), HasSubstr("peri"));
  settings = small_settings();
  settings.norm = "rmsnorm";
  EXPECT_THAT(message(settings),
              HasSubstr("expected rms_norm, layer_norm, grouped_layer_norm or none"));
  settings = small_settings();
  settings.init = "xavier";
  EXPECT_THAT(message(settings), HasSubstr("normal-0.02 or fan-in"));
}

}  // namespace
}  // namespace omninorm::lab::testing
