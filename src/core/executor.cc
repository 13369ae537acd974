#include "omninorm/executor.h"

#ifdef _OPENMP
#include <omp.h>
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
class OpenMpExecutor final : public Executor {
 public:
  int concurrency() const override { return omp_in_parallel() ? 1 : omp_get_max_threads(); }

  void run(std::int64_t count, Task task, void* state) override {
    // Inside a parallel region the caller's threads are already all there are.
    if (count <= 1 || concurrency() == 1) {
      serial_executor().run(count, task, state);
      return;
    }
#pragma omp parallel for schedule(dynamic)
    for (std::int64_t i = 0; i < count; ++i) task(state, i);
  }
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
