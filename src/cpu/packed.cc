#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>

#include "src/core/kernel_list.h"
#include "src/cpu/packed_plan.h"
#include "src/cpu/row_kernels.h"
#include "src/cpu/row_plan.h"
#include "src/cpu/streaming.h"
#include "src/cpu/tasks.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "src/cpu/packed.cc"
#include "hwy/foreach_target.h"
#include "src/cpu/packed_tasks-inl.h"

#if HWY_ONCE
namespace omninorm::internal {
namespace {

HWY_EXPORT(packs);
HWY_EXPORT(prepare_period);
HWY_EXPORT(packed_forward_task);
HWY_EXPORT(packed_backward_task);
HWY_EXPORT(packed_add);

// Bytes of x and y, or x, dy and dx, of a task.
constexpr std::int64_t kTaskBytes = 64 * 1024;
// Sums for dweight and dbias are kept by task: at most so many, of about so many periods at least.
constexpr std::int64_t kMaxSums = 64;
constexpr std::int64_t kMinPeriods = 16;
// A period's weights, and its sums, stay in the core's own cache.
constexpr std::int64_t kMostPeriodFloats = 32 * 1024;

PackedShape shape_of(const NormView& view) {
  PackedShape shape;
  shape.groups = view.n * view.g;
  shape.c = view.c;
  shape.affine_groups = view.g;
  shape.period = std::lcm(view.g, kMostLanes);
  return shape;
}

const char* decline_view(const NormView& view, DType dtype) {
  if (const char* reason = decline_rows(view, dtype)) return reason;
  if (view.stats_c != view.c) return "statistics are of a part of c";
  if (view.c < 4 || view.c > 64 || (view.c & (view.c - 1)) != 0) {
    return "c is not 4, 8, 16, 32 or 64";
  }
  // g is small where the product with 16 could not fit.
  if (view.g > kMostPeriodFloats || shape_of(view).period_floats() > kMostPeriodFloats) {
    return "weights repeat too late";
  }
  return nullptr;
}

// Groups one after the other, without gaps.
bool side_by_side(const NormView& view, const NormStrides& strides) {
  const bool groups = view.g == 1 || strides.g == view.c;
  return groups && (view.n == 1 || (view.n_rank == 1 && strides.n[0] == view.g * view.c));
}

const char* decline(const NormForward& problem) {
  if (problem.activation != Activation::none) return "an activation stands behind the norm";
  if (problem.given_mean) return "statistics are given";
  if (problem.variance) return "the variance is asked for";
  if (problem.y.data == nullptr) return "y is not asked for";
  if (problem.statistics_dtype != DType::f32) return "statistics are asked for in f64";
  if (problem.y.dtype != problem.x.dtype) return "y has a dtype of its own";
  if (problem.parameters.cast_policy == CastPolicy::before_weight &&
      problem.x.dtype != DType::f32) {
    return "xhat is rounded before the weight";
  }
  if (const char* reason = decline_view(problem.view, problem.x.dtype)) return reason;
  if (const char* reason = decline_operand(problem.view, problem.x.strides)) return reason;
  if (problem.residual.data) {
    if (const char* reason = decline_operand(problem.view, problem.residual.strides)) return reason;
    if (const char* reason = decline_operand(problem.view, problem.sum.strides)) return reason;
  }
  if (const char* reason = decline_operand(problem.view, problem.y.strides)) return reason;
  choose_cpu_target();
  return HWY_DYNAMIC_DISPATCH(packs)() ? nullptr : "the target has no vectors of fixed length";
}

const char* decline(const NormBackward& problem) {
  if (problem.activation != Activation::none) return "an activation stands behind the norm";
  if (problem.given_mean || problem.given_sum_dy) return "statistics or sums are given";
  if (problem.dweight_dtype == DType::f64) return "sums are asked for in f64";
  if (problem.dy.dtype != problem.x.dtype) return "dy has a dtype of its own";
  if (problem.parameters.cast_policy == CastPolicy::before_weight &&
      problem.x.dtype != DType::f32) {
    return "xhat is rounded before the weight";
  }
  if (const char* reason = decline_view(problem.view, problem.x.dtype)) return reason;
  if (const char* reason = decline_operand(problem.view, problem.x.strides)) return reason;
  if (const char* reason = decline_operand(problem.view, problem.dy.strides)) return reason;
  if (problem.dsum.data) {
    if (const char* reason = decline_operand(problem.view, problem.dsum.strides)) return reason;
  }
  if (problem.dx.data) {
    if (const char* reason = decline_operand(problem.view, problem.dx.strides)) return reason;
  }
  choose_cpu_target();
  return HWY_DYNAMIC_DISPATCH(packs)() ? nullptr : "the target has no vectors of fixed length";
}

void cut(PackedShape& shape, std::int64_t groups_per_task) {
  const TaskCut cut(ceil_div(shape.groups, shape.period), groups_per_task / shape.period);
  shape.groups_per_task = cut.begin(1) * shape.period;
  shape.tasks = ceil_div(shape.groups, shape.groups_per_task);
}

std::int64_t task_groups(const PackedShape& shape, DType dtype, std::int64_t operands) {
  return kTaskBytes / (shape.c * operands * static_cast<std::int64_t>(size_of(dtype)));
}

std::size_t workspace(const NormForward& problem) {
  return static_cast<std::size_t>(2 * shape_of(problem.view).period_floats()) * sizeof(float);
}

void run(const NormForward& problem, Executor& executor, std::byte* memory) {
  PackedForwardPlan plan;
  plan.problem = &problem;
  plan.shape = shape_of(problem.view);
  cut(plan.shape, task_groups(plan.shape, problem.x.dtype, 2));
  auto* weight = reinterpret_cast<float*>(memory);
  float* bias = weight + plan.shape.period_floats();
  const auto prepare = HWY_DYNAMIC_DISPATCH(prepare_period);
  const auto offset = static_cast<float>(problem.parameters.weight_offset);
  const DType x = problem.x.dtype;
  prepare(plan.shape, x, problem.weight_dtype, problem.weight, offset, 1, weight);
  prepare(plan.shape, x, problem.weight_dtype, problem.bias, 0, 0, bias);
  plan.weight = weight;
  plan.bias = bias;
  plan.side_by_side = side_by_side(problem.view, problem.x.strides) &&
                      side_by_side(problem.view, problem.y.strides);
  if (problem.residual.data) {
    plan.side_by_side &= side_by_side(problem.view, problem.residual.strides) &&
                         side_by_side(problem.view, problem.sum.strides);
  }
  plan.streams = plan.side_by_side && problem.y.data != problem.x.data &&
                 problem.y.data != problem.residual.data &&
                 reinterpret_cast<std::uintptr_t>(problem.y.data) % 64 == 0 &&
                 worth_streaming(Traffic::forward, plan.shape.groups * plan.shape.c * 2 *
                                                       static_cast<std::int64_t>(size_of(x)));
  const auto task = HWY_DYNAMIC_DISPATCH(packed_forward_task);
  executor.parallel_for(plan.shape.tasks, [&](std::int64_t index) { task(plan, index); });
}

bool sums(const NormBackward& problem) { return problem.dweight || problem.dbias; }

// As if sums were wanted, where `with_sums`.
PackedShape backward_shape(const NormBackward& problem, bool with_sums) {
  PackedShape shape = shape_of(problem.view);
  std::int64_t groups = task_groups(shape, problem.x.dtype, 3);
  if (with_sums) {
    groups = std::max(
        {groups, ceil_div(shape.groups, kMaxSums) + shape.period - 1, kMinPeriods * shape.period});
  }
  cut(shape, groups);
  return shape;
}

bool two_levels(const PackedShape& shape) {
  constexpr std::int64_t kFewestLanes = 4;  // of all targets: the workspace is one for all
  return shape.groups_per_task > (shape.one_group() ? kFewestLanes : shape.period) * kRowsPerFine;
}

std::size_t workspace(const NormBackward& problem) {
  const PackedShape shape = backward_shape(problem, true);
  const std::int64_t arrays = 1 + 2 * shape.tasks * (two_levels(shape) ? 2 : 1);
  return static_cast<std::size_t>(arrays * shape.period_floats()) * sizeof(float);
}

void run(const NormBackward& problem, Executor& executor, std::byte* memory) {
  PackedBackwardPlan plan;
  plan.problem = &problem;
  plan.shape = backward_shape(problem, sums(problem));
  auto* weight = reinterpret_cast<float*>(memory);
  const DType x = problem.x.dtype;
  HWY_DYNAMIC_DISPATCH(prepare_period)
  (plan.shape, x, problem.weight_dtype, problem.weight,
   static_cast<float>(problem.parameters.weight_offset), 1, weight);
  plan.weight = weight;
  if (sums(problem)) {
    plan.partial = weight + plan.shape.period_floats();
    if (two_levels(plan.shape)) {
      plan.coarse = plan.partial + 2 * plan.shape.tasks * plan.shape.period_floats();
    }
  }
  plan.side_by_side =
      side_by_side(problem.view, problem.x.strides) &&
      side_by_side(problem.view, problem.dy.strides) &&
      (problem.dx.data == nullptr || side_by_side(problem.view, problem.dx.strides)) &&
      (problem.dsum.data == nullptr || side_by_side(problem.view, problem.dsum.strides));
  plan.streams = plan.side_by_side && problem.dx.data != problem.dy.data &&
                 problem.dx.data != problem.x.data && problem.dx.data != problem.dsum.data &&
                 reinterpret_cast<std::uintptr_t>(problem.dx.data) % 64 == 0 &&
                 worth_streaming(Traffic::backward, plan.shape.groups * plan.shape.c * 3 *
                                                        static_cast<std::int64_t>(size_of(x)));
  const auto task = HWY_DYNAMIC_DISPATCH(packed_backward_task);
  executor.parallel_for(plan.shape.tasks, [&](std::int64_t index) { task(plan, index); });
  if (!plan.partial) return;
  const auto add = HWY_DYNAMIC_DISPATCH(packed_add);
  const std::int64_t sum_bytes = plan.shape.tasks * plan.shape.period_floats() * 4;
  for_ranges(executor, 2, kTaskBytes / sum_bytes, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t which = begin; which < end; ++which) {
      void* to = which == 0 ? problem.dweight : problem.dbias;
      if (to) add(plan, static_cast<int>(which), to);
    }
  });
}

}  // namespace

const Kernel<NormForward> cpu_packed_forward = {"packed", decline, workspace, run};
const Kernel<NormBackward> cpu_packed_backward = {"packed", decline, workspace, run};

}  // namespace omninorm::internal
#endif  // HWY_ONCE
