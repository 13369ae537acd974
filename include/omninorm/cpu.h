// What the CPU kernels run on.
#pragma once

#include <string>
#include <vector>

namespace omninorm {

// The SIMD targets that this build has and this machine can run, best first, e.g.
// {"AVX3", "AVX2", "SSE4"}; the first is in use unless OMNINORM_TARGET or set_cpu_target
// says otherwise.
std::vector<std::string> cpu_targets();

// The target in use.
std::string cpu_target();

// Chooses a target for all later calls in this process; "" is the best again. Throws Error for a
// name that is not in cpu_targets(). For tests and measurements; not to be called while ops run.
void set_cpu_target(const std::string& target);

}  // namespace omninorm
