#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "src/core/kernel_list.h"
#include "src/cpu/row_kernels.h"
#include "src/cpu/row_plan.h"
#include "src/cpu/streaming.h"
#include "src/cpu/tasks.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "src/cpu/norm_forward.cc"
#include "hwy/foreach_target.h"
#include "src/cpu/norm_forward-inl.h"

#if HWY_ONCE
namespace omninorm::internal {
namespace {

HWY_EXPORT(prepare_affine);
HWY_EXPORT(affine_in_place);
HWY_EXPORT(forward_task);

// Rows per task: enough bytes that handing out a task costs nothing beside it, few enough that
// threads share evenly and a task stays in L2.
constexpr std::int64_t kTaskBytes = 64 * 1024;

const char* decline_options(const NormForward& problem) {
  if (problem.activation != Activation::none) return "an activation stands behind the norm";
  if (problem.given_mean) return "statistics are given";
  if (problem.variance) return "the variance is asked for";
  if (problem.y.data == nullptr) return "y is not asked for";
  const bool wide = problem.statistics_dtype != DType::f32 && problem.x.dtype != DType::f64;
  return wide ? "statistics are asked for in f64" : nullptr;
}

const char* decline(const NormForward& problem) {
  if (const char* reason = decline_options(problem)) return reason;
  if (const char* reason = decline_rows(problem.view, problem.x.dtype)) return reason;
  if (const char* reason = decline_operand(problem.view, problem.x.strides)) return reason;
  if (problem.residual.data) {
    if (const char* reason = decline_operand(problem.view, problem.residual.strides)) return reason;
    if (const char* reason = decline_operand(problem.view, problem.sum.strides)) return reason;
  }
  return decline_operand(problem.view, problem.y.strides);
}

// Weight and bias as fp32.
std::size_t workspace(const NormForward& problem) {
  return static_cast<std::size_t>(2 * problem.view.g * padded(problem.view.c)) * sizeof(float);
}

void prepare(ForwardPlan& plan, float* memory) {
  const NormForward& problem = *plan.problem;
  const NormView& view = problem.view;
  if (problem.weight == nullptr && problem.bias == nullptr) return;
  const auto c = static_cast<std::size_t>(view.c);
  const auto offset = static_cast<float>(problem.parameters.weight_offset);
  const DType x = problem.x.dtype;
  if (problem.weight && HWY_DYNAMIC_DISPATCH(affine_in_place)(x, problem.weight_dtype, c, offset)) {
    plan.weight = static_cast<const float*>(problem.weight);
    plan.bias = static_cast<const float*>(problem.bias);
    plan.affine_stride = view.c;
    return;
  }
  plan.affine_stride = padded(view.c);
  float* bias = memory + view.g * plan.affine_stride;
  for (std::int64_t g = 0; g < view.g; ++g) {
    const auto at = [&](const void* p) -> const void* {
      if (p == nullptr) return nullptr;
      return static_cast<const std::byte*>(p) +
             static_cast<std::size_t>(g * view.c) * size_of(problem.weight_dtype);
    };
    HWY_DYNAMIC_DISPATCH(prepare_affine)
    (x, problem.weight_dtype, at(problem.weight), c, offset, memory + g * plan.affine_stride);
    if (problem.bias == nullptr) continue;
    HWY_DYNAMIC_DISPATCH(prepare_affine)
    (x, problem.weight_dtype, at(problem.bias), c, 0.0f, bias + g * plan.affine_stride);
  }
  plan.weight = memory;
  plan.bias = problem.bias ? bias : nullptr;
}

void run(const NormForward& problem, Executor& executor, std::byte* memory) {
  choose_cpu_target();
  ForwardPlan plan;
  plan.problem = &problem;
  prepare(plan, reinterpret_cast<float*>(memory));
  const NormView& view = problem.view;
  const auto row_bytes =
      view.g * view.c *
      static_cast<std::int64_t>(size_of(problem.x.dtype) + size_of(problem.y.dtype));
  plan.streams = problem.y.data != problem.x.data && problem.y.data != problem.residual.data &&
                 worth_streaming(Traffic::forward, view.n * row_bytes);
  // The threads decide how rows are batched here, which the bits do not depend on.
  const auto added = problem.residual.data
                         ? 2 * view.g * view.c * static_cast<std::int64_t>(size_of(problem.x.dtype))
                         : 0;
  plan.in_cache =
      in_private_cache(view.n * (row_bytes + added) / std::max(1, executor.concurrency()));
  const auto task = HWY_DYNAMIC_DISPATCH(forward_task);
  for_ranges(executor, view.n, kTaskBytes / row_bytes,
             [&](std::int64_t begin, std::int64_t end) { task(plan, begin, end); });
}

}  // namespace

const Kernel<NormForward> cpu_row_forward = {"row", decline, workspace, run};

}  // namespace omninorm::internal
#endif  // HWY_ONCE
