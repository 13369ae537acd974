// What the case table cannot bring the packed kernels: saved statistics that fp32 is not enough
// for, in rows that share a vector with others; on every SIMD target of this machine.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include "omninorm/omninorm.h"
#include "tests/core/cases.h"
#include "tests/core/targets.h"

namespace omninorm::cases {
namespace {

// Whole vectors of rows and a part of one, on every target.
constexpr std::int64_t kRows = 35, kWidth = 16;
constexpr std::size_t kSize = kRows * kWidth;

using Values = std::vector<float>;

// Rows whose rstd is at one end of fp32's range or at the other; x is as small or large as that.
float far_rstd(std::size_t row) {
  if (row == 2 || row == 34) return 1e-35f;
  return row == 20 ? 1e35f : 1.0f;
}

struct Inputs {
  Values sum = Values(kSize), dy = Values(kSize), dsum = Values(kSize);
  Values weight = Values(kWidth), mean = Values(kRows), rstd = Values(kRows);

  Inputs() {
    std::mt19937 random(5);
    std::normal_distribution<float> normal(0.0f, 1.0f);
    for (Values* values : {&sum, &dy, &dsum, &weight}) {
      for (float& value : *values) value = normal(random);
    }
    for (std::size_t r = 0; r < kRows; ++r) {
      rstd[r] = far_rstd(r);
      // 1e35 is wide of dsum, 1e-35 is nothing beside it.
      for (std::size_t i = 0; r == 20 && i < kWidth; ++i) sum[r * kWidth + i] *= 1e-35f;
    }
  }
};

struct Gradients {
  Values dx = Values(kSize), dweight = Values(kWidth), dbias = Values(kWidth);
};

// Which input dx is written over.
enum class InPlace { none, dy, dsum };

Gradients backward(Inputs in, bool center, InPlace in_place) {
  Gradients got;
  Values& dx = in_place == InPlace::dy ? in.dy : in_place == InPlace::dsum ? in.dsum : got.dx;
  AddNormBackwardArgs args{.sum = {in.sum.data(), {kRows, kWidth}},
                           .weight = {in.weight.data(), {kWidth}},
                           .rstd = {in.rstd.data(), {kRows}},
                           .dy = {in.dy.data(), {kRows, kWidth}},
                           .dsum = {in.dsum.data(), {kRows, kWidth}},
                           .dx = {dx.data(), {kRows, kWidth}},
                           .dweight = {got.dweight.data(), {kWidth}}};
  if (center) {
    args.mean = {in.mean.data(), {kRows}};
    args.dbias = {got.dbias.data(), {kWidth}};
    add_layer_norm_backward(args);
  } else {
    add_rms_norm_backward(args);
  }
  if (in_place != InPlace::none) got.dx = dx;
  return got;
}

struct Truth {
  std::vector<double> dx = std::vector<double>(kSize), dweight = std::vector<double>(kWidth);
};

Truth truth(const Inputs& in, bool center) {
  Truth want;
  for (std::size_t r = 0; r < kRows; ++r) {
    const auto rstd = static_cast<double>(in.rstd[r]);
    const auto at = [&](const Values& values, std::size_t i) {
      return static_cast<double>(values[r * kWidth + i]);
    };
    double of_g = 0, of_gx = 0;
    for (std::size_t i = 0; i < kWidth; ++i) {
      const double g = at(in.dy, i) * static_cast<double>(in.weight[i]);
      of_g += center ? g / kWidth : 0;
      of_gx += g * at(in.sum, i) * rstd / kWidth;
      want.dweight[i] += at(in.dy, i) * at(in.sum, i) * rstd;
    }
    for (std::size_t i = 0; i < kWidth; ++i) {
      const double g = at(in.dy, i) * static_cast<double>(in.weight[i]);
      want.dx[r * kWidth + i] = rstd * (g - of_g - at(in.sum, i) * rstd * of_gx) + at(in.dsum, i);
    }
  }
  return want;
}

class PackedKernels : public testing::TestWithParam<std::tuple<std::string, bool>> {
 protected:
  static bool center() { return std::get<1>(GetParam()); }

 private:
  TargetScope target_{std::get<0>(GetParam())};
  // SCALAR has no vectors to pack: the row kernel keeps the same promises.
  ForcedKernel only_{std::get<0>(GetParam()) == "SCALAR" ? "row" : "packed"};
};

TEST_P(PackedKernels, SavedStatisticsAtTheEndsOfTheRange) {
  const Inputs in;
  const Truth want = truth(in, center());
  const Gradients got = backward(in, center(), InPlace::none);
  for (std::size_t i = 0; i < kSize; ++i) {
    const auto rstd = static_cast<double>(in.rstd[i / kWidth]);
    EXPECT_NEAR(got.dx[i], want.dx[i], 1e-5 * std::max(1.0, rstd)) << "row " << i / kWidth;
  }
  for (std::size_t i = 0; i < kWidth; ++i) EXPECT_NEAR(got.dweight[i], want.dweight[i], 1e-4);
}

TEST_P(PackedKernels, FarStatisticsKeepToTheirRows) {
  const Inputs in;
  Inputs near = in;
  for (float& rstd : near.rstd) rstd = 1.0f;
  const Gradients with = backward(in, center(), InPlace::none);
  const Gradients without = backward(near, center(), InPlace::none);
  for (std::size_t i = 0; i < kSize; ++i) {
    if (far_rstd(i / kWidth) != 1.0f) continue;
    EXPECT_EQ(with.dx[i], without.dx[i]) << "row " << i / kWidth;
  }
}

TEST_P(PackedKernels, FarStatisticsInPlace) {
  const Inputs in;
  const Gradients apart = backward(in, center(), InPlace::none);
  for (const InPlace in_place : {InPlace::dy, InPlace::dsum}) {
    const Gradients together = backward(in, center(), in_place);
    EXPECT_EQ(together.dx, apart.dx);
    EXPECT_EQ(together.dweight, apart.dweight);
    EXPECT_EQ(together.dbias, apart.dbias);
  }
}

INSTANTIATE_TEST_SUITE_P(, PackedKernels,
                         testing::Combine(testing::ValuesIn(cpu_targets()), testing::Bool()),
                         [](const auto& info) {
                           return std::get<0>(info.param) +
                                  (std::get<1>(info.param) ? "_add_layer_norm" : "_add_rms_norm");
                         });

}  // namespace
}  // namespace omninorm::cases
