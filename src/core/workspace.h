// Scratch memory of one call: the caller's workspace, or where none was given its own, which for
// small calls is on the stack: an allocation takes as long as a norm of 768 entries.
#pragma once

#include <cstddef>
#include <memory>
#include <new>

#include "omninorm/executor.h"

namespace omninorm::internal {

inline constexpr std::size_t kAlignment = 64;

inline std::size_t aligned(std::size_t bytes) {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

// The size that is asked of callers holds room to align what they give.
inline std::size_t with_slack(std::size_t bytes) { return bytes == 0 ? 0 : bytes + kAlignment - 1; }

class Workspace {
 public:
  // Throws Error where the context's workspace is too small, which names `<op>_<call>_workspace()`.
  Workspace(const char* op, const char* call, std::size_t bytes, const Context& context);

  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;

  std::byte* memory() const { return memory_; }  // aligned to kAlignment

 private:
  struct Delete {
    void operator()(std::byte* memory) const {
      ::operator delete[](memory, std::align_val_t{kAlignment});
    }
  };
  static constexpr std::size_t kNear = 8 * 1024;

  std::unique_ptr<std::byte[], Delete> own_;
  std::byte* memory_ = nullptr;
  alignas(kAlignment) std::byte near_[kNear];
};

}  // namespace omninorm::internal
