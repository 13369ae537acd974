// Compiled with -O3 and without the pass that would turn the loop into memcpy (cli/CMakeLists.txt).
#include "cli/copy_speed.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <vector>

#include "omninorm/executor.h"

namespace omninorm::cli {
namespace {

using Copy = void (*)(const std::uint64_t* from, std::uint64_t* to, std::size_t count);

[[gnu::always_inline]] inline void copy_loop(const std::uint64_t* __restrict from,
                                             std::uint64_t* __restrict to, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) to[i] = from[i];
}

void copy_baseline(const std::uint64_t* from, std::uint64_t* to, std::size_t count) {
  copy_loop(from, to, count);
}

#if defined(__x86_64__)
[[gnu::target("avx2")]] void copy_avx2(const std::uint64_t* from, std::uint64_t* to,
                                       std::size_t count) {
  copy_loop(from, to, count);
}

[[gnu::target("avx512f,prefer-vector-width=512")]] void copy_avx512(const std::uint64_t* from,
                                                                    std::uint64_t* to,
                                                                    std::size_t count) {
  copy_loop(from, to, count);
}

Copy widest_copy() {
  if (__builtin_cpu_supports("avx512f")) return copy_avx512;
  if (__builtin_cpu_supports("avx2")) return copy_avx2;
  return copy_baseline;
}
#else
Copy widest_copy() { return copy_baseline; }
#endif

std::size_t cache_bytes(int name, std::size_t otherwise) {
  const long bytes = ::sysconf(name);
  return bytes > 0 ? static_cast<std::size_t>(bytes) : otherwise;
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

CopySpeed measure_copy(std::size_t bytes, double seconds) {
  constexpr int trials = 5;
  const Copy copy = widest_copy();
  Executor& executor = default_executor();
  const std::int64_t threads = std::max(1, executor.concurrency());
  const std::size_t words =
      std::max<std::size_t>(bytes / sizeof(std::uint64_t) / static_cast<std::size_t>(threads), 1);
  const std::size_t total = words * static_cast<std::size_t>(threads);
  const std::vector<std::uint64_t> from(total, 1);
  std::vector<std::uint64_t> to(total, 0);  // written, so that no page is touched first below

  const auto time_copies = [&](std::int64_t repeats) {
    const auto start = std::chrono::steady_clock::now();
    executor.parallel_for(threads, [&](std::int64_t thread) {
      const std::size_t at = words * static_cast<std::size_t>(thread);
      for (std::int64_t i = 0; i < repeats; ++i) copy(from.data() + at, to.data() + at, words);
    });
    return std::max(seconds_since(start), 1e-9);
  };

  time_copies(1);  // starts the threads
  std::int64_t repeats = 1;
  double best = time_copies(repeats);
  while (best < seconds / trials && repeats < (std::int64_t{1} << 30)) {
    repeats *= 2;
    best = time_copies(repeats);
  }
  for (int trial = 1; trial < trials; ++trial) best = std::min(best, time_copies(repeats));
  const double moved = 2.0 * static_cast<double>(total * sizeof(std::uint64_t));
  return {total * sizeof(std::uint64_t), moved * static_cast<double>(repeats) / best / 1e9};
}

std::size_t bytes_in_cache() {
  const auto threads = static_cast<std::size_t>(std::max(1, default_executor().concurrency()));
  // Two buffers share the cache.
  return cache_bytes(_SC_LEVEL2_CACHE_SIZE, std::size_t{512} << 10) / 4 * threads;
}

std::size_t bytes_past_cache() {
  const std::size_t last = cache_bytes(_SC_LEVEL3_CACHE_SIZE, std::size_t{32} << 20);
  return std::clamp(4 * last, std::size_t{64} << 20, std::size_t{256} << 20);
}

}  // namespace omninorm::cli
