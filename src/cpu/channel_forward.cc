// Forward of the norms that pool positions, in planes and in columns: sets of statistics whose data
// one task can hold are finished in one go, others in three steps (moments, parameters, y).
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>

#include "src/core/kernel_list.h"
#include "src/cpu/channel_plan.h"
#include "src/cpu/row_kernels.h"
#include "src/cpu/row_plan.h"
#include "src/cpu/streaming.h"
#include "src/cpu/tasks.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "src/cpu/channel_forward.cc"
#include "hwy/foreach_target.h"
#include "src/cpu/channel_types-inl.h"
#include "src/cpu/column_forward-inl.h"
#include "src/cpu/plane_forward-inl.h"

HWY_BEFORE_NAMESPACE();
namespace omninorm::internal::HWY_NAMESPACE {

inline void plane_whole_sets(const ChannelForwardPlan& plan, std::int64_t begin, std::int64_t end) {
  with_types(plan.problem->x.dtype, plan.problem->y.dtype, plan.problem->activation,
             [&](auto x, auto y, auto activation) {
               PlaneForward<decltype(x), decltype(y), activation.value>(plan).whole_sets(begin,
                                                                                         end);
             });
  if (plan.streams) finish_stream();
}

// Moments of planes, or of tiles of columns; y without an activation stands for any.
template <class X>
void moments_of(const ChannelForwardPlan& plan, std::int64_t begin, std::int64_t end) {
  if (plan.shape.layout == ChannelLayout::plane) {
    return PlaneForward<X, X, Activation::none>(plan).moments(begin, end);
  }
  const ColumnForward<X, X, Activation::none> columns(plan);
  for (std::int64_t u = begin; u < end; ++u) columns.moments(u);
}
inline void channel_moments(const ChannelForwardPlan& plan, std::int64_t begin, std::int64_t end) {
  switch (plan.problem->x.dtype) {
    case DType::f32:
      return moments_of<float>(plan, begin, end);
    case DType::bf16:
      return moments_of<bfloat16>(plan, begin, end);
    case DType::f16:
      return moments_of<float16>(plan, begin, end);
    case DType::f64:
      return;  // declined
  }
}

inline void channel_apply(const ChannelForwardPlan& plan, std::int64_t begin, std::int64_t end) {
  with_types(plan.problem->x.dtype, plan.problem->y.dtype, plan.problem->activation,
             [&](auto x, auto y, auto activation) {
               using X = decltype(x);
               using Y = decltype(y);
               if (plan.shape.layout == ChannelLayout::plane) {
                 PlaneForward<X, Y, activation.value>(plan).apply(begin, end);
               } else {
                 const ColumnForward<X, Y, activation.value> columns(plan);
                 for (std::int64_t u = begin; u < end; ++u) columns.apply(u);
               }
             });
  if (plan.streams) finish_stream();
}

}  // namespace omninorm::internal::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace omninorm::internal {
namespace {

HWY_EXPORT(plane_whole_sets);
HWY_EXPORT(channel_moments);
HWY_EXPORT(channel_apply);
HWY_EXPORT(finish_sets);

constexpr std::int64_t kTaskBytes = 64 * 1024;

template <ChannelLayout L>
const char* decline(const NormForward& problem) {
  const NormView& view = problem.view;
  if (const char* reason = decline_channels(view, L, problem.x.dtype)) return reason;
  if (problem.residual.data) return "a residual is added";
  if (size_of(problem.x.dtype) == 2 && problem.parameters.cast_policy != CastPolicy::after_weight) {
    return "cast before the weight";
  }
  if (const char* reason = decline_channel_operand(view, L, problem.x.strides)) return reason;
  return problem.y.data ? decline_channel_operand(view, L, problem.y.strides) : nullptr;
}

ChannelShape shape_of(const NormForward& problem, ChannelLayout layout) {
  return channel_shape(problem.view, layout, size_of(problem.x.dtype));
}

bool whole_sets(const NormForward& problem, const ChannelShape& shape) {
  return shape.layout == ChannelLayout::plane && !shape.pool_n && problem.given_mean == nullptr;
}

std::size_t lay_out(ChannelForwardPlan& plan, std::byte* memory) {
  const ChannelShape& shape = plan.shape;
  Pieces pieces{memory};
  if (whole_sets(*plan.problem, shape)) return 0;
  const std::int64_t parts = shape.block_sets() * shape.parts_per_set() * shape.channels;
  plan.part_mean = pieces.take<double>(parts);
  plan.part_m2 = pieces.take<double>(parts);
  const std::int64_t parameters = shape.parameter_images() * padded(shape.channels);
  plan.shift = pieces.take<float>(parameters);
  plan.scale = pieces.take<float>(parameters);
  plan.offset = pieces.take<float>(parameters);
  plan.extreme = pieces.take<unsigned char>(shape.parameter_images() * shape.sets_per_image());
  return pieces.used;
}

template <ChannelLayout L>
std::size_t workspace(const NormForward& problem) {
  ChannelForwardPlan plan;
  plan.problem = &problem;
  plan.shape = shape_of(problem, L);
  return lay_out(plan, nullptr);
}

// y of units begin .. end-1, whose sets are all of [first, last).
void apply_units(const ChannelForwardPlan& plan, std::int64_t first, std::int64_t last,
                 const std::function<void()>& apply) {
  const NormForward& problem = *plan.problem;
  const std::int64_t groups = plan.shape.sets_per_image();
  const bool extreme =
      std::find(plan.extreme + first, plan.extreme + last, 1) != plan.extreme + last;
  // In place, what the kernel writes is gone for the reference.
  const bool in_place = extreme && problem.y.data == problem.x.data;
  if (problem.y.data != nullptr && !in_place) apply();
  for (std::int64_t i = first; extreme && i < last; ++i) {
    if (!plan.extreme[i] && !in_place) continue;
    // A variance of 0 may be one that fp32 lost, but seldom is.
    const bool right = problem.y.data == nullptr && all_alike(problem, i / groups, i % groups);
    if (!right) reference_set(problem, i / groups, i % groups);
  }
}

// Columns of images that a core's cache holds: moments, parameters and y of one after another.
void run_images(const ChannelForwardPlan& plan, Executor& executor) {
  const ChannelShape& shape = plan.shape;
  const std::int64_t groups = shape.sets_per_image();
  const auto moments = HWY_DYNAMIC_DISPATCH(channel_moments);
  const auto finish = HWY_DYNAMIC_DISPATCH(finish_sets);
  const auto apply = HWY_DYNAMIC_DISPATCH(channel_apply);
  executor.parallel_for(shape.images, [&](std::int64_t image) {
    const std::int64_t units = shape.blocks * shape.tiles;
    const std::int64_t begin = image * units, end = begin + units;
    moments(plan, begin, end);
    finish(plan, image, 0, groups);
    apply_units(plan, image * groups, (image + 1) * groups, [&] { apply(plan, begin, end); });
  });
}

// The same for what some channels have in all images.
void run_channels(const ChannelForwardPlan& plan, Executor& executor, std::int64_t together) {
  const ChannelShape& shape = plan.shape;
  const auto moments = HWY_DYNAMIC_DISPATCH(channel_moments);
  const auto finish = HWY_DYNAMIC_DISPATCH(finish_sets);
  const auto apply = HWY_DYNAMIC_DISPATCH(channel_apply);
  for_ranges(executor, shape.units_per_part(), together, [&](std::int64_t begin, std::int64_t end) {
    const auto [first, last] = shape.channels_of_units(begin, end);
    in_parts(shape, begin, end,
             [&](std::int64_t from, std::int64_t to) { moments(plan, from, to); });
    finish(plan, 0, first, last);
    apply_units(plan, first, last, [&] {
      in_parts(shape, begin, end,
               [&](std::int64_t from, std::int64_t to) { apply(plan, from, to); });
    });
  });
}

void run_steps(const ChannelForwardPlan& plan, Executor& executor) {
  const NormForward& problem = *plan.problem;
  const ChannelShape& shape = plan.shape;
  const bool planes = shape.layout == ChannelLayout::plane;
  const std::int64_t bytes = shape.positions * static_cast<std::int64_t>(size_of(problem.x.dtype));
  const std::int64_t units = shape.block_sets() * shape.parts_per_set() * shape.units_per_part();
  const auto in_tasks = [&](auto task) {
    for_ranges(executor, units, planes ? kTaskBytes / bytes : 1,
               [&](std::int64_t begin, std::int64_t end) { task(plan, begin, end); });
  };
  if (problem.given_mean == nullptr) in_tasks(HWY_DYNAMIC_DISPATCH(channel_moments));
  const std::int64_t groups = shape.sets_per_image();
  const std::int64_t groups_per_task = std::max<std::int64_t>(1, kParameterChannels / shape.group);
  const std::int64_t tasks = ceil_div(groups, groups_per_task);
  const auto finish = HWY_DYNAMIC_DISPATCH(finish_sets);
  executor.parallel_for(shape.parameter_images() * tasks, [&](std::int64_t index) {
    const std::int64_t begin = index % tasks * groups_per_task;
    finish(plan, index / tasks, begin, std::min(groups, begin + groups_per_task));
  });
  apply_units(plan, 0, shape.parameter_images() * groups,
              [&] { in_tasks(HWY_DYNAMIC_DISPATCH(channel_apply)); });
}

template <ChannelLayout L>
void run(const NormForward& problem, Executor& executor, std::byte* memory) {
  choose_cpu_target();
  ChannelForwardPlan plan;
  plan.problem = &problem;
  plan.shape = shape_of(problem, L);
  const ChannelShape& shape = plan.shape;
  const std::int64_t elements = shape.images * shape.channels * shape.positions;
  const bool images = fits_cache(shape, size_of(problem.x.dtype)) && problem.given_mean == nullptr;
  const bool whole = whole_sets(problem, shape);
  const std::int64_t together =
      problem.given_mean == nullptr ? units_together(shape, size_of(problem.x.dtype)) : 0;
  // Evaluation reads x once, too.
  const bool once = images || whole || together > 0 || problem.given_mean != nullptr;
  plan.streams = problem.y.data != problem.x.data &&
                 worth_streaming(once ? Traffic::forward : Traffic::steps,
                                 elements * static_cast<std::int64_t>(size_of(problem.x.dtype) +
                                                                      size_of(problem.y.dtype)));
  // What is read next: the set after this one, as far as L2 may hold it, else the next plane.
  constexpr std::int64_t kAhead = 256 * 1024;
  const std::int64_t set = shape.group * shape.positions;
  const bool fetch_set =
      !shape.pool_n && set * static_cast<std::int64_t>(size_of(problem.x.dtype)) <= kAhead;
  plan.ahead = static_cast<std::size_t>(fetch_set ? set : shape.positions);
  lay_out(plan, memory);
  if (images) return run_images(plan, executor);
  if (together > 0) return run_channels(plan, executor, together);
  if (!whole) return run_steps(plan, executor);
  const std::int64_t sets = shape.images * shape.sets_per_image();
  const std::int64_t set_bytes =
      shape.group * shape.positions * static_cast<std::int64_t>(size_of(problem.x.dtype));
  const auto task = HWY_DYNAMIC_DISPATCH(plane_whole_sets);
  for_ranges(executor, sets, kTaskBytes / set_bytes,
             [&](std::int64_t begin, std::int64_t end) { task(plan, begin, end); });
}

}  // namespace

const Kernel<NormForward> cpu_plane_forward = {"plane", decline<ChannelLayout::plane>,
                                               workspace<ChannelLayout::plane>,
                                               run<ChannelLayout::plane>};
const Kernel<NormForward> cpu_column_forward = {"column", decline<ChannelLayout::column>,
                                                workspace<ChannelLayout::column>,
                                                run<ChannelLayout::column>};

}  // namespace omninorm::internal
#endif  // HWY_ONCE
