// Structs that grow: what a caller of an older header does not have stands at its default.
#include "src/c_api/convert.h"

#include <gtest/gtest.h>

#include <cstddef>

namespace omninorm::c_api {

struct Grown {
  std::size_t struct_size;
  double first;
  double second;  // came later
};
template <>
inline constexpr std::size_t kFirstSize<Grown> = offsetof(Grown, second);

namespace {

constexpr Grown kDefaults{sizeof(Grown), 1, 2};

TEST(Read, MissingFieldsHaveTheirDefaults) {
  const Grown old{offsetof(Grown, second), 5, 99};  // 99 lies behind the caller's struct
  const Grown read_back = read("op", "options", &old, kDefaults);
  EXPECT_EQ(read_back.first, 5);
  EXPECT_EQ(read_back.second, 2);
}

TEST(Read, NullIsTheDefaults) {
  EXPECT_EQ(read<Grown>("op", "options", nullptr, kDefaults).first, 1);
}

TEST(Read, OtherSizesAreRefused) {
  for (const std::size_t size : {std::size_t{0}, sizeof(std::size_t), sizeof(Grown) + 8}) {
    const Grown wrong{size, 5, 6};
    EXPECT_THROW(read("op", "options", &wrong, kDefaults), Error) << size;
  }
}

TEST(Guarded, EveryExceptionIsAStatus) {
  EXPECT_EQ(guarded([] { throw Error("[op] no"); }), OMNINORM_INVALID_ARGUMENT);
  EXPECT_STREQ(omninorm_last_error(), "[op] no");
  EXPECT_EQ(guarded([] { throw std::bad_alloc(); }), OMNINORM_OUT_OF_MEMORY);
  EXPECT_EQ(guarded([] { throw 1; }), OMNINORM_INTERNAL_ERROR);
  EXPECT_EQ(guarded([] { throw Error(std::string(5000, 'x')); }), OMNINORM_INVALID_ARGUMENT);
  EXPECT_EQ(std::string(omninorm_last_error()), std::string(1023, 'x'));
  EXPECT_EQ(guarded([] {}), OMNINORM_OK);
  EXPECT_STREQ(omninorm_last_error(), "");
}

}  // namespace
}  // namespace omninorm::c_api
