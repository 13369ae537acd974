// Cells of text files: numbers there and back, and how messages show them.
#pragma once

#include <cmath>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "omninorm/dtype.h"

namespace omninorm::cli {

enum class Cell { number, missing, text, too_large };

// Without the spaces and tabs around it.
std::string_view trimmed(std::string_view cell);

// A decimal number, as C has it, with spaces and tabs around it and a + in front allowed; inf,
// infinity and nan in any case. NaN and the empty cell are missing, and so is what `missing` holds.
// Digits beyond double are rounded; a number beyond its range is too_large.
Cell read_number(std::string_view cell, const std::vector<std::string>& missing, double& value);

// Rounded as IEEE 754 has it: what is beyond the range of f32 is an infinity. C++ leaves a plain
// cast of that undefined.
inline float to_f32(double value) {
  constexpr double largest = std::numeric_limits<float>::max();
  if (!(std::fabs(value) > largest)) return static_cast<float>(value);  // NaN too
  constexpr double half_way = 0x1.ffffffp127;                           // to what would be next
  const double rounded = std::fabs(value) < half_way ? largest : HUGE_VAL;
  return static_cast<float>(std::copysign(rounded, value));
}

// Adds the shortest digits that read back as the same number of that type; nothing for NaN.
void append_number(std::string& to, double value, DType dtype);

// In quotes, without control characters, at most 40 bytes of it.
std::string shown(std::string_view cell);

// Texts as `shown` has them, with commas; "and 7 more" behind the first ten.
std::string shown_list(const std::vector<std::string>& texts);

}  // namespace omninorm::cli
