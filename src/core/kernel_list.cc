#include "src/core/kernel_list.h"

#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <set>
#include <string>

#include "src/core/check.h"
#include "src/core/workspace.h"

namespace omninorm::internal {
namespace {

const char* direction(const NormForward&) { return "forward"; }
const char* direction(const NormBackward&) { return "backward"; }

std::span<const Kernel<NormForward>> kernels(const NormForward&) { return forward_kernels(); }
std::span<const Kernel<NormBackward>> kernels(const NormBackward&) { return backward_kernels(); }

struct Environment {
  bool verbose = false;
  std::string forced;  // a kernel's name, or empty

  static Environment read() {
    const auto variable = [](const char* name) -> std::string {
      const char* value = std::getenv(name);
      return value != nullptr ? value : "";
    };
    return {variable("OMNINORM_VERBOSE") == "1", variable("OMNINORM_FORCE")};
  }
};

// Never destroyed: threads may run norms while the process exits.
Environment& environment() {
  static Environment& environment = *new Environment(Environment::read());
  return environment;
}

// To stderr, each distinct line once in a process.
void say_once(const std::string& line) {
  static std::mutex mutex;
  static std::set<std::string> said;
  const std::lock_guard lock(mutex);
  if (said.insert(line).second) std::fprintf(stderr, "%s\n", line.c_str());
}

template <class Problem>
const Kernel<Problem>& forced(const Problem& problem, const std::string& wanted) {
  std::string names;
  for (const Kernel<Problem>& kernel : kernels(problem)) {
    if (kernel.name == wanted) {
      if (const char* reason = kernel.decline(problem)) {
        fail(problem.op, "a call that OMNINORM_FORCE=" + wanted + " can take",
             std::string("one that it declines: ") + reason);
      }
      return kernel;
    }
    names += (names.empty() ? "" : ", ") + std::string(kernel.name);
  }
  fail(problem.op, "OMNINORM_FORCE to name a kernel (" + names + ")", wanted);
}

template <class Problem>
const Kernel<Problem>& choose_kernel(const Problem& problem) {
  const auto list = kernels(problem);
  if (problem.view.empty()) return list.back();
  const Environment& asked = environment();
  const Kernel<Problem>* kernel = nullptr;
  std::string why;
  if (!asked.forced.empty()) {
    kernel = &forced(problem, asked.forced);
    why = " (OMNINORM_FORCE)";
  }
  // The last is the reference, which never declines.
  for (auto next = list.begin(); kernel == nullptr; ++next) {
    const char* reason = next->decline(problem);
    if (reason == nullptr) {
      kernel = &*next;
    } else if (asked.verbose) {
      why += std::string("; ") + next->name + " declined: " + reason;
    }
  }
  if (asked.verbose) {
    say_once(std::string("omninorm: ") + problem.op + "_" + direction(problem) + ": " +
             kernel->name + why);
  }
  return *kernel;
}

template <class Problem>
void run_kernel(const Kernel<Problem>& kernel, const Problem& problem, std::size_t bytes,
                const Context& context) {
  Executor& executor = context.executor != nullptr ? *context.executor : default_executor();
  if (bytes == 0) return kernel.run(problem, executor, nullptr);
  const Workspace workspace(problem.op, direction(problem), bytes, context);
  kernel.run(problem, executor, workspace.memory());
}

}  // namespace

std::span<const Kernel<NormForward>> forward_kernels() {
  static const Kernel<NormForward> list[] = {cpu_packed_forward,   cpu_row_forward,
                                             cpu_plane_forward,    cpu_column_forward,
                                             cpu_position_forward, reference_forward};
  return list;
}

std::span<const Kernel<NormBackward>> backward_kernels() {
  static const Kernel<NormBackward> list[] = {cpu_packed_backward,   cpu_row_backward,
                                              cpu_plane_backward,    cpu_column_backward,
                                              cpu_position_backward, reference_backward};
  return list;
}

void reread_environment() {
  environment() = Environment::read();
  ++choice_version;
}

const Kernel<NormForward>& choose(const NormForward& problem) { return choose_kernel(problem); }
const Kernel<NormBackward>& choose(const NormBackward& problem) { return choose_kernel(problem); }

void run(const Kernel<NormForward>& kernel, const NormForward& problem, std::size_t bytes,
         const Context& context) {
  run_kernel(kernel, problem, bytes, context);
}
void run(const Kernel<NormBackward>& kernel, const NormBackward& problem, std::size_t bytes,
         const Context& context) {
  run_kernel(kernel, problem, bytes, context);
}

void launch(const NormForward& problem, const Context& context) {
  const Kernel<NormForward>& kernel = choose(problem);
  run(kernel, problem, kernel.workspace(problem), context);
}
void launch(const NormBackward& problem, const Context& context) {
  const Kernel<NormBackward>& kernel = choose(problem);
  run(kernel, problem, kernel.workspace(problem), context);
}
std::size_t kernel_bytes(const NormForward& problem) { return choose(problem).workspace(problem); }
std::size_t kernel_bytes(const NormBackward& problem) { return choose(problem).workspace(problem); }
std::size_t workspace_bytes(const NormForward& problem) {
  return with_slack(kernel_bytes(problem));
}
std::size_t workspace_bytes(const NormBackward& problem) {
  return with_slack(kernel_bytes(problem));
}

}  // namespace omninorm::internal
