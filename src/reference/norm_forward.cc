// The oracle and the fallback: the definition in include/omninorm/norm.h, term by term.
#include <cmath>

#include "src/core/kernel_list.h"
#include "src/reference/reference.h"

namespace omninorm::internal {
namespace {

struct Moments {
  double mean;
  double rstd;
};

// Two passes: the mean first, then the squares of what is left. An empty set has mean 0, variance
// 0.
Moments moments(const NormForward& problem, const Position& of) {
  const NormView& view = problem.view;
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
  return {static_cast<double>(mean),
          static_cast<double>(1 / std::sqrt(m2 + static_cast<Sum>(problem.parameters.eps)))};
}

void run(const NormForward& problem, Executor&, std::byte*) {
  const NormView& view = problem.view;
  const NormParameters& parameters = problem.parameters;
  const DType statistics = problem.x.dtype == DType::f64 ? DType::f64 : DType::f32;
  for_each_statistic(view, [&](const Position& of) {
    const Moments m = moments(problem, of);
    if (problem.mean != nullptr) store(problem.mean, statistics, statistic(view, of), m.mean);
    if (problem.rstd != nullptr) store(problem.rstd, statistics, statistic(view, of), m.rstd);
    for_each_pooled(view, of, view.c, [&](const Position& at) {
      const double x = load(problem.x.data, problem.x.dtype, offset(view, problem.x.strides, at));
      const double xhat =
          scaled_input((x - m.mean) * m.rstd, problem.x.dtype, parameters.cast_policy);
      double y = xhat * scale(problem.weight, problem.weight_dtype, parameters, view, at);
      if (problem.bias != nullptr) {
        y += load(problem.bias, problem.weight_dtype, at.g * view.c + at.c);
      }
      store(problem.y.data, problem.y.dtype, offset(view, problem.y.strides, at), y);
    });
  });
}

const char* decline(const NormForward&) { return nullptr; }
std::size_t workspace(const NormForward&) { return 0; }

}  // namespace

const Kernel<NormForward> reference_forward = {"reference", decline, workspace, run};

}  // namespace omninorm::internal
