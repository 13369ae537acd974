#include "omninorm/executor.h"

#include <gtest/gtest.h>

#include <atomic>
#include <vector>

namespace omninorm {
namespace {

class Executors : public testing::TestWithParam<Executor* (*)()> {
 protected:
  Executor& executor() { return *GetParam()(); }
};

TEST_P(Executors, RunsEachIndexExactlyOnce) {
  for (const std::int64_t count : {0, 1, 2, 3, 7, 64, 1000, 100003}) {
    std::vector<std::atomic<int>> runs(static_cast<std::size_t>(count));
    executor().parallel_for(count, [&](std::int64_t i) { ++runs.at(static_cast<std::size_t>(i)); });
    for (const auto& run : runs) ASSERT_EQ(run, 1) << count;
  }
}

TEST_P(Executors, NegativeCountsRunNothing) {
  executor().parallel_for(-1, [](std::int64_t) { ADD_FAILURE(); });
}

TEST_P(Executors, NestedCallsRunToo) {
  std::atomic<int> runs = 0;
  executor().parallel_for(
      17, [&](std::int64_t) { executor().parallel_for(13, [&](std::int64_t) { ++runs; }); });
  EXPECT_EQ(runs, 17 * 13);
}

TEST_P(Executors, HaveAThread) { EXPECT_GE(executor().concurrency(), 1); }

INSTANTIATE_TEST_SUITE_P(, Executors,
                         testing::Values([] { return &serial_executor(); },
                                         [] { return &default_executor(); }),
                         [](const auto& info) { return info.index == 0 ? "serial" : "standard"; });

TEST(Executor, SerialRunsInOrder) {
  std::vector<std::int64_t> seen;
  serial_executor().parallel_for(4, [&](std::int64_t i) { seen.push_back(i); });
  EXPECT_EQ(seen, (std::vector<std::int64_t>{0, 1, 2, 3}));
  EXPECT_EQ(serial_executor().concurrency(), 1);
}

TEST(Executor, TakesConstCallables) {
  static int runs = 0;
  const auto count = [](std::int64_t) { ++runs; };
  serial_executor().parallel_for(3, count);
  EXPECT_EQ(runs, 3);
}

}  // namespace
}  // namespace omninorm
