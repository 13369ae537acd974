// The reference against the formulas written out in cases_truth.cc, over the whole table.
#include <gtest/gtest.h>

#include <cstdlib>

#include "tests/core/expect_truth.h"

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
    expect_forward(c, tensors);
  }
}

TEST_P(Reference, BackwardIsTheDefinition) {
  for (const Case& c : table()) {
    if (!c.statistics) continue;  // nothing for backward to read
    SCOPED_TRACE(name(c));
    Tensors tensors(c);
    forward(c, tensors.forward_args());
    backward(c, tensors.backward_args());
    expect_backward(c, tensors);
  }
}

std::string group_name(const testing::TestParamInfo<std::tuple<Op, DType>>& info) {
  const auto [op, dtype] = info.param;
  return std::string(name(op)) + "_" + omninorm::name(dtype);
}

INSTANTIATE_TEST_SUITE_P(, Reference,
                         testing::Combine(testing::ValuesIn(kAllOps),
                                          testing::Values(DType::f32, DType::bf16, DType::f16,
                                                          DType::f64)),
                         group_name);

}  // namespace
}  // namespace omninorm::cases
