// Non-owning tensors: what every call takes and fills. The caller owns all memory.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <type_traits>

#include "omninorm/dtype.h"

namespace omninorm {

enum class Device : std::uint8_t { cpu, cuda };

inline constexpr int kMaxRank = 8;

// A view of memory: pointer, element type, device, sizes and strides (both in elements, outermost
// dimension first; a stride may be 0 or negative in inputs). Default-constructed means "not given",
// which is how an optional argument (weight, bias, rstd, ...) is left out.
template <class Pointer>
struct BasicTensor {
  Pointer data = nullptr;
  DType dtype = DType::f32;
  Device device = Device::cpu;
  int rank = -1;  // -1: not given; 0: a scalar
  std::array<std::int64_t, kMaxRank> sizes{};
  std::array<std::int64_t, kMaxRank> strides{};

  BasicTensor() = default;

  // Contiguous, row-major. Throws Error for more than kMaxRank dimensions or a negative size.
  template <class T>
  BasicTensor(T* pointer, std::initializer_list<std::int64_t> sizes)
      : BasicTensor(pointer, DTypeOf<std::remove_const_t<T>>::value,
                    std::span<const std::int64_t>(sizes.begin(), sizes.size()), {}) {}

  // The general form; empty strides mean contiguous.
  BasicTensor(Pointer pointer, DType dtype, std::span<const std::int64_t> sizes,
              std::span<const std::int64_t> strides, Device device = Device::cpu);

  // A mutable tensor can stand where a constant one is asked for.
  template <class Other>
  requires(!std::is_same_v<Other, Pointer> && std::is_convertible_v<Other, Pointer>)
      BasicTensor(const BasicTensor<Other>& other)
      : data(other.data),
        dtype(other.dtype),
        device(other.device),
        rank(other.rank),
        sizes(other.sizes),
        strides(other.strides) {}

  bool given() const { return rank >= 0; }

  // Number of elements; 1 for a scalar, 0 when not given.
  std::int64_t elements() const;
};

using Tensor = BasicTensor<void*>;
using ConstTensor = BasicTensor<const void*>;

extern template struct BasicTensor<void*>;
extern template struct BasicTensor<const void*>;

}  // namespace omninorm
