// The controls: what moving the same number of bytes takes, and what waking the threads takes.
#include <algorithm>
#include <cstring>

#include "bench/problem.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace omninorm::bench {
namespace {

// Below this a thread's share costs less than handing it over.
constexpr std::size_t kSmallestPiece = 32 * 1024;

struct CopyMemory {
  Buffer from, to;
};

using CopyPiece = void (*)(std::byte* to, const std::byte* from, std::size_t bytes);

void copy_plain(std::byte* to, const std::byte* from, std::size_t bytes) {
  std::memcpy(to, from, bytes);
}

#if defined(__SSE2__)
// `to` and `from` are 64-byte aligned.
void copy_streaming(std::byte* to, const std::byte* from, std::size_t bytes) {
  std::size_t i = 0;
  for (; i + 64 <= bytes; i += 64) {
    for (std::size_t part = 0; part < 64; part += 16) {
      const auto value = _mm_load_si128(reinterpret_cast<const __m128i*>(from + i + part));
      _mm_stream_si128(reinterpret_cast<__m128i*>(to + i + part), value);
    }
  }
  _mm_sfence();
  std::memcpy(to + i, from + i, bytes - i);
}
#endif

Side copy_side(const char* name, CopyPiece copy_piece, std::shared_ptr<CopyMemory> memory,
               Executor& executor) {
  const std::size_t bytes = memory->from.bytes();
  const auto threads = static_cast<std::size_t>(std::max(1, executor.concurrency()));
  const std::size_t pieces = std::clamp<std::size_t>(bytes / kSmallestPiece, 1, threads);
  const std::size_t piece = (bytes + pieces * 64 - 1) / (pieces * 64) * 64;
  auto run = [=, &executor] {
    executor.parallel_for(static_cast<std::int64_t>(pieces), [&](std::int64_t index) {
      const std::size_t begin = std::min(bytes, static_cast<std::size_t>(index) * piece);
      const std::size_t end = std::min(bytes, begin + piece);
      copy_piece(memory->to.data() + begin, memory->from.data() + begin, end - begin);
    });
  };
  return {name, std::move(run), {}};
}

}  // namespace

Side handover_side(Executor& executor) {
  const auto threads = static_cast<std::int64_t>(std::max(1, executor.concurrency()));
  return {
      "threads", [&executor, threads] { executor.parallel_for(threads, [](std::int64_t) {}); }, {}};
}

std::vector<Side> copy_sides(const Problem& problem, Executor& executor) {
  const auto memory = std::make_shared<CopyMemory>();
  memory->from = Buffer(problem.moved_bytes / 2);  // read once, written once
  memory->to = Buffer(memory->from.bytes());
  std::vector<Side> sides;
  sides.push_back(copy_side("copy", copy_plain, memory, executor));
#if defined(__SSE2__)
  sides.push_back(copy_side("copy_streaming", copy_streaming, memory, executor));
#endif
  return sides;
}

}  // namespace omninorm::bench
