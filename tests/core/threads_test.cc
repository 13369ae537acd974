// Every op on threads of std::thread, which ThreadSanitizer understands (./dev tsan): tasks of one
// call share nothing that one of them writes, and each result has the bits of a single thread.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <thread>

#include "tests/core/cases.h"
#include "tests/core/shuffled_executor.h"
#include "tests/core/targets.h"

namespace omninorm::cases {
namespace {

// Also tells the most tasks that one step was cut into.
class CountingExecutor final : public Executor {
 public:
  int concurrency() const override { return threads_.concurrency(); }
  void run(std::int64_t count, Task task, void* state) override {
    most_ = std::max(most_, count);
    threads_.run(count, task, state);
  }
  std::int64_t most() const { return most_; }

 private:
  ShuffledExecutor threads_{4};
  std::int64_t most_ = 0;
};

std::vector<std::vector<double>> results(const Case& c, Executor& executor) {
  Tensors tensors(c);
  const Context context{.executor = &executor};
  forward(c, tensors.forward_args(), context);
  if (c.statistics) backward(c, tensors.backward_args(), context);
  std::vector<std::vector<double>> all;
  for (const Buffer* buffer :
       {&tensors.sum, &tensors.y, &tensors.mean, &tensors.rstd, &tensors.dx, &tensors.dweight,
        &tensors.dbias, &tensors.running_mean, &tensors.running_var}) {
    all.push_back(buffer->values());
  }
  return all;
}

// Of one op and layout, large enough for several tasks in both directions and no larger.
struct Split {
  Op op;
  std::vector<std::int64_t> sizes;
  Layout layout = Layout::contiguous;
};
const Split kSplits[] = {
    {Op::rms_norm, {1100, 96}},
    {Op::layer_norm, {1100, 96}},
    {Op::layer_norm, {40, 4099}},
    {Op::add_rms_norm, {1100, 96}},
    {Op::add_layer_norm, {1100, 96}},
    {Op::add_layer_norm, {3000, 64}},
    {Op::grouped_layer_norm, {1100, 96}},
    {Op::grouped_layer_norm, {3, 8, 2100}},
    {Op::grouped_layer_norm, {3, 64, 600}, Layout::channels_last},
    {Op::group_norm, {20, 8, 1024}},
    {Op::group_norm, {3, 64, 1100}, Layout::channels_last},
    {Op::group_norm, {9, 64, 49}, Layout::channels_last},
    {Op::instance_norm, {20, 8, 1024}},
    {Op::instance_norm, {3, 64, 1100}, Layout::channels_last},
    {Op::batch_norm, {20, 8, 1024}},
    {Op::batch_norm, {30, 64, 100}, Layout::channels_last},
    {Op::batch_norm, {5000, 32}},
};

void expect_same_bits(const Case& c, CountingExecutor& threads) {
  SCOPED_TRACE(name(c));
  EXPECT_EQ(results(c, threads), results(c, serial_executor()));
}

TEST(Threads, CallsOfManyTasks) {
  for (const Split& split : kSplits) {
    for (const DType dtype : {DType::f32, DType::bf16}) {
      for (const Running running : {Running::none, Running::updated, Running::evaluation}) {
        Case c;
        c.op = split.op;
        c.sizes = split.sizes;
        c.layout = split.layout;
        c.dtype = c.weight_dtype = c.y_dtype = dtype;
        c.bias = true;
        c.running = running;
        c.per_position = c.op == Op::grouped_layer_norm && c.sizes.size() == 3;
        c.groups = c.op == Op::grouped_layer_norm || c.op == Op::group_norm ? 2 : 1;
        const bool runs = c.op == Op::instance_norm || c.op == Op::batch_norm;
        if (running != Running::none && !runs) continue;
        if (runs) c.activation = Activation::silu;
        CountingExecutor threads;
        expect_same_bits(c, threads);
        EXPECT_GT(threads.most(), 1) << name(c) << " is one task";
      }
    }
  }
}

// Every way of the table, a part of it: of each op every seventh case.
TEST(Threads, CallsOfTheTable) {
  std::size_t turn = 0;
  for (const Case& c : all_cases()) {
    if (c.elements() > 4000 || c.layout == Layout::expanded || c.values == Values::large ||
        !c.statistics || turn++ % 7 != 0) {
      continue;
    }
    CountingExecutor threads;
    expect_same_bits(c, threads);
  }
}

// Calls of one thread beside calls of another: nothing is shared behind their backs.
TEST(Threads, CallsSideBySide) {
  std::vector<Case> list;
  std::vector<std::vector<std::vector<double>>> alone;
  const std::vector<Case> all = all_cases();
  for (std::size_t i = 0; i < all.size(); i += 211) {
    if (all[i].elements() > 4000) continue;
    list.push_back(all[i]);
    alone.push_back(results(all[i], serial_executor()));
  }
  std::array<int, 4> wrong{};
  {
    std::vector<std::jthread> pool;
    for (int& mine : wrong) {
      pool.emplace_back([&] {
        for (std::size_t i = 0; i < list.size(); ++i) {
          mine += results(list[i], serial_executor()) != alone[i];
        }
      });
    }
  }
  EXPECT_EQ(wrong, (std::array<int, 4>{}));
}

}  // namespace
}  // namespace omninorm::cases
