#include "python/module/threads.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "src/core/check.h"

namespace omninorm::python {
namespace {

constexpr int kMostThreads = 1024;
constexpr std::chrono::milliseconds kBetweenLooks{50};

int usable_cpus() {
  cpu_set_t cpus;
  // Fails where the machine has more CPUs than the set.
  if (sched_getaffinity(0, sizeof cpus, &cpus) == 0) return CPU_COUNT(&cpus);
  return static_cast<int>(std::thread::hardware_concurrency());
}

int threads_at_first() {
  int count = usable_cpus();
  if (const char* text = std::getenv("OMP_NUM_THREADS")) {
    char* end = nullptr;
    const long wanted = std::strtol(text, &end, 10);
    if (end != text && wanted > 0 && wanted <= kMostThreads) count = static_cast<int>(wanted);
  }
  return std::clamp(count, 1, kMostThreads);
}

std::atomic<int>& thread_count() {
  static std::atomic<int> count = threads_at_first();
  return count;
}

}  // namespace

int num_threads() { return thread_count(); }

void set_num_threads(int count) {
  if (count < 1 || count > kMostThreads) {
    internal::fail("set_num_threads", "1 to " + std::to_string(kMostThreads) + " threads",
                   std::to_string(count));
  }
  thread_count() = count;
}

void InterruptibleExecutor::check_signals() {
  const auto now = std::chrono::steady_clock::now();
  if (error_ || now - looked_ < kBetweenLooks) return;
  looked_ = now;
  const pybind11::gil_scoped_acquire gil;
  if (PyErr_CheckSignals() == 0) return;
  try {
    throw pybind11::error_already_set();
  } catch (...) {
    error_ = std::current_exception();
  }
}

void InterruptibleExecutor::run(std::int64_t count, Task task, void* state) {
  std::atomic<std::int64_t> next = 0;
  std::atomic<bool> stop = interrupted();
  const auto work = [&] {
    for (std::int64_t index = next++; index < count && !stop; index = next++) task(state, index);
  };
  const auto helpers = std::min<std::int64_t>(threads_, count) - 1;
  std::vector<std::jthread> threads;
  try {
    for (std::int64_t i = 0; i < helpers; ++i) threads.emplace_back(work);
  } catch (const std::system_error&) {
    // The machine gives no more threads: those that there are do the work.
  }
  for (std::int64_t index = next++; index < count && !stop; index = next++) {
    task(state, index);
    check_signals();
    if (interrupted()) stop = true;
  }
}

}  // namespace omninorm::python
