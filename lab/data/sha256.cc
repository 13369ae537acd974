#include "lab/data/sha256.h"

#include <fmt/format.h>
#include <nettle/sha2.h>

#include <array>

namespace omninorm::lab {

std::string sha256_hex(std::initializer_list<std::span<const std::uint8_t>> parts) {
  sha256_ctx context;
  sha256_init(&context);
  for (const auto part : parts) {
    if (!part.empty()) sha256_update(&context, part.size(), part.data());
  }
  std::array<std::uint8_t, SHA256_DIGEST_SIZE> digest;
  sha256_digest(&context, digest.size(), digest.data());
  return fmt::format("{:02x}", fmt::join(digest, ""));
}

std::string sha256_hex(std::string_view text) {
  return sha256_hex({std::span(reinterpret_cast<const std::uint8_t*>(text.data()), text.size())});
}

}  // namespace omninorm::lab
