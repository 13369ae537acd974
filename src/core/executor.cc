#include "omninorm/executor.h"

#ifdef _OPENMP
#include <omp.h>

#include <algorithm>
#include <atomic>
#endif

namespace omninorm {
namespace {

class SerialExecutor final : public Executor {
 public:
  int concurrency() const override { return 1; }

  void run(std::int64_t count, Task task, void* state) override {
    for (std::int64_t i = 0; i < count; ++i) task(state, i);
  }
};

#ifdef _OPENMP
// Each thread has tasks that lie side by side, the same ones in call after call, so that its
// private cache still holds what it wrote; who is done helps the others. batch_norm backward
// 8x512x7x7 f32 on two threads took 58 us with tasks handed out one by one, 48 so.
class OpenMpExecutor final : public Executor {
 public:
  int concurrency() const override { return omp_in_parallel() ? 1 : omp_get_max_threads(); }

  void run(std::int64_t count, Task task, void* state) override {
    // Inside a parallel region the caller's threads are already all there are.
    const int threads = concurrency();
    if (count <= 1 || threads == 1) {
      serial_executor().run(count, task, state);
      return;
    }
    const std::int64_t parts = std::min<std::int64_t>({threads, count, kMostParts});
    const auto begin = [=](std::int64_t part) {
      return count / parts * part + std::min(part, count % parts);
    };
    Part shared[kMostParts];
    for (std::int64_t i = 0; i < parts; ++i) shared[i].next = begin(i);
#pragma omp parallel num_threads(threads)
    {
      const std::int64_t me = omp_get_thread_num();
      for (std::int64_t k = 0; k < parts; ++k) {
        const std::int64_t part = (me + k) % parts, end = begin(part + 1);
        const std::atomic_ref next(shared[part].next);
        if (next.load(std::memory_order_relaxed) >= end) continue;
        const auto take = [&] { return next.fetch_add(1, std::memory_order_relaxed); };
        for (std::int64_t i = take(); i < end; i = take()) task(state, i);
      }
    }
  }

 private:
  static constexpr std::int64_t kMostParts = 256;  // more threads than these share theirs
  struct alignas(64) Part {
    std::int64_t next;
  };
};
#endif

}  // namespace

Executor& serial_executor() {
  static SerialExecutor executor;
  return executor;
}

Executor& default_executor() {
#ifdef _OPENMP
  static OpenMpExecutor executor;
  return executor;
#else
  return serial_executor();
#endif
}

}  // namespace omninorm
