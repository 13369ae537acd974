#include "src/cpu/tasks.h"

#include <gtest/gtest.h>

namespace omninorm::internal {
namespace {

TEST(TaskCut, EveryUnitOnceInRangesOfNearlyOneLength) {
  for (const std::int64_t units : {1, 2, 3, 7, 16, 17, 64, 100, 1000, 4096, 100000}) {
    for (const std::int64_t most : {0, 1, 2, 5, 10, 63, 64, 1000000}) {
      const TaskCut cut(units, most);
      std::int64_t at = 0;
      for (std::int64_t task = 0; task < cut.tasks(); ++task) {
        ASSERT_EQ(cut.begin(task), at);
        const std::int64_t length = cut.begin(task + 1) - at;
        ASSERT_GE(length, units / cut.tasks());
        ASSERT_LE(length, std::min(units / cut.tasks() + 1, std::max<std::int64_t>(most, 1)));
        at += length;
      }
      ASSERT_EQ(at, units);
    }
  }
}

TEST(TaskCut, TasksThatTwoFourEightOrSixteenThreadsShareEqually) {
  EXPECT_EQ(TaskCut(64, 10).tasks(), 8);  // seven would be four and three
  EXPECT_EQ(TaskCut(64, 64).tasks(), 1);
  EXPECT_EQ(TaskCut(512, 10).tasks(), 64);  // 52
  EXPECT_EQ(TaskCut(3, 1).tasks(), 3);      // no empty ones
  EXPECT_EQ(TaskCut(std::int64_t{1} << 40, 1).tasks(), std::int64_t{1} << 40);
}

}  // namespace
}  // namespace omninorm::internal
