#include "bench/view.h"

#include <algorithm>

#include "bench/ops.h"

namespace omninorm::bench {
namespace {

constexpr std::size_t kLine = 64;

}  // namespace

View view_of(const Op& op, const Cell& cell) {
  const auto& sizes = cell.shape.sizes;
  View view;
  view.n = sizes[0];
  view.s = 1;
  for (std::size_t i = 2; i < sizes.size(); ++i) view.s *= sizes[i];
  const std::int64_t channels = sizes[1];
  switch (op.grouping) {
    case Grouping::whole:
      view.c = channels;
      break;
    case Grouping::groups:
      view.c = cell.group_channels;
      break;
    case Grouping::channels:
      view.c = 1;
      break;
  }
  view.g = channels / view.c;
  view.stride_n = channels * view.s;
  view.stride_channel = cell.layout == Layout::nchw ? view.s : 1;
  view.stride_s = cell.layout == Layout::nchw ? 1 : channels;
  view.pool_n = op.pool_n;
  view.pool_s = op.pool_s;
  return view;
}

std::vector<std::int64_t> strides(const Cell& cell) {
  const auto& sizes = cell.shape.sizes;
  std::vector<std::int64_t> result(sizes.size());
  std::int64_t next = cell.layout == Layout::nhwc ? sizes[1] : 1;
  for (std::size_t i = sizes.size() - 1; i >= 2; --i) {
    result[i] = next;
    next *= sizes[i];
  }
  if (cell.layout == Layout::nhwc) {
    result[1] = 1;
    result[0] = next;
  } else {
    result[1] = next;
    result[0] = next * sizes[1];
  }
  return result;
}

std::size_t operand_bytes(const Cell& cell) {
  return static_cast<std::size_t>(cell.shape.elements()) * size_of(cell.dtype);
}

std::size_t footprint(const View& view, DType dtype) {
  // The set is runs of neighbouring elements.
  std::int64_t run = view.c, runs = view.pool_n ? view.n : 1;
  if (view.stride_channel == 1) {
    if (view.pool_s) runs *= view.s;
  } else if (view.pool_s) {
    run *= view.s;
  } else {
    runs *= run;
    run = 1;
  }
  return static_cast<std::size_t>(runs) *
         std::max(kLine, static_cast<std::size_t>(run) * size_of(dtype));
}

std::size_t moved_bytes(const Cell& cell, std::size_t private_cache) {
  const Op& op = find_op(cell.op);
  const bool forward = cell.direction == Direction::forward;
  // What is read for a statistic: x, or the sum; backward dy too.
  const std::size_t read_for_statistics = forward ? 1 : 2;
  const std::size_t needed = footprint(view_of(op, cell), cell.dtype) * read_for_statistics;
  std::size_t operands = forward ? 2 : 3;
  if (!op.residual.empty()) operands += forward ? 2 : 1;
  if (!op.fixed_statistics && needed > private_cache) operands += read_for_statistics;
  return operands * operand_bytes(cell);
}

std::size_t memory_needed(const Cell& cell, bool with_torch) {
  const bool forward = cell.direction == Direction::forward;
  const std::size_t extra = find_op(cell.op).residual.empty() ? 0 : 3;
  const std::size_t ours = operand_bytes(cell) * ((forward ? 6 : 9) + extra);
  // PyTorch's rms_norm is a chain of ops, in fp32 for 16-bit inputs; backward keeps its parts.
  const auto entries = static_cast<std::size_t>(cell.shape.elements());
  const std::size_t torch = with_torch ? entries * sizeof(float) * ((forward ? 5 : 12) + extra) : 0;
  return ours + torch;
}

}  // namespace omninorm::bench
