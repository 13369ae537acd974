// omninorm's tasks on torch's own intra-op threads: one process, one thread pool.
#pragma once

#include <cstdint>

#include "omninorm/executor.h"

namespace omninorm::torch_ops {

class TorchExecutor final : public Executor {
 public:
  int concurrency() const override;  // at::get_num_threads()
  void run(std::int64_t count, Task task, void* state) override;
};

TorchExecutor& torch_executor();

}  // namespace omninorm::torch_ops
