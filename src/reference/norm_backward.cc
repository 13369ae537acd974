// With g = dy * (weight + weight_offset) and xhat = (x - mean) * rstd, over one set of elements
// that share statistics, m of which the statistics were taken from:
//
//   dx = rstd * (g - [from the statistics] (sum(g) / m [centred] + xhat * sum(g * xhat) / m))
//
// The sums run over the whole set, the bracket holds for those m elements only (partial RMSNorm;
// else all of them). dbias = sum(dy), dweight = sum(dy * xhat) over n and s, xhat as the weight saw
// it. An activation multiplies dy by its slope first; of evaluation's constant statistics dx has no
// bracket; and where sums over the whole batch are given, the bracket is taken from them. Checked
// against finite differences in tests/core/gradient_test.cc.
#include <algorithm>

#include "src/core/kernel_list.h"
#include "src/reference/reference.h"

namespace omninorm::internal {
namespace {

struct Element {
  double dy;  // behind the activation
  double g;
  double xhat;
  double rstd;
};

Statistics statistics(const NormBackward& problem, const Position& at) {
  const NormView& view = problem.view;
  const std::int64_t index = statistic(view, at);
  if (problem.given_mean != nullptr) {
    return given_statistics(problem.given_mean, problem.given_variance, problem.x.dtype,
                            problem.parameters.eps, index);
  }
  const double mean = view.center ? load(problem.mean, problem.statistics_dtype, index) : 0.0;
  return {mean, 0.0, load(problem.rstd, problem.statistics_dtype, index)};
}

Element element(const NormBackward& problem, const Position& at) {
  const NormView& view = problem.view;
  const double x = load(problem.x.data, problem.x.dtype, offset(view, problem.x.strides, at));
  double dy = load(problem.dy.data, problem.dy.dtype, offset(view, problem.dy.strides, at));
  const Statistics m = statistics(problem, at);
  const double weight = scale(problem.weight, problem.weight_dtype, problem.parameters, view, at);
  const double xhat = (x - m.mean) * m.rstd;
  if (problem.activation != Activation::none) {
    const double seen = scaled_input(xhat, problem.x.dtype, problem.parameters.cast_policy);
    dy *= activation_slope(problem.activation,
                           seen * weight + shift(problem.bias, problem.weight_dtype, view, at));
  }
  return {dy, dy * weight, xhat, m.rstd};
}

// The means of g and g * xhat over a set, as far as dx depends on them.
struct Bracket {
  double g = 0;
  double g_xhat = 0;
};

Bracket bracket(const NormBackward& problem, const Position& of) {
  const NormView& view = problem.view;
  if (problem.given_mean != nullptr) return {};
  if (problem.given_sum_dy != nullptr) {
    const std::int64_t index = statistic(view, of);
    const double factor =
        scale(problem.weight, problem.weight_dtype, problem.parameters, view, of) /
        problem.given_count;
    return {factor * load(problem.given_sum_dy, DType::f64, index),
            factor * load(problem.given_sum_dy_xhat, DType::f64, index)};
  }
  Sum sum_g = 0, sum_g_xhat = 0;
  for_each_pooled(view, of, view.c, [&](const Position& at) {
    const Element e = element(problem, at);
    sum_g += e.g;
    sum_g_xhat += static_cast<Sum>(e.g) * e.xhat;
  });
  const auto count = static_cast<Sum>(pooled_count(view));
  return {view.center ? static_cast<double>(sum_g / count) : 0.0,
          static_cast<double>(sum_g_xhat / count)};
}

void input_gradient(const NormBackward& problem, const Position& of) {
  const NormView& view = problem.view;
  const Bracket mean = bracket(problem, of);
  for_each_pooled(view, of, view.c, [&](const Position& at) {
    const Element e = element(problem, at);
    // Evaluation's statistics are constants: an Inf in x does not reach dx.
    const bool depends = at.c < view.stats_c && problem.given_mean == nullptr;
    const double through_statistics = depends ? mean.g + e.xhat * mean.g_xhat : 0.0;
    double dx = e.rstd * (e.g - through_statistics);
    if (problem.dsum.data != nullptr) {
      dx += load(problem.dsum.data, problem.dsum.dtype, offset(view, problem.dsum.strides, at));
    }
    store(problem.dx.data, problem.dx.dtype, offset(view, problem.dx.strides, at), dx);
  });
}

void affine_gradient(const NormBackward& problem, std::int64_t g, std::int64_t c) {
  const NormView& view = problem.view;
  Sum dweight = 0, dbias = 0;
  const std::int64_t n_end = view.empty() ? 0 : view.n;
  for (std::int64_t n = 0; n < n_end; ++n) {
    for (std::int64_t s = 0; s < view.s; ++s) {
      const Element e = element(problem, {n, g, c, s});
      dbias += e.dy;
      dweight += static_cast<Sum>(e.dy) *
                 scaled_input(e.xhat, problem.x.dtype, problem.parameters.cast_policy);
    }
  }
  const std::int64_t channel = g * view.c + c;
  if (problem.dweight != nullptr) {
    store(problem.dweight, problem.dweight_dtype, channel, static_cast<double>(dweight));
  }
  if (problem.dbias != nullptr) {
    store(problem.dbias, problem.dweight_dtype, channel, static_cast<double>(dbias));
  }
}

void run(const NormBackward& problem, Executor&, std::byte*) {
  const NormView& view = problem.view;
  if (view.c > 0 && (problem.dweight != nullptr || problem.dbias != nullptr)) {
    // Before dx, which may be written over dy.
    for (std::int64_t g = 0; g < view.g; ++g) {
      for (std::int64_t c = 0; c < view.c; ++c) affine_gradient(problem, g, c);
    }
  }
  if (problem.dx.data == nullptr || view.empty()) return;
  for_each_statistic(view, [&](const Position& of) { input_gradient(problem, of); });
}

const char* decline(const NormBackward&) { return nullptr; }
std::size_t workspace(const NormBackward&) { return 0; }

}  // namespace

const Kernel<NormBackward> reference_backward = {"reference", decline, workspace, run};

}  // namespace omninorm::internal
