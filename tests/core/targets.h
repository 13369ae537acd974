// For tests of the CPU kernels: which SIMD target, which kernel.
#pragma once

#include <cstdlib>
#include <string>

#include "omninorm/cpu.h"
#include "src/core/kernel_list.h"

namespace omninorm::cases {

// Uses a target until the end of the scope, then the one before it.
class TargetScope {
 public:
  explicit TargetScope(const std::string& target) : before_(cpu_target()) {
    set_cpu_target(target);
  }
  TargetScope(const TargetScope&) = delete;
  TargetScope& operator=(const TargetScope&) = delete;
  ~TargetScope() { set_cpu_target(before_); }

 private:
  std::string before_;
};

// Sets OMNINORM_FORCE or OMNINORM_VERBOSE, null for neither, and has the library read them.
inline void set_environment(const char* variable, const char* value) {
  if (value != nullptr) {
    setenv(variable, value, 1);
  } else {
    unsetenv(variable);
  }
  internal::reread_environment();
}

// Within the scope a call that this kernel declines is an Error, so that none slips to another.
class ForcedKernel {
 public:
  explicit ForcedKernel(const char* name) { set_environment("OMNINORM_FORCE", name); }
  ForcedKernel(const ForcedKernel&) = delete;
  ForcedKernel& operator=(const ForcedKernel&) = delete;
  ~ForcedKernel() { set_environment("OMNINORM_FORCE", nullptr); }
};

}  // namespace omninorm::cases
