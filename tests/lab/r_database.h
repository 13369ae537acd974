// Makes R databases as lab/data/r_strings.h reads them.
#pragma once

#include <zlib.h>

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace omninorm::testing {

inline void append_word(std::string& bytes, std::uint32_t word) {
  for (int shift = 24; shift >= 0; shift -= 8) {
    bytes += static_cast<char>(static_cast<unsigned char>(word >> shift & 0xff));
  }
}

// R's XDR serialisation of a character vector.
inline std::string serialise(const std::vector<std::string>& strings, std::uint32_t version = 3) {
  std::string bytes = "X\n";
  append_word(bytes, version);
  append_word(bytes, 0x00040201);
  append_word(bytes, 0x00030500);
  if (version == 3) {
    append_word(bytes, 5);
    bytes += "UTF-8";
  }
  append_word(bytes, 16);
  append_word(bytes, static_cast<std::uint32_t>(strings.size()));
  for (const std::string& text : strings) {
    append_word(bytes, 0x00040009);
    append_word(bytes, static_cast<std::uint32_t>(text.size()));
    bytes += text;
  }
  return bytes;
}

// A block of the database that holds `content`.
inline std::string block(std::string_view content) {
  uLongf size = compressBound(content.size());
  std::string packed(size, '\0');
  if (compress(reinterpret_cast<Bytef*>(packed.data()), &size,
               reinterpret_cast<const Bytef*>(content.data()), content.size()) != Z_OK) {
    throw std::runtime_error("compress failed");
  }
  std::string bytes;
  append_word(bytes, static_cast<std::uint32_t>(content.size()));
  return bytes.append(packed, 0, size);
}

}  // namespace omninorm::testing
