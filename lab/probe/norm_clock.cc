#include "lab/probe/norm_clock.h"

#include <c10/core/impl/VirtualGuardImpl.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <string_view>

namespace omninorm::lab {
namespace {

using Clock = std::chrono::steady_clock;

// torch's hooks are plain functions, so what they count into is global.
std::atomic<std::int64_t> total_nanoseconds{0};
std::atomic<std::int64_t> total_calls{0};
c10::Device clock_device = c10::kCPU;
thread_local int depth = 0;

void wait_for_device() {
  if (!clock_device.is_cpu()) {
    const c10::impl::VirtualGuardImpl device(clock_device.type());
    device.synchronizeDevice(device.getDevice().index());
  }
}

struct Timer : at::ObserverContext {
  Clock::time_point start;
};

std::unique_ptr<at::ObserverContext> start_timer(const at::RecordFunction& function) {
  if (!std::string_view(function.name()).starts_with("omninorm::")) {
    return nullptr;
  }
  auto timer = std::make_unique<Timer>();
  if (depth++ == 0) {
    wait_for_device();
    timer->start = Clock::now();
  }
  return timer;
}

void stop_timer(const at::RecordFunction&, at::ObserverContext* context) {
  if (context == nullptr || --depth > 0) {
    return;
  }
  wait_for_device();
  const auto elapsed = Clock::now() - static_cast<Timer*>(context)->start;
  total_nanoseconds += std::chrono::duration_cast<std::chrono::nanoseconds>(elapsed).count();
  ++total_calls;
}

}  // namespace

NormClock::NormClock(c10::Device device) {
  total_nanoseconds = 0;
  total_calls = 0;
  clock_device = device;
  handle_ = at::addGlobalCallback(
      at::RecordFunctionCallback(start_timer, stop_timer).scopes({at::RecordScope::FUNCTION}));
}

NormClock::~NormClock() { at::removeCallback(handle_); }

double NormClock::seconds() const { return static_cast<double>(total_nanoseconds) * 1e-9; }
std::int64_t NormClock::calls() const { return total_calls; }

}  // namespace omninorm::lab
