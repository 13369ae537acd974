// Single elements of any dtype as double: what the reference and the tests read and write with.
#pragma once

#include <bit>
#include <cstdint>

#include "omninorm/dtype.h"

namespace omninorm::internal {

// A double rounded to float so that a second rounding, to 16 bits, gives what one rounding would
// (round to odd: where inexact, the last bit is set).
inline float to_float_for_rounding(double value) {
  const auto nearest = static_cast<float>(value);
  const auto back = static_cast<double>(nearest);
  if (back == value || nearest != nearest) return nearest;
  const auto bits = std::bit_cast<std::uint32_t>(nearest);
  const bool away_from_zero = (back < 0 ? -back : back) > (value < 0 ? -value : value);
  return std::bit_cast<float>((away_from_zero ? bits - 1 : bits) | 1u);
}

inline double load(const void* data, DType dtype, std::int64_t index) {
  switch (dtype) {
    case DType::f32:
      return static_cast<const float*>(data)[index];
    case DType::bf16:
      return to_float(static_cast<const bfloat16*>(data)[index]);
    case DType::f16:
      return to_float(static_cast<const float16*>(data)[index]);
    case DType::f64:
      return static_cast<const double*>(data)[index];
  }
  return 0;
}

// Rounds to nearest, ties to even, once.
inline void store(void* data, DType dtype, std::int64_t index, double value) {
  switch (dtype) {
    case DType::f32:
      static_cast<float*>(data)[index] = static_cast<float>(value);
      break;
    case DType::bf16:
      static_cast<bfloat16*>(data)[index] = to_bfloat16(to_float_for_rounding(value));
      break;
    case DType::f16:
      static_cast<float16*>(data)[index] = to_float16(to_float_for_rounding(value));
      break;
    case DType::f64:
      static_cast<double*>(data)[index] = value;
      break;
  }
}

// `value` as the dtype would keep it.
inline double rounded(DType dtype, double value) {
  std::uint64_t cell = 0;
  store(&cell, dtype, 0, value);
  return load(&cell, dtype, 0);
}

}  // namespace omninorm::internal
