// Element types, and the two 16-bit storage types with their exact scalar conversions.
#pragma once

#include <cstddef>
#include <cstdint>

namespace omninorm {

enum class DType : std::uint8_t { f32, bf16, f16, f64 };

// "f32", "bf16", "f16" or "f64".
const char* name(DType dtype);

// Bytes of one element; 0 for a value that is none of these.
constexpr std::size_t size_of(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return 4;
    case DType::bf16:
    case DType::f16:
      return 2;
    case DType::f64:
      return 8;
  }
  return 0;
}

// Storage types: bits only. Arithmetic is done in float or wider.
struct bfloat16 {
  std::uint16_t bits;
};
struct float16 {
  std::uint16_t bits;
};

// Exact widening, and narrowing that rounds to nearest, ties to even; NaN stays NaN (quiet).
float to_float(bfloat16 value);
float to_float(float16 value);
bfloat16 to_bfloat16(float value);
float16 to_float16(float value);

template <class T>
struct DTypeOf;
template <>
struct DTypeOf<float> {
  static constexpr DType value = DType::f32;
};
template <>
struct DTypeOf<double> {
  static constexpr DType value = DType::f64;
};
template <>
struct DTypeOf<bfloat16> {
  static constexpr DType value = DType::bf16;
};
template <>
struct DTypeOf<float16> {
  static constexpr DType value = DType::f16;
};

}  // namespace omninorm
