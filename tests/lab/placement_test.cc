#include "lab/model/placement.h"

#include <gmock/gmock.h>

#include "omninorm/error.h"
#include "tests/lab/temp_folder.h"

namespace omninorm::lab {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// The equation as the flags tell it, to hold the table against its own words.
std::string equation_of(const Placement& placement) {
  std::string branch = placement.before_sublayer ? "F(N(x))" : "F(x)";
  if (placement.after_sublayer) {
    branch = placement.before_sublayer ? "N_out(F(N_in(x)))" : "N(" + branch + ")";
  }
  std::string sum = "x + " + branch;
  if (placement.after_sum) sum = "N(" + sum + ")";
  return "x' = " + sum + (placement.final_norm ? ", final N" : "");
}

TEST(Placement, FlagsAndEquationsSayTheSame) {
  ASSERT_EQ(placements().size(), 4u);
  for (const Placement& placement : placements()) {
    EXPECT_EQ(equation_of(placement), placement.equation) << placement.name;
    EXPECT_EQ(&find_placement(placement.name), &placement);
    EXPECT_FALSE(placement.summary.empty());
    EXPECT_FALSE(placement.source.empty());
  }
}

TEST(Placement, AnUnknownNameIsAnsweredWithTheValidOnes) {
  EXPECT_THAT(omninorm::testing::message_of<Error>([] { find_placement("perl"); }),
              AllOf(HasSubstr("did you mean 'peri'?"), HasSubstr("post, pre, peri, output")));
}

}  // namespace
}  // namespace omninorm::lab
