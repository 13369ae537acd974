#include "src/core/kernel_list.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "omninorm/omninorm.h"
#include "src/core/norm_build.h"
#include "tests/core/expect_error.h"
#include "tests/core/targets.h"

namespace omninorm::internal {
namespace {

// A call of rms_norm; `column_stride` other than 1 is one that the row kernels decline.
struct Call {
  explicit Call(std::int64_t column_stride = 1)
      : x(64 * 64, 1.0f), y(64 * 64), strides{column_stride == 1 ? 64 : 1, column_stride} {}

  NormForwardArgs args() {
    return {.x = {x.data(), DType::f32, sizes, strides},
            .weight = {w.data(), {64}},
            .y = {y.data(), DType::f32, sizes, strides},
            .rstd = {rstd.data(), {64}}};
  }
  NormBackwardArgs backward_args() {
    return {.x = {x.data(), DType::f32, sizes, strides},
            .weight = {w.data(), {64}},
            .rstd = {rstd.data(), {64}},
            .dy = {x.data(), DType::f32, sizes, strides},
            .dx = {y.data(), DType::f32, sizes, strides},
            .dweight = {dweight.data(), {64}}};
  }

  std::vector<float> x, y;
  std::vector<float> w = std::vector<float>(64, 1.0f), rstd = std::vector<float>(64),
                     dweight = std::vector<float>(64);
  std::vector<std::int64_t> sizes{64, 64}, strides;
};

class Environment : public testing::Test {
 protected:
  void SetUp() override { clear(); }
  void TearDown() override { clear(); }

  static void clear() {
    cases::set_environment("OMNINORM_FORCE", nullptr);
    cases::set_environment("OMNINORM_VERBOSE", nullptr);
  }

  template <class Function>
  static std::string standard_error_of(Function&& function) {
    testing::internal::CaptureStderr();
    function();
    return testing::internal::GetCapturedStderr();
  }
};

TEST_F(Environment, ListsEndInTheReference) {
  EXPECT_STREQ(forward_kernels().back().name, "reference");
  EXPECT_STREQ(backward_kernels().back().name, "reference");
  EXPECT_EQ(forward_kernels().back().decline({}), nullptr);
  EXPECT_EQ(backward_kernels().back().decline({}), nullptr);
}

TEST_F(Environment, QuietByDefault) {
  Call call;
  EXPECT_EQ(standard_error_of([&] { rms_norm_forward(call.args()); }), "");
}

TEST_F(Environment, VerboseSaysWhatAndWhyOnce) {
  Call rows, columns(64);
  cases::set_environment("OMNINORM_VERBOSE", "1");
  EXPECT_EQ(standard_error_of([&] {
              rms_norm_forward(rows.args());
              rms_norm_forward(rows.args());
            }),
            "omninorm: rms_norm_forward: packed\n");
  const std::string declined = standard_error_of([&] {
    rms_norm_forward(columns.args());
    rms_norm_forward(columns.args());
  });
  EXPECT_EQ(declined.find("omninorm: rms_norm_forward: position; packed declined: "), 0u)
      << declined;
  EXPECT_EQ(std::count(declined.begin(), declined.end(), '\n'), 1) << declined;
  EXPECT_EQ(standard_error_of([&] { rms_norm_backward(rows.backward_args(), {.partial = 0.5}); }),
            "omninorm: rms_norm_backward: row; packed declined: statistics are of a part of c\n");
}

TEST_F(Environment, ShortGroupsOfWideRowsArePacked) {
  cases::set_environment("OMNINORM_VERBOSE", "1");
  const std::vector<float> x(3 * 16384, 1.0f);
  std::vector<float> y(x.size());
  EXPECT_EQ(standard_error_of([&] {
              grouped_layer_norm_forward({.x = {x.data(), {3, 16384}}, .y = {y.data(), {3, 16384}}},
                                         {.groups = 2048});
            }),
            "omninorm: grouped_layer_norm_forward: packed\n");
}

TEST_F(Environment, ForcePicks) {
  Call call;
  cases::set_environment("OMNINORM_VERBOSE", "1");
  cases::set_environment("OMNINORM_FORCE", "reference");
  EXPECT_EQ(standard_error_of([&] { rms_norm_forward(call.args()); }),
            "omninorm: rms_norm_forward: reference (OMNINORM_FORCE)\n");
  cases::set_environment("OMNINORM_FORCE", "");
  EXPECT_EQ(standard_error_of([&] { layer_norm_forward(Call().args()); }),
            "omninorm: layer_norm_forward: packed\n");
}

TEST_F(Environment, EmptyCallsGoToTheReferenceUnasked) {
  cases::set_environment("OMNINORM_VERBOSE", "1");
  cases::set_environment("OMNINORM_FORCE", "row");
  const float* none = nullptr;
  float* out = nullptr;
  EXPECT_EQ(standard_error_of([&] {
              rms_norm_forward({.x = {none, {0, 8}}, .y = {out, {0, 8}}});
            }),
            "");
}

TEST_F(Environment, ForceOfAnUnknownKernelListsTheNames) {
  Call call;
  cases::set_environment("OMNINORM_FORCE", "rows");
  EXPECT_ERROR(rms_norm_forward(call.args()),
               "[rms_norm] expected OMNINORM_FORCE to name a kernel (packed, row, plane, column, "
               "position, reference), got rows");
  EXPECT_ERROR(rms_norm_backward(call.backward_args()),
               "[rms_norm] expected OMNINORM_FORCE to name a kernel (packed, row, plane, column, "
               "position, reference), got rows");
}

TEST_F(Environment, ForceOfAKernelThatDeclinesSaysWhy) {
  Call call(64);
  cases::set_environment("OMNINORM_FORCE", "row");
  const char* reason = forward_kernels()[0].decline(build_forward(
      {.op = "rms_norm", .axes = last_dims("rms_norm", call.args().x, 1), .center = false},
      call.args()));
  ASSERT_NE(reason, nullptr);
  EXPECT_ERROR(rms_norm_forward(call.args()),
               std::string("[rms_norm] expected a call that OMNINORM_FORCE=row can take, got one "
                           "that it declines: ") +
                   reason);
}

// What the kernel list must hold to whatever the kernels are.
TEST(Workspace, TooSmallIsAnErrorThatNamesTheQuery) {
  Call call;
  const std::size_t bytes = rms_norm_backward_workspace(call.backward_args());
  ASSERT_GT(bytes, 64u);
  std::vector<std::byte> memory(bytes);
  EXPECT_ERROR(rms_norm_backward(call.backward_args(), {}, {.workspace = {memory.data(), 1}}),
               "[rms_norm] expected a workspace of at least " + std::to_string(bytes) +
                   " bytes, got 1; ask rms_norm_backward_workspace() for the size, or leave the "
                   "workspace empty");
}

TEST(Workspace, OfTheQueriedSizeIsEnoughAtAnyAlignmentAndNoMoreIsUsed) {
  Call call;
  const std::size_t bytes = rms_norm_backward_workspace(call.backward_args());
  std::vector<float> expected;
  rms_norm_backward(call.backward_args());
  expected = call.dweight;
  for (const std::size_t offset : {0, 1, 7, 63}) {
    std::vector<std::byte> memory(offset + bytes + 64, std::byte{0xff});
    call.dweight.assign(64, -1.0f);
    rms_norm_backward(call.backward_args(), {}, {.workspace = {memory.data() + offset, bytes}});
    EXPECT_EQ(call.dweight, expected);
    for (std::size_t i = 0; i < memory.size(); ++i) {
      if (i < offset || i >= offset + bytes) {
        ASSERT_EQ(memory[i], std::byte{0xff}) << i;
      }
    }
  }
}

TEST(Workspace, QueriesReadNoPointers) {
  Call call;
  NormForwardArgs forward = call.args();
  NormBackwardArgs backward = call.backward_args();
  const std::size_t forward_bytes = rms_norm_forward_workspace(forward);
  const std::size_t backward_bytes = rms_norm_backward_workspace(backward);
  forward.x.data = forward.weight.data = nullptr;
  forward.y.data = forward.rstd.data = nullptr;
  backward.x.data = backward.weight.data = backward.rstd.data = backward.dy.data = nullptr;
  backward.dx.data = backward.dweight.data = nullptr;
  EXPECT_EQ(rms_norm_forward_workspace(forward), forward_bytes);
  EXPECT_EQ(rms_norm_backward_workspace(backward), backward_bytes);
}

TEST(Context, ExecutorIsTheOneGiven) {
  struct Counting final : Executor {
    int concurrency() const override { return 1; }
    void run(std::int64_t count, Task task, void* state) override {
      ++runs;
      serial_executor().run(count, task, state);
    }
    int runs = 0;
  } counting;
  Call call;
  rms_norm_forward(call.args(), {}, {.executor = &counting});
  EXPECT_GE(counting.runs, 1);
}

}  // namespace
}  // namespace omninorm::internal
