#include "src/core/recent_calls.h"

namespace omninorm::internal {

TensorKind::TensorKind(const ConstTensor& tensor)
    : rank_(tensor.rank), dtype_(tensor.dtype), sizes_(tensor.sizes), strides_(tensor.strides) {
  if (!given()) return;
  const MemoryRange range = memory_range(tensor);
  const auto address = reinterpret_cast<std::intptr_t>(tensor.data);
  begin_ = range.begin - address;
  end_ = range.end - address;
  low_bits_ = size_of(tensor.dtype) - 1;
}

}  // namespace omninorm::internal
