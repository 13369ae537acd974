// Reads the character vectors of an R package's lazy-load database (NAME.rdb): blocks one after the
// other, each a big-endian 32-bit length of the content and a zlib stream of R's XDR serialisation.
// Source: "R Internals", section 1.8, Serialization Formats.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace omninorm::lab {

// One vector of strings per block, in order. Strict: a block that is anything but one character
// vector without attributes, and any length or checksum that does not fit, is an omninorm::Error.
// A missing string (NA) is read as "".
std::vector<std::vector<std::string>> read_r_string_vectors(std::span<const std::uint8_t> database);

}  // namespace omninorm::lab
