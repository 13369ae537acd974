// fit of RunningScaler: rows one after another, columns side by side.
#include <algorithm>
#include <cmath>
#include <limits>
#include <mutex>
#include <vector>

#include "src/cpu/row_kernels.h"
#include "src/scaler/fit_plan.h"
#include "src/scaler/tasks.h"

namespace omninorm::internal {
namespace {

constexpr std::int64_t kTile = 64;  // columns of a task
constexpr std::int64_t kRows = 64;  // rows that are packed at once

struct RunningState {
  double weight[kTile] = {}, weight_squares[kTile] = {}, mean[kTile] = {}, m2[kTile] = {};

  scaling::RunningTable table() { return {weight, weight_squares, mean, m2}; }

  bool finite() const {
    double sum = 0;
    for (const double* field : {weight, weight_squares, mean, m2}) {
      for (std::int64_t j = 0; j < kTile; ++j) sum += field[j] * 0;
    }
    return sum == 0;
  }
};

class RunningTask {
 public:
  RunningTask(const Matrix& x, const double* weights, bool ignore_infinite, double alpha,
              std::int64_t begin)
      : x_(x),
        weights_(weights),
        keep_(1 - alpha),
        begin_(begin),
        columns_(std::min(kTile, x.columns - begin)),
        plan_(plan_fit(x, weights != nullptr)),
        reader_(x, weights, ignore_infinite, plan_) {}

  BadValue run(RunningMoments* columns) {
    for (std::int64_t j = 0; j < columns_; ++j) {
      const RunningMoments& m = columns[begin_ + j];
      state_.weight[j] = m.weight;
      state_.weight_squares[j] = m.weight_squares;
      state_.mean[j] = m.mean;
      state_.m2[j] = m.m2;
    }
    for (std::int64_t row = 0; row < x_.rows; row += kRows) {
      if (const BadValue bad = take(row, std::min(kRows, x_.rows - row))) return bad;
    }
    for (std::int64_t j = 0; j < columns_; ++j) {
      columns[begin_ + j] = {state_.weight[j], state_.weight_squares[j], state_.mean[j],
                             state_.m2[j]};
    }
    return {};
  }

 private:
  BadValue take(std::int64_t row, std::int64_t count) {
    for (std::int64_t i = 0; i < count; ++i) {
      for (std::int64_t j = 0; j < columns_; ++j) {
        packed_[i * kTile + j] = x_.value(row + i, begin_ + j);
      }
    }
    const RunningState before = state_;
    step(row, 0, count);
    if (state_.finite()) return {};
    if (const BadValue bad = reader_.first_infinite(row, count, begin_, columns_)) return bad;
    // Again, to see in which row.
    state_ = before;
    std::int64_t i = 0;
    while (i + 1 < count && (step(row, i, 1), state_.finite())) ++i;
    return reader_.farthest(row + i, 1, begin_, columns_, before.mean);
  }

  void step(std::int64_t row, std::int64_t i, std::int64_t count) {
    scaling::run_rows(packed_ + i * kTile, count, columns_, kTile,
                      weights_ ? weights_ + row + i : nullptr, reader_.limit(), keep_,
                      state_.table());
  }

  const Matrix& x_;
  const double* weights_;
  double keep_;
  std::int64_t begin_, columns_;
  FitPlan plan_;
  FitReader reader_;
  RunningState state_;
  double packed_[kRows * kTile] = {};
};

}  // namespace

BadValue add_running(const Matrix& x, const double* weights, bool ignore_infinite, double alpha,
                     RunningMoments* columns, Executor& executor) {
  choose_cpu_target();
  BadValue worst;
  std::mutex mutex;
  run_tasks(executor, (x.columns + kTile - 1) / kTile, [&](std::int64_t tile) {
    RunningTask task(x, weights, ignore_infinite, alpha, tile * kTile);
    const BadValue bad = task.run(columns);
    const std::lock_guard lock(mutex);
    keep_first(worst, bad);
  });
  return worst;
}

}  // namespace omninorm::internal
