// Backward of the norms that pool positions, in planes and in columns: sums of dy and dy * (x -
// mean) for each channel, then dx; dweight and dbias are those sums, over all images.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "src/core/kernel_list.h"
#include "src/cpu/channel_plan.h"
#include "src/cpu/row_kernels.h"
#include "src/cpu/row_plan.h"
#include "src/cpu/streaming.h"
#include "src/cpu/tasks.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "src/cpu/channel_backward.cc"
#include "hwy/foreach_target.h"
#include "src/cpu/channel_types-inl.h"
#include "src/cpu/column_backward-inl.h"
#include "src/cpu/plane_backward-inl.h"

HWY_BEFORE_NAMESPACE();
namespace omninorm::internal::HWY_NAMESPACE {

inline void plane_gradients(const ChannelBackwardPlan& plan, std::int64_t begin, std::int64_t end) {
  with_types(plan.problem->x.dtype, plan.problem->dy.dtype, plan.problem->activation,
             [&](auto x, auto dy, auto activation) {
               PlaneBackward<decltype(x), decltype(dy), activation.value>(plan).whole_sets(begin,
                                                                                           end);
             });
  if (plan.streams) finish_stream();
}

// Calls step(kernel) with that of the layout and the types.
template <class Step>
void with_kernel(const ChannelBackwardPlan& plan, const Step& step) {
  with_types(plan.problem->x.dtype, plan.problem->dy.dtype, plan.problem->activation,
             [&](auto x, auto dy, auto activation) {
               using X = decltype(x);
               using Y = decltype(dy);
               if (plan.shape.layout == ChannelLayout::plane) {
                 step(PlaneBackward<X, Y, activation.value>(plan));
               } else {
                 step(ColumnBackward<X, Y, activation.value>(plan));
               }
             });
}

inline void channel_sums(const ChannelBackwardPlan& plan, std::int64_t begin, std::int64_t end) {
  with_kernel(plan, [&](const auto& kernel) { kernel.sums(begin, end); });
}

inline void channel_sums_and_gradients(const ChannelBackwardPlan& plan, std::int64_t begin,
                                       std::int64_t end) {
  with_kernel(plan, [&](const auto& kernel) { kernel.sums_and_dx(begin, end); });
  if (plan.streams) finish_stream();
}

inline void channel_gradients(const ChannelBackwardPlan& plan, std::int64_t begin,
                              std::int64_t end) {
  with_kernel(plan, [&](const auto& kernel) { kernel.apply(begin, end); });
  if (plan.streams) finish_stream();
}

}  // namespace omninorm::internal::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace omninorm::internal {
namespace {

HWY_EXPORT(plane_gradients);
HWY_EXPORT(channel_sums);
HWY_EXPORT(channel_sums_and_gradients);
HWY_EXPORT(channel_gradients);
HWY_EXPORT(prepare_arguments);
HWY_EXPORT(finish_sums);
HWY_EXPORT(write_affine_gradients);

constexpr std::int64_t kTaskBytes = 64 * 1024;

template <ChannelLayout L>
const char* decline(const NormBackward& problem) {
  const NormView& view = problem.view;
  if (const char* reason = decline_channels(view, L, problem.x.dtype)) return reason;
  if (problem.dsum.data) return "a gradient is added";
  if (size_of(problem.x.dtype) == 2 && problem.parameters.cast_policy != CastPolicy::after_weight) {
    return "cast before the weight";
  }
  if (const char* reason = decline_channel_operand(view, L, problem.x.strides)) return reason;
  if (const char* reason = decline_channel_operand(view, L, problem.dy.strides)) return reason;
  return problem.dx.data ? decline_channel_operand(view, L, problem.dx.strides) : nullptr;
}

bool wants_affine(const NormBackward& problem) { return problem.dweight || problem.dbias; }

// Sums are not needed where dx does without them and nobody asks for them.
bool wants_sums(const NormBackward& problem) {
  const bool own = problem.given_mean == nullptr && problem.given_sum_dy == nullptr;
  return wants_affine(problem) || (own && problem.dx.data != nullptr);
}

// Evaluation's dx does not hang on the sums: one pass makes both.
bool sums_beside_dx(const NormBackward& problem) {
  return problem.given_mean != nullptr && wants_affine(problem) && problem.dx.data != nullptr;
}

// One task finishes a set: sums, then dx while x and dy are in cache.
bool whole_sets(const ChannelBackwardPlan& plan) {
  return plan.shape.layout == ChannelLayout::plane && !plan.shape.pool_n;
}

std::size_t lay_out(ChannelBackwardPlan& plan, std::byte* memory) {
  const ChannelShape& shape = plan.shape;
  Pieces pieces{memory};
  const std::int64_t parts = shape.block_sets() * shape.parts_per_set() * shape.channels;
  plan.part_dy = pieces.take<double>(parts);
  plan.part_dy_x = pieces.take<double>(parts);
  if (whole_sets(plan)) return pieces.used;
  const std::int64_t parameters = shape.parameter_images() * padded(shape.channels);
  for (float** piece : {&plan.mean, &plan.scale, &plan.offset, &plan.x_scale, &plan.constant}) {
    *piece = pieces.take<float>(parameters);
  }
  return pieces.used;
}

template <ChannelLayout L>
ChannelBackwardPlan plan_of(const NormBackward& problem) {
  ChannelBackwardPlan plan;
  plan.problem = &problem;
  plan.shape = channel_shape(problem.view, L, size_of(problem.x.dtype) + size_of(problem.dy.dtype));
  return plan;
}

template <ChannelLayout L>
std::size_t workspace(const NormBackward& problem) {
  ChannelBackwardPlan plan = plan_of<L>(problem);
  return lay_out(plan, nullptr);
}

// Calls step(image, begin, end) for runs of groups, in parallel.
template <class Step>
void for_groups(const ChannelShape& shape, Executor& executor, const Step& step) {
  const std::int64_t groups = shape.sets_per_image();
  const std::int64_t per_task = std::max<std::int64_t>(1, kParameterChannels / shape.group);
  const std::int64_t tasks = ceil_div(groups, per_task);
  executor.parallel_for(shape.parameter_images() * tasks, [&](std::int64_t index) {
    const std::int64_t begin = index % tasks * per_task;
    step(index / tasks, begin, std::min(groups, begin + per_task));
  });
}

// dweight and dbias of channels first .. last-1 from the sums of all images.
void write_affine(const ChannelBackwardPlan& plan, Executor& executor, std::int64_t first,
                  std::int64_t last) {
  const auto write = HWY_DYNAMIC_DISPATCH(write_affine_gradients);
  for_ranges(executor, last - first, kParameterChannels, [&](std::int64_t begin, std::int64_t end) {
    write(plan, first + begin, first + end);
  });
}
void write_affine(const ChannelBackwardPlan& plan, Executor& executor) {
  write_affine(plan, executor, 0, plan.shape.channels);
}

// Columns of images that a core's cache holds: all steps of one after another.
void run_images(const ChannelBackwardPlan& plan, Executor& executor) {
  const ChannelShape& shape = plan.shape;
  const std::int64_t groups = shape.sets_per_image();
  const auto sums = HWY_DYNAMIC_DISPATCH(channel_sums);
  const auto gradients = HWY_DYNAMIC_DISPATCH(channel_gradients);
  const auto prepare = HWY_DYNAMIC_DISPATCH(prepare_arguments);
  const auto finish = HWY_DYNAMIC_DISPATCH(finish_sums);
  executor.parallel_for(shape.images, [&](std::int64_t image) {
    const std::int64_t units = shape.blocks * shape.tiles;
    const std::int64_t begin = image * units, end = begin + units;
    prepare(plan, image, 0, groups);
    sums(plan, begin, end);
    finish(plan, image, 0, groups);
    if (plan.problem->dx.data) gradients(plan, begin, end);
  });
  if (wants_affine(*plan.problem)) write_affine(plan, executor);
}

// The same for what some channels have in all images.
void run_channels(const ChannelBackwardPlan& plan, Executor& executor, std::int64_t together) {
  const ChannelShape& shape = plan.shape;
  const auto sums = HWY_DYNAMIC_DISPATCH(channel_sums);
  const auto gradients = HWY_DYNAMIC_DISPATCH(channel_gradients);
  const auto prepare = HWY_DYNAMIC_DISPATCH(prepare_arguments);
  const auto finish = HWY_DYNAMIC_DISPATCH(finish_sums);
  for_ranges(executor, shape.units_per_part(), together, [&](std::int64_t begin, std::int64_t end) {
    const auto [first, last] = shape.channels_of_units(begin, end);
    prepare(plan, 0, first, last);
    in_parts(shape, begin, end, [&](std::int64_t from, std::int64_t to) { sums(plan, from, to); });
    finish(plan, 0, first, last);
    if (wants_affine(*plan.problem)) write_affine(plan, serial_executor(), first, last);
    if (plan.problem->dx.data == nullptr) return;
    in_parts(shape, begin, end,
             [&](std::int64_t from, std::int64_t to) { gradients(plan, from, to); });
  });
}

void run_steps(const ChannelBackwardPlan& plan, Executor& executor) {
  const auto prepare = HWY_DYNAMIC_DISPATCH(prepare_arguments);
  const auto finish = HWY_DYNAMIC_DISPATCH(finish_sums);
  const ChannelShape& shape = plan.shape;
  const bool planes = shape.layout == ChannelLayout::plane;
  const auto element = static_cast<std::int64_t>(size_of(plan.problem->x.dtype));
  const std::int64_t units = shape.block_sets() * shape.parts_per_set() * shape.units_per_part();
  const auto in_tasks = [&](auto task) {
    for_ranges(executor, units, planes ? kTaskBytes / (shape.positions * element) : 1,
               [&](std::int64_t begin, std::int64_t end) { task(plan, begin, end); });
  };
  for_groups(shape, executor, [&](std::int64_t image, std::int64_t begin, std::int64_t end) {
    prepare(plan, image, begin, end);
  });
  const bool beside_dx = sums_beside_dx(*plan.problem);
  if (beside_dx) {
    in_tasks(HWY_DYNAMIC_DISPATCH(channel_sums_and_gradients));
  } else if (plan.wants_sums) {
    in_tasks(HWY_DYNAMIC_DISPATCH(channel_sums));
  }
  for_groups(shape, executor, [&](std::int64_t image, std::int64_t begin, std::int64_t end) {
    finish(plan, image, begin, end);
  });
  if (wants_affine(*plan.problem)) write_affine(plan, executor);
  if (plan.problem->dx.data && !beside_dx) in_tasks(HWY_DYNAMIC_DISPATCH(channel_gradients));
}

template <ChannelLayout L>
void run(const NormBackward& problem, Executor& executor, std::byte* memory) {
  if (!statistics_in_range(problem)) {
    return reference_backward.run(problem, serial_executor(), nullptr);
  }
  choose_cpu_target();
  ChannelBackwardPlan plan = plan_of<L>(problem);
  const ChannelShape& shape = plan.shape;
  plan.wants_sums = wants_sums(problem);
  lay_out(plan, memory);
  const std::int64_t elements = shape.images * shape.channels * shape.positions;
  const auto element =
      static_cast<std::int64_t>(2 * size_of(problem.x.dtype) + size_of(problem.dy.dtype));
  const bool one_pass = !plan.wants_sums || sums_beside_dx(problem);
  const std::size_t read = size_of(problem.x.dtype) + size_of(problem.dy.dtype);
  const bool images = !one_pass && fits_cache(shape, read);
  const std::int64_t together = one_pass ? 0 : units_together(shape, read);
  const bool once = images || together > 0 || whole_sets(plan) || one_pass;
  plan.streams = problem.dx.data != problem.dy.data &&
                 worth_streaming(once ? Traffic::backward : Traffic::steps, elements * element);
  if (images) return run_images(plan, executor);
  if (together > 0) return run_channels(plan, executor, together);
  if (!whole_sets(plan)) return run_steps(plan, executor);
  const std::int64_t sets = shape.images * shape.sets_per_image();
  const std::int64_t set_bytes = shape.group * shape.positions * element;
  const auto task = HWY_DYNAMIC_DISPATCH(plane_gradients);
  for_ranges(executor, sets, kTaskBytes / set_bytes,
             [&](std::int64_t begin, std::int64_t end) { task(plan, begin, end); });
  if (wants_affine(problem)) write_affine(plan, executor);
}

}  // namespace

const Kernel<NormBackward> cpu_plane_backward = {"plane", decline<ChannelLayout::plane>,
                                                 workspace<ChannelLayout::plane>,
                                                 run<ChannelLayout::plane>};
const Kernel<NormBackward> cpu_column_backward = {"column", decline<ChannelLayout::column>,
                                                  workspace<ChannelLayout::column>,
                                                  run<ChannelLayout::column>};

}  // namespace omninorm::internal
#endif  // HWY_ONCE
