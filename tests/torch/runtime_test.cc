// The executor on torch's threads, one OpenMP runtime in the process, and the warning on devices
// without a kernel.
#include <ATen/Parallel.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <c10/util/Exception.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <atomic>
#include <fstream>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "torch/executor.h"
#include "torch/rms_norm.h"

namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using torch::Tensor;

class Threads {
 public:
  explicit Threads(int count) : before_(at::get_num_threads()) { at::set_num_threads(count); }
  ~Threads() { at::set_num_threads(before_); }

 private:
  int before_;
};

TEST(TorchExecutor, RunsEachTaskOnce) {
  for (const int threads : {1, 2, 3}) {
    const Threads guard(threads);
    for (const std::int64_t count : {0, 1, 2, 7, 1000}) {
      std::vector<std::atomic<int>> runs(static_cast<std::size_t>(count));
      omninorm::torch_ops::torch_executor().parallel_for(
          count, [&](std::int64_t i) { ++runs[static_cast<std::size_t>(i)]; });
      for (const auto& times : runs) EXPECT_EQ(times, 1);
    }
  }
}

TEST(TorchExecutor, TwoThreadsReallyRun) {
  const Threads guard(2);
  std::mutex mutex;
  std::set<std::thread::id> ids;
  std::set<int> numbers;
  omninorm::torch_ops::torch_executor().parallel_for(64, [&](std::int64_t) {
    const std::lock_guard<std::mutex> lock(mutex);
    ids.insert(std::this_thread::get_id());
    numbers.insert(at::get_thread_num());
  });
  EXPECT_EQ(ids.size(), 2U);
  EXPECT_EQ(numbers, (std::set<int>{0, 1}));
  EXPECT_EQ(omninorm::torch_ops::torch_executor().concurrency(), 2);
}

TEST(TorchExecutor, RunsInsideAParallelRegion) {
  const Threads guard(2);
  std::atomic<int> runs = 0;
  omninorm::Executor& executor = omninorm::torch_ops::torch_executor();
  executor.parallel_for(4, [&](std::int64_t) {
    EXPECT_TRUE(at::in_parallel_region());
    executor.parallel_for(10, [&](std::int64_t) { ++runs; });
  });
  EXPECT_EQ(runs, 40);
}

TEST(Process, HasOneOpenMpRuntime) {
  omninorm::torch_ops::rms_norm(torch::randn({512, 64}), {64});
  std::set<std::string> runtimes;
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    const std::size_t path = line.find('/');
    if (path == std::string::npos) continue;
    const std::string file = line.substr(line.rfind('/') + 1);
    for (const char* name : {"libgomp", "libiomp", "libomp"}) {
      if (file.starts_with(name)) runtimes.insert(line.substr(path));
    }
  }
  EXPECT_EQ(runtimes.size(), 1U) << ::testing::PrintToString(runtimes);
}

struct Recorder : c10::WarningHandler {
  void process(const c10::Warning& warning) override { messages.push_back(warning.msg()); }
  std::vector<std::string> messages;
};

// No other device can be had here: the kernel for all of them is called by its dispatch key.
Tensor on_fallback(const char* name, const Tensor& x) {
  const auto op = c10::Dispatcher::singleton().findSchemaOrThrow(name, "");
  torch::jit::Stack stack{x, std::vector<std::int64_t>{x.size(-1)}};
  for (std::size_t i = 2; i < op.schema().arguments().size(); ++i) {
    stack.push_back(*op.schema().arguments()[i].default_value());
  }
  op.callBoxedForDispatchKey(c10::DispatchKey::CompositeExplicitAutograd, stack);
  return stack.front().toTensor();
}

TEST(Fallback, WarnsOnceForEachOp) {
  Recorder recorder;
  const c10::WarningUtils::WarningHandlerGuard guard(&recorder);
  const Tensor x = torch::randn({3, 32});
  for (int i = 0; i < 3; ++i) {
    const Tensor y = on_fallback("omninorm::rms_norm_forward", x);
    EXPECT_TRUE(torch::allclose(y, omninorm::torch_ops::rms_norm(x, {32}), 1e-5, 1e-6));
  }
  ASSERT_EQ(recorder.messages.size(), 1U);
  EXPECT_THAT(recorder.messages[0],
              AllOf(HasSubstr("omninorm::rms_norm"), HasSubstr("'cpu'"), HasSubstr("slower")));
  on_fallback("omninorm::layer_norm_forward", x);
  on_fallback("omninorm::layer_norm_forward", x);
  ASSERT_EQ(recorder.messages.size(), 2U);
  EXPECT_THAT(recorder.messages[1], HasSubstr("omninorm::layer_norm"));
}

TEST(Fallback, TheKernelsThemselvesNeverWarn) {
  Recorder recorder;
  const c10::WarningUtils::WarningHandlerGuard guard(&recorder);
  const Tensor x = torch::randn({3, 32}, torch::requires_grad());
  omninorm::torch_ops::rms_norm(x, {32}).sum().backward();
  EXPECT_TRUE(recorder.messages.empty());
}

}  // namespace
