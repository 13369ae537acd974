// Threads for the scalers in a Python process: of std::thread, made for one call and gone after it.
// A second libgomp beside torch's would be a second thread pool, and a pool does not outlive
// fork().
#pragma once

#include <pybind11/pybind11.h>

#include <chrono>
#include <cstdint>
#include <exception>

#include "omninorm/executor.h"

namespace omninorm::python {

// How many threads a call uses at most, the caller's included. At first OMP_NUM_THREADS, where that
// is a number, else the CPUs that this process may run on.
int num_threads();
void set_num_threads(int count);  // throws Error unless 1 <= count <= 1024

// Made and used by one thread, which holds no GIL in run(). Ctrl-C, and whatever else a signal
// handler of Python raises, leaves the remaining tasks undone: what they would have written is then
// unknown, so the result has to be dropped.
class InterruptibleExecutor final : public Executor {
 public:
  explicit InterruptibleExecutor(int threads) : threads_(threads) {}

  int concurrency() const override { return threads_; }
  void run(std::int64_t count, Task task, void* state) override;

  // Looks for signals where some time has passed since the last look.
  void check_signals();
  bool interrupted() const { return error_ != nullptr; }
  // Throws what the signal handler raised, if one did. With the GIL.
  void rethrow() const {
    if (error_) std::rethrow_exception(error_);
  }

 private:
  int threads_;
  std::chrono::steady_clock::time_point looked_ = std::chrono::steady_clock::now();
  std::exception_ptr error_;
};

// Below this many elements, starting a thread costs more than it saves.
inline constexpr std::int64_t kElementsWorthThreads = std::int64_t{1} << 17;

// Runs `work(executor)` without the GIL on as many threads as `elements` are worth, then throws
// what a signal handler raised meanwhile.
template <class Work>
void without_gil(std::int64_t elements, Work&& work) {
  InterruptibleExecutor executor(elements < kElementsWorthThreads ? 1 : num_threads());
  {
    const pybind11::gil_scoped_release release;
    try {
      work(executor);
    } catch (...) {
      // After an interruption an error may come from what was left undone.
      if (!executor.interrupted()) throw;
    }
  }
  executor.rethrow();
}

}  // namespace omninorm::python
