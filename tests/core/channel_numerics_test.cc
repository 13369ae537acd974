// Numbers that were once wrong in the kernels for images and batches, on every SIMD target and in
// both layouts. (That streamed planes are fenced before another thread reads them has no test: a
// store that is missed needs a race that no test can bring about.)
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <numeric>
#include <random>
#include <span>
#include <utility>
#include <vector>

#include "src/core/element.h"
#include "tests/core/cases.h"
#include "tests/core/expect_truth.h"
#include "tests/core/targets.h"

namespace omninorm::cases {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

class ChannelNumerics : public testing::TestWithParam<std::tuple<std::string, bool>> {
 protected:
  static bool channels_last() { return std::get<1>(GetParam()); }

  // [N, C, S], f32.
  static Tensor image(std::vector<float>& values, const std::vector<std::int64_t>& sizes) {
    const std::int64_t c = sizes[1], s = sizes[2];
    const std::vector<std::int64_t> first{c * s, s, 1}, last{c * s, 1, c};
    return {values.data(), DType::f32, sizes, channels_last() ? last : first};
  }
  // Where an element of such an image lies.
  static std::size_t at(const std::vector<std::int64_t>& sizes, std::int64_t n, std::int64_t c,
                        std::int64_t s) {
    return static_cast<std::size_t>(n * sizes[1] * sizes[2] +
                                    (channels_last() ? s * sizes[1] + c : c * sizes[2] + s));
  }

 private:
  TargetScope target_{std::get<0>(GetParam())};
};

struct Parts {
  explicit Parts(std::int64_t channels)
      : mean(static_cast<std::size_t>(channels)),
        m2(mean),
        view{0, {mean.data(), {channels}}, {m2.data(), {channels}}} {}
  Parts(const Parts&) = delete;
  std::vector<double> mean, m2;
  BatchNormMoments view;
};

// A channel whose first values are far from its mean is gone over once more; its neighbours are
// not to see that, to the bit.
TEST_P(ChannelNumerics, AFarChannelKeepsToItself) {
  const std::vector<std::int64_t> sizes{5, 19, 40};
  std::mt19937 random(3);
  std::normal_distribution<float> normal(0.3f, 1.0f);
  std::vector<float> x(5 * 19 * 40);
  for (float& value : x) value = normal(random);
  Parts near(19), far(19);
  batch_norm_moments(image(x, sizes), near.view);
  for (std::int64_t n = 0; n < 5; ++n) {
    for (std::int64_t s = 0; s < 40; ++s) {
      if (n + s >= 4) x[at(sizes, n, 7, s)] += 3e5f;
    }
  }
  batch_norm_moments(image(x, sizes), far.view);
  for (std::size_t c = 0; c < 19; ++c) {
    if (c == 7) continue;
    EXPECT_EQ(far.mean[c], near.mean[c]) << "channel " << c;
    EXPECT_EQ(far.m2[c], near.m2[c]) << "channel " << c;
  }
}

// grouped_layer_norm's statistics per position, of few channels and of many.
struct PerPosition {
  std::vector<std::int64_t> sizes;
  std::int64_t groups;

  std::size_t count() const { return static_cast<std::size_t>(sizes[0] * sizes[1] * sizes[2]); }
  std::size_t statistics() const { return static_cast<std::size_t>(sizes[0] * sizes[2] * groups); }
  Tensor tensor(std::vector<float>& statistic) const {
    return {statistic.data(), {sizes[0], sizes[2], groups}};
  }
};
const PerPosition kPerPosition[] = {{{2, 160, 90}, 20}, {{2, 48, 40}, 4}, {{1, 64, 300}, 4},
                                    {{2, 136, 49}, 2},  {{2, 48, 40}, 6}, {{1, 16, 300}, 2},
                                    {{1, 16, 1090}, 2}, {{2, 40, 90}, 1}, {{1, 68, 1090}, 2}};

// A position that needs double is made by the reference; its neighbours are not to see that, to
// the bit.
TEST_P(ChannelNumerics, AFarPositionKeepsToItself) {
  for (const PerPosition& shape : kPerPosition) {
    std::mt19937 random(3);
    std::normal_distribution<float> normal(0.3f, 1.0f);
    std::vector<float> x(shape.count());
    for (float& value : x) value = normal(random);
    struct Result {
      std::vector<float> y, mean, rstd;
    };
    const auto forward = [&](bool in_place) {
      Result r{x, std::vector<float>(shape.statistics()), std::vector<float>(shape.statistics())};
      std::vector<float> input(x);
      grouped_layer_norm_forward({.x = image(in_place ? r.y : input, shape.sizes),
                                  .y = image(r.y, shape.sizes),
                                  .mean = shape.tensor(r.mean),
                                  .rstd = shape.tensor(r.rstd)},
                                 {.groups = shape.groups, .per_position = true});
      return r;
    };
    const Result near = forward(false);
    // In the last block, which is not whole.
    const std::int64_t c = shape.sizes[1], group = c / shape.groups, s = shape.sizes[2] - 3;
    for (std::int64_t i = 0; i < group; ++i) {
      x[at(shape.sizes, 0, group * (shape.groups - 1) + i, s)] *= 1e25f;
    }
    for (const bool in_place : {false, true}) {
      const Result far = forward(in_place);
      std::size_t others = 0;
      for (std::int64_t n = 0; n < shape.sizes[0]; ++n) {
        for (std::int64_t p = 0; p < shape.sizes[2]; ++p) {
          for (std::int64_t g = 0; g < shape.groups; ++g) {
            if (n == 0 && p == s && g == shape.groups - 1) continue;
            const auto i = static_cast<std::size_t>((n * shape.sizes[2] + p) * shape.groups + g);
            bool same = far.mean[i] == near.mean[i] && far.rstd[i] == near.rstd[i];
            for (std::int64_t k = 0; k < group; ++k) {
              const std::size_t e = at(shape.sizes, n, g * group + k, p);
              same = same && far.y[e] == near.y[e];
            }
            EXPECT_TRUE(same) << c << " channels, image " << n << ", position " << p << ", group "
                              << g;
            if (!same && ++others == 3) return;
          }
        }
      }
      const auto i = static_cast<std::size_t>(s * shape.groups + shape.groups - 1);
      EXPECT_NEAR(far.rstd[i] / near.rstd[i] * 1e25f, 1, 1e-3);
      const std::size_t e = at(shape.sizes, 0, c - 1, s);
      EXPECT_NEAR(far.y[e], near.y[e], 1e-3);
    }
  }
}

// What a call left where the next one, of fewer positions, has its statistics is not read.
TEST_P(ChannelNumerics, NothingIsReadBehindTheLastPosition) {
  for (const PerPosition& shape : kPerPosition) {
    std::vector<float> x(shape.count(), 0.5f), dy(x), dx(x);
    const auto c = static_cast<std::size_t>(shape.sizes[1]);
    const auto backward = [&](std::int64_t positions, float statistic) {
      PerPosition part = shape;
      part.sizes[2] = positions;
      std::vector<float> statistics(part.statistics(), statistic);
      std::vector<float> weight(c, 1.0f), dweight(c), dbias(c);
      const std::int64_t channels = shape.sizes[1];
      grouped_layer_norm_backward({.x = image(x, part.sizes),
                                   .weight = {weight.data(), {channels}},
                                   .mean = part.tensor(statistics),
                                   .rstd = part.tensor(statistics),
                                   .dy = image(dy, part.sizes),
                                   .dx = image(dx, part.sizes),
                                   .dweight = {dweight.data(), {channels}},
                                   .dbias = {dbias.data(), {channels}}},
                                  {.groups = shape.groups, .per_position = true});
      return dweight[0];
    };
    backward(shape.sizes[2], kNaN);
    EXPECT_EQ(backward(std::min<std::int64_t>(shape.sizes[2], 35), 1.0f),
              static_cast<float>(std::min<std::int64_t>(shape.sizes[2], 35) * shape.sizes[0]) *
                  (0.5f - 1.0f) * 0.5f)
        << c << " channels";
  }
}

// The middle one of three channels in evaluation, with statistics and dy = 1 given: z = (x - mean)
// / sqrt(variance). The other two hold what disturbs nothing.
class Evaluation {
 public:
  Evaluation(std::vector<float> values, float running_mean, float running_var,
             Activation activation, bool channels_last)
      : x(std::move(values)) {
    const auto positions = static_cast<std::int64_t>(x.size());
    const std::int64_t sizes[] = {1, 3, positions};
    const std::int64_t strides[] = {3 * positions, channels_last ? 1 : positions,
                                    channels_last ? 3 : 1};
    const auto at = [&](std::size_t i) {
      return static_cast<std::size_t>(strides[1]) + i * static_cast<std::size_t>(strides[2]);
    };
    std::vector<float> all(3 * x.size(), 5.0f), ones(all.size(), 1.0f), y_all(all), dx_all(all);
    for (std::size_t i = 0; i < x.size(); ++i) all[at(i)] = x[i];
    float mean[] = {0, running_mean, 0}, var[] = {1, running_var, 1}, weight[] = {1, 1, 1};
    float bias[3] = {}, dweights[3], dbiases[3];
    const auto image = [&](std::vector<float>& memory) {
      return Tensor(memory.data(), DType::f32, sizes, strides);
    };
    const RunningStatistics running{{mean, {3}}, {var, {3}}};
    const BatchNormOptions options{.eps = 0, .training = false, .activation = activation};
    batch_norm_forward({.x = image(all), .weight = {weight, {3}}, .y = image(y_all)}, running,
                       options);
    batch_norm_backward({.x = image(all),
                         .weight = {weight, {3}},
                         .bias = {bias, {3}},
                         .dy = image(ones),
                         .dx = image(dx_all),
                         .dweight = {dweights, {3}},
                         .dbias = {dbiases, {3}}},
                        running, options);
    for (std::size_t i = 0; i < x.size(); ++i) {
      y.push_back(y_all[at(i)]);
      dx.push_back(dx_all[at(i)]);
    }
    dbias = dbiases[1];
  }
  std::vector<float> x, y, dx;
  float dbias;
};

// silu(z) and its slope are 0 to within e^-88 from z = -88 down, however far.
TEST_P(ChannelNumerics, SiluFarBelowZeroIsZero) {
  const Evaluation call({-100, -1e4f, -1e20f, -1e30f, -3e38f}, 0, 1, Activation::silu,
                        channels_last());
  for (std::size_t i = 0; i < call.x.size(); ++i) {
    EXPECT_LE(std::abs(call.y[i]), 1e-35f) << call.x[i];
    EXPECT_LE(std::abs(call.dx[i]), 1e-35f) << call.x[i];
  }
}

TEST_P(ChannelNumerics, SiluOfInfinities) {
  for (const bool reference : {false, true}) {
    const ForcedKernel forced(reference ? "reference" : nullptr);
    const Evaluation call({-kInf, kInf}, 0, 1, Activation::silu, channels_last());
    EXPECT_LE(std::abs(call.y[0]), 1e-35f);
    EXPECT_LE(std::abs(call.dx[0]), 1e-35f);
    EXPECT_EQ(call.y[1], kInf);
    EXPECT_EQ(call.dx[1], 1.0f);
  }
}

// As in PyTorch, and in the reference: the slope of relu is 0 up to 0, else 1; at NaN, too.
TEST_P(ChannelNumerics, ReluAtNaNPassesTheGradient) {
  const Evaluation call({-1, 0, 2, kNaN, -3}, 0, 1, Activation::relu, channels_last());
  EXPECT_TRUE(std::isnan(call.y[3]));
  EXPECT_EQ(call.dbias, 2.0f);
  EXPECT_EQ(call.dx, (std::vector<float>{0, 0, 1, 1, 0}));
}

// A variance of 0 without eps: (x - mean) * Inf is an infinity on either side of the mean, and the
// offset that corrects the mean's rounding adds nothing to it (0 * Inf would be NaN).
TEST_P(ChannelNumerics, AnInfiniteRstdLeavesTheOffsetAlone) {
  const Evaluation call({1.5f, 4, 0.5f, -2, 1}, 1, 0, Activation::relu, channels_last());
  EXPECT_EQ(call.y[0], kInf);
  EXPECT_EQ(call.y[1], kInf);
  EXPECT_EQ(call.y[2], 0.0f);
  EXPECT_EQ(call.y[3], 0.0f);
  EXPECT_TRUE(std::isnan(call.y[4]));
  // Two are above, and one is no number.
  EXPECT_EQ(call.dbias, 3.0f);
}

// The statistics of evaluation are constants, and dx is dy times a number whatever x is.
TEST_P(ChannelNumerics, EvaluationKeepsInfAndNaNOutOfTheGradient) {
  for (const Activation activation : {Activation::none, Activation::relu}) {
    const Evaluation call({1, kInf, -kInf, kNaN, 3}, 2, 0.25f, activation, channels_last());
    const float below = activation == Activation::relu ? 0.0f : 2.0f;
    EXPECT_EQ(call.dx, (std::vector<float>{below, 2, below, 2, 2}));
    EXPECT_EQ(call.y[1], kInf);
  }
}

// dy * rstd^2 is what dx multiplies x - mean by: a denormal in fp32 for a dy of 1e-16 where x is
// 3e13, and beyond fp32 for one of 1e10 where x is 3e-14, while dx is an everyday number.
TEST_P(ChannelNumerics, GradientsOfAnySizeAtAnyRstd) {
  for (const Op op : {Op::group_norm, Op::instance_norm, Op::batch_norm}) {
    for (const auto& [size, gradient] : {std::pair{3e13, 2e-16}, {3e13, 1e-11}, {3e-14, 1e10}}) {
      Case c;
      c.op = op;
      c.sizes = {3, 6, 50};
      c.groups = op == Op::group_norm ? 2 : 1;
      c.bias = true;
      c.eps = 0;
      c.layout = channels_last() ? Layout::channels_last : Layout::contiguous;
      SCOPED_TRACE(name(c) + " " + std::to_string(gradient));
      Tensors tensors(c);
      const auto scaled = [](Buffer& buffer, double by) {
        std::vector<double> values = buffer.values();
        for (double& value : values) value *= by;
        buffer.fill(values);
      };
      scaled(tensors.x, size);
      scaled(tensors.dy, gradient);
      forward(c, tensors.forward_args());
      expect_forward(c, tensors);
      backward(c, tensors.backward_args());
      expect_backward(c, tensors);
    }
  }
}

// Moments are right by themselves, whatever eps is added to the variance later. Bound: k(d) u of a
// mean of squares, and the same for the mean of the deviations that it is taken about.
TEST_P(ChannelNumerics, MomentsOfSmallDeviations) {
  struct Kind {
    double mean, deviation, first;  // first: how far the first values are from the mean
  };
  constexpr std::int64_t kImages = 4, kChannels = 3, kPositions = 250;
  const std::vector<std::int64_t> sizes{kImages, kChannels, kPositions};
  constexpr auto kCount = static_cast<double>(kImages * kPositions);
  for (const Kind kind : {Kind{1, 1e-4, 3e-3}, {0, 1e-25, 0}, {0, 1e-20, 0}, {1e-12, 1e-18, 0}}) {
    SCOPED_TRACE(kind.deviation);
    std::mt19937 random(3);
    std::normal_distribution<double> normal(kind.mean, kind.deviation);
    std::vector<float> x(kImages * kChannels * kPositions);
    for (float& value : x) value = static_cast<float>(normal(random));
    for (std::int64_t c = 0; c < kChannels; ++c) {
      for (std::int64_t s = 0; s < 4; ++s) {
        x[at(sizes, 0, c, s)] = static_cast<float>(kind.mean + kind.first);
      }
    }
    Parts got(kChannels);
    batch_norm_moments(image(x, sizes), got.view);
    for (std::int64_t c = 0; c < kChannels; ++c) {
      double mean = 0, m2 = 0;
      const auto each = [&](auto use) {
        for (std::int64_t i = 0; i < kImages * kPositions; ++i) {
          use(static_cast<double>(x[at(sizes, i / kPositions, c, i % kPositions)]));
        }
      };
      each([&](double v) { mean += v / kCount; });
      each([&](double v) { m2 += (v - mean) * (v - mean); });
      const double ku = (8 + std::sqrt(kCount)) * 0x1p-24;
      EXPECT_NEAR(got.m2[static_cast<std::size_t>(c)], m2, 2 * ku * m2);
      EXPECT_NEAR(got.mean[static_cast<std::size_t>(c)], mean,
                  ku * (std::abs(mean) + std::sqrt(m2 / kCount)));
    }
  }
}

// A channel that is one value, zeros of either sign among them, has that mean and no variance.
TEST_P(ChannelNumerics, MomentsOfConstantChannels) {
  const std::vector<std::int64_t> sizes{4, 3, 50};
  std::vector<float> x(4 * 3 * 50);
  const float values[] = {0.1f, 0.0f, -7e20f};
  for (std::int64_t i = 0; i < 200; ++i) {
    for (std::int64_t c = 0; c < 3; ++c) {
      x[at(sizes, i / 50, c, i % 50)] = values[c] * (c == 1 && i % 3 == 0 ? -1.0f : 1.0f);
    }
  }
  Parts got(3);
  batch_norm_moments(image(x, sizes), got.view);
  for (std::size_t c = 0; c < 3; ++c) {
    const auto value = static_cast<double>(values[c]);
    EXPECT_NEAR(got.mean[c], value, 1e-15 * std::abs(value));
    EXPECT_NEAR(got.m2[c], 0.0, 1e-28 * 200 * value * value);
  }
}

// Variances that are exact, so that rstd is 1 / sqrt(variance + eps) rounded once: fp32's own root
// and quotient would be a unit off in every other set.
TEST_P(ChannelNumerics, RstdIsRoundedOnce) {
  const std::int64_t n = 3, c = 37, s = 8;
  std::vector<float> x(static_cast<std::size_t>(n * c * s)), y(x.size());
  std::vector<float> rstd(static_cast<std::size_t>(n * c));
  const auto deviation = [&](std::int64_t set) { return static_cast<float>(set + 1) / 64; };
  for (std::int64_t set = 0; set < n * c; ++set) {
    for (std::int64_t i = 0; i < s; ++i) {
      x[at({n, c, s}, set / c, set % c, i)] = deviation(set) * (i % 2 == 0 ? 1.0f : -1.0f);
    }
  }
  const double eps = 1e-3;
  instance_norm_forward(
      {.x = image(x, {n, c, s}), .y = image(y, {n, c, s}), .rstd = {rstd.data(), {n, c}}}, {},
      {.eps = eps});
  for (std::int64_t set = 0; set < n * c; ++set) {
    const auto a = static_cast<double>(deviation(set));
    EXPECT_EQ(rstd[static_cast<std::size_t>(set)], static_cast<float>(1 / std::sqrt(a * a + eps)))
        << "set " << set;
  }
}

// 16-bit weights arrive as they are, whatever their number: 1 times each of them.
TEST_P(ChannelNumerics, EverySixteenBitWeight) {
  constexpr std::int64_t kPositions = 3, kAll = 65536;
  for (const auto& [type, one] : {std::pair{DType::bf16, 0x3f80}, {DType::f16, 0x3c00}}) {
    const DType dtype = type;  // for the lambdas
    for (std::int64_t begin = 0, count = 1; begin < kAll; begin += count, count = count % 150 + 1) {
      count = std::min(count, kAll - begin);
      const auto n = static_cast<std::size_t>(count);
      std::vector<std::uint16_t> ones(3 * n, static_cast<std::uint16_t>(one)), y(3 * n), dx(3 * n),
          weight(n), dweight(n);
      std::iota(weight.begin(), weight.end(), static_cast<std::uint16_t>(begin));
      std::vector<float> mean(n, 0), var(n, 1);
      const std::int64_t sizes[] = {1, count, kPositions};
      const std::int64_t first[] = {0, kPositions, 1}, last[] = {0, 1, count};
      const auto batch = [&](auto& of) {
        return Tensor(of.data(), dtype, sizes, channels_last() ? last : first);
      };
      const auto channels = [&](auto& of) {
        return Tensor(of.data(), dtype, std::span(sizes).subspan(1, 1), {});
      };
      const RunningStatistics running{{mean.data(), {count}}, {var.data(), {count}}};
      const BatchNormOptions options{.eps = 0, .training = false};
      batch_norm_forward({.x = batch(ones), .weight = channels(weight), .y = batch(y)}, running,
                         options);
      batch_norm_backward({.x = batch(ones),
                           .weight = channels(weight),
                           .dy = batch(ones),
                           .dx = batch(dx),
                           .dweight = channels(dweight)},
                          running, options);
      std::int64_t wrong = 0;
      for (std::int64_t c = 0; c < count; ++c) {
        const double given = internal::load(weight.data(), dtype, c);
        // AVX512_BF16 takes fp32 subnormals for 0.
        const bool flushed = dtype == DType::bf16 && cpu_target() == "AVX3_DL";
        const double want = flushed && std::abs(given) < 0x1p-126 ? 0 : given;
        for (std::int64_t s = 0; s < kPositions; ++s) {
          const auto i = static_cast<std::int64_t>(at({1, count, kPositions}, 0, c, s));
          for (const auto* got : {&y, &dx}) {
            const double value = internal::load(got->data(), dtype, i);
            wrong += std::isnan(want) ? !std::isnan(value) : value != want;
          }
        }
      }
      EXPECT_EQ(wrong, 0) << name(dtype) << ", " << count << " from " << begin;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(, ChannelNumerics,
                         testing::Combine(testing::ValuesIn(cpu_targets()), testing::Bool()),
                         [](const auto& info) {
                           return std::get<0>(info.param) +
                                  (std::get<1>(info.param) ? "_channels_last" : "_contiguous");
                         });

}  // namespace
}  // namespace omninorm::cases
