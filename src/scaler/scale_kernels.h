// transform's inner loop, in SIMD: rows of columns side by side.
#pragma once

#include <cstdint>

namespace omninorm::internal::scaling {

// ScaleColumn field by field. Where a column does not add, its add_low and add_high are -0, which
// changes no value. The arrays can be read kScalePadding beyond their width.
struct ScaleArrays {
  const double *subtract_high, *subtract_low, *multiply, *add_low, *add_high, *low, *high;

  ScaleArrays from(std::int64_t j) const {
    return {subtract_high + j, subtract_low + j, multiply + j, add_low + j,
            add_high + j,      low + j,          high + j};
  }
};
inline constexpr std::int64_t kScalePadding = 32;

// Which steps are needed; the others would change nothing.
enum class ScaleSteps : std::uint8_t { subtract, add, both, clamp };

struct ScaleRows {
  const void* x = nullptr;
  void* y = nullptr;
  bool x_f64 = false, y_f64 = false;
  std::int64_t rows = 0, width = 0;
  std::int64_t x_stride = 0, y_stride = 0;  // of rows, in elements
  ScaleArrays arrays{};
  ScaleSteps steps = ScaleSteps::clamp;
  bool streams = false;  // past the cache
};
void scale_rows(const ScaleRows& rows);

}  // namespace omninorm::internal::scaling
