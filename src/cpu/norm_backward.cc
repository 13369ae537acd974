#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "src/core/kernel_list.h"
#include "src/cpu/row_kernels.h"
#include "src/cpu/row_plan.h"
#include "src/cpu/streaming.h"
#include "src/cpu/tasks.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "src/cpu/norm_backward.cc"
#include "hwy/foreach_target.h"
#include "src/cpu/norm_backward-inl.h"

#if HWY_ONCE
namespace omninorm::internal {
namespace {

HWY_EXPORT(prepare_affine);
HWY_EXPORT(affine_in_place);
HWY_EXPORT(backward_task);
HWY_EXPORT(add_blocks_task);

// A block of rows has sums for dweight and dbias of its own: at most kMaxBlocks, so that adding
// them up stays cheap, of at least kMinRows rows, so that writing the sums costs little beside
// reading the rows.
constexpr std::int64_t kMaxBlocks = 64;
constexpr std::int64_t kMinRows = 32;
// Tasks without sums, and tasks that add up blocks, have about this many bytes.
constexpr std::int64_t kTaskBytes = 64 * 1024;

const char* decline_options(const NormBackward& problem) {
  if (problem.activation != Activation::none) return "an activation stands behind the norm";
  if (problem.given_mean || problem.given_sum_dy) return "statistics or sums are given";
  const bool wide = problem.dweight_dtype == DType::f64 && problem.x.dtype != DType::f64;
  return wide ? "sums are asked for in f64" : nullptr;
}

const char* decline(const NormBackward& problem) {
  if (const char* reason = decline_options(problem)) return reason;
  if (const char* reason = decline_rows(problem.view, problem.x.dtype)) return reason;
  if (const char* reason = decline_operand(problem.view, problem.x.strides)) return reason;
  if (const char* reason = decline_operand(problem.view, problem.dy.strides)) return reason;
  if (problem.dsum.data) {
    if (const char* reason = decline_operand(problem.view, problem.dsum.strides)) return reason;
  }
  return problem.dx.data ? decline_operand(problem.view, problem.dx.strides) : nullptr;
}

// Rows to a block when sums are wanted; a multiple of the rows that a pass takes together.
std::int64_t rows_per_block(const NormView& view) {
  const std::int64_t blocks = std::clamp<std::int64_t>(view.n / kMinRows, 1, kMaxBlocks);
  return ceil_div(ceil_div(view.n, blocks), 4) * 4;
}

std::int64_t affine_floats(const NormView& view) { return view.g * padded(view.c); }

// Prepared weights, then the blocks' sums; as if all outputs were wanted.
std::size_t workspace(const NormBackward& problem) {
  const NormView& view = problem.view;
  const std::int64_t rows = rows_per_block(view);
  const std::int64_t levels = rows > kRowsPerFine ? 2 : 1;
  const std::int64_t sums = ceil_div(view.n, rows) * levels * 2;
  return static_cast<std::size_t>((1 + sums) * affine_floats(view)) * sizeof(float);
}

void prepare_weight(BackwardPlan& plan, float* memory) {
  const NormBackward& problem = *plan.problem;
  const NormView& view = problem.view;
  const auto c = static_cast<std::size_t>(view.c);
  const auto offset = static_cast<float>(problem.parameters.weight_offset);
  const DType x = problem.x.dtype;
  if (problem.weight && HWY_DYNAMIC_DISPATCH(affine_in_place)(x, problem.weight_dtype, c, offset)) {
    plan.weight = static_cast<const float*>(problem.weight);
    plan.affine_stride = view.c;
    return;
  }
  plan.weight = memory;
  plan.affine_stride = padded(view.c);
  for (std::int64_t g = 0; g < view.g; ++g) {
    const void* from = nullptr;
    if (problem.weight) {
      from = static_cast<const std::byte*>(problem.weight) +
             static_cast<std::size_t>(g * view.c) * size_of(problem.weight_dtype);
    }
    HWY_DYNAMIC_DISPATCH(prepare_affine)
    (x, problem.weight_dtype, from, c, offset, memory + g * plan.affine_stride);
  }
}

void plan_blocks(BackwardPlan& plan, float* memory) {
  const NormBackward& problem = *plan.problem;
  const NormView& view = problem.view;
  if (problem.dweight == nullptr && problem.dbias == nullptr) {
    const auto element_bytes =
        static_cast<std::int64_t>(2 * size_of(problem.x.dtype) + size_of(problem.dy.dtype));
    plan.rows_per_block =
        std::max<std::int64_t>(1, kTaskBytes / (affine_floats(view) * element_bytes) / 4) * 4;
    plan.blocks = ceil_div(view.n, plan.rows_per_block);
    return;
  }
  plan.rows_per_block = rows_per_block(view);
  plan.blocks = ceil_div(view.n, plan.rows_per_block);
  // dweight alone has a path of its own (rms_norm); anything rarer computes both.
  plan.arrays = problem.dbias || problem.dx.data == nullptr ? 2 : 1;
  plan.partial = memory;
  if (plan.rows_per_block > kRowsPerFine) {
    plan.coarse = memory + plan.blocks * plan.arrays * affine_floats(view);
  }
}

// Adds the blocks' sums in parallel over columns; a column's order of additions is that of blocks.
void add_blocks(const BackwardPlan& plan, Executor& executor) {
  const NormBackward& problem = *plan.problem;
  const std::int64_t columns = padded(problem.view.c);
  const auto tiles = std::max<std::int64_t>(
      1, kTaskBytes / (plan.blocks * plan.arrays * kColumnPad * static_cast<std::int64_t>(4)));
  const std::int64_t columns_per_task = std::min(columns, tiles * kColumnPad);
  const std::int64_t tasks_per_group = ceil_div(columns, columns_per_task);
  const auto task = HWY_DYNAMIC_DISPATCH(add_blocks_task);
  executor.parallel_for(problem.view.g * tasks_per_group, [&](std::int64_t index) {
    const std::int64_t g = index / tasks_per_group;
    const std::int64_t begin = index % tasks_per_group * columns_per_task;
    const std::int64_t end = std::min(begin + columns_per_task, problem.view.c);
    if (begin >= end) return;
    const auto add = [&](int which, void* to) {
      if (to == nullptr) return;
      task(plan, which, g, static_cast<std::size_t>(begin), static_cast<std::size_t>(end), to);
    };
    add(0, problem.dweight);
    add(1, problem.dbias);
  });
}

void run(const NormBackward& problem, Executor& executor, std::byte* memory) {
  choose_cpu_target();
  BackwardPlan plan;
  plan.problem = &problem;
  auto* floats = reinterpret_cast<float*>(memory);
  prepare_weight(plan, floats);
  plan_blocks(plan, floats + affine_floats(problem.view));
  if (plan.arrays == 0 && problem.dx.data == nullptr) return;
  const auto element_bytes =
      static_cast<std::int64_t>(2 * size_of(problem.x.dtype) + size_of(problem.dy.dtype));
  plan.streams = problem.dx.data != problem.dy.data && problem.dx.data != problem.dsum.data &&
                 worth_streaming(Traffic::backward,
                                 problem.view.n * problem.view.g * problem.view.c * element_bytes);
  const auto task = HWY_DYNAMIC_DISPATCH(backward_task);
  executor.parallel_for(plan.blocks, [&](std::int64_t block) { task(plan, block); });
  if (plan.arrays > 0) add_blocks(plan, executor);
}

}  // namespace

const Kernel<NormBackward> cpu_row_backward = {"row", decline, workspace, run};

}  // namespace omninorm::internal
#endif  // HWY_ONCE
