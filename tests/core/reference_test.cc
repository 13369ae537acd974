// The reference against the formulas written out in cases_truth.cc, over the whole table.
#include <gtest/gtest.h>

#include <cstdlib>

#include "tests/core/cases.h"

namespace omninorm::cases {
namespace {

class Reference : public testing::TestWithParam<std::tuple<Op, DType>> {
 protected:
  void SetUp() override { setenv("OMNINORM_FORCE", "reference", 1); }
  void TearDown() override { unsetenv("OMNINORM_FORCE"); }

  static std::vector<Case> table() {
    std::vector<Case> list = all_cases();
    std::erase_if(list, [](const Case& c) { return std::tuple(c.op, c.dtype) != GetParam(); });
    return list;
  }
};

TEST_P(Reference, ForwardIsTheDefinition) {
  for (const Case& c : table()) {
    SCOPED_TRACE(name(c));
    Tensors tensors(c);
    forward(c, tensors.forward_args());
    const ForwardTruth truth = forward_truth(c, tensors);
    EXPECT_EQ(mismatch("y", truth.y, tensors.y), "");
    if (tensors.rstd.tensor().given()) {
      EXPECT_EQ(mismatch("rstd", truth.rstd, tensors.rstd), "");
    }
    if (tensors.mean.tensor().given()) {
      EXPECT_EQ(mismatch("mean", truth.mean, tensors.mean), "");
    }
    EXPECT_EQ(tensors.damage(), "");
  }
}

TEST_P(Reference, BackwardIsTheDefinition) {
  for (const Case& c : table()) {
    if (!c.statistics) continue;  // nothing for backward to read
    SCOPED_TRACE(name(c));
    Tensors tensors(c);
    forward(c, tensors.forward_args());
    backward(c, tensors.backward_args());
    const BackwardTruth truth = backward_truth(c, tensors);
    EXPECT_EQ(mismatch("dx", truth.dx, tensors.dx), "");
    if (c.weight) {
      EXPECT_EQ(mismatch("dweight", truth.dweight, tensors.dweight), "");
    }
    if (c.bias) {
      EXPECT_EQ(mismatch("dbias", truth.dbias, tensors.dbias), "");
    }
    EXPECT_EQ(tensors.damage(), "");
  }
}

std::string group_name(const testing::TestParamInfo<std::tuple<Op, DType>>& info) {
  const auto [op, dtype] = info.param;
  return std::string(op == Op::rms_norm ? "rms_norm_" : "layer_norm_") + omninorm::name(dtype);
}

INSTANTIATE_TEST_SUITE_P(, Reference,
                         testing::Combine(testing::Values(Op::rms_norm, Op::layer_norm),
                                          testing::Values(DType::f32, DType::bf16, DType::f16,
                                                          DType::f64)),
                         group_name);

}  // namespace
}  // namespace omninorm::cases
