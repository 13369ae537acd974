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

// True only where some byte certainly belongs to both; interleaved tensors (the q and k of a packed
// qkv, say) do not overlap. Decided when either tensor is one dense block, or when both have the
// same sizes and strides; other pairs whose address ranges meet are not looked into.
bool overlap(const ConstTensor& a, const ConstTensor& b);

}  // namespace omninorm::internal
