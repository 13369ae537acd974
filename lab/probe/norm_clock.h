// Time spent in norm operators, through torch's own profiling hooks.
#pragma once

#include <ATen/record_function.h>
#include <c10/core/Device.h>

#include <cstdint>

namespace omninorm::lab {

// While it lives, counts the time of every operator whose name starts with "omninorm::", forward
// and backward, on any thread. An operator that calls another is counted once, as the outer one. On
// a device that works asynchronously each such operator is waited for. One at a time in a process.
class NormClock {
 public:
  explicit NormClock(c10::Device device);
  ~NormClock();
  NormClock(const NormClock&) = delete;
  NormClock& operator=(const NormClock&) = delete;

  double seconds() const;
  std::int64_t calls() const;

 private:
  at::CallbackHandle handle_;
};

}  // namespace omninorm::lab
