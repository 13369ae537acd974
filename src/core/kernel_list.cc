#include "src/core/kernel_list.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
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

bool verbose() {
  const char* value = std::getenv("OMNINORM_VERBOSE");
  return value != nullptr && std::strcmp(value, "1") == 0;
}

// To stderr, each distinct line once in a process.
void say_once(const std::string& line) {
  static std::mutex mutex;
  static std::set<std::string> said;
  const std::lock_guard lock(mutex);
  if (said.insert(line).second) std::fprintf(stderr, "%s\n", line.c_str());
}

template <class Problem>
const Kernel<Problem>& forced(const Problem& problem, const char* wanted) {
  std::string names;
  for (const Kernel<Problem>& kernel : kernels(problem)) {
    if (std::strcmp(kernel.name, wanted) == 0) {
      if (const char* reason = kernel.decline(problem)) {
        fail(problem.op, std::string("a call that OMNINORM_FORCE=") + wanted + " can take",
             std::string("one that it declines: ") + reason);
      }
      return kernel;
    }
    names += (names.empty() ? "" : ", ") + std::string(kernel.name);
  }
  fail(problem.op, "OMNINORM_FORCE to name a kernel (" + names + ")", wanted);
}

template <class Problem>
const Kernel<Problem>& choose(const Problem& problem) {
  const auto list = kernels(problem);
  if (problem.view.empty()) return list.back();
  const bool speak = verbose();
  const std::string call = speak ? std::string(problem.op) + "_" + direction(problem) : "";
  const char* wanted = std::getenv("OMNINORM_FORCE");
  if (wanted != nullptr && *wanted != '\0') {
    const Kernel<Problem>& kernel = forced(problem, wanted);
    if (speak) say_once("omninorm: " + call + ": " + kernel.name + " (OMNINORM_FORCE)");
    return kernel;
  }
  std::string declined;
  for (const Kernel<Problem>& kernel : list) {
    const char* reason = kernel.decline(problem);
    if (reason == nullptr) {
      if (speak) say_once("omninorm: " + call + ": " + kernel.name + declined);
      return kernel;
    }
    if (speak) declined += std::string("; ") + kernel.name + " declined: " + reason;
  }
  return list.back();  // the reference, which never declines
}

template <class Problem>
void run(const Problem& problem, const Context& context) {
  Executor& executor = context.executor != nullptr ? *context.executor : default_executor();
  const Kernel<Problem>& kernel = choose(problem);
  const std::size_t bytes = kernel.workspace(problem);
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

void launch(const NormForward& problem, const Context& context) { run(problem, context); }
void launch(const NormBackward& problem, const Context& context) { run(problem, context); }
std::size_t kernel_bytes(const NormForward& problem) { return choose(problem).workspace(problem); }
std::size_t kernel_bytes(const NormBackward& problem) { return choose(problem).workspace(problem); }
std::size_t workspace_bytes(const NormForward& problem) {
  return with_slack(kernel_bytes(problem));
}
std::size_t workspace_bytes(const NormBackward& problem) {
  return with_slack(kernel_bytes(problem));
}

}  // namespace omninorm::internal
