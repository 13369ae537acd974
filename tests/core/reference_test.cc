// The reference against the formulas written out in cases_truth.cc, over the whole table.
#include <gtest/gtest.h>

#include "omninorm/batch_norm.h"
#include "omninorm/group_norm.h"
#include "omninorm/layer_norm.h"
#include "tests/core/expect_truth.h"
#include "tests/core/targets.h"

namespace omninorm::cases {
namespace {

class Reference : public testing::TestWithParam<std::tuple<Op, DType>> {
 protected:
  ForcedKernel only_{"reference"};

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

// Walked, they would take hours.
TEST(EmptyTensors, TakeNoTimeWhateverTheirOtherSizes) {
  const float* none = nullptr;
  float* out = nullptr;
  constexpr std::int64_t kMany = std::int64_t{1} << 40;
  layer_norm_forward({.x = {none, {kMany, 0}}, .y = {out, {kMany, 0}}});
  float values[2] = {1, 1}, mean[2], rstd[2];
  batch_norm_forward({.x = {none, {kMany, 2, 0}},
                      .y = {out, {kMany, 2, 0}},
                      .mean = {mean, {2}},
                      .rstd = {rstd, {2}}});
  EXPECT_EQ(mean[1], 0);
  EXPECT_GT(rstd[1], 0);
  group_norm_backward({.x = {none, {0, 0, 5}},
                       .mean = {none, {0, kMany}},
                       .rstd = {none, {0, kMany}},
                       .dy = {none, {0, 0, 5}},
                       .dx = {out, {0, 0, 5}},
                       .dbias = {out, {0}}},
                      {.num_groups = kMany});
  const ConstTensor channels = Tensor(values, {2});
  for (const bool by_group : {false, true}) {
    const std::int64_t images = by_group ? 0 : kMany, pixels = by_group ? kMany : 0;
    const Tensor x(out, {images, 2, pixels});
    const ConstTensor statistics = by_group ? ConstTensor(none, {0, 1}) : channels;
    float dweight[2] = {1, 1}, dbias[2] = {1, 1};
    const NormBackwardArgs args = {.x = x,
                                   .weight = channels,
                                   .mean = statistics,
                                   .rstd = statistics,
                                   .dy = x,
                                   .dx = x,
                                   .dweight = {dweight, {2}},
                                   .dbias = {dbias, {2}}};
    by_group ? group_norm_backward(args) : batch_norm_backward(args);
    EXPECT_EQ(dweight[1], 0);
    EXPECT_EQ(dbias[1], 0);
  }
}

}  // namespace
}  // namespace omninorm::cases
