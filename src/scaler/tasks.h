// Tasks that take memory of their own.
#pragma once

#include <atomic>
#include <new>

#include "omninorm/executor.h"

namespace omninorm::internal {

// executor.parallel_for; a task that runs out of memory is told to the caller, since an executor's
// tasks never throw.
template <class Task>
void run_tasks(Executor& executor, std::int64_t count, Task&& task) {
  std::atomic<bool> failed = false;
  executor.parallel_for(count, [&](std::int64_t index) {
    try {
      task(index);
    } catch (const std::bad_alloc&) {
      failed = true;
    }
  });
  if (failed) throw std::bad_alloc();
}

}  // namespace omninorm::internal
