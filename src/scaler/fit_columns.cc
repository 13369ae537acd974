// One pass of fit: blocks of rows in plain sums, their results merged in sums of two doubles.
#include <cmath>
#include <cstddef>
#include <limits>
#include <mutex>
#include <vector>

#include "src/cpu/row_kernels.h"
#include "src/scaler/double_double.h"
#include "src/scaler/fit_plan.h"
#include "src/scaler/tasks.h"

namespace omninorm::internal {
namespace {

using scaling::BlockRows;
using scaling::MomentTable;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
// Each move brings a pivot at least 12 digits nearer to the block's mean: more than a double has.
constexpr int kMostMoves = 26;
constexpr std::int64_t kWaveTasks = 64;  // ranges of rows whose results are kept at once ...
constexpr std::int64_t kWaveColumns = std::int64_t{1} << 18;  // ... of about so many columns

std::size_t room(std::int64_t columns) {
  return static_cast<std::size_t>(scaling::padded(columns));
}

bool all_zero(const double* values, std::int64_t count) {
  double sum = 0;
  for (std::int64_t i = 0; i < count; ++i) sum += values[i] * 0;  // NaN or infinite: NaN
  return sum == 0;
}

// ---- What a task has found about its columns

class MomentStore {
 public:
  explicit MomentStore(std::int64_t columns) : columns_(columns), data_(6 * room(columns)) {}

  MomentStore(const ColumnMoments* from, std::int64_t columns) : MomentStore(columns) {
    for (std::int64_t j = 0; j < columns; ++j) {
      const ColumnMoments& m = from[j];
      const double fields[6] = {m.count.high, m.count.low, m.mean.high,
                                m.mean.low,   m.m2.high,   m.m2.low};
      for (int f = 0; f < 6; ++f) *field(f, j) = fields[f];
    }
  }

  void copy_to(ColumnMoments* to) {
    for (std::int64_t j = 0; j < columns_; ++j) {
      to[j] = {
          {*field(0, j), *field(1, j)}, {*field(2, j), *field(3, j)}, {*field(4, j), *field(5, j)}};
    }
  }

  void merge(MomentStore& part) { scaling::merge_table(columns_, part.table(), table()); }

  MomentTable table() { return {data_.data(), static_cast<std::int64_t>(room(columns_))}; }
  double count(std::int64_t j) { return *field(0, j); }
  double mean(std::int64_t j) { return *field(2, j); }

 private:
  double* field(int f, std::int64_t j) { return data_.data() + f * table().stride + j; }

  std::int64_t columns_;
  std::vector<double> data_;
};

class ExtremeStore {
 public:
  explicit ExtremeStore(std::int64_t columns) : columns_(static_cast<std::size_t>(columns)) {}
  ExtremeStore(const ColumnExtremes* from, std::int64_t columns) : columns_(from, from + columns) {}

  void copy_to(ColumnExtremes* to) { std::copy(columns_.begin(), columns_.end(), to); }

  void merge(const ExtremeStore& part) {
    for (std::size_t j = 0; j < columns_.size(); ++j) add(j, part.columns_[j]);
  }

  void add(std::size_t j, const ColumnExtremes& part) {
    columns_[j] = omninorm::merge(columns_[j], part);
  }

 private:
  std::vector<ColumnExtremes> columns_;
};

// ---- Tasks. take() adds a block of rows to the store.

class MomentTask {
 public:
  using Store = MomentStore;

  MomentTask(FitReader& reader, const FitPlan& plan, std::int64_t begin, std::int64_t columns,
             Store& store)
      : reader_(reader),
        plan_(plan),
        begin_(begin),
        columns_(columns),
        store_(store),
        masked_(static_cast<std::size_t>(columns), reader.weighted()) {
    for (auto* values : {&pivot_, &sum_, &squares_, &count_}) values->resize(room(columns));
    const std::size_t folded = room(plan.fold * std::min(plan.unit(), columns));
    for (auto* values : {&folded_pivot_, &folded_sum_, &folded_squares_, &folded_count_}) {
      values->resize(folded);
    }
  }

  BadValue take(std::int64_t row, std::int64_t count) {
    for (std::int64_t j = 0; j < columns_; j += plan_.unit()) {
      const std::int64_t unit = std::min(plan_.unit(), columns_ - j);
      Stretch stretch = reader_.read(row, count, begin_ + j, unit);
      place_pivots(row, count, j, unit);
      for (int moves = 0;; ++moves) {
        if (!sum(stretch, count, j, unit)) return bad_value(row, count, j, unit);
        if (moves == kMostMoves || !move_pivots(j, unit)) break;
      }
    }
    scaling::merge_block(columns_, pivot_.data(), sum_.data(), squares_.data(), count_.data(),
                         store_.table());
    return {};
  }

 private:
  static double& at(std::vector<double>& values, std::int64_t i) {
    return values[static_cast<std::size_t>(i)];
  }

  // The mean so far; of a column without one, its first value.
  void place_pivots(std::int64_t row, std::int64_t count, std::int64_t j, std::int64_t unit) {
    for (std::int64_t i = j; i < j + unit; ++i) {
      at(pivot_, i) =
          store_.count(i) == 0 ? reader_.first_value(row, count, begin_ + i) : store_.mean(i);
    }
  }

  // To the block's means, where the sums about the pivots say little of the spread about them.
  // That is so where the pivot is farther away than the spread, and all before the block weighs
  // less than it: else M2 of both together is at least half of the sum of squares, and no digits
  // are lost. Says whether any was moved.
  bool move_pivots(std::int64_t j, std::int64_t unit) {
    bool moved = false;
    for (std::int64_t i = j; i < j + unit; ++i) {
      if (!(at(count_, i) > store_.count(i))) continue;
      const double shift = at(sum_, i) / at(count_, i);
      if (!(shift * at(sum_, i) > at(squares_, i) / 2)) continue;
      at(pivot_, i) += shift;
      moved = true;
    }
    return moved;
  }

  // The columns' sums over the block; false where they are not finite.
  bool sum(Stretch& stretch, std::int64_t count, std::int64_t j, std::int64_t unit) {
    stretch.rows.masked = masked_[static_cast<std::size_t>(j)];
    if (sum_once(stretch, count, j, unit)) return true;
    if (stretch.rows.masked) return false;
    // From here on: where one value is missing, more are.
    masked_[static_cast<std::size_t>(j)] = stretch.rows.masked = true;
    return sum_once(stretch, count, j, unit);
  }

  bool sum_once(const Stretch& stretch, std::int64_t count, std::int64_t j, std::int64_t unit) {
    const std::int64_t width = plan_.fold * unit;
    for (std::int64_t i = 0; i < width; ++i) at(folded_pivot_, i) = at(pivot_, j + i % unit);
    for (auto* values : {&folded_sum_, &folded_squares_, &folded_count_}) {
      std::fill_n(values->begin(), width, 0.0);
    }
    stretch.for_each([&](const BlockRows& rows) {
      scaling::sum_deviations(rows, folded_pivot_.data(), folded_sum_.data(),
                              folded_squares_.data(), folded_count_.data());
    });
    if (!all_zero(folded_sum_.data(), width) || !all_zero(folded_squares_.data(), width)) {
      return false;
    }
    unfold(folded_sum_, sum_, j, unit);
    unfold(folded_squares_, squares_, j, unit);
    if (stretch.rows.masked) {
      unfold(folded_count_, count_, j, unit);
    } else {
      std::fill_n(count_.begin() + j, unit, static_cast<double>(count));
    }
    return true;
  }

  void unfold(const std::vector<double>& folded, std::vector<double>& columns, std::int64_t j,
              std::int64_t unit) {
    double* to = columns.data() + j;
    const double* from = folded.data();
    std::copy_n(from, unit, to);
    for (std::int64_t k = 1; k < plan_.fold; ++k) {
      for (std::int64_t i = 0; i < unit; ++i) to[i] += from[k * unit + i];
    }
  }

  BadValue bad_value(std::int64_t row, std::int64_t count, std::int64_t j,
                     std::int64_t unit) const {
    const BadValue bad = reader_.first_infinite(row, count, begin_, columns_);
    return bad ? bad : reader_.farthest(row, count, begin_ + j, unit, pivot_.data() + j);
  }

  FitReader& reader_;
  const FitPlan& plan_;
  std::int64_t begin_, columns_;
  Store& store_;
  std::vector<bool> masked_;                           // by the first column of a unit
  std::vector<double> pivot_, sum_, squares_, count_;  // of the task's columns
  std::vector<double> folded_pivot_, folded_sum_, folded_squares_, folded_count_;  // of a unit's
};

class ExtremeTask {
 public:
  using Store = ExtremeStore;

  ExtremeTask(FitReader& reader, const FitPlan& plan, std::int64_t begin, std::int64_t columns,
              Store& store)
      : reader_(reader),
        plan_(plan),
        begin_(begin),
        columns_(columns),
        store_(store),
        masked_(static_cast<std::size_t>(columns), reader.weighted()) {
    const std::size_t folded = room(plan.fold * std::min(plan.unit(), columns));
    for (auto* values : {&low_, &high_, &rest_}) values->resize(folded);
  }

  BadValue take(std::int64_t row, std::int64_t count) {
    for (std::int64_t j = 0; j < columns_; j += plan_.unit()) {
      const std::int64_t unit = std::min(plan_.unit(), columns_ - j);
      Stretch stretch = reader_.read(row, count, begin_ + j, unit);
      auto masked = masked_[static_cast<std::size_t>(j)];
      if (!masked) {
        const bool found = stretch.rows.f64 ? find<double>(stretch, count, j, unit)
                                            : find<float>(stretch, count, j, unit);
        if (found) continue;
        masked = true;
      }
      stretch.rows.masked = true;
      if (!find<double>(stretch, count, j, unit)) {
        return reader_.first_infinite(row, count, begin_, columns_);
      }
    }
    return {};
  }

 private:
  // Lane: x's type, or double where masked. False where a value must not be there.
  template <class Lane>
  bool find(const Stretch& stretch, std::int64_t count, std::int64_t j, std::int64_t unit) {
    constexpr auto kLaneInfinity = std::numeric_limits<Lane>::infinity();
    const bool masked = stretch.rows.masked;
    const std::int64_t width = plan_.fold * unit;
    auto* low = reinterpret_cast<Lane*>(low_.data());
    auto* high = reinterpret_cast<Lane*>(high_.data());
    auto* rest = reinterpret_cast<Lane*>(rest_.data());
    std::fill_n(low, width, kLaneInfinity);
    std::fill_n(high, width, -kLaneInfinity);
    std::fill_n(rest, width, Lane{0});
    stretch.for_each([&](const BlockRows& rows) { scaling::find_extremes(rows, low, high, rest); });
    for (std::int64_t i = 0; i < width; ++i) {
      if (masked ? low[i] == -kLaneInfinity || high[i] == kLaneInfinity : !(rest[i] == 0)) {
        return false;
      }
    }
    for (std::int64_t i = 0; i < unit; ++i) {
      double least = kInfinity, most = -kInfinity, counted = 0;
      for (std::int64_t k = i; k < width; k += unit) {
        least = std::min(least, static_cast<double>(low[k]));
        most = std::max(most, static_cast<double>(high[k]));
        counted += static_cast<double>(rest[k]);
      }
      if (!masked) counted = static_cast<double>(count);
      if (counted == 0) continue;
      // + 0: of -0 and 0, which are equal, always 0, whatever the order of rows.
      store_.add(static_cast<std::size_t>(j + i), {{counted, 0}, least + 0.0, most + 0.0});
    }
    return true;
  }

  FitReader& reader_;
  const FitPlan& plan_;
  std::int64_t begin_, columns_;
  Store& store_;
  std::vector<bool> masked_;
  std::vector<double> low_, high_, rest_;
};

// The rows of a task, block by block.
template <class Task>
BadValue run_task(const Matrix& x, const double* weights, bool ignore_infinite, const FitPlan& plan,
                  std::int64_t first, std::int64_t begin, typename Task::Store& store) {
  FitReader reader(x, weights, ignore_infinite, plan);
  Task task(reader, plan, begin, std::min(plan.tile, x.columns - begin), store);
  const std::int64_t last = std::min(first + plan.task_rows, x.rows);
  for (std::int64_t row = first; row < last;) {
    const std::int64_t most = std::clamp(row - first, plan.first, plan.most);
    const std::int64_t count = std::min(most, last - row);
    if (const BadValue bad = task.take(row, count)) return bad;
    row += count;
  }
  return {};
}

// All tasks; each column's results are merged in the order of rows.
template <class Task, class Column>
BadValue fit_columns(const Matrix& x, const double* weights, bool ignore_infinite, Column* columns,
                     Executor& executor) {
  choose_cpu_target();
  const FitPlan plan = plan_fit(x, weights != nullptr);
  const std::int64_t ranges = (x.rows + plan.task_rows - 1) / plan.task_rows;
  const std::int64_t tiles = (x.columns + plan.tile - 1) / plan.tile;
  const std::int64_t in_wave = std::clamp<std::int64_t>(kWaveColumns / x.columns, 1, kWaveTasks);
  using Store = typename Task::Store;
  std::vector<Store> state, parts;
  for (std::int64_t tile = 0; tile < tiles; ++tile) {
    const std::int64_t begin = tile * plan.tile;
    state.emplace_back(columns + begin, std::min(plan.tile, x.columns - begin));
  }
  BadValue worst;
  std::mutex mutex;
  for (std::int64_t wave = 0; wave < ranges; wave += in_wave) {
    const std::int64_t count = std::min(in_wave, ranges - wave);
    parts.clear();
    for (std::int64_t i = 0; i < count * tiles; ++i) {
      parts.emplace_back(std::min(plan.tile, x.columns - i % tiles * plan.tile));
    }
    run_tasks(executor, count * tiles, [&](std::int64_t i) {
      const std::int64_t first = (wave + i / tiles) * plan.task_rows;
      const BadValue bad =
          run_task<Task>(x, weights, ignore_infinite, plan, first, i % tiles * plan.tile,
                         parts[static_cast<std::size_t>(i)]);
      const std::lock_guard lock(mutex);
      keep_first(worst, bad);
    });
    if (worst) return worst;
    for (std::int64_t i = 0; i < count * tiles; ++i) {
      state[static_cast<std::size_t>(i % tiles)].merge(parts[static_cast<std::size_t>(i)]);
    }
  }
  for (std::int64_t tile = 0; tile < tiles; ++tile) {
    state[static_cast<std::size_t>(tile)].copy_to(columns + tile * plan.tile);
  }
  return {};
}

}  // namespace

BadValue add_moments(const Matrix& x, const double* weights, bool ignore_infinite,
                     ColumnMoments* columns, Executor& executor) {
  return fit_columns<MomentTask>(x, weights, ignore_infinite, columns, executor);
}

BadValue add_extremes(const Matrix& x, const double* weights, bool ignore_infinite,
                      ColumnExtremes* columns, Executor& executor) {
  return fit_columns<ExtremeTask>(x, weights, ignore_infinite, columns, executor);
}

}  // namespace omninorm::internal
