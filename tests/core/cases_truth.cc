// The definitions of include/omninorm/norm.h once more, written for sets of elements and
// independent of src/ (but for the conversions, which dtype_test checks), beside the error that
// arithmetic in the library's precision may leave.
#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

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

// Elements that share statistics, in row-major order.
using Pool = std::vector<std::size_t>;

std::vector<Pool> pools_of(const Case& c) {
  std::vector<Pool> pools(static_cast<std::size_t>(c.rows()));
  for (std::int64_t i = 0; i < c.elements(); ++i) {
    pools.at(static_cast<std::size_t>(c.pool_of(i))).push_back(static_cast<std::size_t>(i));
  }
  return pools;
}

std::size_t channel(const Case& c, std::size_t element) {
  return static_cast<std::size_t>(c.channel_of(static_cast<std::int64_t>(element)));
}

struct Row {
  Real mean = 0, rstd = 0, variance = 0, mean_error = 0, rstd_error = 0, variance_error = 0;
};

// Of the first int(partial * size) elements of a pool.
Row statistics(const Case& c, const Pool& pool, const std::vector<double>& values) {
  const auto pooled = static_cast<std::int64_t>(static_cast<double>(pool.size()) * c.partial);
  const Real count = static_cast<Real>(std::max<std::int64_t>(pooled, 1));
  const double ku = sum_growth(pooled) * working_roundoff(c.dtype);
  const auto x = [&](std::int64_t i) { return values[pool[static_cast<std::size_t>(i)]]; };
  Row row;
  Real magnitude = 0;
  if (c.centred()) {
    for (std::int64_t i = 0; i < pooled; ++i) row.mean += x(i) / count;
    for (std::int64_t i = 0; i < pooled; ++i) magnitude += std::abs(x(i)) / count;
  }
  for (std::int64_t i = 0; i < pooled; ++i) {
    row.variance += (x(i) - row.mean) * (x(i) - row.mean) / count;
  }
  row.rstd = 1 / std::sqrt(row.variance + static_cast<Real>(c.eps));
  row.mean_error = ku * magnitude;
  const Real off = row.mean_error * row.rstd;
  row.rstd_error = row.rstd * (ku + off * off);
  row.variance_error = (2 * ku + off * off) * (row.variance + static_cast<Real>(c.eps));
  return row;
}

// Evaluation: of one channel's running statistics.
Row running_statistics(const Case& c, const Tensors& tensors, std::size_t index) {
  Row row;
  row.mean = tensors.running_mean_before[index];
  row.variance = tensors.running_var_before[index];
  row.rstd = 1 / std::sqrt(row.variance + static_cast<Real>(c.eps));
  row.rstd_error = 4 * working_roundoff(c.dtype) * row.rstd;
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

std::size_t affine_size(const Case& c) {
  std::int64_t size = 1;
  for (const std::int64_t n : c.affine_shape()) size *= n;
  return static_cast<std::size_t>(size);
}

std::vector<double> scales(const Case& c, const Tensors& tensors) {
  if (!c.weight) return std::vector<double>(affine_size(c), 1.0);
  std::vector<double> result = tensors.weight.values();
  for (double& value : result) value += c.weight_offset;
  return result;
}

std::vector<double> shifts(const Case& c, const Tensors& tensors) {
  return c.bias ? tensors.bias.values() : std::vector<double>(affine_size(c), 0.0);
}

Real activated(const Case& c, Real z) {
  if (c.activation == Activation::relu) return std::max<Real>(z, 0);
  return c.activation == Activation::silu ? z / (1 + std::exp(-z)) : z;
}

// The derivative of the activation at z, and how far off it is where z is.
struct Slope {
  Real value = 1, error = 0;
};

Slope slope(const Case& c, Real z, Real z_error, double u) {
  if (c.activation == Activation::relu) {
    return {z > 0 ? Real{1} : Real{0}, std::abs(z) <= z_error && z_error > 0 ? Real{1} : Real{0}};
  }
  if (c.activation == Activation::none) return {};
  const Real s = 1 / (1 + std::exp(-z));
  return {s * (1 + z * (1 - s)), z_error / 2 + 16 * u};
}

// What running statistics become: those of each channel averaged over images.
void append_running(const Case& c, const Tensors& tensors, const std::vector<Row>& rows,
                    ForwardTruth& truth) {
  const DType kept = c.dtype == DType::f64 ? DType::f64 : DType::f32;
  const std::size_t channels = affine_size(c);
  const std::size_t images = channels == 0 ? 0 : rows.size() / channels;
  const Real unbiased = c.width() > 1 ? Real(c.width()) / Real(c.width() - 1) : Real{0};
  const bool changes = c.running == Running::updated && c.elements() > 0;
  const Real m = changes ? Real(c.momentum) : Real{0};
  for (std::size_t i = 0; i < channels; ++i) {
    Row mean;
    for (std::size_t n = 0; n < images && changes; ++n) {
      const Row& row = rows[n * channels + i];
      mean.mean += row.mean / Real(images);
      mean.mean_error += row.mean_error / Real(images);
      mean.variance += unbiased * row.variance / Real(images);
      mean.variance_error += unbiased * row.variance_error / Real(images);
    }
    // The average is taken in double: 1 - m, two products and a sum, and the factor n / (n - 1).
    const auto average = [&](double before, Real now, Real error) {
      const Real old_part = (1 - m) * static_cast<Real>(before), new_part = m * now;
      const Real arithmetic =
          changes ? 4 * Real(0x1p-53) * (std::abs(old_part) + std::abs(new_part)) : 0;
      return std::pair(old_part + new_part, m * error + arithmetic);
    };
    const auto [running_mean, mean_error] =
        average(tensors.running_mean_before[i], mean.mean, mean.mean_error);
    append(truth.running_mean, kept, running_mean, mean_error);
    const auto [running_var, var_error] =
        average(tensors.running_var_before[i], mean.variance, mean.variance_error);
    append(truth.running_var, kept, running_var, var_error);
  }
}

void append_sum(const Case& c, const Tensors& tensors, ForwardTruth& truth) {
  const std::vector<double> x = tensors.x.values(), residual = tensors.residual.values();
  for (std::size_t i = 0; i < x.size(); ++i) {
    const Real sum = static_cast<Real>(x[i]) + residual[i];
    append(truth.sum, c.dtype, sum, working_roundoff(c.dtype) * std::abs(sum));
  }
}

void resize(Expected& expected, std::int64_t count) {
  expected.value.resize(static_cast<std::size_t>(count));
  expected.bound.resize(static_cast<std::size_t>(count));
}

// Puts a value at an index instead of at the end.
void put(Expected& expected, std::size_t index, DType dtype, Real value, Real error) {
  Expected one;
  append(one, dtype, value, error);
  expected.value[index] = one.value[0];
  expected.bound[index] = one.bound[0];
}

}  // namespace

ForwardTruth forward_truth(const Case& c, const Tensors& tensors) {
  ForwardTruth truth;
  if (c.adds()) append_sum(c, tensors, truth);
  const std::vector<double> x = c.adds() ? tensors.sum.values() : tensors.x.values();
  const std::vector<double> w = scales(c, tensors), bias = shifts(c, tensors);
  const DType kept = c.dtype == DType::f64 ? DType::f64 : DType::f32;
  const double u = working_roundoff(c.dtype);
  const bool evaluation = c.running == Running::evaluation;
  resize(truth.y, c.elements());
  std::vector<Row> rows;
  for (const Pool& pool : pools_of(c)) {
    const Row s = evaluation ? running_statistics(c, tensors, rows.size()) : statistics(c, pool, x);
    rows.push_back(s);
    append(truth.mean, kept, s.mean, s.mean_error);
    append(truth.rstd, kept, s.rstd, s.rstd_error);
    for (const std::size_t i : pool) {
      const std::size_t at = channel(c, i);
      const Real xhat = (x[i] - s.mean) * s.rstd;
      const Real xhat_error = s.rstd * s.mean_error +
                              std::abs(xhat) * (s.rstd_error / s.rstd + 4 * u) +
                              policy_step(c, xhat);
      const Real z = policy_value(c, xhat) * w[at] + bias[at];
      Real error = std::abs(w[at]) * xhat_error + 4 * u * (std::abs(z) + std::abs(bias[at]));
      if (c.activation == Activation::silu) error = Real(1.1) * error + 16 * u * std::abs(z);
      put(truth.y, i, c.y_dtype, activated(c, z), error);
    }
  }
  if (c.running != Running::none) append_running(c, tensors, rows, truth);
  return truth;
}

namespace {

// One pool of backward: what dx needs of its elements, and what they add to dweight and dbias.
struct PoolGradient {
  const Case& c;
  const std::vector<double>&x, &dy, &w, &bias;
  double u;
  std::vector<Real> dweight, dweight_error, dbias, dbias_error;

  void take(const Pool& pool, const Row& s, const std::vector<double>& dsum, Expected& dx) {
    const double ku_rows = sum_growth(c.elements() / static_cast<std::int64_t>(w.size())) * u;
    const double ku = sum_growth(c.width()) * u;
    const auto pooled = static_cast<std::size_t>(static_cast<double>(pool.size()) * c.partial);
    const bool evaluation = c.running == Running::evaluation;
    std::vector<Real> g(pool.size()), g_error(pool.size()), xhat(pool.size());
    Real mean_g = 0, mean_gx = 0, mean_abs_g = 0, mean_abs_gx = 0, off_g = 0, off_gx = 0;
    for (std::size_t k = 0; k < pool.size(); ++k) {
      const std::size_t i = pool[k], at = channel(c, i);
      const Real h = xhat[k] = (static_cast<Real>(x[i]) - s.mean) * s.rstd;
      const Real seen = policy_value(c, h), step = policy_step(c, h);
      const Real z = seen * w[at] + bias[at];
      const Real z_error =
          std::abs(w[at]) * step + 8 * u * (std::abs(seen * w[at]) + std::abs(bias[at]));
      const Slope a = slope(c, z, z_error, u);
      const Real d = dy[i] * a.value, d_error = std::abs(dy[i]) * a.error;
      g[k] = d * w[at];
      g_error[k] = d_error * std::abs(w[at]);
      if (!evaluation) {
        const Real size = static_cast<Real>(pooled);
        mean_g += c.centred() ? g[k] / size : 0;
        mean_abs_g += c.centred() ? std::abs(g[k]) / size : 0;
        off_g += c.centred() ? g_error[k] / size : 0;
        mean_gx += g[k] * h / size;
        mean_abs_gx += std::abs(g[k] * h) / size;
        off_gx += g_error[k] * std::abs(h) / size;
      }
      dweight[at] += d * seen;
      dweight_error[at] += std::abs(d) * (ku_rows * std::abs(h) + step) + d_error * std::abs(h);
      dbias[at] += d;
      dbias_error[at] += ku_rows * std::abs(d) + d_error;
    }
    for (std::size_t k = 0; k < pool.size(); ++k) {
      const Real inside = k < pooled ? 1 : 0, h = xhat[k];
      const Real value = s.rstd * (g[k] - inside * (mean_g + h * mean_gx));
      const Real sums = inside * (mean_abs_g + std::abs(h) * mean_abs_gx);
      const Real off = g_error[k] + inside * (off_g + std::abs(h) * off_gx);
      const Real more = dsum.empty() ? 0 : static_cast<Real>(dsum[pool[k]]);
      put(dx, pool[k], c.dtype, value + more,
          s.rstd * (ku * (std::abs(g[k]) + sums) + off) + 2 * u * std::abs(more));
    }
  }
};

}  // namespace

BackwardTruth backward_truth(const Case& c, const Tensors& tensors) {
  BackwardTruth truth;
  const std::vector<double> x = c.adds() ? tensors.sum.values() : tensors.x.values();
  const std::vector<double> dy = tensors.dy.values(), w = scales(c, tensors);
  const std::vector<double> bias = shifts(c, tensors);
  const std::vector<double> dsum =
      tensors.dsum.tensor().given() ? tensors.dsum.values() : std::vector<double>();
  const bool evaluation = c.running == Running::evaluation;
  const std::vector<double> rstds = evaluation ? std::vector<double>() : tensors.rstd.values();
  const std::vector<double> means =
      !evaluation && c.centred() ? tensors.mean.values() : std::vector<double>(rstds.size(), 0.0);
  const std::vector<Real> none(w.size());
  PoolGradient gradient{c, x, dy, w, bias, working_roundoff(c.dtype), none, none, none, none};
  resize(truth.dx, c.elements());
  std::size_t row = 0;
  for (const Pool& pool : pools_of(c)) {
    Row s;
    if (evaluation) {
      s = running_statistics(c, tensors, row);
    } else {
      s.mean = means[row], s.rstd = rstds[row];
    }
    if (!pool.empty()) gradient.take(pool, s, dsum, truth.dx);
    ++row;
  }
  for (std::size_t i = 0; i < w.size(); ++i) {
    append(truth.dweight, c.weight_dtype, gradient.dweight[i], gradient.dweight_error[i]);
    append(truth.dbias, c.weight_dtype, gradient.dbias[i], gradient.dbias_error[i]);
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
