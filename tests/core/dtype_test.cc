#include "omninorm/dtype.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

#include "src/core/element.h"

namespace omninorm {
namespace {

// The value of 16 bits, from the definition of the format and nothing else.
double definition(std::uint16_t bits, int exponent_bits, int fraction_bits) {
  const int exponent = bits >> fraction_bits & ((1 << exponent_bits) - 1);
  const int fraction = bits & ((1 << fraction_bits) - 1);
  const int bias = (1 << (exponent_bits - 1)) - 1;
  double magnitude = 0;
  if (exponent == (1 << exponent_bits) - 1) {
    magnitude = fraction == 0 ? std::numeric_limits<double>::infinity()
                              : std::numeric_limits<double>::quiet_NaN();
  } else if (exponent == 0) {
    magnitude = std::ldexp(fraction, 1 - bias - fraction_bits);
  } else {
    magnitude = std::ldexp((1 << fraction_bits) + fraction, exponent - bias - fraction_bits);
  }
  return bits & 0x8000 ? -magnitude : magnitude;
}

struct Bf16 {
  using Type = bfloat16;
  static constexpr DType kDType = DType::bf16;
  static constexpr int kExponent = 8, kFraction = 7;
  static Type narrow(float value) { return to_bfloat16(value); }
};
struct F16 {
  using Type = float16;
  static constexpr DType kDType = DType::f16;
  static constexpr int kExponent = 5, kFraction = 10;
  static Type narrow(float value) { return to_float16(value); }
};

template <class Format>
class SixteenBits : public testing::Test {
 protected:
  using Type = typename Format::Type;
  static double value(std::uint16_t bits) {
    return definition(bits, Format::kExponent, Format::kFraction);
  }
};
using Formats = testing::Types<Bf16, F16>;
TYPED_TEST_SUITE(SixteenBits, Formats);

TYPED_TEST(SixteenBits, EveryPatternWidensToItsValueAndComesBack) {
  for (std::uint32_t i = 0; i <= 0xffff; ++i) {
    const auto bits = static_cast<std::uint16_t>(i);
    const float wide = to_float(typename TypeParam::Type{bits});
    const double want = this->value(bits);
    if (std::isnan(want)) {
      ASSERT_TRUE(std::isnan(wide)) << i;
      const auto back = TypeParam::narrow(wide).bits;
      ASSERT_TRUE(std::isnan(this->value(back))) << i;
      const int quiet = 1 << (TypeParam::kFraction - 1);
      ASSERT_EQ(back & 0x8000, bits & 0x8000) << i;
      ASSERT_NE(back & quiet, 0) << i;
    } else {
      ASSERT_EQ(wide, want) << i;
      ASSERT_EQ(std::signbit(wide), std::signbit(want)) << i;
      ASSERT_EQ(TypeParam::narrow(wide).bits, bits) << i;
    }
  }
}

// Between each two neighbours: the middle goes to the even one, and the float on either side of the
// middle to the nearer one. This covers subnormals, zero and the step from the largest to infinity.
TYPED_TEST(SixteenBits, RoundsToNearestTiesToEven) {
  const std::uint32_t infinity = ((1u << TypeParam::kExponent) - 1) << TypeParam::kFraction;
  const std::uint32_t largest = infinity - 1;
  for (std::uint32_t low = 0; low <= largest; ++low) {
    // The value that would follow the largest stands in for infinity.
    const double a = this->value(static_cast<std::uint16_t>(low));
    const double step = low == largest ? a - this->value(static_cast<std::uint16_t>(low - 1))
                                       : this->value(static_cast<std::uint16_t>(low + 1)) - a;
    const auto middle = static_cast<float>(a + step / 2);
    ASSERT_EQ(static_cast<double>(middle), a + step / 2) << "not exact in float";
    const float below = std::nextafter(middle, 0.0f);
    const float above = std::nextafter(middle, std::numeric_limits<float>::infinity());
    const std::uint32_t even = low % 2 == 0 ? low : low + 1;
    for (const std::uint32_t sign : {0u, 0x8000u}) {
      const float s = sign ? -1.0f : 1.0f;
      ASSERT_EQ(TypeParam::narrow(s * below).bits, sign | low) << low;
      ASSERT_EQ(TypeParam::narrow(s * middle).bits, sign | even) << low;
      ASSERT_EQ(TypeParam::narrow(s * above).bits, sign | (low + 1)) << low;
    }
  }
}

TYPED_TEST(SixteenBits, DoublesAreRoundedOnce) {
  const std::uint32_t infinity = ((1u << TypeParam::kExponent) - 1) << TypeParam::kFraction;
  for (std::uint32_t low = 0; low + 1 < infinity; ++low) {
    const double a = this->value(static_cast<std::uint16_t>(low));
    const double b = this->value(static_cast<std::uint16_t>(low + 1));
    const double middle = (a + b) / 2;
    // Nearer to the middle than any float: rounding to float first would make these ties.
    const double below = middle - (b - a) * 0x1p-40, above = middle + (b - a) * 0x1p-40;
    ASSERT_EQ(internal::rounded(TypeParam::kDType, below), a) << low;
    ASSERT_EQ(internal::rounded(TypeParam::kDType, above), b) << low;
    ASSERT_EQ(internal::rounded(TypeParam::kDType, -below), -a) << low;
    ASSERT_EQ(internal::rounded(TypeParam::kDType, -above), -b) << low;
    ASSERT_EQ(internal::rounded(TypeParam::kDType, middle), low % 2 == 0 ? a : b) << low;
  }
}

TYPED_TEST(SixteenBits, ExtremesOfFloat) {
  const std::uint32_t infinity = ((1u << TypeParam::kExponent) - 1) << TypeParam::kFraction;
  const float f_max = std::numeric_limits<float>::max(), f_inf = HUGE_VALF;
  EXPECT_EQ(TypeParam::narrow(f_max).bits, infinity);
  EXPECT_EQ(TypeParam::narrow(-f_inf).bits, 0x8000u | infinity);
  EXPECT_EQ(TypeParam::narrow(-0.0f).bits, 0x8000u);
  EXPECT_EQ(TypeParam::narrow(std::numeric_limits<float>::denorm_min()).bits, 0u);
  // NaNs whose payload lies in bits that do not survive must not become infinities.
  for (const std::uint32_t bits : {0x7f800001u, 0xff800001u, 0x7fffffffu}) {
    const auto narrow = TypeParam::narrow(std::bit_cast<float>(bits)).bits;
    EXPECT_TRUE(std::isnan(this->value(narrow))) << bits;
  }
}

TEST(DType, NamesAndSizes) {
  EXPECT_STREQ(name(DType::f32), "f32");
  EXPECT_STREQ(name(DType::bf16), "bf16");
  EXPECT_STREQ(name(DType::f16), "f16");
  EXPECT_STREQ(name(DType::f64), "f64");
  EXPECT_EQ(size_of(DType::f32), 4u);
  EXPECT_EQ(size_of(DType::bf16), 2u);
  EXPECT_EQ(size_of(DType::f16), 2u);
  EXPECT_EQ(size_of(DType::f64), 8u);
}

}  // namespace
}  // namespace omninorm
