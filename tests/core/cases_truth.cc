// The definitions of include/omninorm/norm.h once more, written for plain rows and independent of
// src/ (but for the conversions, which dtype_test checks), beside the error that arithmetic in the
// library's precision may leave.
#include <algorithm>
#include <cmath>
#include <limits>

#include "src/core/element.h"
#include "tests/core/cases.h"

namespace omninorm::cases {
namespace {

using Real = long double;

// Unit roundoff: half the distance from 1 to the next larger number.
double roundoff(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return 0x1p-24;
    case DType::bf16:
      return 0x1p-8;
    case DType::f16:
      return 0x1p-11;
    case DType::f64:
      return 0x1p-53;
  }
  return 0;
}

// Half the smallest number above 0.
double half_smallest(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return 0x1p-150;
    case DType::bf16:
      return 0x1p-134;
    case DType::f16:
      return 0x1p-25;
    case DType::f64:
      return 0;
  }
  return 0;
}

double working_roundoff(DType x) { return x == DType::f64 ? 0x1p-53 : 0x1p-24; }

double sum_growth(std::int64_t terms) { return 8 + std::sqrt(static_cast<double>(terms)); }

// Appends a value that was computed with `error` and is then rounded to `dtype`.
void append(Expected& expected, DType dtype, Real value, Real error) {
  expected.value.push_back(static_cast<double>(value));
  const Real rounding = (std::abs(value) + error) * roundoff(dtype) + half_smallest(dtype);
  expected.bound.push_back(static_cast<double>(error + rounding));
}

struct Row {
  Real mean = 0, rstd = 0, mean_error = 0, rstd_error = 0;
};

Row statistics(const Case& c, const double* x) {
  const auto pooled = static_cast<std::int64_t>(static_cast<double>(c.width()) * c.partial);
  const Real count = static_cast<Real>(std::max<std::int64_t>(pooled, 1));
  const double ku = sum_growth(pooled) * working_roundoff(c.dtype);
  Row row;
  Real magnitude = 0, m2 = 0;
  if (c.op == Op::layer_norm) {
    for (std::int64_t i = 0; i < pooled; ++i) row.mean += x[i] / count;
    for (std::int64_t i = 0; i < pooled; ++i) magnitude += std::abs(x[i]) / count;
  }
  for (std::int64_t i = 0; i < pooled; ++i) m2 += (x[i] - row.mean) * (x[i] - row.mean) / count;
  row.rstd = 1 / std::sqrt(m2 + static_cast<Real>(c.eps));
  row.mean_error = ku * magnitude;
  const Real off = row.mean_error * row.rstd;
  row.rstd_error = row.rstd * (ku + off * off);
  return row;
}

// One step of x's dtype at xhat where before_weight rounds there, else 0.
Real policy_step(const Case& c, Real xhat) {
  if (c.cast_policy == CastPolicy::after_weight || size_of(c.dtype) != 2) return 0;
  return 2 * (std::abs(xhat) * roundoff(c.dtype) + half_smallest(c.dtype));
}

Real policy_value(const Case& c, Real xhat) {
  if (c.cast_policy == CastPolicy::after_weight || size_of(c.dtype) != 2) return xhat;
  return internal::rounded(c.dtype, static_cast<double>(xhat));
}

std::vector<double> scales(const Case& c, const Tensors& tensors) {
  if (!c.weight) return std::vector<double>(static_cast<std::size_t>(c.width()), 1.0);
  std::vector<double> result = tensors.weight.values();
  for (double& value : result) value += c.weight_offset;
  return result;
}

}  // namespace

ForwardTruth forward_truth(const Case& c, const Tensors& tensors) {
  ForwardTruth truth;
  const std::vector<double> x = tensors.x.values(), w = scales(c, tensors);
  const std::vector<double> bias =
      c.bias ? tensors.bias.values() : std::vector<double>(w.size(), 0.0);
  const DType kept = c.dtype == DType::f64 ? DType::f64 : DType::f32;
  const double u = working_roundoff(c.dtype);
  for (std::int64_t r = 0; r < c.rows(); ++r) {
    const double* row = x.data() + r * c.width();
    const Row s = statistics(c, row);
    append(truth.mean, kept, s.mean, s.mean_error);
    append(truth.rstd, kept, s.rstd, s.rstd_error);
    for (std::size_t i = 0; i < w.size(); ++i) {
      const Real xhat = (row[i] - s.mean) * s.rstd;
      const Real xhat_error = s.rstd * s.mean_error +
                              std::abs(xhat) * (s.rstd_error / s.rstd + 4 * u) +
                              policy_step(c, xhat);
      const Real y = policy_value(c, xhat) * w[i] + bias[i];
      append(truth.y, c.y_dtype, y,
             std::abs(w[i]) * xhat_error + 4 * u * (std::abs(y) + std::abs(bias[i])));
    }
  }
  return truth;
}

BackwardTruth backward_truth(const Case& c, const Tensors& tensors) {
  BackwardTruth truth;
  const std::vector<double> x = tensors.x.values(), dy = tensors.dy.values();
  const std::vector<double> w = scales(c, tensors), rstds = tensors.rstd.values();
  const std::vector<double> means =
      c.op == Op::layer_norm ? tensors.mean.values() : std::vector<double>(rstds.size(), 0.0);
  const std::size_t d = w.size();
  const auto pooled = static_cast<std::size_t>(static_cast<double>(d) * c.partial);
  const double u = working_roundoff(c.dtype);
  std::vector<Real> dweight(d), dweight_error(d), dbias(d), dbias_error(d);
  const double ku_rows = sum_growth(c.rows()) * u, ku = sum_growth(c.width()) * u;
  for (std::size_t r = 0; r < rstds.size(); ++r) {
    const double* x_row = x.data() + r * d;
    const double* dy_row = dy.data() + r * d;
    const auto xhat = [&](std::size_t i) {
      return (static_cast<Real>(x_row[i]) - means[r]) * rstds[r];
    };
    Real mean_g = 0, mean_gx = 0, mean_abs_g = 0, mean_abs_gx = 0;
    for (std::size_t i = 0; i < d; ++i) {
      const Real g = static_cast<Real>(dy_row[i]) * w[i];
      mean_g += c.op == Op::layer_norm ? g / pooled : 0;
      mean_abs_g += c.op == Op::layer_norm ? std::abs(g) / pooled : 0;
      mean_gx += g * xhat(i) / pooled;
      mean_abs_gx += std::abs(g * xhat(i)) / pooled;
      dweight[i] += dy_row[i] * policy_value(c, xhat(i));
      dweight_error[i] +=
          std::abs(dy_row[i]) * (ku_rows * std::abs(xhat(i)) + policy_step(c, xhat(i)));
      dbias[i] += dy_row[i];
      dbias_error[i] += ku_rows * std::abs(dy_row[i]);
    }
    for (std::size_t i = 0; i < d; ++i) {
      const Real g = static_cast<Real>(dy_row[i]) * w[i];
      const bool inside = i < pooled;
      append(truth.dx, c.dtype, rstds[r] * (g - (inside ? mean_g + xhat(i) * mean_gx : 0)),
             rstds[r] * ku *
                 (std::abs(g) + (inside ? mean_abs_g + std::abs(xhat(i)) * mean_abs_gx : 0)));
    }
  }
  for (std::size_t i = 0; i < d; ++i) {
    append(truth.dweight, c.weight_dtype, dweight[i], dweight_error[i]);
    append(truth.dbias, c.weight_dtype, dbias[i], dbias_error[i]);
  }
  return truth;
}

std::string mismatch(const std::string& name, const Expected& expected, const Buffer& got) {
  const std::vector<double> values = got.values();
  const DType dtype = got.tensor().dtype;
  if (values.size() != expected.value.size()) {
    return name + ": " + std::to_string(values.size()) + " elements, expected " +
           std::to_string(expected.value.size());
  }
  double worst = 0;
  std::size_t where = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double want = expected.value[i], bound = expected.bound[i], value = values[i];
    // Equal infinities, and numbers that may round to one in the output's dtype.
    const bool agree = (std::isnan(want) && std::isnan(value)) || want == value ||
                       (std::isinf(value) &&
                        internal::rounded(dtype, want + std::copysign(bound, value)) == value);
    if (agree) continue;
    const double off = std::abs(value - want);
    // Not `off > bound`: that is false for a NaN.
    const double badness = off <= bound                 ? 0
                           : std::isfinite(off / bound) ? off / bound
                                                        : std::numeric_limits<double>::infinity();
    if (badness > worst) {
      worst = badness;
      where = i;
    }
  }
  if (worst == 0) return {};
  char text[200];
  std::snprintf(text, sizeof text,
                "[%zu] expected %.17g within %.3g, got %.17g (%.3g times the bound)", where,
                expected.value[where], expected.bound[where], values[where], worst);
  return name + text;
}

}  // namespace omninorm::cases
