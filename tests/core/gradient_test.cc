// The reference's backward against central differences of its forward, which know nothing of the
// backward formulas.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>

#include "tests/core/cases.h"
#include "tests/core/targets.h"

namespace omninorm::cases {
namespace {

// The quotient is off by about kStep^2 / 6 third derivatives, at most about rstd^3, and by
// 1e-16 / kStep; kTolerance of the largest gradient leaves room for both.
constexpr double kStep = 1e-5;
constexpr double kTolerance = 1e-6;

double loss(const Case& c, Tensors& tensors) {
  forward(c, tensors.forward_args());
  const std::vector<double> y = tensors.y.values(), dy = tensors.dy.values();
  double sum = 0;
  for (std::size_t i = 0; i < y.size(); ++i) sum += dy[i] * y[i];
  if (!tensors.dsum.tensor().given()) return sum;
  const std::vector<double> out = tensors.sum.values(), dsum = tensors.dsum.values();
  for (std::size_t i = 0; i < out.size(); ++i) sum += dsum[i] * out[i];
  return sum;
}

void expect_derivative(const Case& c, Tensors& tensors, Buffer& input, const Buffer& gradient) {
  const std::vector<double> at = input.values(), got = gradient.values();
  double largest = 0;
  for (const double value : got) largest = std::max(largest, std::abs(value));
  for (std::size_t i = 0; i < at.size(); ++i) {
    std::vector<double> moved = at;
    moved[i] = at[i] + kStep;
    input.fill(moved);
    const double above = loss(c, tensors);
    moved[i] = at[i] - kStep;
    input.fill(moved);
    const double quotient = (above - loss(c, tensors)) / (2 * kStep);
    ASSERT_NEAR(got[i], quotient, kTolerance * (1 + largest)) << "element " << i;
  }
  input.fill(at);
}

// f64, so that differences can be taken; rows that are neither tiny (rstd^3 is large) nor many.
bool suits(const Case& c, Op op) {
  return c.op == op && c.dtype == DType::f64 && c.width() >= 3 && c.rows() * c.width() <= 800 &&
         c.statistics && c.values == Values::normal &&
         c.layout != Layout::expanded;  // no row of which can be moved by itself
}

class Gradient : public testing::TestWithParam<Op> {
 protected:
  ForcedKernel only_{"reference"};
};

TEST_P(Gradient, BackwardIsTheDerivativeOfForward) {
  int tried = 0;
  for (const Case& c : all_cases()) {
    if (!suits(c, GetParam())) continue;
    SCOPED_TRACE(name(c));
    Tensors tensors(c);
    forward(c, tensors.forward_args());
    backward(c, tensors.backward_args());
    {
      SCOPED_TRACE("dx");
      expect_derivative(c, tensors, tensors.x, tensors.dx);
    }
    if (c.adds()) {
      SCOPED_TRACE("dx as the gradient of residual");
      expect_derivative(c, tensors, tensors.residual, tensors.dx);
    }
    if (c.weight) {
      SCOPED_TRACE("dweight");
      expect_derivative(c, tensors, tensors.weight, tensors.dweight);
    }
    if (c.bias) {
      SCOPED_TRACE("dbias");
      expect_derivative(c, tensors, tensors.bias, tensors.dbias);
    }
    ++tried;
  }
  EXPECT_GT(tried, 40);
}

INSTANTIATE_TEST_SUITE_P(, Gradient, testing::ValuesIn(kAllOps),
                         [](const auto& info) { return name(info.param); });

}  // namespace
}  // namespace omninorm::cases
