#include "src/core/check.h"

#include <array>
#include <charconv>

#include "omninorm/error.h"

namespace omninorm::internal {

void fail(const std::string& op, const std::string& expected, const std::string& got,
          const std::string& advice) {
  std::string message = "[" + op + "] expected " + expected + ", got " + got;
  if (!advice.empty()) message += "; " + advice;
  throw Error(message);
}

std::string shape_text(std::span<const std::int64_t> sizes) {
  std::string text = "[";
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    if (i > 0) text += ", ";
    text += std::to_string(sizes[i]);
  }
  return text + "]";
}

std::string number_text(double value) {
  std::array<char, 32> buffer;
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value).ptr;
  return {buffer.data(), end};
}

}  // namespace omninorm::internal
