// How fast this machine copies: the bound for every kernel that reads and writes each value once.
#pragma once

#include <cstddef>

namespace omninorm::cli {

struct CopySpeed {
  std::size_t bytes = 0;            // of one buffer, all threads together
  double gigabytes_per_second = 0;  // 1e9 bytes; read plus written
};

// Copies with plain stores, as the kernels do (libc's memcpy may switch to stores that bypass the
// cache), on the default executor's threads; the best of a few trials, about `seconds` in all.
CopySpeed measure_copy(std::size_t bytes, double seconds);

// Sizes for it: two buffers that fill half of every thread's second-level cache, and four times the
// last level, but between 64 and 256 MiB.
std::size_t bytes_in_cache();
std::size_t bytes_past_cache();

}  // namespace omninorm::cli
