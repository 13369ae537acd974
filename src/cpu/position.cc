// Norms over channels at each position where positions lie side by side, both directions.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "src/core/element.h"
#include "src/core/kernel_list.h"
#include "src/cpu/channel_plan.h"
#include "src/cpu/position_plan.h"
#include "src/cpu/row_kernels.h"
#include "src/cpu/tasks.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "src/cpu/position.cc"
#include "hwy/foreach_target.h"
#include "src/cpu/position-inl.h"

HWY_BEFORE_NAMESPACE();
namespace omninorm::internal::HWY_NAMESPACE {

template <class X, class Y>
void forward_positions(const PositionForwardPlan& plan, const NormForward& problem,
                       std::int64_t index) {
  if (problem.view.center) return PositionForward<X, Y, true>{plan, problem}.task(index);
  PositionForward<X, Y, false>{plan, problem}.task(index);
}
template <class X, class Y>
void backward_positions(const PositionBackwardPlan& plan, const NormBackward& problem,
                        std::int64_t index) {
  if (problem.view.center) return PositionBackward<X, Y, true>{plan, problem}.task(index);
  PositionBackward<X, Y, false>{plan, problem}.task(index);
}

inline void position_forward_task(const PositionForwardPlan& plan, const NormForward& problem,
                                  std::int64_t index) {
  const bool wide = problem.y.dtype == DType::f32;
  switch (problem.x.dtype) {
    case DType::f32:
      return forward_positions<float, float>(plan, problem, index);
    case DType::bf16:
      if (wide) return forward_positions<bfloat16, float>(plan, problem, index);
      return forward_positions<bfloat16, bfloat16>(plan, problem, index);
    case DType::f16:
      if (wide) return forward_positions<float16, float>(plan, problem, index);
      return forward_positions<float16, float16>(plan, problem, index);
    case DType::f64:
      return;  // declined
  }
}

inline void position_backward_task(const PositionBackwardPlan& plan, const NormBackward& problem,
                                   std::int64_t index) {
  const bool wide = problem.dy.dtype == DType::f32;
  switch (problem.x.dtype) {
    case DType::f32:
      return backward_positions<float, float>(plan, problem, index);
    case DType::bf16:
      if (wide) return backward_positions<bfloat16, float>(plan, problem, index);
      return backward_positions<bfloat16, bfloat16>(plan, problem, index);
    case DType::f16:
      if (wide) return backward_positions<float16, float>(plan, problem, index);
      return backward_positions<float16, float16>(plan, problem, index);
    case DType::f64:
      return;  // declined
  }
}

}  // namespace omninorm::internal::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace omninorm::internal {
namespace {

HWY_EXPORT(position_forward_task);
HWY_EXPORT(position_backward_task);

// Positions of a task: whole cache lines of every channel, and enough work to hand out.
constexpr std::int64_t kPositions = 512;
// Backward's tasks have sums of their own, so they are longer.
constexpr std::int64_t kPositionsWithSums = 2048;

const char* decline_view(const NormView& view, DType x) {
  if (x == DType::f64) return "f64 is computed by the reference";
  if (view.empty()) return "there is nothing to do";
  if (view.pool_n || view.s != 1) return "positions are pooled";
  if (view.c_rank != 1) return "c is several dimensions";
  if (view.n_rank > 2) return "n is more than images and positions";
  if (view.stats_c != view.c) return "partial statistics";
  return nullptr;
}

const char* decline_positions(const NormView& view, const NormStrides& strides) {
  const auto last = static_cast<std::size_t>(view.n_rank - 1);
  return strides.n[last] == 1 ? nullptr : "positions are not contiguous";
}

const char* decline_forward(const NormForward& problem) {
  if (const char* reason = decline_view(problem.view, problem.x.dtype)) return reason;
  if (problem.activation != Activation::none) return "an activation stands behind the norm";
  if (problem.residual.data) return "a residual is added";
  if (problem.variance || problem.y.data == nullptr) return "statistics alone are asked for";
  if (problem.statistics_dtype != DType::f32) return "statistics are asked for in f64";
  if (size_of(problem.x.dtype) == 2 && problem.parameters.cast_policy != CastPolicy::after_weight) {
    return "cast before the weight";
  }
  if (const char* reason = decline_positions(problem.view, problem.x.strides)) return reason;
  return decline_positions(problem.view, problem.y.strides);
}

const char* decline_backward(const NormBackward& problem) {
  if (const char* reason = decline_view(problem.view, problem.x.dtype)) return reason;
  if (problem.activation != Activation::none) return "an activation stands behind the norm";
  if (problem.dsum.data) return "a gradient is added";
  if (problem.statistics_dtype != DType::f32) return "statistics are in f64";
  if (size_of(problem.x.dtype) == 2 && problem.parameters.cast_policy != CastPolicy::after_weight) {
    return "cast before the weight";
  }
  if (const char* reason = decline_positions(problem.view, problem.x.strides)) return reason;
  if (const char* reason = decline_positions(problem.view, problem.dy.strides)) return reason;
  return problem.dx.data ? decline_positions(problem.view, problem.dx.strides) : nullptr;
}

PositionShape shape_of(const NormView& view, std::int64_t per_task) {
  PositionShape shape;
  shape.images = view.n_rank == 2 ? view.n_sizes[0] : 1;
  shape.positions = view.n / shape.images;
  shape.groups = view.g;
  shape.channels = view.c;
  shape.per_task = std::min(per_task, shape.positions);
  shape.tiles = ceil_div(shape.positions, shape.per_task);
  return shape;
}

PositionStrides strides_of(const NormView& view, const NormStrides& strides) {
  return {view.n_rank == 2 ? strides.n[0] : 0, strides.g, strides.c};
}

// weight + offset (ones) and bias (zeros) as fp32.
void prepare(const void* from, DType dtype, double offset, float none, std::int64_t count,
             float* to) {
  for (std::int64_t i = 0; i < count; ++i) {
    to[i] = from ? static_cast<float>(load(from, dtype, i) + offset) : none;
  }
}

std::size_t forward_workspace(const NormForward& problem) {
  return static_cast<std::size_t>(problem.view.affine_size() * 2) * sizeof(float);
}

void run_forward(const NormForward& problem, Executor& executor, std::byte* memory) {
  choose_cpu_target();
  const NormView& view = problem.view;
  auto* floats = reinterpret_cast<float*>(memory);
  const std::int64_t count = view.affine_size();
  prepare(problem.weight, problem.weight_dtype, problem.parameters.weight_offset, 1, count, floats);
  prepare(problem.bias, problem.weight_dtype, 0, 0, count, floats + count);
  PositionForwardPlan plan;
  plan.shape = shape_of(view, kPositions);
  plan.x = strides_of(view, problem.x.strides);
  plan.y = strides_of(view, problem.y.strides);
  plan.weight = floats;
  plan.bias = floats + count;
  const auto task = HWY_DYNAMIC_DISPATCH(position_forward_task);
  executor.parallel_for(plan.shape.tasks(),
                        [&](std::int64_t index) { task(plan, problem, index); });
}

std::size_t lay_out(PositionBackwardPlan& plan, std::byte* memory) {
  const PositionShape& shape = plan.shape;
  Pieces pieces{memory};
  plan.weight = pieces.take<float>(shape.groups * shape.channels);
  plan.lanes =
      pieces.take<float>(shape.tasks() * shape.channels * 2 * PositionBackwardPlan::kLaneFloats);
  plan.parts = pieces.take<double>(shape.tasks() * shape.channels * 2);
  return pieces.used;
}

std::size_t backward_workspace(const NormBackward& problem) {
  PositionBackwardPlan plan;
  plan.shape = shape_of(problem.view, kPositionsWithSums);
  return lay_out(plan, nullptr);
}

void write_affine(const NormBackward& problem, const PositionBackwardPlan& plan,
                  Executor& executor) {
  const PositionShape& shape = plan.shape;
  executor.parallel_for(shape.groups, [&](std::int64_t g) {
    for (std::int64_t c = 0; c < shape.channels; ++c) {
      double dweight = 0, dbias = 0;
      for (std::int64_t image = 0; image < shape.images; ++image) {
        for (std::int64_t tile = 0; tile < shape.tiles; ++tile) {
          const std::int64_t task = (image * shape.groups + g) * shape.tiles + tile;
          dweight += plan.parts[(task * shape.channels + c) * 2];
          dbias += plan.parts[(task * shape.channels + c) * 2 + 1];
        }
      }
      const std::int64_t channel = g * shape.channels + c;
      if (problem.dweight) store(problem.dweight, problem.dweight_dtype, channel, dweight);
      if (problem.dbias) store(problem.dbias, problem.dweight_dtype, channel, dbias);
    }
  });
}

void run_backward(const NormBackward& problem, Executor& executor, std::byte* memory) {
  if (!statistics_in_range(problem)) {
    return reference_backward.run(problem, serial_executor(), nullptr);
  }
  choose_cpu_target();
  const NormView& view = problem.view;
  PositionBackwardPlan plan;
  plan.shape = shape_of(view, kPositionsWithSums);
  plan.x = strides_of(view, problem.x.strides);
  plan.dy = strides_of(view, problem.dy.strides);
  plan.dx = strides_of(view, problem.dx.strides);
  lay_out(plan, memory);
  prepare(problem.weight, problem.weight_dtype, problem.parameters.weight_offset, 1,
          view.affine_size(), const_cast<float*>(plan.weight));
  const auto task = HWY_DYNAMIC_DISPATCH(position_backward_task);
  executor.parallel_for(plan.shape.tasks(),
                        [&](std::int64_t index) { task(plan, problem, index); });
  if (problem.dweight || problem.dbias) write_affine(problem, plan, executor);
}

}  // namespace

void reference_position(const NormForward& problem, const PositionForwardPlan& plan,
                        std::int64_t image, std::int64_t g, std::int64_t position) {
  NormForward part = problem;
  const std::int64_t channel = g * plan.shape.channels;
  const std::int64_t index = (image * plan.shape.positions + position) * plan.shape.groups + g;
  part.x.data = advanced(part.x.data, part.x.dtype, plan.x.offset(image, g, position));
  part.y.data = advanced(part.y.data, part.y.dtype, plan.y.offset(image, g, position));
  part.weight = advanced(part.weight, part.weight_dtype, channel);
  part.bias = advanced(part.bias, part.weight_dtype, channel);
  part.mean = advanced(part.mean, DType::f32, index);
  part.rstd = advanced(part.rstd, DType::f32, index);
  part.view.g = part.view.n = 1;
  part.view.n_rank = 1;
  part.view.n_sizes[0] = 1;
  reference_forward.run(part, serial_executor(), nullptr);
}

const Kernel<NormForward> cpu_position_forward = {"position", decline_forward, forward_workspace,
                                                  run_forward};
const Kernel<NormBackward> cpu_position_backward = {"position", decline_backward,
                                                    backward_workspace, run_backward};

}  // namespace omninorm::internal
#endif  // HWY_ONCE
