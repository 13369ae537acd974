// For tests of the CPU kernels: which SIMD target, and no way round them.
#pragma once

#include <cstdlib>
#include <string>

#include "omninorm/cpu.h"

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

// Within the scope a call that the row kernels decline is an Error, so that none slips to the
// reference.
class RowKernelsOnly {
 public:
  RowKernelsOnly() { setenv("OMNINORM_FORCE", "row", 1); }
  RowKernelsOnly(const RowKernelsOnly&) = delete;
  RowKernelsOnly& operator=(const RowKernelsOnly&) = delete;
  ~RowKernelsOnly() { unsetenv("OMNINORM_FORCE"); }
};

}  // namespace omninorm::cases
