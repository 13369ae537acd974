// Which tensors share memory, as far as that is cheap to tell for sure.
#pragma once

#include "omninorm/tensor.h"

namespace omninorm::internal {

// The bytes from a tensor's first to its last in memory; empty where it has no elements. Tensors
// whose ranges do not meet share nothing, which is the rule, and is quicker to see than overlap().
struct MemoryRange {
  std::int64_t begin = 0;
  std::int64_t end = 0;

  bool meets(const MemoryRange& other) const { return begin < other.end && other.begin < end; }
};
MemoryRange memory_range(const ConstTensor& tensor);

// Same first element, element size, sizes and strides: in-place.
bool same_memory(const ConstTensor& a, const ConstTensor& b);

// Two different indices of the tensor name one element, as with stride 0, or its strides are so
// intertwined that this is hard to rule out.
bool may_overlap_itself(const ConstTensor& tensor);

// Some byte belongs to both; interleaved tensors (the q and k of a packed qkv, say) do not overlap.
// Exact where either tensor cannot overlap itself, as outputs cannot; only pairs of over a million
// runs each, of different strides in one stretch of memory, are taken to overlap unseen. Where both
// may overlap themselves, overlaps can be missed.
bool overlap(const ConstTensor& a, const ConstTensor& b);

}  // namespace omninorm::internal
