// Arithmetic on unevaluated sums of two doubles (Dekker 1971; Joldes, Muller and Popescu 2017):
// about 104 bits. For finite values whose intermediate results do not overflow.
#pragma once

#include <cmath>

#include "omninorm/scaler.h"

namespace omninorm::internal {

inline DoubleDouble two_sum(double a, double b) {
  const double sum = a + b;
  const double b_part = sum - a;
  return {sum, (a - (sum - b_part)) + (b - b_part)};
}

inline DoubleDouble quick_two_sum(double a, double b) {  // |a| >= |b|, or a == 0
  const double sum = a + b;
  return {sum, b - (sum - a)};
}

inline DoubleDouble two_product(double a, double b) {
  const double product = a * b;
  return {product, std::fma(a, b, -product)};
}

inline DoubleDouble operator-(DoubleDouble a) { return {-a.high, -a.low}; }

inline DoubleDouble operator+(DoubleDouble a, DoubleDouble b) {
  DoubleDouble high = two_sum(a.high, b.high);
  const DoubleDouble low = two_sum(a.low, b.low);
  high = quick_two_sum(high.high, high.low + low.high);
  return quick_two_sum(high.high, high.low + low.low);
}

inline DoubleDouble operator-(DoubleDouble a, DoubleDouble b) { return a + -b; }

inline DoubleDouble operator*(DoubleDouble a, DoubleDouble b) {
  const DoubleDouble product = two_product(a.high, b.high);
  return quick_two_sum(product.high, product.low + (a.high * b.low + a.low * b.high));
}

inline DoubleDouble operator/(DoubleDouble a, DoubleDouble b) {
  const double quotient = a.high / b.high;
  const DoubleDouble rest = a - DoubleDouble{quotient, 0} * b;
  const double second = rest.high / b.high;
  const DoubleDouble left = rest - DoubleDouble{second, 0} * b;
  return quick_two_sum(quotient, second) + DoubleDouble{left.high / b.high, 0};
}

inline double value(DoubleDouble a) { return a.high + a.low; }

inline bool is_finite(DoubleDouble a) { return std::isfinite(a.high) && std::isfinite(a.low); }

}  // namespace omninorm::internal
