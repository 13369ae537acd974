// What holds for images, batches and residuals whatever the numbers are (RapidCheck; a failure
// prints its seed and the smallest example).
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <vector>

#include "omninorm/omninorm.h"
#include "tests/core/targets.h"

namespace omninorm {
namespace {

using Values = std::vector<double>;

// Numbers between -100 and 100 on a grid of 1e-4.
Values numbers(std::int64_t count) {
  return *rc::gen::container<Values>(
      static_cast<std::size_t>(count),
      rc::gen::map(rc::gen::inRange(-1000000, 1000001), [](int i) { return i * 1e-4; }));
}

double furthest(const Values& a, const Values& b) {
  double result = 0;
  for (std::size_t i = 0; i < a.size(); ++i) result = std::max(result, std::abs(a[i] - b[i]));
  return result;
}

struct Moments {
  explicit Moments(std::int64_t channels)
      : mean(static_cast<std::size_t>(channels)),
        m2(mean),
        view{0, {mean.data(), {channels}}, {m2.data(), {channels}}} {}
  Moments(const Moments&) = delete;
  Values mean, m2;
  BatchNormMoments view;
};

TEST(FamilyProperties, MergeOfSplitBatchesIsTheWholeBatch) {
  EXPECT_TRUE(rc::check("merge(moments(a), moments(b), ...) = moments(a, b, ...)", [] {
    const std::int64_t channels = *rc::gen::inRange(1, 4), space = *rc::gen::inRange(1, 5);
    const auto parts = *rc::gen::container<std::vector<int>>(rc::gen::inRange(0, 4));
    std::int64_t images = 0;
    for (const int part : parts) images += part;
    const Values x = numbers(images * channels * space);
    Moments whole(channels), merged(channels), part(channels);
    batch_norm_moments({x.data(), {images, channels, space}}, whole.view);
    const double* at = x.data();
    for (const int n : parts) {
      batch_norm_moments({at, {n, channels, space}}, part.view);
      merge_moments(merged.view, part.view);
      at += n * channels * space;
    }
    RC_ASSERT(merged.view.count == whole.view.count);
    // Means to 1e-14 of 100, squares to as much of count * 100^2.
    RC_ASSERT(furthest(merged.mean, whole.mean) < 1e-12);
    RC_ASSERT(furthest(merged.m2, whole.m2) < 1e-9 * (1 + static_cast<double>(images * space)));
  }));
}

TEST(FamilyProperties, AnEmptyPartChangesNothing) {
  EXPECT_TRUE(rc::check("merge(m, empty) = merge(empty, m) = m, to the bit", [] {
    const std::int64_t channels = *rc::gen::inRange(1, 4);
    const Values x = numbers(5 * channels);
    Moments some(channels), empty(channels), both(channels);
    batch_norm_moments({x.data(), {5, channels}}, some.view);
    // What stands in the tensors of a part without elements means nothing.
    std::ranges::fill(empty.mean, std::nan(""));
    std::ranges::fill(empty.m2, std::nan(""));
    const Values mean = some.mean, m2 = some.m2;
    merge_moments(some.view, empty.view);
    merge_moments(both.view, some.view);
    RC_ASSERT(some.mean == mean && some.m2 == m2 && some.view.count == 5);
    RC_ASSERT(both.mean == mean && both.m2 == m2 && both.view.count == 5);
  }));
}

// The op named by `which` on x [n, 4, space], with or without weight and bias.
Values norm(int which, const Values& x, std::int64_t n, std::int64_t space, const Values& weight,
            const Values& bias, double eps = 1e-5) {
  Values y(x.size());
  NormForwardArgs args{.x = {x.data(), {n, 4, space}}, .y = {y.data(), {n, 4, space}}};
  if (!weight.empty()) args.weight = {weight.data(), {4}};
  if (!bias.empty()) args.bias = {bias.data(), {4}};
  if (which == 0) group_norm_forward(args, {.num_groups = 2, .eps = eps});
  if (which == 1) instance_norm_forward(args, {}, {.eps = eps});
  if (which == 2) batch_norm_forward(args, {}, {.eps = eps});
  if (which == 3) grouped_layer_norm_forward(args, {.eps = eps, .per_position = true});
  return y;
}

TEST(FamilyProperties, AffineIsAppliedAfter) {
  EXPECT_TRUE(rc::check("f(x; weight, bias) = f(x) weight + bias", [] {
    const std::int64_t n = *rc::gen::inRange(1, 4), space = *rc::gen::inRange(2, 6);
    const int which = *rc::gen::inRange(0, 4);
    const Values x = numbers(n * 4 * space), weight = numbers(4), bias = numbers(4);
    Values after = norm(which, x, n, space, {}, {});
    for (std::size_t i = 0; i < after.size(); ++i) {
      const std::size_t c = i / static_cast<std::size_t>(space) % 4;
      after[i] = after[i] * weight[c] + bias[c];
    }
    RC_ASSERT(furthest(norm(which, x, n, space, weight, bias), after) < 1e-10);
  }));
}

TEST(FamilyProperties, ScaleAndShiftAreNotSeen) {
  EXPECT_TRUE(rc::check("f(a x + b) = f(x) for a > 0 and eps = 0", [] {
    const std::int64_t n = *rc::gen::inRange(1, 4), space = *rc::gen::inRange(2, 6);
    const int which = *rc::gen::inRange(0, 4);
    Values x = numbers(n * 4 * space);
    // 800 at least between any two channels and any two positions, so that every set has a
    // variance.
    for (std::size_t i = 0; i < x.size(); ++i) x[i] += 1000.0 * static_cast<double>(i);
    const double a = *rc::gen::inRange(1, 1000000) * 1e-3;
    const double b = *rc::gen::inRange(-1000, 1000) * 1e-1;
    Values moved = x;
    for (double& value : moved) value = a * value + b;
    const Values y = norm(which, x, n, space, {}, {}, 0.0);
    RC_ASSERT(furthest(norm(which, moved, n, space, {}, {}, 0.0), y) < 1e-9);
  }));
}

// The fused op against the sum rounded to f32 or bf16 and the plain norm: the same bits.
template <class T>
void add_is_add_then_norm(T (*narrow)(float), float (*widen)(T)) {
  // Powers of two have a kernel of their own.
  const std::int64_t rows = *rc::gen::inRange(1, 40);
  const std::int64_t d = *rc::gen::oneOf(rc::gen::inRange<std::int64_t>(1, 40),
                                         rc::gen::element<std::int64_t>(4, 8, 16, 32, 64));
  const auto random = [&](std::int64_t count) {
    std::vector<T> result;
    for (const double value : numbers(count)) result.push_back(narrow(static_cast<float>(value)));
    return result;
  };
  const std::vector<T> x = random(rows * d), residual = random(rows * d), weight = random(d);
  std::vector<T> sum(x.size()), y(x.size()), want_sum, want_y(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    want_sum.push_back(narrow(widen(x[i]) + widen(residual[i])));
  }
  const AddNormForwardArgs fused{.x = {x.data(), {rows, d}},
                                 .residual = {residual.data(), {rows, d}},
                                 .weight = {weight.data(), {d}},
                                 .sum = {sum.data(), {rows, d}},
                                 .y = {y.data(), {rows, d}}};
  const NormForwardArgs plain{.x = {want_sum.data(), {rows, d}},
                              .weight = {weight.data(), {d}},
                              .y = {want_y.data(), {rows, d}}};
  const auto same = [](const std::vector<T>& a, const std::vector<T>& b) {
    return std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
  };
  // The kernels and the reference round sums in different orders: the same one for both.
  std::optional<cases::ForcedKernel> reference;
  if (*rc::gen::arbitrary<bool>()) reference.emplace("reference");
  add_rms_norm_forward(fused);
  rms_norm_forward(plain);
  const bool rms = same(sum, want_sum) && same(y, want_y);
  add_layer_norm_forward(fused);
  layer_norm_forward(plain);
  RC_ASSERT(rms);
  RC_ASSERT(same(sum, want_sum) && same(y, want_y));
}

TEST(FamilyProperties, Vllm52104AddNormIsAddThenNorm) {
  EXPECT_TRUE(rc::check("add_rms_norm(x, r) = rms_norm(x + r), to the bit, f32", [] {
    add_is_add_then_norm<float>([](float v) { return v; }, [](float v) { return v; });
  }));
  EXPECT_TRUE(rc::check("add_rms_norm(x, r) = rms_norm(x + r), to the bit, bf16",
                        [] { add_is_add_then_norm<bfloat16>(to_bfloat16, to_float); }));
}

}  // namespace
}  // namespace omninorm
