// rms_norm and layer_norm as a caller meets them: small examples worked out by hand, defaults,
// empty tensors, in-place calls, and the reference's numbers at the ends of the range.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "omninorm/omninorm.h"
#include "tests/core/targets.h"

namespace omninorm {
namespace {

TEST(Ops, RmsNormByHand) {
  const float x[] = {1, 7, 5, 5};  // mean squares 25 and 25
  const float weight[] = {2, 10};
  float y[4], rstd[2];
  rms_norm_forward(
      {.x = {x, {2, 2}}, .weight = {weight, {2}}, .y = {y, {2, 2}}, .rstd = {rstd, {2}}},
      {.eps = 0});
  EXPECT_FLOAT_EQ(rstd[0], 0.2f);
  EXPECT_FLOAT_EQ(y[0], 0.4f);
  EXPECT_FLOAT_EQ(y[1], 14.0f);
  EXPECT_FLOAT_EQ(y[2], 2.0f);
  EXPECT_FLOAT_EQ(y[3], 10.0f);
}

TEST(Ops, LayerNormByHand) {
  const float x[] = {1, 3, 1, 3};  // mean 2, variance 1
  const float bias[] = {0, 0, 5, 5};
  float y[4], mean[1], rstd[1];
  layer_norm_forward({.x = {x, {1, 4}},
                      .bias = {bias, {4}},
                      .y = {y, {1, 4}},
                      .mean = {mean, {1}},
                      .rstd = {rstd, {1}}},
                     {.eps = 3});
  EXPECT_FLOAT_EQ(mean[0], 2.0f);
  EXPECT_FLOAT_EQ(rstd[0], 0.5f);
  EXPECT_FLOAT_EQ(y[0], -0.5f);
  EXPECT_FLOAT_EQ(y[1], 0.5f);
  EXPECT_FLOAT_EQ(y[2], 4.5f);
  EXPECT_FLOAT_EQ(y[3], 5.5f);
}

TEST(Ops, WithoutAWeightTheOffsetMeansNothing) {
  const double x[] = {3, 4};
  double plain[2], offset[2];
  rms_norm_forward({.x = {x, {2}}, .y = {plain, {2}}});
  rms_norm_forward({.x = {x, {2}}, .y = {offset, {2}}}, {.weight_offset = 1});
  EXPECT_EQ(plain[0], offset[0]);
  EXPECT_EQ(plain[1], offset[1]);
}

TEST(Ops, TransformerEngine1132PoliciesRoundWhereTheySay) {
  // An f32 output shows whether xhat was rounded to bf16 on the way.
  const bfloat16 x[] = {to_bfloat16(1.5f), to_bfloat16(0.5f)};
  const float weight[] = {100, 100};
  float after[2], before[2];
  const NormForwardArgs args{.x = {x, {2}}, .weight = {weight, {2}}, .y = {after, {2}}};
  rms_norm_forward(args, {.eps = 0});
  NormForwardArgs other = args;
  other.y = {before, {2}};
  rms_norm_forward(other, {.eps = 0, .cast_policy = CastPolicy::before_weight});
  const double xhat = 1.5 / std::sqrt(1.25);
  EXPECT_NEAR(after[0], 100 * xhat, 1e-4);
  EXPECT_EQ(before[0], 100 * to_float(to_bfloat16(static_cast<float>(xhat))));
  EXPECT_NE(after[0], before[0]);
}

TEST(Ops, DweightUsesTheRoundedInputOfBeforeWeight) {
  const bfloat16 x[] = {to_bfloat16(1.5f), to_bfloat16(0.5f)};
  const float weight[] = {1, 1}, dy[] = {1024, 1024};
  const double xhat = 1.5 / std::sqrt(1.25);
  const float rstd[] = {static_cast<float>(1 / std::sqrt(1.25))};
  float dweight[2];
  const NormBackwardArgs args{.x = {x, {1, 2}},
                              .weight = {weight, {2}},
                              .rstd = {rstd, {1}},
                              .dy = {dy, {1, 2}},
                              .dweight = {dweight, {2}}};
  rms_norm_backward(args, {.eps = 0});
  EXPECT_NEAR(dweight[0], 1024 * xhat, 1e-3);
  rms_norm_backward(args, {.eps = 0, .cast_policy = CastPolicy::before_weight});
  EXPECT_EQ(dweight[0], 1024 * to_float(to_bfloat16(static_cast<float>(xhat))));
  const cases::ForcedKernel reference("reference");
  rms_norm_backward(args, {.eps = 0, .cast_policy = CastPolicy::before_weight});
  EXPECT_EQ(dweight[0], 1024 * to_float(to_bfloat16(static_cast<float>(xhat))));
}

TEST(Ops, ZeroRowsGiveZeroGradients) {
  float dweight[3] = {7, 7, 7}, dbias[3] = {7, 7, 7}, weight[3] = {1, 1, 1};
  const float* none = nullptr;
  float* out = nullptr;
  layer_norm_forward({.x = {none, {0, 3}}, .weight = {weight, {3}}, .y = {out, {0, 3}}});
  layer_norm_backward({.x = {none, {0, 3}},
                       .weight = {weight, {3}},
                       .mean = {none, {0}},
                       .rstd = {none, {0}},
                       .dy = {none, {0, 3}},
                       .dx = {out, {0, 3}},
                       .dweight = {dweight, {3}},
                       .dbias = {dbias, {3}}});
  for (int i = 0; i < 3; ++i) EXPECT_EQ(dweight[i], 0.0f);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(dbias[i], 0.0f);
}

TEST(Ops, ZeroColumnsHaveMeanZeroAndVarianceZero) {
  const float* none = nullptr;
  float* out = nullptr;
  float mean[2] = {7, 7}, rstd[2] = {7, 7};
  layer_norm_forward({.x = {none, {2, 0}},
                      .weight = {none, {0}},
                      .y = {out, {2, 0}},
                      .mean = {mean, {2}},
                      .rstd = {rstd, {2}}},
                     {.eps = 0.25});
  EXPECT_EQ(mean[1], 0.0f);
  EXPECT_EQ(rstd[1], 2.0f);
  rms_norm_backward({.x = {none, {2, 0}},
                     .weight = {none, {0}},
                     .rstd = {rstd, {2}},
                     .dy = {none, {2, 0}},
                     .dx = {out, {2, 0}},
                     .dweight = {out, {0}}});
}

TEST(Ops, BackwardFillsOnlyWhatIsGiven) {
  const double x[] = {1, 2, 4, 8}, dy[] = {1, -1, 2, 0.5}, weight[] = {1, 2};
  double y[4], rstd[2], dx[4], dweight[2], dbias[2], alone[4];
  rms_norm_forward(
      {.x = {x, {2, 2}}, .weight = {weight, {2}}, .y = {y, {2, 2}}, .rstd = {rstd, {2}}});
  const NormBackwardArgs all{.x = {x, {2, 2}},
                             .weight = {weight, {2}},
                             .rstd = {rstd, {2}},
                             .dy = {dy, {2, 2}},
                             .dx = {dx, {2, 2}},
                             .dweight = {dweight, {2}},
                             .dbias = {dbias, {2}}};
  rms_norm_backward(all);
  NormBackwardArgs args = all;
  args.dweight = args.dbias = {};
  args.dx = {alone, {2, 2}};
  rms_norm_backward(args);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(alone[i], dx[i]);
  args.dx = {};
  args.dweight = {alone, {2}};
  rms_norm_backward(args);
  for (int i = 0; i < 2; ++i) EXPECT_EQ(alone[i], dweight[i]);
  args.dweight = {};
  args.dbias = {alone, {2}};
  rms_norm_backward(args);
  for (int i = 0; i < 2; ++i) EXPECT_EQ(alone[i], dbias[i]);
  args.dbias = {};
  rms_norm_backward(args);
}

template <class T>
void expect_in_place_gives_the_same() {
  std::vector<T> x(7 * 33), dy(7 * 33), y(7 * 33), dx(7 * 33), mean(7), rstd(7);
  std::vector<T> weight(33, T{1}), dweight(33);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = std::sin(static_cast<T>(i));
  for (std::size_t i = 0; i < x.size(); ++i) dy[i] = std::cos(static_cast<T>(3 * i));
  const auto forward = [&](std::vector<T>& to) {
    layer_norm_forward({.x = {x.data(), {7, 33}},
                        .y = {to.data(), {7, 33}},
                        .mean = {mean.data(), {7}},
                        .rstd = {rstd.data(), {7}}});
  };
  const auto backward = [&](std::vector<T>& to) {
    layer_norm_backward({.x = {x.data(), {7, 33}},
                         .weight = {weight.data(), {33}},
                         .mean = {mean.data(), {7}},
                         .rstd = {rstd.data(), {7}},
                         .dy = {dy.data(), {7, 33}},
                         .dx = {to.data(), {7, 33}},
                         .dweight = {dweight.data(), {33}}});
  };
  forward(y);
  backward(dx);
  const std::vector<T> expected = dweight;
  backward(dy);
  EXPECT_EQ(dweight, expected);
  EXPECT_EQ(dy, dx);
  forward(x);
  EXPECT_EQ(x, y);
}

TEST(Ops, InPlaceGivesTheSame) {
  expect_in_place_gives_the_same<float>();   // the kernels
  expect_in_place_gives_the_same<double>();  // the reference
}

// Long double holds the square of every double; elsewhere the documented limit is 1e150.
TEST(Ops, ReferenceIsRightAtTheEndsOfF64) {
  if (std::numeric_limits<long double>::max_exponent <= std::numeric_limits<double>::max_exponent) {
    GTEST_SKIP() << "long double is double here";
  }
  for (const double scale : {1e200, 1e-200, 1e300, 1e-300}) {
    const double x[] = {scale, -2 * scale, 3 * scale, 2 * scale};
    double y[4], rstd[1], centred[4];
    rms_norm_forward({.x = {x, {1, 4}}, .y = {y, {1, 4}}, .rstd = {rstd, {1}}}, {.eps = 0});
    layer_norm_forward({.x = {x, {1, 4}}, .y = {centred, {1, 4}}}, {.eps = 0});
    const double rms = std::sqrt(18.0 / 4), deviation = std::sqrt(14.0 / 4);
    EXPECT_NEAR(rstd[0] * scale, 1 / rms, 1e-15);
    EXPECT_NEAR(y[1], -2 / rms, 1e-15);
    EXPECT_NEAR(centred[1], -3 / deviation, 1e-15);
  }
}

TEST(Ops, BadNumbersStayInTheirRow) {
  const double inf = std::numeric_limits<double>::infinity(), nan = std::nan("");
  const double x[] = {1, 2, inf, 1, nan, 1, 3, 4};
  double y[8];
  layer_norm_forward({.x = {x, {4, 2}}, .y = {y, {4, 2}}});
  EXPECT_NEAR(y[0], -1, 1e-4);
  for (const int i : {2, 3, 4, 5}) EXPECT_TRUE(std::isnan(y[i])) << i;
  EXPECT_NEAR(y[7], 1, 1e-4);
}

}  // namespace
}  // namespace omninorm
