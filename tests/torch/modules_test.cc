// The C++ modules, and the plain functions under them.
#include "torch/modules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "torch/layer_norm.h"
#include "torch/rms_norm.h"

namespace {

using omninorm::LayerNorm;
using omninorm::LayerNormModuleOptions;
using omninorm::RMSNorm;
using omninorm::RMSNormModuleOptions;
using ::testing::HasSubstr;
using torch::Tensor;

bool close(const Tensor& a, const Tensor& b) { return torch::allclose(a, b, 1e-5, 1e-5); }

template <class Module>
std::string text(const Module& module) {
  std::ostringstream stream;
  stream << module;
  return stream.str();
}

TEST(RMSNorm, StartsAsTheIdentityOnNormalisedRows) {
  RMSNorm norm(64);
  const Tensor x = torch::randn({3, 5, 64});
  const Tensor expected = x * (x.square().mean(-1, true) + 1e-6).rsqrt();
  EXPECT_TRUE(close(norm(x), expected));
  EXPECT_TRUE(close(RMSNorm(RMSNormModuleOptions(64).weight_offset(1))(x), expected));
}

TEST(RMSNorm, WeightStartsAtOneLessTheOffset) {
  EXPECT_TRUE(RMSNorm(8)->weight.equal(torch::ones(8)));
  EXPECT_TRUE(RMSNorm(RMSNormModuleOptions(8).weight_offset(1))->weight.equal(torch::zeros(8)));
}

TEST(RMSNorm, HasTheParametersAskedFor) {
  EXPECT_EQ(RMSNorm(8)->named_parameters().keys(), std::vector<std::string>{"weight"});
  EXPECT_EQ(RMSNorm(RMSNormModuleOptions(8).bias(true))->named_parameters().keys(),
            (std::vector<std::string>{"weight", "bias"}));
  RMSNorm bare(RMSNormModuleOptions(8).elementwise_affine(false));
  EXPECT_TRUE(bare->parameters().empty());
  EXPECT_TRUE(close(bare(torch::full({2, 8}, 3.0)), torch::ones({2, 8})));
}

TEST(RMSNorm, OptionsReachTheOp) {
  const Tensor x = torch::randn({4, 10});
  RMSNorm norm(RMSNormModuleOptions(10).eps(0.5).partial(0.3).weight_offset(2).bias(true));
  torch::NoGradGuard no_grad;
  norm->weight.normal_();
  norm->bias.normal_();
  const Tensor rstd = (x.narrow(-1, 0, 3).square().mean(-1, true) + 0.5).rsqrt();
  EXPECT_TRUE(close(norm(x), x * rstd * (norm->weight + 2) + norm->bias));
  const Tensor half = torch::randn({64, 10}).to(torch::kBFloat16);
  RMSNorm before(RMSNormModuleOptions(10).cast_policy("before_weight"));
  before->weight.normal_();
  EXPECT_TRUE(before(half).equal(omninorm::torch_ops::rms_norm(
      half, {10}, before->weight, std::nullopt, 1e-6, 0, "before_weight")));
  EXPECT_FALSE(before(half).equal(
      omninorm::torch_ops::rms_norm(half, {10}, before->weight, std::nullopt, 1e-6)));
}

TEST(LayerNorm, AgreesWithTorch) {
  const Tensor x = torch::randn({4, 3, 6}, torch::requires_grad());
  LayerNorm ours(std::vector<std::int64_t>{3, 6});
  torch::nn::LayerNorm theirs(torch::nn::LayerNormOptions({3, 6}));
  {
    torch::NoGradGuard no_grad;
    ours->weight.normal_();
    ours->bias.normal_();
    theirs->weight.copy_(ours->weight);
    theirs->bias.copy_(ours->bias);
  }
  EXPECT_TRUE(close(ours(x), theirs(x)));
  const Tensor dy = torch::randn({4, 3, 6});
  const auto a = torch::autograd::grad({ours(x)}, {x, ours->weight, ours->bias}, {dy});
  const auto b = torch::autograd::grad({theirs(x)}, {x, theirs->weight, theirs->bias}, {dy});
  for (std::size_t i = 0; i < a.size(); ++i) EXPECT_TRUE(close(a[i], b[i])) << i;
}

TEST(LayerNorm, DoubleBackwardWorksFromC) {
  const Tensor x = torch::randn({2, 7}, torch::dtype(torch::kFloat64).requires_grad(true));
  LayerNorm norm(7);
  norm->to(torch::kFloat64);
  const Tensor dx = torch::autograd::grad({norm(x).pow(3).sum()}, {x}, {}, true, true)[0];
  const Tensor second = torch::autograd::grad({dx.square().sum()}, {x})[0];
  const Tensor centred = x - x.mean(-1, true);
  const Tensor y = centred * (centred.square().mean(-1, true) + 1e-5).rsqrt();
  const Tensor plain = torch::autograd::grad({y.pow(3).sum()}, {x}, {}, true, true)[0];
  EXPECT_TRUE(torch::allclose(second, torch::autograd::grad({plain.square().sum()}, {x})[0]));
}

// Ours and torch's with the same random parameters: outputs and gradients must agree.
template <class Ours, class Theirs>
void expect_same(Ours& ours, Theirs& theirs, const Tensor& x) {
  const auto own = ours->named_parameters(), other = theirs->named_parameters();
  ASSERT_EQ(own.keys(), other.keys());
  ASSERT_EQ(ours->named_buffers().keys(), theirs->named_buffers().keys());
  {
    torch::NoGradGuard no_grad;
    for (const auto& item : own) other[item.key()].copy_(item.value().normal_());
  }
  std::vector<Tensor> a{x}, b{x};
  for (const auto& item : own) a.push_back(item.value());
  for (const auto& item : own) b.push_back(other[item.key()]);
  const Tensor y = ours->forward(x), expected = theirs->forward(x), dy = torch::randn_like(x);
  EXPECT_TRUE(close(y, expected));
  EXPECT_EQ(y.strides(), x.strides());
  const auto dx = torch::autograd::grad({y}, a, {dy}),
             want = torch::autograd::grad({expected}, b, {dy});
  for (std::size_t i = 0; i < dx.size(); ++i) {
    EXPECT_TRUE(torch::allclose(dx[i], want[i], 1e-4, 1e-4)) << i;
  }
  for (const auto& item : ours->named_buffers()) {
    EXPECT_TRUE(torch::allclose(item.value(), theirs->named_buffers()[item.key()])) << item.key();
  }
}

Tensor images() { return torch::randn({3, 6, 4, 5}).set_requires_grad(true); }

TEST(GroupNorm, AgreesWithTorch) {
  omninorm::GroupNorm ours(omninorm::GroupNormModuleOptions(2, 6));
  torch::nn::GroupNorm theirs(torch::nn::GroupNormOptions(2, 6));
  expect_same(ours, theirs, images());
  const Tensor last = images().detach().contiguous(torch::MemoryFormat::ChannelsLast);
  EXPECT_TRUE(ours(last).is_contiguous(torch::MemoryFormat::ChannelsLast));
}

TEST(BatchNorm, AgreesWithTorchInTrainingAndEvaluation) {
  omninorm::BatchNorm ours(omninorm::BatchNormModuleOptions(6).momentum(0.3));
  torch::nn::BatchNorm2d theirs(torch::nn::BatchNorm2dOptions(6).momentum(0.3));
  for (int step = 0; step < 2; ++step) expect_same(ours, theirs, images());
  ours->eval();
  theirs->eval();
  expect_same(ours, theirs, images());
  EXPECT_EQ(ours->num_batches_tracked.item<std::int64_t>(), 2);
}

TEST(BatchNorm, TakesAnyRankAndACumulativeAverage) {
  omninorm::BatchNorm ours(omninorm::BatchNormModuleOptions(4).momentum(std::nullopt));
  Tensor mean = torch::zeros(4);
  for (const auto& shape :
       std::vector<std::vector<std::int64_t>>{{5, 4}, {2, 4, 3}, {2, 4, 2, 1, 3}}) {
    const Tensor x = torch::randn(shape);
    ours(x);
    mean += x.transpose(0, 1).flatten(1).mean(1);
  }
  EXPECT_TRUE(close(ours->running_mean, mean / 3));
  omninorm::BatchNorm untracked(omninorm::BatchNormModuleOptions(4).track_running_stats(false));
  EXPECT_TRUE(untracked->buffers().empty());
  untracked->eval();
  EXPECT_TRUE(close(untracked(torch::randn({9, 4})).mean(0), torch::zeros(4)));
}

TEST(InstanceNorm, AgreesWithTorch) {
  omninorm::InstanceNorm ours(
      omninorm::InstanceNormModuleOptions(6).affine(true).track_running_stats(true));
  torch::nn::InstanceNorm2d theirs(
      torch::nn::InstanceNorm2dOptions(6).affine(true).track_running_stats(true));
  expect_same(ours, theirs, images());
  ours->eval();
  theirs->eval();
  expect_same(ours, theirs, images());
  omninorm::InstanceNorm bare(6);
  EXPECT_TRUE(bare->parameters().empty());
  torch::nn::InstanceNorm1d plain(6);
  expect_same(bare, plain, torch::randn({2, 6, 7}).set_requires_grad(true));
}

TEST(GroupedLayerNorm, NormalisesEachGroup) {
  omninorm::GroupedLayerNorm norm(omninorm::GroupedLayerNormModuleOptions(3, 12));
  torch::nn::LayerNorm part(torch::nn::LayerNormOptions({4}));
  const Tensor x = torch::randn({5, 12});
  EXPECT_TRUE(close(norm(x), part(x.view({5, 3, 4})).view({5, 12})));
  omninorm::GroupedLayerNorm position(
      omninorm::GroupedLayerNormModuleOptions(2, 6).per_position(true).center(false).eps(0.1));
  const Tensor image = torch::randn({2, 6, 3, 2}), groups = image.view({2, 2, 3, 3, 2});
  const Tensor expected = groups * (groups.square().mean(2, true) + 0.1).rsqrt();
  EXPECT_TRUE(close(position(image), expected.view_as(image)));
}

TEST(AddNorms, AreTheNormOfTheSum) {
  const Tensor x = torch::randn({3, 8}), residual = torch::randn({3, 8});
  omninorm::AddRMSNorm add_rms(8);
  omninorm::AddLayerNorm add_layer(8);
  const auto [y, sum] = add_rms(x, residual);
  EXPECT_TRUE(sum.equal(x + residual));
  EXPECT_TRUE(close(y, RMSNorm(8)(sum)));
  EXPECT_TRUE(close(std::get<0>(add_layer(x, residual)), LayerNorm(8)(sum)));
}

TEST(Modules, OptionsOfTheFamilyReachTheOp) {
  const Tensor x = torch::randn({2, 4, 3});
  omninorm::GroupNorm plain(omninorm::GroupNormModuleOptions(2, 4));
  omninorm::GroupNorm relu(
      omninorm::GroupNormModuleOptions(2, 4).activation("relu").weight_offset(1));
  EXPECT_TRUE(relu->weight.equal(torch::zeros(4)));
  EXPECT_TRUE(relu(x).equal(torch::relu(plain(x))));
  EXPECT_EQ(text(relu), "omninorm::GroupNorm(2, 4, eps=1e-05, weight_offset=1, activation=relu)");
  EXPECT_EQ(text(omninorm::BatchNorm(
                omninorm::BatchNormModuleOptions(4).momentum(std::nullopt).affine(false))),
            "omninorm::BatchNorm(4, eps=1e-05, momentum=none, affine=false)");
  EXPECT_EQ(
      text(omninorm::GroupedLayerNorm(omninorm::GroupedLayerNormModuleOptions(2, 8).center(false))),
      "omninorm::GroupedLayerNorm(2, 8, eps=1e-05, center=false)");
}

TEST(Modules, CloneAndConvert) {
  RMSNorm norm(RMSNormModuleOptions(8).weight_offset(1).bias(true));
  norm->to(torch::kBFloat16);
  const auto copy = std::dynamic_pointer_cast<omninorm::RMSNormImpl>(norm->clone());
  ASSERT_TRUE(copy);
  EXPECT_EQ(copy->weight.scalar_type(), torch::kBFloat16);
  EXPECT_FALSE(copy->weight.is_same(norm->weight));
  EXPECT_EQ(copy->options.weight_offset(), 1);
}

TEST(Modules, CloneCopiesRunningStatistics) {
  omninorm::BatchNorm norm(3);
  norm(torch::randn({8, 3}));
  const auto copy = std::dynamic_pointer_cast<omninorm::BatchNormImpl>(norm->clone());
  ASSERT_TRUE(copy);
  EXPECT_TRUE(copy->running_mean.equal(norm->running_mean));
  EXPECT_FALSE(copy->running_mean.is_same(norm->running_mean));
  EXPECT_EQ(copy->num_batches_tracked.item<std::int64_t>(), 1);
  norm->reset_parameters();
  EXPECT_TRUE(norm->running_mean.equal(torch::zeros(3)));
}

TEST(Modules, ResetParameters) {
  LayerNorm norm(LayerNormModuleOptions(4).weight_offset(1));
  {
    torch::NoGradGuard no_grad;
    norm->weight.fill_(5);
    norm->bias.fill_(5);
  }
  norm->reset_parameters();
  EXPECT_TRUE(norm->weight.equal(torch::zeros(4)));
  EXPECT_TRUE(norm->bias.equal(torch::zeros(4)));
}

TEST(Modules, Print) {
  EXPECT_EQ(text(RMSNorm(8)), "omninorm::RMSNorm([8], eps=1e-06)");
  EXPECT_EQ(text(RMSNorm(RMSNormModuleOptions({2, 3})
                             .weight_offset(1)
                             .cast_policy("before_weight")
                             .bias(true)
                             .partial(0.5))),
            "omninorm::RMSNorm([2, 3], eps=1e-06, weight_offset=1, cast_policy=before_weight, "
            "bias=true, partial=0.5)");
  EXPECT_EQ(text(LayerNorm(LayerNormModuleOptions(8).elementwise_affine(false))),
            "omninorm::LayerNorm([8], eps=1e-05, elementwise_affine=false)");
}

template <class Function>
std::string error_of(Function&& function) {
  try {
    function();
  } catch (const c10::ValueError& error) {
    return error.what_without_backtrace();
  }
  return "no error";
}

TEST(Modules, RefuseWhatCannotWork) {
  EXPECT_THAT(error_of([] { RMSNorm norm(0); }),
              HasSubstr("[rms_norm] expected a normalized_shape of sizes above 0, got [0]"));
  EXPECT_THAT(error_of([] { LayerNorm norm(std::vector<std::int64_t>{}); }),
              HasSubstr("[layer_norm] expected a normalized_shape of at least one dimension"));
  EXPECT_THAT(error_of([] { RMSNorm norm(RMSNormModuleOptions(4).cast_policy("never")); }),
              HasSubstr("expected cast_policy 'after_weight' or 'before_weight', got 'never'"));
  EXPECT_THAT(error_of([] { omninorm::GroupNorm norm(omninorm::GroupNormModuleOptions(4, 30)); }),
              HasSubstr("[group_norm] expected num_groups to divide 30 channels, got 4"));
  EXPECT_THAT(error_of([] { omninorm::BatchNorm norm(0); }),
              HasSubstr("[batch_norm] expected 1 or more channels, got 0"));
  EXPECT_THAT(
      error_of([] {
        RMSNorm(4)(torch::randn({2, 5}));
      }),
      HasSubstr("[rms_norm] expected x whose last dimensions are [4], got x of shape [2, 5]"));
}

}  // namespace
