// A tensor as the checks see it: looked at once, so that what is asked of it later costs nothing.
#pragma once

#include <cstdint>
#include <span>

#include "omninorm/tensor.h"
#include "src/core/overlap.h"

namespace omninorm::internal {

struct Argument {
  const char* name = "";  // as messages call it
  const void* data = nullptr;
  const std::int64_t* sizes = nullptr;
  const std::int64_t* strides = nullptr;
  int rank = -1;
  DType dtype = DType::f32;
  bool contiguous = false;
  std::int64_t elements = 0;
  MemoryRange range{};  // empty without elements

  bool given() const { return rank >= 0; }
  std::span<const std::int64_t> shape() const {
    return {sizes, static_cast<std::size_t>(rank < 0 ? 0 : rank)};
  }
  std::span<const std::int64_t> steps() const { return {strides, shape().size()}; }
  ConstTensor tensor() const { return {data, dtype, shape(), steps()}; }
};

// The general case behind describe(): strides that leave gaps, tensors without elements, and all
// that is wrong.
void describe_any(const char* op, Argument& argument, Device device);

// Throws Error unless the tensor is on the CPU and can be walked with 64-bit arithmetic. It must
// outlive what is returned. A tensor that is not given stays so.
template <class Pointer>
Argument describe(const char* op, const char* name, const BasicTensor<Pointer>& tensor) {
  Argument argument;
  argument.name = name;
  argument.rank = tensor.rank;
  if (!argument.given()) return argument;
  argument.data = tensor.data;
  argument.sizes = tensor.sizes.data();
  argument.strides = tensor.strides.data();
  argument.dtype = tensor.dtype;
  bool plain = tensor.device == Device::cpu && tensor.rank <= kMaxRank;
  std::int64_t elements = 1;
  for (int i = plain ? tensor.rank : 0; i-- > 0;) {
    const std::int64_t size = argument.sizes[i];
    plain = plain && (size == 1 || (size > 1 && argument.strides[i] == elements));
    plain = plain && !__builtin_mul_overflow(elements, size, &elements);
  }
  const auto bytes = static_cast<std::int64_t>(size_of(tensor.dtype));
  constexpr std::int64_t kMost = std::int64_t{1} << 59;
  if (plain && elements < kMost && bytes != 0) {
    const auto begin = reinterpret_cast<std::intptr_t>(tensor.data);
    argument.contiguous = true;
    argument.elements = elements;
    argument.range = {begin, begin + elements * bytes};
  } else {
    describe_any(op, argument, tensor.device);
  }
  return argument;
}

void check_given(const char* op, const char* name, bool given);
inline void check_given(const char* op, const Argument& argument) {
  check_given(op, argument.name, argument.given());
}

// Neither null nor misaligned where there are elements.
void check_memory(const char* op, const Argument& argument);

bool same_shape(std::span<const std::int64_t> a, std::span<const std::int64_t> b);

}  // namespace omninorm::internal
