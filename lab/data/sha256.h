// SHA-256, from libnettle.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>

namespace omninorm::lab {

// 64 lower-case hex digits of all parts, one after the other.
std::string sha256_hex(std::initializer_list<std::span<const std::uint8_t>> parts);
std::string sha256_hex(std::string_view text);

}  // namespace omninorm::lab
