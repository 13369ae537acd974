// Calls that come back: other pointers, other options, and what must be refused however often the
// same call was taken before.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <initializer_list>
#include <thread>
#include <vector>

#include "omninorm/add_norm.h"
#include "omninorm/omninorm.h"
#include "tests/core/expect_error.h"
#include "tests/core/targets.h"

namespace omninorm::cases {
namespace {

constexpr std::int64_t kRows = 3, kWidth = 100;

std::vector<float> numbers(std::size_t count, int seed) {
  std::vector<float> values(count);
  for (std::size_t i = 0; i < count; ++i) {
    values[i] = static_cast<float>((i * 37 + static_cast<std::size_t>(seed) * 101) % 64) / 8 - 3;
  }
  return values;
}

// Memory for every operand of a row norm; another seed gives other numbers.
struct Rows {
  explicit Rows(int seed, std::int64_t rows_in = kRows)
      : rows(rows_in),
        x(numbers(elements(), seed)),
        residual(numbers(elements(), seed + 1)),
        weight(numbers(kWidth, seed + 2)),
        bias(numbers(kWidth, seed + 3)),
        dy(numbers(elements(), seed + 4)),
        sum(elements()),
        y(elements()),
        dx(elements()),
        mean(static_cast<std::size_t>(rows)),
        rstd(static_cast<std::size_t>(rows)),
        dweight(kWidth),
        dbias(kWidth) {}

  std::size_t elements() const { return static_cast<std::size_t>(rows * kWidth); }

  NormForwardArgs forward() {
    return {.x = {x.data(), {rows, kWidth}},
            .weight = {weight.data(), {kWidth}},
            .bias = {bias.data(), {kWidth}},
            .y = {y.data(), {rows, kWidth}},
            .mean = {mean.data(), {rows}},
            .rstd = {rstd.data(), {rows}}};
  }
  NormBackwardArgs backward() {
    return {.x = {x.data(), {rows, kWidth}},
            .weight = {weight.data(), {kWidth}},
            .mean = {mean.data(), {rows}},
            .rstd = {rstd.data(), {rows}},
            .dy = {dy.data(), {rows, kWidth}},
            .dx = {dx.data(), {rows, kWidth}},
            .dweight = {dweight.data(), {kWidth}},
            .dbias = {dbias.data(), {kWidth}}};
  }
  AddNormForwardArgs add() {
    return {.x = {x.data(), {rows, kWidth}},
            .residual = {residual.data(), {rows, kWidth}},
            .weight = {weight.data(), {kWidth}},
            .bias = {bias.data(), {kWidth}},
            .sum = {sum.data(), {rows, kWidth}},
            .y = {y.data(), {rows, kWidth}},
            .mean = {mean.data(), {rows}},
            .rstd = {rstd.data(), {rows}}};
  }
  AddNormBackwardArgs add_backward() {
    return {.sum = {sum.data(), {rows, kWidth}},
            .weight = {weight.data(), {kWidth}},
            .mean = {mean.data(), {rows}},
            .rstd = {rstd.data(), {rows}},
            .dy = {dy.data(), {rows, kWidth}},
            .dsum = {residual.data(), {rows, kWidth}},
            .dx = {dx.data(), {rows, kWidth}},
            .dweight = {dweight.data(), {kWidth}},
            .dbias = {dbias.data(), {kWidth}}};
  }

  bool operator==(const Rows&) const = default;

  std::int64_t rows;
  std::vector<float> x, residual, weight, bias, dy, sum, y, dx, mean, rstd, dweight, dbias;
};

using Use = std::function<void(Rows&)>;

// In a thread of its own, which has made no call before.
void in_fresh_thread(const std::function<void()>& work) { std::thread(work).join(); }

const std::vector<Use>& uses() {
  static const std::vector<Use> list = {
      [](Rows& r) { layer_norm_forward(r.forward()), layer_norm_backward(r.backward()); },
      [](Rows& r) { layer_norm_forward(r.forward(), {.eps = 1e-3}); },
      [](Rows& r) { layer_norm_forward(r.forward(), {.weight_offset = 1}); },
      [](Rows& r) {
        NormForwardArgs args = r.forward();
        args.bias = {};
        layer_norm_forward(args);
      },
      [](Rows& r) {
        // Not given, whatever its pointer.
        NormForwardArgs args = r.forward();
        args.bias.rank = -1;
        args.mean.rank = -1;
        layer_norm_forward(args);
      },
      [](Rows& r) {
        NormForwardArgs args = r.forward();
        args.y = {r.x.data(), {r.rows, kWidth}};
        layer_norm_forward(args);
      },
      [](Rows& r) {
        NormForwardArgs args = r.forward();
        args.mean = {};
        rms_norm_forward(args, {.partial = 0.5});
        NormBackwardArgs back = r.backward();
        back.mean = {};
        rms_norm_backward(back, {.partial = 0.5});
      },
      [](Rows& r) {
        r.mean.resize(static_cast<std::size_t>(r.rows * 5));
        r.rstd.resize(static_cast<std::size_t>(r.rows * 5));
        NormForwardArgs args = r.forward();
        args.mean = {r.mean.data(), {r.rows, 5}};
        args.rstd = {r.rstd.data(), {r.rows, 5}};
        grouped_layer_norm_forward(args, {.groups = 5});
      },
      [](Rows& r) {
        NormForwardArgs args = r.forward();
        args.mean = args.rstd = {};
        group_norm_forward(args, {.num_groups = 10});
      },
      [](Rows& r) { add_layer_norm_forward(r.add()), add_layer_norm_backward(r.add_backward()); },
      [](Rows& r) {
        AddNormForwardArgs args = r.add();
        args.mean = {};
        args.sum = {r.residual.data(), {r.rows, kWidth}};
        add_rms_norm_forward(args);
      },
  };
  return list;
}

TEST(RecentCalls, GiveWhatAFirstCallGives) {
  for (std::size_t u = 0; u < uses().size(); ++u) {
    for (int seed = 0; seed < 3; ++seed) {
      Rows again(seed), first(seed);
      uses()[u](again);
      in_fresh_thread([&] { uses()[u](first); });
      EXPECT_TRUE(again == first) << "use " << u << ", seed " << seed;
    }
  }
}

// More kinds of calls than a thread keeps, in turn, some the same but for their options or rows.
TEST(RecentCalls, TakeTurns) {
  for (int round = 0; round < 3; ++round) {
    for (std::size_t u = 0; u < uses().size(); ++u) {
      for (const std::int64_t rows : {kRows, kRows + 1}) {
        Rows again(round, rows), first(round, rows);
        uses()[u](again);
        in_fresh_thread([&] { uses()[u](first); });
        EXPECT_TRUE(again == first) << "use " << u << ", " << rows << " rows";
      }
    }
  }
}

class RecentCallsRefused : public testing::Test {
 protected:
  void SetUp() override {
    for (int i = 0; i < 3; ++i) layer_norm_forward(rows_.forward());
    for (int i = 0; i < 3; ++i) layer_norm_backward(rows_.backward());
    for (int i = 0; i < 3; ++i) add_layer_norm_forward(rows_.add());
    before_ = rows_;
  }
  void TearDown() override { EXPECT_TRUE(rows_ == before_) << "a refused call wrote something"; }

  Rows rows_{1}, before_{1};
};

TEST_F(RecentCallsRefused, NullPointers) {
  NormForwardArgs args = rows_.forward();
  args.weight.data = nullptr;
  EXPECT_ERROR(layer_norm_forward(args),
               "[layer_norm] expected memory for the elements of weight, got a null pointer");
  NormBackwardArgs back = rows_.backward();
  back.dbias.data = nullptr;
  EXPECT_ERROR(layer_norm_backward(back),
               "[layer_norm] expected memory for the elements of dbias, got a null pointer");
}

TEST_F(RecentCallsRefused, MisalignedPointers) {
  NormForwardArgs args = rows_.forward();
  args.x.data = reinterpret_cast<const std::byte*>(args.x.data) + 2;
  EXPECT_ERROR(layer_norm_forward(args),
               "[layer_norm] expected x aligned to its 4-byte elements, got a pointer that is not");
}

TEST_F(RecentCallsRefused, OutputsOnInputs) {
  NormForwardArgs args = rows_.forward();
  args.y.data = rows_.x.data() + 1;
  EXPECT_ERROR(layer_norm_forward(args),
               "[layer_norm] expected y to share no memory with x, got tensors that overlap");
  // In place first.
  Rows other(3);
  NormForwardArgs in_place = other.forward();
  in_place.y.data = other.x.data();
  layer_norm_forward(in_place, {.eps = 0.25});
  EXPECT_ERROR(layer_norm_forward(args, {.eps = 0.25}),
               "[layer_norm] expected y to share no memory with x, got tensors that overlap");
  args = rows_.forward();
  args.mean.data = rows_.bias.data() + kWidth - 1;
  EXPECT_ERROR(layer_norm_forward(args),
               "[layer_norm] expected mean to share no memory with bias, got tensors that overlap");
  NormBackwardArgs back = rows_.backward();
  back.dx.data = rows_.x.data();
  EXPECT_ERROR(layer_norm_backward(back),
               "[layer_norm] expected dx to share no memory with x, got tensors that overlap");
}

TEST_F(RecentCallsRefused, OutputsOnOutputs) {
  NormForwardArgs args = rows_.forward();
  args.rstd.data = rows_.mean.data();
  EXPECT_ERROR(layer_norm_forward(args),
               "[layer_norm] expected rstd to share no memory with mean, got tensors that overlap");
  AddNormForwardArgs add = rows_.add();
  add.y.data = rows_.sum.data();
  EXPECT_ERROR(add_layer_norm_forward(add),
               "[add_layer_norm] expected y to share no memory with sum, got tensors that overlap");
}

TEST_F(RecentCallsRefused, OtherDevicesAndTypes) {
  NormForwardArgs args = rows_.forward();
  args.x.device = Device::cuda;
  EXPECT_ERROR(layer_norm_forward(args),
               "[layer_norm] expected a CPU tensor, got cuda; copy x to the CPU: this build has no "
               "CUDA kernels");
  args = rows_.forward();
  args.rstd.dtype = DType::f64;
  EXPECT_ERROR(layer_norm_forward(args),
               "[layer_norm] expected rstd of dtype f32 for x of f32, got f64");
}

TEST_F(RecentCallsRefused, SmallWorkspaces) {
  std::byte little[1];
  EXPECT_THROW(layer_norm_forward(rows_.forward(), {}, {.workspace = little}), Error);
}

// y lies between the rows of x, which is no overlap, and then is moved onto them.
TEST(RecentCalls, InterleavedTensorsAreLookedAtEachTime) {
  std::vector<float> both = numbers(2 * kRows * kWidth, 5);
  const std::vector<std::int64_t> sizes = {kRows, kWidth}, strides = {2 * kWidth, 1};
  const NormForwardArgs apart{.x = {both.data(), DType::f32, sizes, strides},
                              .y = {both.data() + kWidth, DType::f32, sizes, strides}};
  NormForwardArgs clash = apart;
  clash.y.data = both.data() + kWidth / 2;
  for (int i = 0; i < 3; ++i) {
    layer_norm_forward(apart);
    EXPECT_ERROR(layer_norm_forward(clash),
                 "[layer_norm] expected y to share no memory with x, got tensors that overlap");
  }
}

// An executor may lend the thread that waits in run() to other work, which may be the same call.
TEST(RecentCalls, CallsWithinACall) {
  class Lending : public Executor {
   public:
    explicit Lending(Rows& other) : other_(other) {}
    int concurrency() const override { return 1; }
    void run(std::int64_t count, Task task, void* state) override {
      layer_norm_forward(other_.forward(), {}, {.executor = &serial_executor()});
      for (std::int64_t i = 0; i < count; ++i) task(state, i);
    }

   private:
    Rows& other_;
  };
  Rows outer(1), inner(2), outer_first(1), inner_first(2);
  in_fresh_thread([&] {
    layer_norm_forward(outer_first.forward());
    layer_norm_forward(inner_first.forward());
  });
  Lending executor(inner);
  for (int i = 0; i < 3; ++i) {
    layer_norm_forward(outer.forward(), {}, {.executor = &executor});
    EXPECT_TRUE(outer == outer_first);
    EXPECT_TRUE(inner == inner_first);
    outer.y.assign(outer.y.size(), 0);
    inner.y.assign(inner.y.size(), 0);
  }
}

// A thread_local that is older than what a thread keeps ends after it. Memory that was freed may
// still look right: this is for AddressSanitizer and valgrind to see.
TEST(RecentCalls, CallsAtAThreadsEnd) {
  static Rows at_end(1);
  struct Last {
    ~Last() { layer_norm_forward(at_end.forward()); }
  };
  Rows first(1);
  in_fresh_thread([&] {
    thread_local const Last last;
    static_cast<void>(&last);
    for (int i = 0; i < 2; ++i) layer_norm_forward(first.forward());
  });
  EXPECT_TRUE(at_end == first);
}

// The two zeros compare equal: what y's zeros look like must not depend on which came first.
TEST(RecentCalls, ZerosOfEitherSignAreOneOffset) {
  // 16-bit weights are widened and the offset added; f32's are read where they are.
  const std::vector<bfloat16> x(kWidth, to_bfloat16(1)), weight(kWidth, to_bfloat16(-0.0f));
  const auto signs = [&](std::initializer_list<double> offsets) {
    std::vector<bfloat16> y(kWidth);
    in_fresh_thread([&] {
      for (const double offset : offsets) {
        rms_norm_forward({.x = {x.data(), {1, kWidth}},
                          .weight = {weight.data(), {kWidth}},
                          .y = {y.data(), {1, kWidth}}},
                         {.weight_offset = offset});
      }
    });
    return std::signbit(to_float(y[0]));
  };
  EXPECT_EQ(signs({0.0, -0.0}), signs({-0.0}));
  EXPECT_EQ(signs({-0.0, 0.0}), signs({0.0}));
}

TEST(RecentCalls, AreForgottenWhereChoicesMayChange) {
  const std::uint64_t before = internal::choice_version;
  set_cpu_target(cpu_target());
  EXPECT_NE(internal::choice_version, before);
}

TEST(RecentCalls, ForgetAKernelThatIsNoLongerForced) {
  Rows rows(1), again(1);
  {
    const ForcedKernel reference("reference");
    layer_norm_forward(rows.forward(), {.eps = 0.5});
    layer_norm_forward(rows.forward(), {.eps = 0.5});
  }
  layer_norm_forward(rows.forward(), {.eps = 0.5});
  in_fresh_thread([&] { layer_norm_forward(again.forward(), {.eps = 0.5}); });
  EXPECT_TRUE(rows == again);
}

}  // namespace
}  // namespace omninorm::cases
