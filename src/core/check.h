// How every check in the library speaks.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace omninorm::internal {

// Throws Error("[op] expected <expected>, got <got>"), with "; <advice>" where given.
[[noreturn]] void fail(const std::string& op, const std::string& expected, const std::string& got,
                       const std::string& advice = {});

// "[2, 3]"; "[]" for a scalar.
std::string shape_text(std::span<const std::int64_t> sizes);

// Shortest text that reads back as the same number.
std::string number_text(double value);

// a * b in `product`; false where it does not fit. For values >= 0.
inline bool multiply(std::int64_t a, std::int64_t b, std::int64_t& product) {
  return !__builtin_mul_overflow(a, b, &product);
}

}  // namespace omninorm::internal
