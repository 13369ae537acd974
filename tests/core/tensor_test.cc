#include "omninorm/tensor.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/core/expect_error.h"

namespace omninorm {
namespace {

TEST(Tensor, DefaultIsNotGiven) {
  const Tensor tensor;
  EXPECT_FALSE(tensor.given());
  EXPECT_EQ(tensor.elements(), 0);
}

TEST(Tensor, ContiguousStridesAreRowMajor) {
  float memory[24];
  const Tensor tensor(memory, {2, 3, 4});
  EXPECT_EQ(tensor.dtype, DType::f32);
  EXPECT_EQ(tensor.rank, 3);
  EXPECT_EQ(tensor.elements(), 24);
  EXPECT_EQ(tensor.strides[0], 12);
  EXPECT_EQ(tensor.strides[1], 4);
  EXPECT_EQ(tensor.strides[2], 1);
}

TEST(Tensor, ScalarsAndEmptyTensors) {
  double memory = 0;
  EXPECT_EQ(Tensor(&memory, {}).elements(), 1);
  EXPECT_TRUE(Tensor(&memory, {}).given());
  EXPECT_EQ(Tensor(&memory, {3, 0, 5}).elements(), 0);
}

TEST(Tensor, MutableStandsForConst) {
  bfloat16 memory[6];
  const std::vector<std::int64_t> sizes = {2, 3}, strides = {-3, 1};
  const Tensor tensor(memory + 3, DType::bf16, sizes, strides);
  const ConstTensor same = tensor;
  EXPECT_EQ(same.data, memory + 3);
  EXPECT_EQ(same.dtype, DType::bf16);
  EXPECT_EQ(same.strides[0], -3);
  EXPECT_EQ(ConstTensor(static_cast<const float16*>(nullptr), {1}).dtype, DType::f16);
}

TEST(Tensor, RefusesWhatItCannotHold) {
  float* none = nullptr;
  EXPECT_ERROR((Tensor(none, {1, 1, 1, 1, 1, 1, 1, 1, 1})),
               "[tensor] expected at most 8 dimensions, got 9");
  EXPECT_ERROR((Tensor(none, {2, -1})), "[tensor] expected sizes of 0 or more, got [2, -1]");
  const std::int64_t big = std::int64_t{1} << 32;
  EXPECT_ERROR((Tensor(none, {big, big})),
               "[tensor] expected at most 2^63 - 1 elements, got [4294967296, 4294967296]");
  const std::vector<std::int64_t> sizes = {2, 3}, strides = {3};
  EXPECT_ERROR(Tensor(none, DType::f32, sizes, strides),
               "[tensor] expected one stride for each of 2 dimensions, or none for contiguous, got "
               "1 strides");
  Tensor grown(none, {1, 1});
  grown.sizes[0] = grown.sizes[1] = big;
  EXPECT_ERROR(grown.elements(),
               "[tensor] expected at most 2^63 - 1 elements, got [4294967296, 4294967296]");
}

}  // namespace
}  // namespace omninorm
