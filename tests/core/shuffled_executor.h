// Threads in the worst order.
#pragma once

#include <algorithm>
#include <atomic>
#include <numeric>
#include <random>
#include <thread>
#include <vector>

#include "omninorm/executor.h"

namespace omninorm::cases {

// Runs tasks in a shuffled order on several threads.
class ShuffledExecutor final : public Executor {
 public:
  explicit ShuffledExecutor(unsigned threads) : threads_(threads) {}

  int concurrency() const override { return static_cast<int>(threads_); }

  void run(std::int64_t count, Task task, void* state) override {
    std::vector<std::int64_t> order(static_cast<std::size_t>(count));
    std::iota(order.begin(), order.end(), 0);
    std::shuffle(order.begin(), order.end(), random_);
    std::atomic<std::size_t> next = 0;
    const auto work = [&] {
      for (std::size_t i = next++; i < order.size(); i = next++) task(state, order[i]);
    };
    std::vector<std::jthread> pool;
    for (unsigned i = 0; i < threads_; ++i) pool.emplace_back(work);
  }

 private:
  unsigned threads_;
  std::mt19937 random_{7};
};

}  // namespace omninorm::cases
