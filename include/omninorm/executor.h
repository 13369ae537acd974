// Where the threads come from. Kernels cut their work into tasks by shape alone, so every executor
// gives the same bits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <type_traits>

namespace omninorm {

// Runs tasks 0 .. count-1, each exactly once, in any order and on any threads, and returns when all
// are done, on the thread that called it. A task never throws. Implement this to lend omninorm your
// own thread pool.
class Executor {
 public:
  using Task = void (*)(void* state, std::int64_t index);

  virtual ~Executor() = default;

  // How many tasks can run at once; only a hint for callers, never used to partition work.
  virtual int concurrency() const = 0;

  virtual void run(std::int64_t count, Task task, void* state) = 0;

  // The same for any callable `void(std::int64_t)`.
  template <class Function>
  void parallel_for(std::int64_t count, Function&& function) {
    using F = std::remove_reference_t<Function>;
    run(
        count, [](void* state, std::int64_t index) { (*static_cast<F*>(state))(index); },
        const_cast<void*>(static_cast<const void*>(std::addressof(function))));
  }
};

// One thread: the caller's.
Executor& serial_executor();

// OpenMP where the library was built with it, else the serial one.
Executor& default_executor();

// What every call takes last. `workspace` is scratch memory of at least the bytes that the op's
// `_workspace` function tells, any alignment; left empty, the call allocates for itself.
struct Context {
  Executor* executor = nullptr;  // null: default_executor()
  std::span<std::byte> workspace{};
};

}  // namespace omninorm
