// properties_test.cc and family_properties_test.cc try their properties in f64, which the reference
// computes; here are those that the f32 kernels keep (RapidCheck). u = 2^-24, k(d) = 8 + sqrt(d).
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <cmath>
#include <vector>

#include "omninorm/omninorm.h"

namespace omninorm {
namespace {

using Values = std::vector<float>;

// Numbers between -100 and 100 on a grid of 1/8.
Values numbers(std::int64_t count) {
  return *rc::gen::container<Values>(
      static_cast<std::size_t>(count),
      rc::gen::map(rc::gen::inRange(-800, 801), [](int i) { return static_cast<float>(i) / 8; }));
}

constexpr std::int64_t kChannels = 6;

struct Shape {
  int op = *rc::gen::inRange(0, 6);
  std::int64_t images = *rc::gen::inRange(1, 5), positions = *rc::gen::inRange(2, 90);
  bool channels_last = *rc::gen::arbitrary<bool>();
  std::int64_t elements() const { return images * kChannels * positions; }
  // The affine parameter that an element has, by where it lies.
  std::size_t affine_of(std::size_t i) const {
    const auto c = static_cast<std::size_t>(kChannels), s = static_cast<std::size_t>(positions);
    if (op < 2) return i % s;
    return channels_last ? i % c : i / s % c;
  }
  std::int64_t affine_size() const { return op < 2 ? positions : kChannels; }
};

Values norm(const Shape& shape, const Values& x, double eps, const Values& weight = {},
            const Values& bias = {}) {
  Values y(x.size());
  const std::int64_t s = shape.positions;
  const std::int64_t sizes[] = {shape.images, kChannels, s};
  const bool last = shape.channels_last && shape.op >= 2;
  const std::int64_t strides[] = {kChannels * s, last ? 1 : s, last ? kChannels : 1};
  NormForwardArgs args{.x = {x.data(), DType::f32, sizes, strides},
                       .y = {y.data(), DType::f32, sizes, strides}};
  if (!weight.empty()) args.weight = {weight.data(), {shape.affine_size()}};
  if (!bias.empty()) args.bias = {bias.data(), {shape.affine_size()}};
  if (shape.op == 0) rms_norm_forward(args, {.eps = eps});
  if (shape.op == 1) layer_norm_forward(args, {.eps = eps});
  if (shape.op == 2) group_norm_forward(args, {.num_groups = 2, .eps = eps});
  if (shape.op == 3) instance_norm_forward(args, {}, {.eps = eps});
  if (shape.op == 4) batch_norm_forward(args, {}, {.eps = eps});
  if (shape.op == 5) {
    grouped_layer_norm_forward(args, {.eps = eps, .groups = 2, .per_position = true});
  }
  return y;
}

TEST(KernelProperties, APowerOfTwoIsNotSeen) {
  EXPECT_TRUE(rc::check("f(2^k x) = f(x) with eps = 0, to the bit", [] {
    const Shape shape;
    Values x = numbers(shape.elements());
    // 56 at least between any two, so that every set has a variance.
    for (std::size_t i = 0; i < x.size(); ++i) x[i] += 256.0f * static_cast<float>(i);
    const Values y = norm(shape, x, 0.0);
    const int k = *rc::gen::inRange(-20, 21);
    for (float& value : x) value = std::ldexp(value, k);
    RC_ASSERT(norm(shape, x, 0.0) == y);
  }));
}

// x + b is exact on the grid, and so are the deviations from a mean that is; the mean's own
// rounding is carried along, so what remains is that of sums of deviations.
TEST(KernelProperties, AShiftIsNotSeen) {
  EXPECT_TRUE(rc::check("f(x + b) = f(x), within 2 k(d) u (1 + |f|)", [] {
    const Shape shape;
    if (shape.op == 0) return;
    Values x = numbers(shape.elements());
    const Values y = norm(shape, x, 1e-2);
    const auto b = static_cast<float>(*rc::gen::inRange(-4096, 4097));
    for (float& value : x) value += b;
    const Values moved = norm(shape, x, 1e-2);
    const double k = 8 + std::sqrt(static_cast<double>(shape.elements()));
    for (std::size_t i = 0; i < y.size(); ++i) {
      const auto want = static_cast<double>(y[i]);
      RC_ASSERT(std::abs(static_cast<double>(moved[i]) - want) <=
                2 * k * 0x1p-24 * (1 + std::abs(want)));
    }
  }));
}

TEST(KernelProperties, AffineIsAppliedAfter) {
  EXPECT_TRUE(rc::check("f(x; weight, bias) = f(x) weight + bias, within 8u", [] {
    const Shape shape;
    const Values x = numbers(shape.elements());
    const Values weight = numbers(shape.affine_size()), bias = numbers(shape.affine_size());
    const Values plain = norm(shape, x, 1e-2), got = norm(shape, x, 1e-2, weight, bias);
    for (std::size_t i = 0; i < x.size(); ++i) {
      const auto w = static_cast<double>(weight[shape.affine_of(i)]);
      const auto b = static_cast<double>(bias[shape.affine_of(i)]);
      const double product = static_cast<double>(plain[i]) * w;
      // A mean of up to 100 is rounded where xhat is small: rstd is 10 at most.
      const double bound = 8 * 0x1p-24 * (std::abs(product) + std::abs(b) + 1e-3 * std::abs(w));
      RC_ASSERT(std::abs(static_cast<double>(got[i]) - (product + b)) <= bound);
    }
  }));
}

struct Moments {
  std::vector<double> mean = std::vector<double>(kChannels), m2 = mean;
  BatchNormMoments view{0, {mean.data(), {kChannels}}, {m2.data(), {kChannels}}};
  Moments() = default;
  Moments(const Moments&) = delete;
};

TEST(KernelProperties, MergeOfSplitBatchesIsTheWholeBatch) {
  EXPECT_TRUE(rc::check("merge(moments(a), moments(b), ...) = moments(a, b, ...)", [] {
    const std::int64_t positions = *rc::gen::inRange(1, 60);
    const bool last = *rc::gen::arbitrary<bool>();
    const auto parts = *rc::gen::container<std::vector<int>>(rc::gen::inRange(0, 4));
    std::int64_t images = 0;
    for (const int part : parts) images += part;
    const Values x = numbers(images * kChannels * positions);
    const auto view = [&](const float* at, std::int64_t n) {
      const std::int64_t sizes[] = {n, kChannels, positions};
      const std::int64_t strides[] = {kChannels * positions, last ? 1 : positions,
                                      last ? kChannels : 1};
      return ConstTensor(at, DType::f32, sizes, strides);
    };
    Moments whole, merged;
    batch_norm_moments(view(x.data(), images), whole.view);
    const float* at = x.data();
    for (const int n : parts) {
      Moments part;
      batch_norm_moments(view(at, n), part.view);
      merge_moments(merged.view, part.view);
      at += n * kChannels * positions;
    }
    RC_ASSERT(merged.view.count == whole.view.count);
    const auto count = static_cast<double>(images * positions);
    const double ku = (8 + std::sqrt(count)) * 0x1p-24;
    for (std::size_t c = 0; c < kChannels && images > 0; ++c) {
      RC_ASSERT(std::abs(merged.m2[c] - whole.m2[c]) <= 4 * ku * whole.m2[c]);
      RC_ASSERT(std::abs(merged.mean[c] - whole.mean[c]) <=
                ku * (std::abs(whole.mean[c]) + std::sqrt(whole.m2[c] / count)));
    }
  }));
}

}  // namespace
}  // namespace omninorm
