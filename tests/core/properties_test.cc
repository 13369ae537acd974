// What holds for every input, tried on random ones (RapidCheck; a failure prints its seed and the
// smallest example). f64, so that rounding leaves room for tight tolerances.
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "omninorm/omninorm.h"

namespace omninorm {
namespace {

using Row = std::vector<double>;

// Numbers between -100 and 100 on a grid of 1e-4.
rc::Gen<Row> numbers(std::size_t count) {
  return rc::gen::container<Row>(
      count, rc::gen::map(rc::gen::inRange(-1000000, 1000001), [](int i) { return i * 1e-4; }));
}

// 3 to 40 numbers that are not all alike.
Row any_row() {
  const auto width = static_cast<std::size_t>(*rc::gen::inRange(3, 41));
  Row row = *numbers(width);
  const auto [low, high] = std::ranges::minmax(row);
  RC_PRE(high - low > 0.01);
  return row;
}

Row rms_norm(const Row& x, double eps, const Row& weight = {}, const Row& bias = {}) {
  Row y(x.size());
  const auto d = static_cast<std::int64_t>(x.size());
  NormForwardArgs args{.x = {x.data(), {d}}, .y = {y.data(), {d}}};
  if (!weight.empty()) args.weight = {weight.data(), {d}};
  if (!bias.empty()) args.bias = {bias.data(), {d}};
  rms_norm_forward(args, {.eps = eps});
  return y;
}

Row layer_norm(const Row& x, double eps, const Row& weight = {}, const Row& bias = {}) {
  Row y(x.size());
  const auto d = static_cast<std::int64_t>(x.size());
  NormForwardArgs args{.x = {x.data(), {d}}, .y = {y.data(), {d}}};
  if (!weight.empty()) args.weight = {weight.data(), {d}};
  if (!bias.empty()) args.bias = {bias.data(), {d}};
  layer_norm_forward(args, {.eps = eps});
  return y;
}

double furthest(const Row& a, const Row& b) {
  double result = 0;
  for (std::size_t i = 0; i < a.size(); ++i) result = std::max(result, std::abs(a[i] - b[i]));
  return result;
}

Row map(const Row& x, auto function) {
  Row result(x.size());
  std::ranges::transform(x, result.begin(), function);
  return result;
}

double any_scale() { return *rc::gen::inRange(1, 1000000) * 1e-3; }

TEST(Properties, NormsDoNotSeeScale) {
  EXPECT_TRUE(rc::check("f(a x) = f(x) for a > 0 and eps = 0", [] {
    const Row x = any_row();
    const double a = any_scale();
    const Row scaled = map(x, [&](double v) { return a * v; });
    RC_ASSERT(furthest(rms_norm(scaled, 0), rms_norm(x, 0)) < 1e-12);
    // The mean, up to 1e4 times the deviation here, cancels.
    RC_ASSERT(furthest(layer_norm(scaled, 0), layer_norm(x, 0)) < 1e-9);
  }));
}

TEST(Properties, NormsAreOdd) {
  EXPECT_TRUE(rc::check("f(-x) = -f(x), to the bit", [] {
    const Row x = any_row();
    const auto negate = [](double v) { return -v; };
    RC_ASSERT(rms_norm(map(x, negate), 1e-5) == map(rms_norm(x, 1e-5), negate));
    RC_ASSERT(layer_norm(map(x, negate), 1e-5) == map(layer_norm(x, 1e-5), negate));
  }));
}

TEST(Properties, LayerNormDoesNotSeeShift) {
  EXPECT_TRUE(rc::check("layer_norm(x + b) = layer_norm(x)", [] {
    const Row x = any_row();
    const double b = *rc::gen::inRange(-1000000, 1000001) * 1e-3;
    const Row shifted = map(x, [&](double v) { return v + b; });
    RC_ASSERT(furthest(layer_norm(shifted, 1e-5), layer_norm(x, 1e-5)) < 1e-8);
  }));
}

TEST(Properties, AffineIsAppliedAfter) {
  EXPECT_TRUE(rc::check("f(x; weight, bias) = f(x) weight + bias", [] {
    const Row x = any_row();
    const Row weight = *numbers(x.size()), bias = *numbers(x.size());
    const auto after = [&](const Row& y) {
      Row result(y.size());
      for (std::size_t i = 0; i < y.size(); ++i) result[i] = y[i] * weight[i] + bias[i];
      return result;
    };
    RC_ASSERT(furthest(rms_norm(x, 1e-5, weight, bias), after(rms_norm(x, 1e-5))) < 1e-11);
    RC_ASSERT(furthest(layer_norm(x, 1e-5, weight, bias), after(layer_norm(x, 1e-5))) < 1e-11);
  }));
}

TEST(Properties, OutputHasTheMomentsThatItShould) {
  EXPECT_TRUE(rc::check("mean 0 and variance 1, or mean square 1", [] {
    const Row x = any_row();
    const auto d = static_cast<double>(x.size());
    double mean = 0, square = 0, rms_square = 0;
    for (const double y : layer_norm(x, 0)) mean += y / d, square += y * y / d;
    for (const double y : rms_norm(x, 0)) rms_square += y * y / d;
    RC_ASSERT(std::abs(mean) < 1e-9);
    RC_ASSERT(std::abs(square - 1) < 1e-9);
    RC_ASSERT(std::abs(rms_square - 1) < 1e-12);
  }));
}

TEST(Properties, CentredRowsMakeTheTwoNormsOne) {
  EXPECT_TRUE(rc::check("rms_norm(x - mean) = layer_norm(x)", [] {
    const Row x = any_row();
    double mean = 0;
    for (const double v : x) mean += v / static_cast<double>(x.size());
    const Row centred = map(x, [&](double v) { return v - mean; });
    RC_ASSERT(furthest(rms_norm(centred, 1e-5), layer_norm(x, 1e-5)) < 1e-9);
  }));
}

}  // namespace
}  // namespace omninorm
