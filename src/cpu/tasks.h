// How the units of a call (rows, groups, planes, sets) are shared out: by shape alone, so that the
// bits do not depend on the threads.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>

#include "omninorm/executor.h"

namespace omninorm::internal {

inline std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

// At most `most` units to a task (one at least), and as many tasks as 2, 4, 8 or 16 threads can
// share equally: 64 rows, ten to a task, are seven tasks, four for one of two threads and 40 rows.
class TaskCut {
 public:
  TaskCut(std::int64_t units, std::int64_t most) {
    constexpr std::int64_t kEven = 16;
    const std::int64_t least = ceil_div(units, std::max<std::int64_t>(1, most));
    const std::int64_t even =
        least > kEven ? ceil_div(least, kEven) * kEven
                      : static_cast<std::int64_t>(std::bit_ceil(static_cast<std::uint64_t>(least)));
    tasks_ = std::max<std::int64_t>(1, std::min(even, units));
    each_ = units / tasks_;
    longer_ = units % tasks_;
  }

  std::int64_t tasks() const { return tasks_; }
  // Task i has units begin(i) .. begin(i + 1) - 1.
  std::int64_t begin(std::int64_t task) const { return task * each_ + std::min(task, longer_); }

 private:
  std::int64_t tasks_;
  std::int64_t each_;
  std::int64_t longer_;  // tasks that have one more
};

// Calls run(begin, end) for the ranges of such a cut.
template <class Run>
void for_ranges(Executor& executor, std::int64_t units, std::int64_t most, const Run& run) {
  const TaskCut cut(units, most);
  executor.parallel_for(cut.tasks(),
                        [&](std::int64_t task) { run(cut.begin(task), cut.begin(task + 1)); });
}

}  // namespace omninorm::internal
