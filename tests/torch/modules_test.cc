// omninorm::RMSNorm and omninorm::LayerNorm, and the plain functions under them.
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

TEST(Modules, CloneAndConvert) {
  RMSNorm norm(RMSNormModuleOptions(8).weight_offset(1).bias(true));
  norm->to(torch::kBFloat16);
  const auto copy = std::dynamic_pointer_cast<omninorm::RMSNormImpl>(norm->clone());
  ASSERT_TRUE(copy);
  EXPECT_EQ(copy->weight.scalar_type(), torch::kBFloat16);
  EXPECT_FALSE(copy->weight.is_same(norm->weight));
  EXPECT_EQ(copy->options.weight_offset(), 1);
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
  EXPECT_THAT(
      error_of([] {
        RMSNorm(4)(torch::randn({2, 5}));
      }),
      HasSubstr("[rms_norm] expected x whose last dimensions are [4], got x of shape [2, 5]"));
}

}  // namespace
