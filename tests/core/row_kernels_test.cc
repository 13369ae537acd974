// The CPU row kernels against the case table's truth, on every SIMD target of this machine.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <iterator>

#include "tests/core/cases.h"
#include "tests/core/expect_truth.h"
#include "tests/core/targets.h"

namespace omninorm::cases {
namespace {

// What the row kernels decline by contract; everything else they must take.
bool is_declined(const Case& c) {
  const bool gathered = c.layout == Layout::columns && c.width() > 1;
  return c.dtype == DType::f64 || gathered || c.rows() == 0 || c.width() == 0;
}

std::vector<Case> row_cases() {
  std::vector<Case> list;
  for (const Case& c : all_cases()) {
    if (c.op != Op::rms_norm && c.op != Op::layer_norm) continue;  // kernels_test has the others
    // A normalised shape whose dimensions are not one run of memory is several dimensions of c.
    if (!is_declined(c) && !(c.normalized_dims > 1 && c.layout != Layout::contiguous)) {
      list.push_back(c);
    }
  }
  return list;
}

// Every width near the vectors and blocks of every target (2 to 32 elements), at odd addresses, in
// every combination of dtypes.
std::vector<Case> tails() {
  std::vector<Case> list;
  for (const Op op : {Op::rms_norm, Op::layer_norm}) {
    for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
      for (std::int64_t width = 1; width <= 70; ++width) {
        Case c;
        c.op = op;
        c.sizes = {5, width};
        c.dtype = c.y_dtype = c.weight_dtype = dtype;
        if (width % 2 == 0) c.weight_dtype = DType::f32;
        if (width % 4 == 0) c.y_dtype = DType::f32;
        c.bias = op == Op::layer_norm;
        c.layout = Layout::padded;
        c.misalignment = width % 7;
        if (op == Op::rms_norm && width > 3) c.partial = width % 3 == 0 ? 0.4 : 1.0;
        list.push_back(c);
      }
    }
  }
  return list;
}

std::string case_name(const testing::TestParamInfo<Case>& info) {
  return std::to_string(info.index) + "_" + name(info.param);
}

class RowKernels : public testing::TestWithParam<Case> {
 protected:
  ForcedKernel only_{"row"};
};

TEST_P(RowKernels, ForwardAgreesWithTheTruthOnEveryTarget) {
  const Case& c = GetParam();
  for (const std::string& target : cpu_targets()) {
    SCOPED_TRACE(target);
    const TargetScope scope(target);
    Tensors tensors(c);
    forward(c, tensors.forward_args());
    const ForwardTruth truth = forward_truth(c, tensors);
    agree("y", truth.y, tensors.y);
    agree("rstd", truth.rstd, tensors.rstd);
    agree("mean", truth.mean, tensors.mean);
    EXPECT_EQ(tensors.damage(), "");
  }
}

TEST_P(RowKernels, BackwardAgreesWithTheTruthOnEveryTarget) {
  const Case& c = GetParam();
  if (!c.statistics) return;  // nothing for backward to read
  for (const std::string& target : cpu_targets()) {
    SCOPED_TRACE(target);
    const TargetScope scope(target);
    Tensors tensors(c);
    forward(c, tensors.forward_args());
    backward(c, tensors.backward_args());
    const BackwardTruth truth = backward_truth(c, tensors);
    agree("dx", truth.dx, tensors.dx);
    agree("dweight", truth.dweight, tensors.dweight);
    agree("dbias", truth.dbias, tensors.dbias);
    EXPECT_EQ(tensors.damage(), "");
  }
}

INSTANTIATE_TEST_SUITE_P(Table, RowKernels, testing::ValuesIn(row_cases()), case_name);
INSTANTIATE_TEST_SUITE_P(Tails, RowKernels, testing::ValuesIn(tails()), case_name);

class RowKernelsOutputs : public testing::Test {
  ForcedKernel only_{"row"};
};
class RowKernelsInPlace : public RowKernelsOutputs {};
class RowKernelsShapes : public RowKernelsOutputs {};
class RowKernelsRounding : public RowKernelsOutputs {};

// Each subset of the outputs of backward gives the same numbers as all of them together.
TEST_F(RowKernelsOutputs, BackwardFillsOnlyWhatIsGiven) {
  Case c;
  c.op = Op::layer_norm;
  c.sizes = {37, 75};
  c.bias = true;
  for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
    c.dtype = c.weight_dtype = c.y_dtype = dtype;
    for (const std::string& target : cpu_targets()) {
      SCOPED_TRACE(std::string(omninorm::name(dtype)) + " " + target);
      const TargetScope scope(target);
      Tensors all(c);
      forward(c, all.forward_args());
      backward(c, all.backward_args());
      for (unsigned subset = 0; subset < 8; ++subset) {
        Tensors some(c);
        forward(c, some.forward_args());
        NormBackwardArgs args = some.backward_args();
        if (!(subset & 1)) args.dx = {};
        if (!(subset & 2)) args.dweight = {};
        if (!(subset & 4)) args.dbias = {};
        backward(c, args);
        if (subset & 1) {
          EXPECT_EQ(some.dx.values(), all.dx.values());
        }
        if (subset & 2) {
          EXPECT_EQ(some.dweight.values(), all.dweight.values());
        }
        if (subset & 4) {
          EXPECT_EQ(some.dbias.values(), all.dbias.values());
        }
        EXPECT_EQ(some.damage(), "");
      }
    }
  }
}

TEST_F(RowKernelsInPlace, YMayBeXAndDxMayBeDy) {
  Case c;
  c.op = Op::layer_norm;
  c.bias = true;
  c.sizes = {9, 77};
  for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
    c.dtype = c.weight_dtype = c.y_dtype = dtype;
    for (const Values values : {Values::normal, Values::large}) {
      c.values = values;
      for (const std::string& target : cpu_targets()) {
        SCOPED_TRACE(name(c) + " " + target);
        const TargetScope scope(target);
        Tensors apart(c);
        forward(c, apart.forward_args());
        backward(c, apart.backward_args());

        Tensors together(c);
        NormBackwardArgs backward_args = together.backward_args();
        forward(c, together.forward_args());
        backward_args.dx = together.dy.tensor();
        backward(c, backward_args);
        EXPECT_EQ(together.dy.values(), apart.dx.values());
        EXPECT_EQ(together.dweight.values(), apart.dweight.values());
        NormForwardArgs forward_args = together.forward_args();
        forward_args.y = together.x.tensor();
        forward(c, forward_args);
        EXPECT_EQ(together.x.values(), apart.y.values());
      }
    }
  }
}

// pytorch #61587, #16998: tall and skinny, past 65,535 rows.
TEST_F(RowKernelsShapes, ManyShortRows) {
  Case c;
  c.op = Op::layer_norm;
  c.bias = true;
  c.sizes = {70000, 32};
  for (const std::string& target : cpu_targets()) {
    SCOPED_TRACE(target);
    const TargetScope scope(target);
    Tensors tensors(c);
    forward(c, tensors.forward_args());
    backward(c, tensors.backward_args());
    const ForwardTruth truth = forward_truth(c, tensors);
    const BackwardTruth gradients = backward_truth(c, tensors);
    agree("y", truth.y, tensors.y);
    agree("dx", gradients.dx, tensors.dx);
    agree("dweight", gradients.dweight, tensors.dweight);
    agree("dbias", gradients.dbias, tensors.dbias);
  }
}

// Rows of many chunks (moments-inl.h), where the fp32 sums are carried over in double.
TEST_F(RowKernelsShapes, FewLongRows) {
  Case c;
  c.op = Op::layer_norm;
  c.bias = true;
  c.sizes = {2, 300007};
  for (const DType dtype : {DType::f32, DType::bf16}) {
    c.dtype = c.weight_dtype = c.y_dtype = dtype;
    for (const std::string& target : cpu_targets()) {
      SCOPED_TRACE(std::string(omninorm::name(dtype)) + " " + target);
      const TargetScope scope(target);
      Tensors tensors(c);
      forward(c, tensors.forward_args());
      backward(c, tensors.backward_args());
      const ForwardTruth truth = forward_truth(c, tensors);
      const BackwardTruth gradients = backward_truth(c, tensors);
      agree("y", truth.y, tensors.y);
      agree("rstd", truth.rstd, tensors.rstd);
      agree("dx", gradients.dx, tensors.dx);
      agree("dweight", gradients.dweight, tensors.dweight);
    }
  }
}

// A mean of one to two standard deviations, where sums about 0 begin to cancel.
TEST_F(RowKernelsShapes, OffsetRowsKeepTheBound) {
  Case c;
  c.op = Op::layer_norm;
  c.values = Values::offset;
  for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
    c.dtype = c.weight_dtype = c.y_dtype = dtype;
    for (const std::int64_t width : {3, 5, 7, 16, 48}) {
      c.sizes = {20000, width};
      for (const std::string& target : cpu_targets()) {
        SCOPED_TRACE(std::string(omninorm::name(dtype)) + " " + std::to_string(width) + " " +
                     target);
        const TargetScope scope(target);
        Tensors tensors(c);
        forward(c, tensors.forward_args());
        const ForwardTruth truth = forward_truth(c, tensors);
        agree("mean", truth.mean, tensors.mean);
        agree("rstd", truth.rstd, tensors.rstd);
      }
    }
  }
}

// Every 16-bit number through load, a product in fp32 and the rounding store: bits as dtype.h's
// scalar conversions give them, overflow, subnormals and ties included.
template <class T>
void every_number_rounds(T (*narrow)(float)) {
  // Statistics from the first entry alone, which is 1, so that rstd is 1 and y = round(x * weight).
  constexpr std::int64_t kWidth = 65537;
  std::vector<T> x(kWidth), y(kWidth);
  std::vector<float> weight(kWidth), rstd(1);
  for (std::int64_t i = 0; i < kWidth; ++i) {
    const auto at = static_cast<std::size_t>(i);
    x[at] = i == 0 ? narrow(1.0f) : T{static_cast<std::uint16_t>(i - 1)};
    // 1 keeps the number; the others hit ties, subnormals and the largest numbers.
    constexpr float kWeights[] = {1.0f, 0.5f, 1.001953125f, 0.00098f, 1.9990234f, 3.1f, 0x1p-9f};
    weight[at] = kWeights[static_cast<std::size_t>(i * 7919 % 65521) % std::size(kWeights)];
  }
  RmsNormOptions options;
  options.eps = 0;
  options.partial = 1.5 / static_cast<double>(kWidth);
  rms_norm_forward({.x = {x.data(), {1, kWidth}},
                    .weight = {weight.data(), {kWidth}},
                    .y = {y.data(), {1, kWidth}},
                    .rstd = {rstd.data(), {1}}},
                   options);
  ASSERT_EQ(rstd[0], 1.0f);
  // AVX512_BF16 takes fp32 subnormals for 0.
  const bool flushes = std::is_same_v<T, bfloat16> && cpu_target() == "AVX3_DL";
  for (std::size_t i = 0; i < x.size(); ++i) {
    const float product = to_float(x[i]) * weight[i];
    const bool flushed = flushes && std::abs(product) < 0x1p-126f;
    const T want = narrow(flushed ? std::copysign(0.0f, product) : product);
    if (std::isnan(to_float(want))) {
      ASSERT_TRUE(std::isnan(to_float(y[i]))) << "bits " << x[i].bits << " times " << weight[i];
    } else {
      ASSERT_EQ(y[i].bits, want.bits) << "bits " << x[i].bits << " times " << weight[i];
    }
  }
}

TEST_F(RowKernelsRounding, OfEvery16BitNumberIsToNearestEven) {
  for (const std::string& target : cpu_targets()) {
    SCOPED_TRACE(target);
    const TargetScope scope(target);
    every_number_rounds<bfloat16>(to_bfloat16);
    every_number_rounds<float16>(to_float16);
  }
}

TEST(CpuTargets, AreNamedAndChosen) {
  const std::vector<std::string> targets = cpu_targets();
  ASSERT_FALSE(targets.empty());
  for (const std::string& target : targets) {
    const TargetScope scope(target);
    EXPECT_EQ(cpu_target(), target);
  }
  set_cpu_target("");
  EXPECT_EQ(cpu_target(), targets.front());
}

TEST(CpuTargets, AnUnknownOneIsAnErrorThatNamesTheOthers) {
  const std::string before = cpu_target();
  try {
    set_cpu_target("AVX9");
    FAIL() << "expected an Error";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find(cpu_targets().front()), std::string::npos);
    EXPECT_NE(std::string(error.what()).find("AVX9"), std::string::npos);
  }
  EXPECT_EQ(cpu_target(), before);
}

// A process that starts with OMNINORM_TARGET set; the child's exit code says what it saw.
TEST(CpuTargetsDeathTest, EnvironmentChoosesOrIsRefused) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const std::string last = cpu_targets().back();
  const auto seen = [](const char* value) {
    setenv("OMNINORM_TARGET", value, 1);
    try {
      std::exit(cpu_target() == value ? 3 : 4);
    } catch (const Error&) {
      std::exit(5);
    }
  };
  EXPECT_EXIT(seen(last.c_str()), testing::ExitedWithCode(3), "");
  EXPECT_EXIT(seen("AVX9"), testing::ExitedWithCode(5), "");
}

}  // namespace
}  // namespace omninorm::cases
