// Numbers that break naive norms, each test named after what was seen to go wrong elsewhere. On
// every SIMD target. u = 2^-24 is half a step of fp32 at 1, and k(d) = 8 + sqrt(d) as in cases.h.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>
#include <limits>
#include <random>

#include "tests/core/cases.h"
#include "tests/core/targets.h"

namespace omninorm::cases {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kU = 0x1p-24;

class Numerics : public testing::TestWithParam<std::string> {
  ForcedKernel only_{"row"};
  TargetScope target_{GetParam()};
};

Case make(Op op, std::vector<std::int64_t> sizes, DType dtype) {
  Case c;
  c.op = op;
  c.sizes = std::move(sizes);
  c.dtype = c.weight_dtype = c.y_dtype = dtype;
  c.bias = op == Op::layer_norm;
  return c;
}

std::vector<double> normal(std::int64_t count, double mean, double deviation) {
  std::mt19937_64 random(11);
  std::normal_distribution<double> distribution(mean, deviation);
  std::vector<double> values(static_cast<std::size_t>(count));
  std::ranges::generate(values, [&] { return distribution(random); });
  return values;
}

// Forward and backward against the truth of whatever the inputs hold now.
void expect_truth(const Case& c, Tensors& tensors) {
  SCOPED_TRACE(name(c));
  forward(c, tensors.forward_args());
  const ForwardTruth truth = forward_truth(c, tensors);
  EXPECT_EQ(mismatch("y", truth.y, tensors.y), "");
  EXPECT_EQ(mismatch("rstd", truth.rstd, tensors.rstd), "");
  backward(c, tensors.backward_args());
  const BackwardTruth gradients = backward_truth(c, tensors);
  EXPECT_EQ(mismatch("dx", gradients.dx, tensors.dx), "");
  EXPECT_EQ(mismatch("dweight", gradients.dweight, tensors.dweight), "");
}

// pytorch #51102, onnxruntime #28463 and #21935: layer_norm of numbers far from zero. x - mean is
// exact near the mean and the mean is corrected by the sum of deviations, so the error is that of
// sums of deviations, k(d) u (1 + |xhat|), and not the rounding of the mean, which is 2^-14 at
// 2000: thirty times the bound here.
TEST_P(Numerics, Pytorch51102Onnxruntime28463And21935MeanFarFromZero) {
  for (const std::int64_t d : {63, 1000}) {
    for (const double mean : {2000.0, -30000.0}) {
      Case c = make(Op::layer_norm, {4, d}, DType::f32);
      c.weight = c.bias = false;
      Tensors tensors(c);
      tensors.x.fill(normal(4 * d, mean, 1.0));
      forward(c, tensors.forward_args());
      const std::vector<double> want = forward_truth(c, tensors).y.value;
      const std::vector<double> got = tensors.y.values();
      const double k = 8 + std::sqrt(static_cast<double>(d));
      for (std::size_t i = 0; i < got.size(); ++i) {
        ASSERT_NEAR(got[i], want[i], k * kU * (1 + std::abs(want[i]))) << "d " << d << " at " << i;
      }
    }
  }
}

// The same in bf16, whose step at 2000 is 8: what is left of the input is normalised to half a
// step.
TEST_P(Numerics, Bf16MeanFarFromZero) {
  Case c = make(Op::layer_norm, {4, 500}, DType::bf16);
  Tensors tensors(c);
  tensors.x.fill(normal(2000, 2000.0, 10.0));
  expect_truth(c, tensors);
}

// pytorch #162489: inputs near 1e30 give zeros or NaN; and as far as fp32 goes.
TEST_P(Numerics, Pytorch162489LargeInputs) {
  for (const Op op : {Op::rms_norm, Op::layer_norm}) {
    for (const DType dtype : {DType::f32, DType::bf16}) {
      for (const double size : {1e15, 1e18, 1e20, 1e30, 1e37}) {
        Case c = make(op, {5, 100}, dtype);
        Tensors tensors(c);
        tensors.x.fill(normal(500, size / 3, size));
        expect_truth(c, tensors);
      }
    }
  }
}

TEST_P(Numerics, TheLargestNumbersThereAre) {
  for (const Op op : {Op::rms_norm, Op::layer_norm}) {
    Case c = make(op, {2, 40}, DType::f32);
    Tensors tensors(c);
    std::vector<double> x(80);
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = i % 3 == 0 ? -3.4e38 : 3.3e38;
    tensors.x.fill(x);
    expect_truth(c, tensors);
  }
}

TEST_P(Numerics, SmallInputsWithAndWithoutEps) {
  for (const Op op : {Op::rms_norm, Op::layer_norm}) {
    for (const double eps : {0.0, 1e-5, 1e-38}) {
      for (const double size : {1e-10, 1e-15, 1e-18, 1e-20, 1e-30, 1e-36}) {
        Case c = make(op, {5, 100}, DType::f32);
        c.eps = eps;
        Tensors tensors(c);
        tensors.x.fill(normal(500, size / 3, size));
        expect_truth(c, tensors);
      }
    }
  }
}

// onnxruntime #29034: the sum of squares of f16 overflows f16.
TEST_P(Numerics, Onnxruntime29034SquaresBeyondF16) {
  for (const double value : {300.0, 65504.0}) {
    Case c = make(Op::rms_norm, {2, 1000}, DType::f16);
    c.weight = false;
    Tensors tensors(c);
    tensors.x.fill(std::vector<double>(2000, value));
    forward(c, tensors.forward_args());
    for (const double y : tensors.y.values()) ASSERT_EQ(y, 1.0);
  }
}

// Rows of one value have y = bias. With v the value, the fp32 mean is off by at most k(d) u |v|,
// and what the correction leaves of that is k(d) u of it: (k(d) u)^2 |v| rstd, rstd = 1 /
// sqrt(eps).
TEST_P(Numerics, ConstantRows) {
  for (const double value : {0.1, -7.7, 1e6, 3e20}) {
    for (const double eps : {1e-5, 1e-12}) {
      Case c = make(Op::layer_norm, {3, 777}, DType::f32);
      c.weight = c.bias = false;
      c.eps = eps;
      Tensors tensors(c);
      tensors.x.fill(std::vector<double>(3 * 777, value));
      forward(c, tensors.forward_args());
      const double ku = (8 + std::sqrt(777.0)) * kU;
      const double bound = ku * ku * std::abs(value) / std::sqrt(eps);
      for (const double y : tensors.y.values()) ASSERT_LE(std::abs(y), bound) << value;
    }
  }
}

// Nearly constant, far from zero: the variance is all that E[x^2] - E[x]^2 would lose.
TEST_P(Numerics, OneStepOfNoiseOnALargeConstant) {
  for (const double eps : {0.0, 1e-5}) {
    Case c = make(Op::layer_norm, {2, 640}, DType::f32);
    c.eps = eps;
    c.weight = c.bias = false;
    Tensors tensors(c);
    std::vector<double> x(1280);
    for (std::size_t i = 0; i < x.size(); ++i)
      x[i] = 1e6 + 0.0625 * static_cast<double>(i % 5 == 0);
    tensors.x.fill(x);
    forward(c, tensors.forward_args());
    const std::vector<double> want = forward_truth(c, tensors).y.value;
    const std::vector<double> got = tensors.y.values();
    const double k = 8 + std::sqrt(640.0);
    for (std::size_t i = 0; i < got.size(); ++i) {
      ASSERT_NEAR(got[i], want[i], k * kU * (1 + std::abs(want[i])));
    }
  }
}

// pytorch #173885: what NaN and Inf do is specified (src/cpu/extreme_row.h), and they stay in their
// row: every other row has the bits that it has without them.
void expect_other_rows_untouched(const Case& c, double poison,
                                 const std::function<bool(double)>& poisoned,
                                 const std::function<bool(double)>& others) {
  SCOPED_TRACE(name(c) + " with " + std::to_string(poison));
  const auto width = static_cast<std::size_t>(c.width());
  Tensors clean(c), dirty(c);
  std::vector<double> x = dirty.x.values();
  const std::size_t row = 5, at = row * width + width / 2;
  x[at] = poison;
  dirty.x.fill(x);
  for (Tensors* tensors : {&clean, &dirty}) {
    forward(c, tensors->forward_args());
    backward(c, tensors->backward_args());
  }
  const std::vector<double> y = dirty.y.values(), dx = dirty.dx.values();
  const std::vector<double> clean_y = clean.y.values(), clean_dx = clean.dx.values();
  for (std::size_t i = 0; i < y.size(); ++i) {
    if (i / width == row) {
      EXPECT_TRUE(i == at ? poisoned(y[i]) : others(y[i])) << "y " << y[i] << " at " << i % width;
    } else {
      ASSERT_EQ(std::bit_cast<std::uint64_t>(y[i]), std::bit_cast<std::uint64_t>(clean_y[i]));
      ASSERT_EQ(std::bit_cast<std::uint64_t>(dx[i]), std::bit_cast<std::uint64_t>(clean_dx[i]));
    }
  }
}

bool is_nan(double value) { return std::isnan(value); }
bool is_zero(double value) { return value == 0; }

TEST_P(Numerics, Pytorch173885NaNAndInfStayInTheirRow) {
  for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
    for (const std::int64_t width : {40, 77}) {
      const Case rms = make(Op::rms_norm, {11, width}, dtype);
      const Case layer = make(Op::layer_norm, {11, width}, dtype);
      expect_other_rows_untouched(rms, kNaN, is_nan, is_nan);
      expect_other_rows_untouched(layer, kNaN, is_nan, is_nan);
      expect_other_rows_untouched(rms, kInf, is_nan, is_zero);
      expect_other_rows_untouched(rms, -kInf, is_nan, is_zero);
      expect_other_rows_untouched(layer, kInf, is_nan, is_nan);
      expect_other_rows_untouched(layer, -kInf, is_nan, is_nan);
    }
  }
}

// A NaN in dy: its row of dx, and its column of dweight and dbias, nothing else.
TEST_P(Numerics, NaNInGradientReachesItsRowAndColumnOnly) {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    const Case c = make(Op::layer_norm, {9, 75}, dtype);
    Tensors tensors(c);
    std::vector<double> dy = tensors.dy.values();
    dy[6 * 75 + 74] = kNaN;
    tensors.dy.fill(dy);
    forward(c, tensors.forward_args());
    backward(c, tensors.backward_args());
    const std::vector<double> dx = tensors.dx.values();
    for (std::size_t i = 0; i < dx.size(); ++i) EXPECT_EQ(std::isnan(dx[i]), i / 75 == 6) << i;
    const std::vector<double> dweight = tensors.dweight.values(), dbias = tensors.dbias.values();
    for (std::size_t i = 0; i < 75; ++i) {
      EXPECT_EQ(std::isnan(dweight[i]), i == 74) << i;
      EXPECT_EQ(std::isnan(dbias[i]), i == 74) << i;
    }
  }
}

// PyTorch 2.13 sums dweight and dbias in bf16: 4,096 rows of ones gave a dbias of 256 or 512.
TEST_P(Numerics, DbiasOfManyBf16OnesIsExact) {
  for (const DType weight_dtype : {DType::bf16, DType::f32}) {
    for (const std::int64_t rows : {4096, 16384, 65536}) {
      Case c = make(Op::layer_norm, {rows, 33}, DType::bf16);
      c.weight_dtype = weight_dtype;
      Tensors tensors(c);
      tensors.dy.fill(std::vector<double>(static_cast<std::size_t>(rows * 33), 1.0));
      forward(c, tensors.forward_args());
      backward(c, tensors.backward_args());
      for (const double sum : tensors.dbias.values()) ASSERT_EQ(sum, static_cast<double>(rows));
    }
  }
}

// ... and was 11 % off for random data at 16,384 rows. Bound: k(rows) u sum|terms| + one rounding.
TEST_P(Numerics, DweightOfManyRows) {
  for (const DType dtype : {DType::bf16, DType::f32}) {
    Case c = make(Op::layer_norm, {16384, 40}, dtype);
    c.weight_dtype = DType::f32;
    Tensors tensors(c);
    forward(c, tensors.forward_args());
    backward(c, tensors.backward_args());
    const BackwardTruth truth = backward_truth(c, tensors);
    EXPECT_EQ(mismatch("dweight", truth.dweight, tensors.dweight), "");
    EXPECT_EQ(mismatch("dbias", truth.dbias, tensors.dbias), "");
  }
}

// Equal terms are the worst case of a running sum: each addition may err the same way. Two levels
// of sums keep that to (256 + rows / (64 * 256)) u, where one running sum would reach rows / 64 *
// u.
TEST_P(Numerics, DbiasOfManyEqualRows) {
  Case c = make(Op::layer_norm, {500000, 2}, DType::f32);
  Tensors tensors(c);
  const auto value = static_cast<double>(0.1f);
  tensors.dy.fill(std::vector<double>(1000000, value));
  forward(c, tensors.forward_args());
  backward(c, tensors.backward_args());
  const double want = 500000 * value;
  for (const double sum : tensors.dbias.values()) {
    EXPECT_NEAR(sum, want, (256 + 500000.0 / (64 * 256) + 2) * kU * want);
  }
}

INSTANTIATE_TEST_SUITE_P(Targets, Numerics, testing::ValuesIn(cpu_targets()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace omninorm::cases
