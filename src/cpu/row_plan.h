// What one call of the row kernels works on, shared by all SIMD targets: the checked problem, how
// its rows are cut into tasks (by shape alone), and where things lie in the workspace.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "src/core/norm_problem.h"

namespace omninorm::internal {

// fp32 arrays in the workspace (weights, partial sums) have rows of c rounded up to this many
// floats, a multiple of a block (io-inl.h) on every target, so that the workspace does not depend
// on the target and vector code needs no tail there.
inline constexpr std::int64_t kColumnPad = 128;

inline std::int64_t padded(std::int64_t c) {
  return (c + kColumnPad - 1) / kColumnPad * kColumnPad;
}

// Walks consecutive rows (row-major over the n dimensions) and keeps the element offset of each of
// `Operands` operands: divisions once per task instead of once per row.
template <int Operands>
class RowCursor {
 public:
  RowCursor(const NormView& view, const std::array<const NormStrides*, Operands>& strides,
            std::int64_t row)
      : view_(view), strides_(strides) {
    for (int k = view.n_rank - 1; k >= 0; --k) {
      const auto dim = static_cast<std::size_t>(k);
      index_[dim] = row % view.n_sizes[dim];
      row /= view.n_sizes[dim];
      for (std::size_t i = 0; i < Operands; ++i) offset_[i] += index_[dim] * strides[i]->n[dim];
    }
  }

  std::int64_t offset(std::size_t operand) const { return offset_[operand]; }

  void next() {
    for (int k = view_.n_rank - 1; k >= 0; --k) {
      const auto dim = static_cast<std::size_t>(k);
      const bool carry = ++index_[dim] == view_.n_sizes[dim];
      for (std::size_t i = 0; i < Operands; ++i) {
        const std::int64_t stride = strides_[i]->n[dim];
        offset_[i] += carry ? -stride * (view_.n_sizes[dim] - 1) : stride;
      }
      if (!carry) return;
      index_[dim] = 0;
    }
  }

 private:
  const NormView& view_;
  std::array<const NormStrides*, Operands> strides_;
  std::array<std::int64_t, kMaxRank> index_{};
  std::array<std::int64_t, Operands> offset_{};
};

struct ForwardPlan {
  const NormForward* problem = nullptr;
  bool streams = false;   // outputs go past the cache, see streaming.h
  bool in_cache = false;  // each thread's share fits its private cache
  // Weight + offset and bias as fp32, g rows of affine_stride floats in the kernel's element order;
  // null where there is nothing to multiply or add. A bias without a weight gets a weight of ones.
  const float* weight = nullptr;
  const float* bias = nullptr;
  std::int64_t affine_stride = 0;
};

struct BackwardPlan {
  const NormBackward* problem = nullptr;
  bool streams = false;  // outputs go past the cache, see streaming.h
  // Tasks are blocks of consecutive n. Each block sums dweight and dbias into arrays of its own,
  // and the blocks are added in order at the end.
  std::int64_t rows_per_block = 1;
  std::int64_t blocks = 0;
  const float* weight = nullptr;  // as in ForwardPlan; ones where there is none
  std::int64_t affine_stride = 0;
  // Partial sums, [blocks][arrays][g][padded(c)], arrays 0 (dx alone), 1 (dweight) or 2 (and
  // dbias); `coarse` the same again where a block has more than kRowsPerFine rows, else null.
  float* partial = nullptr;
  float* coarse = nullptr;
  int arrays = 0;
};

// A block's fp32 sums are moved to a second, coarse sum after this many rows, so that the error of
// a column's sum grows with 256 + rows / (64 * 256) additions rather than with rows / 64.
inline constexpr std::int64_t kRowsPerFine = 256;

}  // namespace omninorm::internal
