#include "src/cpu/channel_plan.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "src/core/element.h"
#include "src/core/kernel_list.h"
#include "src/cpu/row_plan.h"
#include "src/cpu/tasks.h"

namespace omninorm::internal {
namespace {

// A block of rows has this many bytes at least, and there are at most this many of them: their sums
// are added one after another.
constexpr std::int64_t kBlockBytes = 128 * 1024;
constexpr std::int64_t kMostBlocks = 64;
// A batch (N, C) is few and wide rows: with less than these to a block, the blocks' sums, two
// doubles a channel, are as much to write and read as x is. What is missing in blocks to share out
// comes from tiles of channels, no narrower than that takes: a row's part of a tile is one run in
// memory (512 x 16384 f32 evaluation: 5.9 ms in tiles of 128, 2.8 of 2048).
constexpr std::int64_t kFewestPooledRows = 64;
constexpr std::int64_t kPooledTile = kParameterChannels;

// Bits: an unsigned integer of x's size. The two zeros are alike.
template <class Bits>
bool alike(const NormForward& problem, std::int64_t image, std::int64_t g) {
  const NormView& view = problem.view;
  const NormStrides& strides = problem.x.strides;
  const auto* set = static_cast<const Bits*>(problem.x.data) + g * strides.g +
                    (view.pool_n ? 0 : image * strides.n[0]);
  const std::int64_t images = view.pool_n ? view.n : 1;
  for (std::int64_t n = 0; n < images; ++n) {
    for (std::int64_t c = 0; c < view.c; ++c) {
      const Bits* from = set + n * strides.n[0] + c * strides.c;
      for (std::int64_t s = 0; s < view.s; ++s) {
        const Bits value = from[s * strides.s];
        if (value != *set && static_cast<Bits>((value | *set) << 1) != 0) return false;
      }
    }
  }
  return true;
}

}  // namespace

ChannelShape channel_shape(const NormView& view, ChannelLayout layout, std::size_t element_bytes) {
  ChannelShape shape;
  shape.layout = layout;
  shape.images = view.n;
  shape.channels = view.g * view.c;
  shape.positions = view.s;
  shape.group = view.c;
  shape.pool_n = view.pool_n;
  const std::int64_t rows = shape.rows_per_set();
  const std::int64_t bytes = rows * shape.channels * static_cast<std::int64_t>(element_bytes);
  const std::int64_t most = view.pool_n
                                ? std::clamp<std::int64_t>(rows / kFewestPooledRows, 1, kMostBlocks)
                                : std::min(kMostBlocks, rows);
  const std::int64_t blocks = std::clamp<std::int64_t>(bytes / kBlockBytes, 1, most);
  shape.rows_per_block = ceil_div(rows, blocks);
  shape.blocks = ceil_div(rows, shape.rows_per_block);
  shape.tile = shape.channels;
  if (view.pool_n && shape.blocks < kMostBlocks) {
    const std::int64_t even = ceil_div(shape.channels * shape.blocks, kMostBlocks);
    shape.tile = ceil_div(even, kPooledTile) * kPooledTile;
  }
  shape.tiles = ceil_div(shape.channels, shape.tile);
  return shape;
}

bool fits_cache(const ChannelShape& shape, std::size_t element_bytes) {
  constexpr std::int64_t kImageBytes = 1024 * 1024;
  constexpr std::int64_t kFewestImages = 4;
  return shape.layout == ChannelLayout::column && !shape.pool_n && shape.images >= kFewestImages &&
         shape.positions * shape.channels * static_cast<std::int64_t>(element_bytes) <= kImageBytes;
}

std::int64_t units_together(const ChannelShape& shape, std::size_t element_bytes) {
  if (!shape.pool_n) return 0;
  const bool planes = shape.layout == ChannelLayout::plane;
  const std::int64_t row = shape.rows_per_set() * static_cast<std::int64_t>(element_bytes);
  const std::int64_t bytes = row * (planes ? 1 : shape.tile);
  // Columns of many rows are no better for it (512 x 1024 f32: 148 us, 98 in steps): rows whose
  // stride is a power of two share few of the cache's sets.
  constexpr std::int64_t kMostBytes = 1024 * 1024;
  constexpr std::int64_t kMostRows = 2 * kFewestPooledRows, kFewestTiles = 2;
  if (planes ? bytes > kMostBytes
             : shape.rows_per_set() > kMostRows || shape.tiles < kFewestTiles) {
    return 0;
  }
  // An image's planes of one task are a short run, far from those of the next image: the longer the
  // better (32 x 512 x 7 x 7 f32 backward), as long as there are tasks enough to share out.
  constexpr std::int64_t kPlaneTaskBytes = 512 * 1024, kColumnTaskBytes = 64 * 1024;
  constexpr std::int64_t kFewestPlaneTasks = 16;
  if (!planes) return std::max<std::int64_t>(1, kColumnTaskBytes / bytes);
  const std::int64_t most = std::min(shape.channels / kFewestPlaneTasks, kParameterChannels);
  if (most == 0) return 0;
  const std::int64_t together = std::clamp<std::int64_t>(kPlaneTaskBytes / bytes, 1, most);
  // Shorter runs share their cache lines with other tasks' (100000 x 64 x 2).
  constexpr std::int64_t kShortestRun = 512;
  const std::int64_t run = together * shape.positions * static_cast<std::int64_t>(element_bytes);
  return run >= kShortestRun ? together : 0;
}

const char* decline_channels(const NormView& view, ChannelLayout layout, DType x) {
  if (x == DType::f64) return "f64 is computed by the reference";
  if (view.empty()) return "there is nothing to do";
  if (!view.pool_n && view.s == 1) return "nothing is pooled but c";
  if (!view.center) return "not centred";
  if (view.stats_c != view.c) return "partial statistics";
  if (view.n_rank != 1 || view.c_rank != 1 || view.s_rank != 1)
    return "n, c or s is several dimensions";
  if (layout == ChannelLayout::plane && view.s == 1) return "a plane has one position";
  return nullptr;
}

const char* decline_channel_operand(const NormView& view, ChannelLayout layout,
                                    const NormStrides& strides) {
  if (layout == ChannelLayout::plane) {
    return strides.s == 1 ? nullptr : "positions are not contiguous";
  }
  const bool groups = view.g == 1 || strides.g == view.c;
  const bool channels = view.c == 1 || strides.c == 1;
  return groups && channels ? nullptr : "channels are not contiguous";
}

bool all_alike(const NormForward& problem, std::int64_t image, std::int64_t g) {
  if (size_of(problem.x.dtype) == 2) return alike<std::uint16_t>(problem, image, g);
  return alike<std::uint32_t>(problem, image, g);
}

void reference_set(const NormForward& problem, std::int64_t image, std::int64_t g) {
  NormForward part = problem;
  NormView& view = part.view;
  const std::int64_t index = (view.pool_n ? 0 : image * view.g) + g;
  const auto move = [&](auto& operand) {
    const std::int64_t n = view.pool_n ? 0 : image * operand.strides.n[0];
    operand.data = advanced(operand.data, operand.dtype, n + g * operand.strides.g);
  };
  move(part.x);
  move(part.y);
  part.weight = advanced(part.weight, part.weight_dtype, g * view.c);
  part.bias = advanced(part.bias, part.weight_dtype, g * view.c);
  part.mean = advanced(part.mean, part.statistics_dtype, index);
  part.rstd = advanced(part.rstd, part.statistics_dtype, index);
  part.variance = advanced(part.variance, part.statistics_dtype, index);
  part.given_mean = advanced(part.given_mean, DType::f32, index);
  part.given_variance = advanced(part.given_variance, DType::f32, index);
  view.g = 1;
  if (!view.pool_n) {
    view.n = 1;
    view.n_sizes[0] = 1;
  }
  reference_forward.run(part, serial_executor(), nullptr);
}

bool statistics_in_range(const NormBackward& problem) {
  // The furthest product is dy * rstd^2, which then still leaves dy 2^66 (1e20) either way in fp32.
  constexpr double kLargest = 0x1p30, kSmallest = 0x1p-30;
  // NaN and Inf take their way through the formulas.
  const std::int64_t count = problem.view.statistics();
  if (problem.given_mean == nullptr && problem.statistics_dtype == DType::f32) {
    // instance_norm has one for each plane: as bits and without a branch, several at a time.
    const auto* rstd = static_cast<const float*>(problem.rstd);
    constexpr auto kLow = std::bit_cast<std::uint32_t>(static_cast<float>(kSmallest));
    constexpr auto kHigh = std::bit_cast<std::uint32_t>(static_cast<float>(kLargest));
    constexpr std::uint32_t kNotFinite = 0x7f800000;
    std::uint32_t found = 0;
    for (std::int64_t i = 0; i < count; ++i) {
      const auto bits = std::bit_cast<std::uint32_t>(rstd[i]);
      const bool outside = bits - kLow > kHigh - kLow, finite = (bits & kNotFinite) != kNotFinite;
      found |= static_cast<std::uint32_t>(outside & finite);
    }
    return found == 0;
  }
  for (std::int64_t i = 0; i < count; ++i) {
    const double rstd =
        problem.given_mean == nullptr
            ? load(problem.rstd, problem.statistics_dtype, i)
            : 1 / std::sqrt(load(problem.given_variance, DType::f32, i) + problem.parameters.eps);
    if (std::isfinite(rstd) && (rstd > kLargest || rstd < kSmallest)) return false;
  }
  return true;
}

}  // namespace omninorm::internal
