#include "src/cpu/streaming.h"

#include <algorithm>

#if defined(__unix__)
#include <unistd.h>
#endif

namespace omninorm::internal {
namespace {

constexpr std::int64_t mebibytes(std::int64_t n) { return n << 20; }

// Where the call and a reader of its output after it take as long together with either kind of
// store, which is later than where the call alone does: what was streamed comes from memory.
// Measured on a server with 480 MiB of L3 for all of its tenants (docs/speed.md).
std::int64_t measured(Traffic traffic) {
  switch (traffic) {
    case Traffic::forward:
      return mebibytes(40);
    case Traffic::backward:
      return mebibytes(24);
    case Traffic::steps:
      break;
  }
  return mebibytes(64);
}

// A machine with less cache crosses at its size.
std::int64_t last_level_cache() {
#if defined(_SC_LEVEL3_CACHE_SIZE)
  const std::int64_t bytes = sysconf(_SC_LEVEL3_CACHE_SIZE);
  if (bytes > 0) return bytes;
#endif
  return INT64_MAX;
}

std::int64_t private_cache() {
#if defined(_SC_LEVEL2_CACHE_SIZE)
  const std::int64_t bytes = sysconf(_SC_LEVEL2_CACHE_SIZE);
  if (bytes > 0) return bytes;
#endif
  return mebibytes(1);
}

std::int64_t chosen = -1;

}  // namespace

void set_streaming_crossover(std::int64_t bytes) { chosen = bytes; }

bool worth_streaming(Traffic traffic, std::int64_t operand_bytes) {
  static const std::int64_t last_level = last_level_cache();
  return operand_bytes >= (chosen >= 0 ? chosen : std::min(last_level, measured(traffic)));
}

bool in_private_cache(std::int64_t operand_bytes) {
  static const std::int64_t most = private_cache() / 4 * 3;
  return operand_bytes <= most;
}

}  // namespace omninorm::internal
