#include "src/core/overlap.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>
#include <vector>

namespace omninorm::internal {
namespace {

std::byte memory[1 << 16];

ConstTensor at(std::int64_t element, std::vector<std::int64_t> sizes,
               std::vector<std::int64_t> strides, DType dtype = DType::f32) {
  const auto bytes = static_cast<std::int64_t>(size_of(dtype)) * element;
  return {memory + 4096 + bytes, dtype, sizes, strides};
}

// The addresses of all bytes, by enumeration; fewer than bytes() where an element is named twice.
std::set<std::intptr_t> bytes_of(const ConstTensor& tensor) {
  std::set<std::intptr_t> result;
  const std::int64_t count = tensor.elements();
  for (std::int64_t i = 0; i < count; ++i) {
    std::int64_t rest = i, offset = 0;
    for (auto dim = static_cast<std::size_t>(tensor.rank); dim-- > 0;) {
      offset += rest % tensor.sizes[dim] * tensor.strides[dim];
      rest /= tensor.sizes[dim];
    }
    const auto element = static_cast<std::int64_t>(size_of(tensor.dtype));
    for (std::int64_t b = 0; b < element; ++b) {
      result.insert(reinterpret_cast<std::intptr_t>(tensor.data) + offset * element + b);
    }
  }
  return result;
}

TEST(Overlap, BlocksThatTouchOrMeet) {
  EXPECT_FALSE(overlap(at(0, {4, 8}, {8, 1}), at(32, {4, 8}, {8, 1})));
  EXPECT_TRUE(overlap(at(0, {4, 8}, {8, 1}), at(31, {4, 8}, {8, 1})));
  EXPECT_TRUE(overlap(at(31, {4, 8}, {8, 1}), at(0, {4, 8}, {8, 1})));
  EXPECT_FALSE(overlap(at(0, {0, 8}, {8, 1}), at(0, {4, 8}, {8, 1})));
}

TEST(Overlap, InterleavedSlicesShareNothing) {
  // q and k of packed [T, 3, 8].
  EXPECT_FALSE(overlap(at(0, {5, 8}, {24, 1}), at(8, {5, 8}, {24, 1})));
  EXPECT_TRUE(overlap(at(0, {5, 8}, {24, 1}), at(7, {5, 8}, {24, 1})));
  EXPECT_TRUE(overlap(at(0, {5, 8}, {24, 1}), at(24, {5, 8}, {24, 1})));
}

TEST(Overlap, TheSameFirstElementIsSharedWhateverTheStrides) {
  EXPECT_TRUE(overlap(at(0, {4, 8}, {16, 1}), at(0, {4, 8}, {24, 1})));
}

TEST(Overlap, BlockInTheGapBetweenRows) {
  EXPECT_FALSE(overlap(at(0, {5, 8}, {24, 1}), at(8, {16}, {1})));
  EXPECT_TRUE(overlap(at(0, {5, 8}, {24, 1}), at(8, {17}, {1})));
}

// Random pairs against enumeration: never wrong in what it reports, and complete where it promises.
TEST(Overlap, AgreesWithEnumeration) {
  std::mt19937 random(7);
  const auto pick = [&](int low, int high) {
    return std::uniform_int_distribution<int>(low, high)(random);
  };
  int found = 0, missed = 0;
  for (int trial = 0; trial < 20000; ++trial) {
    const std::vector<std::int64_t> sizes = {pick(1, 3), pick(1, 4), pick(1, 4)};
    std::vector<std::int64_t> strides = {pick(0, 30), pick(-12, 12), pick(-2, 2)};
    const ConstTensor a = at(0, sizes, strides);
    const int kind = pick(0, 2);
    const ConstTensor b = kind == 0   ? at(pick(-40, 40), sizes, strides)
                          : kind == 1 ? at(pick(-40, 40), {pick(1, 20)}, {1}, DType::f64)
                                      : at(pick(-40, 40), {pick(1, 4), pick(1, 3), pick(1, 2)},
                                           {pick(-30, 30), pick(-9, 9), pick(-2, 2)});
    const auto bytes_a = bytes_of(a), bytes_b = bytes_of(b);
    std::vector<std::intptr_t> both;
    std::ranges::set_intersection(bytes_a, bytes_b, std::back_inserter(both));
    const bool got = overlap(a, b);
    ASSERT_TRUE(!got || !both.empty()) << trial;
    ASSERT_EQ(got, overlap(b, a)) << trial;
    const bool twice = bytes_a.size() < static_cast<std::size_t>(a.elements()) * 4;
    if (!may_overlap_itself(a)) {
      ASSERT_FALSE(twice) << trial;
    }
    if (!may_overlap_itself(a) || !may_overlap_itself(b)) {
      ASSERT_EQ(got, !both.empty()) << trial;
      ++found;
    } else if (!both.empty() && !got) {
      ++missed;
    }
  }
  EXPECT_GT(found, 5000);
  EXPECT_LT(missed, 5000);
}

TEST(Overlap, SelfOverlap) {
  EXPECT_TRUE(may_overlap_itself(at(0, {4, 8}, {0, 1})));
  EXPECT_TRUE(may_overlap_itself(at(0, {4, 8}, {7, 1})));
  EXPECT_FALSE(may_overlap_itself(at(0, {4, 8}, {8, 1})));
  EXPECT_FALSE(may_overlap_itself(at(0, {4, 8}, {1, 4})));
  EXPECT_FALSE(may_overlap_itself(at(0, {1, 8}, {0, 1})));
  EXPECT_FALSE(may_overlap_itself(at(50, {4, 8}, {-8, 1})));
}

TEST(Overlap, InPlaceMeansTheSameElements) {
  const ConstTensor a = at(0, {4, 8}, {8, 1});
  EXPECT_TRUE(same_memory(a, at(0, {4, 8}, {8, 1})));
  EXPECT_TRUE(same_memory(a, at(0, {4, 8}, {8, 1})));
  EXPECT_FALSE(same_memory(a, at(0, {4, 8}, {1, 4})));
  EXPECT_FALSE(same_memory(a, at(1, {4, 8}, {8, 1})));
  EXPECT_FALSE(same_memory(a, at(0, {4, 8}, {8, 1}, DType::f64)));
  EXPECT_TRUE(same_memory(at(0, {1, 8}, {5, 1}), at(0, {1, 8}, {8, 1})));
}

}  // namespace
}  // namespace omninorm::internal
