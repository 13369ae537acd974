#include "torch/executor.h"

#include <ATen/Parallel.h>

// at::parallel_for is a header template: without OpenMP it would quietly run on one thread.
#if AT_PARALLEL_OPENMP && !defined(_OPENMP)
#error "compile the torch operators with -fopenmp: torch's thread pool is OpenMP"
#endif

namespace omninorm::torch_ops {

int TorchExecutor::concurrency() const { return at::get_num_threads(); }

void TorchExecutor::run(std::int64_t count, Task task, void* state) {
  at::parallel_for(0, count, 1, [task, state](std::int64_t begin, std::int64_t end) {
    for (std::int64_t index = begin; index < end; ++index) task(state, index);
  });
}

TorchExecutor& torch_executor() {
  static TorchExecutor executor;
  return executor;
}

}  // namespace omninorm::torch_ops
