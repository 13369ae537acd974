// Scalers on threads of std::thread, which ThreadSanitizer understands (./dev tsan): every executor
// gives the bits of a single thread, in fit, in what it refuses, and in transform.
#include <gtest/gtest.h>

#include <memory>

#include "tests/core/shuffled_executor.h"
#include "tests/scaler/table.h"

namespace omninorm::scaler_tests {
namespace {

// Counts the tasks too, so that a test of threads is one.
class Threads final : public Executor {
 public:
  int concurrency() const override { return 4; }
  void run(std::int64_t count, Task task, void* state) override {
    most = std::max(most, count);
    threads_.run(count, task, state);
  }
  std::int64_t most = 0;

 private:
  cases::ShuffledExecutor threads_{4};
};

std::vector<std::unique_ptr<Scaler>> kinds() {
  std::vector<std::unique_ptr<Scaler>> all;
  all.push_back(std::make_unique<ZScoreScaler>());
  all.push_back(std::make_unique<MinMaxScaler>());
  all.push_back(std::make_unique<RunningScaler>());
  return all;
}

// Several tasks by rows, by tiles, and by columns.
struct Shape {
  std::int64_t rows, columns;
  Layout layout;
};
const Shape kShapes[] = {{40000, 32, Layout::row_major},
                         {40000, 20, Layout::column_major},
                         {300, 900, Layout::row_major},
                         {9000, 70, Layout::spread}};

TEST(Threads, ScalersHaveTheBitsOfOneThread) {
  for (const Shape& shape : kShapes) {
    Table table = normal_table(shape.rows, shape.columns, 3, 2);
    for (std::size_t i = 0; i < table.values.size(); i += 1001) table.values[i] = kNaN;
    Laid x(table, DType::f32, shape.layout), y(table, DType::f32, shape.layout), want = y;
    const std::vector<double> weights(static_cast<std::size_t>(shape.rows), 0.1);
    for (const bool weighted : {false, true}) {
      ConstTensor weight;
      if (weighted) weight = ConstTensor(weights.data(), {shape.rows});
      for (const std::unique_ptr<Scaler>& scaler : kinds()) {
        const std::unique_ptr<Scaler> alone = scaler->clone();
        Threads threads;
        const Context many{.executor = &threads}, one{.executor = &serial_executor()};
        scaler->fit(x.tensor(), weight, many);
        // RunningScaler has tasks of 64 columns, and none of rows.
        const bool alone_anyway = std::string(scaler->kind()) == "running" && shape.columns <= 64;
        EXPECT_EQ(threads.most > 1, !alone_anyway) << scaler->kind();
        alone->fit(x.tensor(), weight, one);
        EXPECT_TRUE(scaler->same_state(*alone));
        threads.most = 0;
        scaler->transform(x.tensor(), y.tensor(), {}, many);
        alone->transform(x.tensor(), want.tensor(), {}, one);
        EXPECT_GT(threads.most, 1) << scaler->kind();
        EXPECT_EQ(y.memory(), want.memory());
      }
    }
  }
}

TEST(Threads, ScalersRefuseTheFirstBadValue) {
  for (const Shape& shape : kShapes) {
    Table table = normal_table(shape.rows, shape.columns, 3, 2);
    const std::int64_t last = shape.columns - 1;
    table.at(shape.rows - 1, 0) = kInf;
    table.at(200, last) = -kInf;
    table.at(200, last - 1) = kInf;
    table.at(201, 0) = kInf;
    Laid x(table, DType::f64, shape.layout);
    for (const std::unique_ptr<Scaler>& scaler : kinds()) {
      Threads threads;
      try {
        scaler->fit(x.tensor(), {}, {.executor = &threads});
        ADD_FAILURE() << "an infinity was taken";
      } catch (const ValueError& error) {
        EXPECT_EQ(error.row, 200);
        EXPECT_EQ(error.column, last - 1);
        EXPECT_EQ(error.value, kInf);
      }
    }
  }
}

}  // namespace
}  // namespace omninorm::scaler_tests
