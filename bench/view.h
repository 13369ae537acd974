// The cell's tensor as x[n][g][c][s], a view that serves every op and layout: g*C + c is the
// channel, s the position.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "bench/cell.h"

namespace omninorm::bench {

struct Op;

struct View {
  std::int64_t n = 0, g = 0, c = 0, s = 0;  // c: channels of a group
  std::int64_t stride_n = 0, stride_channel = 0, stride_s = 0;
  bool pool_n = false, pool_s = false;  // one statistic is over c, and over these

  std::int64_t channels() const { return g * c; }
  // Elements that share one mean and rstd, and how many such sets there are.
  std::int64_t set_elements() const { return c * (pool_n ? n : 1) * (pool_s ? s : 1); }
  std::int64_t sets() const { return g * (pool_n ? 1 : n) * (pool_s ? 1 : s); }
};

View view_of(const Op& op, const Cell& cell);

// Strides of x, y, dx and dy, in elements.
std::vector<std::int64_t> strides(const Cell& cell);

// Bytes of one operand of x's shape.
std::size_t operand_bytes(const Cell& cell);

// Bytes of cache that the data of one statistic take: whole lines of 64, since that is how they
// come, so a channel of a channels-last tensor takes a line a position.
std::size_t footprint(const View& view, DType dtype);

// Bytes that must cross memory. Forward reads x and writes y; backward reads x and dy and writes
// dx; a residual adds what is read and written for it. Where the data of one statistic do not fit
// the core's private cache, what the statistics were taken of (the sum, where a residual was added)
// is read once more. Weights and saved statistics, a few permille of it, are left out.
std::size_t moved_bytes(const Cell& cell, std::size_t private_cache);

// The most memory that measuring this cell holds at once, with PyTorch beside us or without.
std::size_t memory_needed(const Cell& cell, bool with_torch);

}  // namespace omninorm::bench
