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
#include "src/cpu/row_plan.h"
#include "src/cpu/streaming.h"
#include "src/cpu/tasks.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "src/cpu/position.cc"
#include "hwy/foreach_target.h"
#include "src/cpu/position_backward-inl.h"
#include "src/cpu/position_forward-inl.h"

HWY_BEFORE_NAMESPACE();
namespace omninorm::internal::HWY_NAMESPACE {

template <template <class, class, bool> class Direction, class X, class Y, class Plan,
          class Problem>
void run_tiles(const Plan& plan, const Problem& problem, std::int64_t begin, std::int64_t end) {
  const auto all = [&](auto tile) {
    for (std::int64_t i = begin; i < end; ++i) tile(i);
  };
  if (problem.view.center) {
    all(Direction<X, Y, true>{plan, problem});
  } else {
    all(Direction<X, Y, false>{plan, problem});
  }
  if (plan.streams) finish_stream();
}

// Tiles begin .. end-1 of x in dtype x; wide: the other operand is f32.
template <template <class, class, bool> class Direction, class Plan, class Problem>
void run_tiles_of(const Plan& plan, const Problem& problem, bool wide, std::int64_t begin,
                  std::int64_t end) {
  switch (problem.x.dtype) {
    case DType::f32:
      return run_tiles<Direction, float, float>(plan, problem, begin, end);
    case DType::bf16:
      if (wide) return run_tiles<Direction, bfloat16, float>(plan, problem, begin, end);
      return run_tiles<Direction, bfloat16, bfloat16>(plan, problem, begin, end);
    case DType::f16:
      if (wide) return run_tiles<Direction, float16, float>(plan, problem, begin, end);
      return run_tiles<Direction, float16, float16>(plan, problem, begin, end);
    case DType::f64:
      return;  // declined
  }
}

inline void position_forward_tiles(const PositionForwardPlan& plan, const NormForward& problem,
                                   std::int64_t begin, std::int64_t end) {
  run_tiles_of<PositionForward>(plan, problem, problem.y.dtype == DType::f32, begin, end);
}

inline void position_backward_tiles(const PositionBackwardPlan& plan, const NormBackward& problem,
                                    std::int64_t begin, std::int64_t end) {
  run_tiles_of<PositionBackward>(plan, problem, problem.dy.dtype == DType::f32, begin, end);
}

}  // namespace omninorm::internal::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace omninorm::internal {
namespace {

HWY_EXPORT(position_forward_tiles);
HWY_EXPORT(position_backward_tiles);

// What a tile reads is read twice, the second time from the core's own cache (but for thousands of
// channels).
constexpr std::int64_t kTileBytes = 256 * 1024;
// Positions of a tile of few channels, which is read by blocks: what one task has of a plane.
constexpr std::int64_t kNarrowPositions = 1024;
// Forward of planes of up to 64 positions (two blocks of AVX-512) by blocks, of up to so many
// channels (8 x 512 x 7 x 7 in groups of 64, bf16: 51 us, 68 by tiles; backward f32: 155, 107 by
// tiles).
constexpr std::int64_t kTinyPlane = 64, kTinyForward = 128;
constexpr std::int64_t kTaskBytes = 64 * 1024;
// Positions of a tile come in whole cache lines of every dtype.
constexpr std::int64_t kWholeLines = 64;

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

// element_bytes: of all that is read of one element. tiny_channels: how many may be narrow in
// tiny planes, which are one run in memory.
PositionShape shape_of(const NormView& view, std::size_t element_bytes,
                       std::int64_t tiny_channels) {
  PositionShape shape;
  shape.images = view.n_rank == 2 ? view.n_sizes[0] : 1;
  shape.positions = view.n / shape.images;
  shape.groups = view.g;
  shape.channels = view.c;
  shape.narrow =
      view.c <= kFewChannels || (view.c <= tiny_channels && shape.positions <= kTinyPlane);
  const std::int64_t bytes = view.c * static_cast<std::int64_t>(element_bytes);
  if (shape.narrow && shape.positions <= kSmallPlane) {
    const std::int64_t groups =
        std::clamp<std::int64_t>(kTaskBytes / (bytes * shape.positions), 1, kTileGroups);
    shape.groups_per_tile = std::min(shape.groups, groups);
  }
  shape.batches = ceil_div(shape.groups, shape.groups_per_tile);
  const std::int64_t most = shape.narrow
                                ? kNarrowPositions
                                : std::clamp(kTileBytes / bytes, kWholeLines, kMostTilePositions);
  const std::int64_t tiles = ceil_div(shape.positions, most / kWholeLines * kWholeLines);
  shape.per_tile = std::min(shape.positions,
                            ceil_div(ceil_div(shape.positions, tiles), kWholeLines) * kWholeLines);
  shape.tiles = ceil_div(shape.positions, shape.per_tile);
  return shape;
}

std::int64_t tiles_per_task(const PositionShape& shape, std::size_t element_bytes) {
  return kTaskBytes / (shape.per_tile * shape.groups_per_tile * shape.channels *
                       static_cast<std::int64_t>(element_bytes));
}

// Whether an output that is another than `input` goes past the cache: all rows of a
// tile begin on a line where its first does.
bool streams(const PositionShape& shape, const PositionStrides& strides, const void* output,
             const void* input, DType dtype, Traffic traffic, std::size_t operand_bytes) {
  const auto whole = [&](std::int64_t stride) {
    return stride * static_cast<std::int64_t>(size_of(dtype)) % 64 == 0;
  };
  const std::int64_t elements = shape.images * shape.groups * shape.channels * shape.positions;
  return output != input && whole(strides.c) &&
         worth_streaming(traffic, elements * static_cast<std::int64_t>(operand_bytes));
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
  const std::size_t read = size_of(problem.x.dtype);
  plan.shape = shape_of(view, read, kTinyForward);
  plan.x = strides_of(view, problem.x.strides);
  plan.y = strides_of(view, problem.y.strides);
  plan.weight = floats;
  plan.bias = floats + count;
  plan.streams = streams(plan.shape, plan.y, problem.y.data, problem.x.data, problem.y.dtype,
                         Traffic::forward, read + size_of(problem.y.dtype));
  const auto run = HWY_DYNAMIC_DISPATCH(position_forward_tiles);
  for_ranges(executor, plan.shape.all_tiles(), tiles_per_task(plan.shape, read),
             [&](std::int64_t begin, std::int64_t end) { run(plan, problem, begin, end); });
}

std::size_t read_bytes(const NormBackward& problem) {
  return size_of(problem.x.dtype) + size_of(problem.dy.dtype);
}

std::size_t lay_out(PositionBackwardPlan& plan, std::byte* memory) {
  const PositionShape& shape = plan.shape;
  Pieces pieces{memory};
  plan.weight = pieces.take<float>(shape.groups * shape.channels);
  plan.parts = pieces.take<double>(shape.parts() * shape.groups * shape.channels * 2);
  return pieces.used;
}

std::size_t backward_workspace(const NormBackward& problem) {
  PositionBackwardPlan plan;
  plan.shape = shape_of(problem.view, read_bytes(problem), 0);
  return lay_out(plan, nullptr);
}

void write_affine(const NormBackward& problem, const PositionBackwardPlan& plan,
                  Executor& executor) {
  const std::int64_t channels = plan.shape.groups * plan.shape.channels;
  for_ranges(executor, channels, kParameterChannels, [&](std::int64_t begin, std::int64_t end) {
    double sums[kParameterChannels * 2] = {};
    const std::int64_t count = end - begin;
    for (std::int64_t part = 0; part < plan.shape.parts(); ++part) {
      const double* from = plan.parts + (part * channels + begin) * 2;
      for (std::int64_t i = 0; i < count * 2; ++i) sums[i] += from[i];
    }
    const auto store_to = [&](void* to, std::int64_t i, double value) {
      if (to) store(to, problem.dweight_dtype, begin + i, value);
    };
    for (std::int64_t i = 0; i < count; ++i) {
      store_to(problem.dweight, i, sums[2 * i]);
      store_to(problem.dbias, i, sums[2 * i + 1]);
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
  const std::size_t read = read_bytes(problem);
  plan.shape = shape_of(view, read, 0);
  plan.x = strides_of(view, problem.x.strides);
  plan.dy = strides_of(view, problem.dy.strides);
  plan.dx = strides_of(view, problem.dx.strides);
  lay_out(plan, memory);
  prepare(problem.weight, problem.weight_dtype, problem.parameters.weight_offset, 1,
          view.affine_size(), const_cast<float*>(plan.weight));
  plan.streams = streams(plan.shape, plan.dx, problem.dx.data, problem.dy.data, problem.x.dtype,
                         Traffic::backward, read + size_of(problem.x.dtype));
  const auto run = HWY_DYNAMIC_DISPATCH(position_backward_tiles);
  for_ranges(executor, plan.shape.all_tiles(), tiles_per_task(plan.shape, read),
             [&](std::int64_t begin, std::int64_t end) { run(plan, problem, begin, end); });
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
