// The oracle and the fallback: the definition in include/omninorm/norm.h, term by term.
#include <cmath>

#include "src/core/kernel_list.h"
#include "src/reference/reference.h"

namespace omninorm::internal {
namespace {

// Two passes: the mean first, then the squares of what is left. An empty set has mean 0, variance
// 0.
Statistics statistics(const NormForward& problem, const Position& of) {
  const NormView& view = problem.view;
  if (problem.given_mean != nullptr) {
    return given_statistics(problem.given_mean, problem.given_variance, problem.x.dtype,
                            problem.parameters.eps, statistic(view, of));
  }
  const auto x = [&](const Position& at) -> Sum {
    return load(problem.x.data, problem.x.dtype, offset(view, problem.x.strides, at));
  };
  const auto count = static_cast<Sum>(pooled_count(view));
  Sum mean = 0;
  if (view.center && count > 0) {
    for_each_pooled(view, of, view.stats_c, [&](const Position& at) { mean += x(at); });
    mean /= count;
  }
  Sum m2 = 0;
  if (count > 0) {
    for_each_pooled(view, of, view.stats_c,
                    [&](const Position& at) { m2 += (x(at) - mean) * (x(at) - mean); });
    m2 /= count;
  }
  return {static_cast<double>(mean), static_cast<double>(m2),
          static_cast<double>(1 / std::sqrt(m2 + static_cast<Sum>(problem.parameters.eps)))};
}

// Writes sum = x + residual; what is left is the norm of the sum.
NormForward with_sum_as_x(const NormForward& problem) {
  NormForward rest = problem;
  const auto add = [&](const Position& at) {
    const NormView& view = problem.view;
    const double x = load(problem.x.data, problem.x.dtype, offset(view, problem.x.strides, at));
    const double residual = load(problem.residual.data, problem.residual.dtype,
                                 offset(view, problem.residual.strides, at));
    store(problem.sum.data, problem.sum.dtype, offset(view, problem.sum.strides, at), x + residual);
  };
  if (!problem.view.empty()) {
    for_each_statistic(problem.view, [&](const Position& of) {
      for_each_pooled(problem.view, of, problem.view.c, add);
    });
  }
  rest.x = {problem.sum.data, problem.sum.dtype, problem.sum.strides};
  rest.residual = {};
  return rest;
}

void normalise(const NormForward& problem, const Position& of, const Statistics& m) {
  const NormView& view = problem.view;
  const NormParameters& parameters = problem.parameters;
  for_each_pooled(view, of, view.c, [&](const Position& at) {
    const double x = load(problem.x.data, problem.x.dtype, offset(view, problem.x.strides, at));
    const double xhat =
        scaled_input((x - m.mean) * m.rstd, problem.x.dtype, parameters.cast_policy);
    const double z = xhat * scale(problem.weight, problem.weight_dtype, parameters, view, at) +
                     shift(problem.bias, problem.weight_dtype, view, at);
    store(problem.y.data, problem.y.dtype, offset(view, problem.y.strides, at),
          activate(problem.activation, z));
  });
}

void run(const NormForward& whole, Executor&, std::byte*) {
  const NormForward problem = whole.residual.data != nullptr ? with_sum_as_x(whole) : whole;
  const DType dtype = problem.statistics_dtype;
  const bool wants_statistics = problem.mean || problem.rstd || problem.variance;
  if (problem.view.empty() && !wants_statistics) return;
  for_each_statistic(problem.view, [&](const Position& of) {
    const Statistics m = statistics(problem, of);
    const std::int64_t index = statistic(problem.view, of);
    if (problem.mean != nullptr) store(problem.mean, dtype, index, m.mean);
    if (problem.rstd != nullptr) store(problem.rstd, dtype, index, m.rstd);
    if (problem.variance != nullptr) store(problem.variance, dtype, index, m.variance);
    if (problem.y.data != nullptr) normalise(problem, of, m);
  });
}

const char* decline(const NormForward&) { return nullptr; }
std::size_t workspace(const NormForward&) { return 0; }

}  // namespace

const Kernel<NormForward> reference_forward = {"reference", decline, workspace, run};

}  // namespace omninorm::internal
