#include "omninorm/tensor.h"

#include <algorithm>
#include <string>

#include "src/core/check.h"

namespace omninorm {

template <class Pointer>
BasicTensor<Pointer>::BasicTensor(Pointer pointer, DType element_type,
                                  std::span<const std::int64_t> tensor_sizes,
                                  std::span<const std::int64_t> tensor_strides, Device place)
    : data(pointer), dtype(element_type), device(place) {
  if (tensor_sizes.size() > kMaxRank) {
    internal::fail("tensor", "at most " + std::to_string(kMaxRank) + " dimensions",
                   std::to_string(tensor_sizes.size()));
  }
  if (!tensor_strides.empty() && tensor_strides.size() != tensor_sizes.size()) {
    internal::fail("tensor",
                   "one stride for each of " + std::to_string(tensor_sizes.size()) +
                       " dimensions, or none for contiguous",
                   std::to_string(tensor_strides.size()) + " strides");
  }
  if (std::any_of(tensor_sizes.begin(), tensor_sizes.end(), [](auto size) { return size < 0; })) {
    internal::fail("tensor", "sizes of 0 or more", internal::shape_text(tensor_sizes));
  }
  rank = static_cast<int>(tensor_sizes.size());
  std::copy(tensor_sizes.begin(), tensor_sizes.end(), sizes.begin());
  if (!tensor_strides.empty()) {
    std::copy(tensor_strides.begin(), tensor_strides.end(), strides.begin());
    return;
  }
  std::int64_t stride = 1;
  for (std::size_t i = tensor_sizes.size(); i-- > 0;) {
    strides[i] = stride;
    // As torch does, a size of 0 counts as 1 here, so that the strides stay meaningful.
    if (!internal::multiply(stride, std::max<std::int64_t>(sizes[i], 1), stride)) {
      internal::fail("tensor", "at most 2^63 - 1 elements", internal::shape_text(tensor_sizes));
    }
  }
}

template <class Pointer>
std::int64_t BasicTensor<Pointer>::elements() const {
  if (!given()) return 0;
  const std::span<const std::int64_t> used(sizes.data(), static_cast<std::size_t>(rank));
  if (std::find(used.begin(), used.end(), 0) != used.end()) return 0;
  std::int64_t count = 1;
  for (const std::int64_t size : used) {
    if (!internal::multiply(count, size, count)) {
      internal::fail("tensor", "at most 2^63 - 1 elements", internal::shape_text(used));
    }
  }
  return count;
}

template struct BasicTensor<void*>;
template struct BasicTensor<const void*>;

}  // namespace omninorm
