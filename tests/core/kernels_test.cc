// Every kernel of the library's list against the case table's truth: whatever it takes, on every
// SIMD target. A kernel that joins the list is tested by that; kTakes says what it must not
// decline.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <set>

#include "omninorm/error.h"
#include "src/core/kernel_list.h"
#include "src/cpu/streaming.h"
#include "tests/core/cases.h"
#include "tests/core/expect_truth.h"
#include "tests/core/shuffled_executor.h"
#include "tests/core/targets.h"

namespace omninorm::cases {
namespace {

std::set<std::string> kernel_names() {
  std::set<std::string> names;
  for (const auto& kernel : internal::forward_kernels()) names.insert(kernel.name);
  for (const auto& kernel : internal::backward_kernels()) names.insert(kernel.name);
  return names;
}

std::set<std::string> fast_kernel_names() {
  std::set<std::string> names = kernel_names();
  names.erase("reference");
  return names;
}

// What a kernel must take some cases of, for f32, bf16 and f16; kernels that are not named here may
// decline everything.
struct Takes {
  const char* kernel;
  Op op;
};
constexpr Takes kTakes[] = {
    {"packed", Op::rms_norm},
    {"packed", Op::layer_norm},
    {"packed", Op::grouped_layer_norm},
    {"packed", Op::add_rms_norm},
    {"packed", Op::add_layer_norm},
    {"row", Op::rms_norm},
    {"row", Op::layer_norm},
    {"row", Op::grouped_layer_norm},
    {"row", Op::add_rms_norm},
    {"row", Op::add_layer_norm},
    {"plane", Op::group_norm},
    {"plane", Op::instance_norm},
    {"plane", Op::batch_norm},
    {"column", Op::group_norm},
    {"column", Op::instance_norm},
    {"column", Op::batch_norm},
};

bool must_take(const std::string& kernel, Op op, DType dtype) {
  return dtype != DType::f64 && std::ranges::any_of(kTakes, [&](const Takes& takes) {
           return kernel == takes.kernel && op == takes.op;
         });
}

// False where the kernel of OMNINORM_FORCE declines the call; other Errors are failures.
template <class Call>
bool taken(const Call& call) {
  try {
    call();
    return true;
  } catch (const Error& error) {
    if (std::strstr(error.what(), "one that it declines") == nullptr &&
        std::strstr(error.what(), "expected OMNINORM_FORCE to name a kernel") == nullptr) {
      ADD_FAILURE() << error.what();
    }
    return false;
  }
}

class Kernels : public testing::TestWithParam<std::tuple<std::string, Op, DType>> {
 protected:
  void TearDown() override { choose(); }

  void force() { set_environment("OMNINORM_FORCE", std::get<0>(GetParam()).c_str()); }
  void choose() { set_environment("OMNINORM_FORCE", nullptr); }

  static std::vector<Case> table() {
    const auto [kernel, op, dtype] = GetParam();
    std::vector<Case> list = all_cases();
    std::erase_if(list, [&](const Case& c) {
      return c.op != op || c.dtype != dtype || c.rows() * c.width() == 0;
    });
    return list;
  }
};

// Not for the reference, whose test is reference_test.cc.
class KernelTruth : public Kernels {};

TEST_P(KernelTruth, ForwardAgrees) {
  const auto [kernel, op, dtype] = GetParam();
  int count = 0;
  for (const std::string& target : cpu_targets()) {
    const TargetScope scope(target);
    force();
    for (const Case& c : table()) {
      SCOPED_TRACE(name(c) + " " + target);
      Tensors tensors(c);
      if (!taken([&] { forward(c, tensors.forward_args()); })) continue;
      expect_forward(c, tensors);
      ++count;
    }
  }
  if (must_take(kernel, op, dtype)) {
    EXPECT_GT(count, 0);
  }
}

TEST_P(KernelTruth, BackwardAgrees) {
  const auto [kernel, op, dtype] = GetParam();
  int count = 0;
  for (const std::string& target : cpu_targets()) {
    const TargetScope scope(target);
    for (const Case& c : table()) {
      if (!c.statistics) continue;
      SCOPED_TRACE(name(c) + " " + target);
      Tensors tensors(c);
      choose();
      forward(c, tensors.forward_args());
      force();
      if (!taken([&] { backward(c, tensors.backward_args()); })) continue;
      expect_backward(c, tensors);
      ++count;
    }
  }
  if (must_take(kernel, op, dtype)) {
    EXPECT_GT(count, 0);
  }
}

// Each subset of backward's outputs is what all of them together are; no mean and rstd, no change
// of y.
TEST_P(Kernels, FillOnlyWhatIsGiven) {
  for (const Case& c : table()) {
    if (!c.statistics || c.elements() > 400 || c.layout == Layout::expanded) continue;
    SCOPED_TRACE(name(c));
    Tensors all(c), some(c);
    force();
    if (taken([&] { forward(c, all.forward_args()); })) {
      ForwardCall call = some.forward_args();
      call.mean = call.rstd = {};
      forward(c, call);
      EXPECT_EQ(some.y.values(), all.y.values());
    }
    choose();
    forward(c, all.forward_args());
    forward(c, some.forward_args());
    force();
    if (!taken([&] { backward(c, all.backward_args()); })) continue;
    for (unsigned subset = 0; subset < 8; ++subset) {
      BackwardCall call = some.backward_args();
      if (!(subset & 1)) call.dx = {};
      if (!(subset & 2)) call.dweight = {};
      if (!(subset & 4)) call.dbias = {};
      backward(c, call);
      if (subset & 1) {
        EXPECT_EQ(some.dx.values(), all.dx.values());
      }
      if ((subset & 2) && c.weight) {
        EXPECT_EQ(some.dweight.values(), all.dweight.values());
      }
      if ((subset & 4) && c.bias) {
        EXPECT_EQ(some.dbias.values(), all.dbias.values());
      }
    }
    EXPECT_EQ(some.damage(), "");
  }
}

// y over x, dx over dy, and for add_* every placement that is allowed: the bits of separate
// outputs.
TEST_P(Kernels, InPlaceGivesTheSameBits) {
  force();
  for (const Case& c : table()) {
    if (c.y_dtype != c.dtype || c.layout == Layout::expanded || c.elements() > 3000) continue;
    SCOPED_TRACE(name(c));
    Tensors apart(c);
    if (!taken([&] { forward(c, apart.forward_args()); })) continue;
    for (Buffer Tensors::*sum : {&Tensors::sum, &Tensors::x, &Tensors::residual}) {
      for (Buffer Tensors::*y : {&Tensors::y, &Tensors::x, &Tensors::residual}) {
        if (y == sum || (!c.adds() && (sum != &Tensors::sum || y == &Tensors::residual))) continue;
        Tensors together(c);
        ForwardCall call = together.forward_args();
        call.sum = (together.*sum).tensor();
        call.y = (together.*y).tensor();
        forward(c, call);
        EXPECT_EQ((together.*y).values(), apart.y.values());
        if (c.adds()) {
          EXPECT_EQ((together.*sum).values(), apart.sum.values());
        }
      }
    }
  }
}

TEST_P(Kernels, BackwardInPlaceGivesTheSameBits) {
  for (const Case& c : table()) {
    if (c.y_dtype != c.dtype || c.layout == Layout::expanded || c.elements() > 3000) continue;
    if (!c.statistics) continue;
    SCOPED_TRACE(name(c));
    for (Buffer Tensors::*dx : {&Tensors::dy, &Tensors::dsum}) {
      Tensors apart(c), together(c);
      if (!(together.*dx).tensor().given()) continue;
      choose();
      forward(c, apart.forward_args());
      forward(c, together.forward_args());
      force();
      if (!taken([&] { backward(c, apart.backward_args()); })) continue;
      BackwardCall call = together.backward_args();
      call.dx = (together.*dx).tensor();
      backward(c, call);
      EXPECT_EQ((together.*dx).values(), apart.dx.values());
      EXPECT_EQ(together.dweight.values(), apart.dweight.values());
      EXPECT_EQ(together.dbias.values(), apart.dbias.values());
    }
  }
}

std::vector<std::vector<double>> results(const Case& c, const Context& context) {
  Tensors tensors(c);
  forward(c, tensors.forward_args(), context);
  if (c.statistics) backward(c, tensors.backward_args(), context);
  std::vector<std::vector<double>> all;
  for (const Buffer* buffer :
       {&tensors.sum, &tensors.y, &tensors.mean, &tensors.rstd, &tensors.dx, &tensors.dweight,
        &tensors.dbias, &tensors.running_mean, &tensors.running_var}) {
    all.push_back(buffer->values());
  }
  EXPECT_EQ(tensors.damage(), "");
  return all;
}

// One thread or many in any order, aligned or not, workspace given or not: the same bits.
TEST_P(Kernels, SameBitsWhateverRunsBeside) {
  force();
  for (Case c : table()) {
    // An unwritten element is a NaN, which is not equal to itself.
    if (c.layout == Layout::expanded || c.values == Values::large || !c.statistics) continue;
    SCOPED_TRACE(name(c));
    std::vector<std::vector<double>> serial;
    if (!taken([&] { serial = results(c, {.executor = &serial_executor()}); })) continue;
    ShuffledExecutor executor(3);
    EXPECT_EQ(results(c, {.executor = &executor}), serial) << "3 threads";
    Tensors tensors(c);
    const std::size_t bytes = std::max(forward_workspace(c, tensors.forward_args()),
                                       backward_workspace(c, tensors.backward_args()));
    std::vector<std::byte> memory(bytes + 13, std::byte{0x7f});
    EXPECT_EQ(results(c, {.workspace = std::span(memory).subspan(13)}), serial) << "workspace";
    c.misalignment += 5;
    EXPECT_EQ(results(c, {.executor = &serial_executor()}), serial) << "misaligned";
  }
}

// Stores past the cache, which only large tensors get, write what the others do, and nothing else.
TEST_P(Kernels, StreamedGivesTheSameBits) {
  for (const std::string& target : cpu_targets()) {
    const TargetScope scope(target);
    for (const Case& c : table()) {
      if (c.layout == Layout::expanded || c.values == Values::large || !c.statistics) continue;
      SCOPED_TRACE(name(c) + " " + target);
      force();
      std::vector<std::vector<double>> plain;
      if (!taken([&] { plain = results(c, {}); })) continue;
      internal::set_streaming_crossover(0);
      EXPECT_EQ(results(c, {}), plain);
      internal::set_streaming_crossover(-1);
    }
  }
}

// The library's own choice, without a forced kernel.
TEST(KernelChoice, TakesTheWholeTable) {
  for (const Case& c : all_cases()) {
    if (c.dtype == DType::f64 || c.elements() > 3000) continue;
    SCOPED_TRACE(name(c));
    Tensors tensors(c);
    forward(c, tensors.forward_args());
    expect_forward(c, tensors);
    if (!c.statistics) continue;
    backward(c, tensors.backward_args());
    expect_backward(c, tensors);
  }
}

std::string group_name(const testing::TestParamInfo<std::tuple<std::string, Op, DType>>& info) {
  const auto& [kernel, op, dtype] = info.param;
  return kernel + "_" + name(op) + "_" + omninorm::name(dtype);
}

INSTANTIATE_TEST_SUITE_P(, Kernels,
                         testing::Combine(testing::ValuesIn(kernel_names()),
                                          testing::ValuesIn(kAllOps),
                                          testing::Values(DType::f32, DType::bf16, DType::f16)),
                         group_name);
INSTANTIATE_TEST_SUITE_P(, KernelTruth,
                         testing::Combine(testing::ValuesIn(fast_kernel_names()),
                                          testing::ValuesIn(kAllOps),
                                          testing::Values(DType::f32, DType::bf16, DType::f16)),
                         group_name);

}  // namespace
}  // namespace omninorm::cases
