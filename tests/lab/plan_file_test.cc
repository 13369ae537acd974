#include "lab/experiment/plan_file.h"

#include <gmock/gmock.h>

#include "omninorm/error.h"
#include "tests/lab/temp_folder.h"

namespace omninorm::lab {
namespace {

using omninorm::testing::message_of;
using omninorm::testing::TempFolder;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class PlanFileTest : public ::testing::Test {
 protected:
  PlanFile read(const std::string& text) { return read_plan_file(folder_.write("x.toml", text)); }
  std::string error(const std::string& text) {
    return message_of<Error>([&] { read(text); });
  }
  TempFolder folder_;
};

TEST_F(PlanFileTest, SaysAllThatFlagsCanSay) {
  const PlanFile file = read(R"(
seeds = 3
budget = 12.5
[vary]
width = [64, 128]
lr = [3e-3, 1e-2]
qk_norm = [true, false]
placement = ["pre", "peri"]
[settings]
norm_eps = 1e-5
tied = true
init = "fan-in"
)");
  EXPECT_EQ(file.plan.seeds, 3);
  EXPECT_EQ(file.plan.budget_seconds, 12.5);
  ASSERT_EQ(file.plan.axes.size(), 4u);
  EXPECT_EQ(file.plan.axes[0].name, "width") << "axes keep the file's order";
  EXPECT_EQ(file.plan.axes[1].name, "lr");
  EXPECT_THAT(file.plan.axes[1].values, ElementsAre("0.003", "0.01"));
  EXPECT_THAT(file.plan.axes[2].values, ElementsAre("true", "false"));
  EXPECT_EQ(file.plan.axes[3].name, "placement");
  EXPECT_EQ(file.plan.base.norm_eps, 1e-5);
  EXPECT_TRUE(file.plan.base.tied);
  EXPECT_EQ(file.plan.base.init, "fan-in");
}

TEST_F(PlanFileTest, TextFilesCountFromTheFilesOwnFolder) {
  const PlanFile file = read("[settings]\ntext = [\"sub/../a.txt\", \"/b.txt\"]\n");
  EXPECT_EQ(file.plan.base.data, "text");
  EXPECT_THAT(file.plan.base.text, ElementsAre((folder_.path() / "a.txt").string(), "/b.txt"));
}

TEST_F(PlanFileTest, UnknownKeysAreRefusedWithTheirLine) {
  EXPECT_THAT(error("seed = 3\n"),
              AllOf(HasSubstr("x.toml:1]"), HasSubstr("did you mean 'seeds'?")));
  EXPECT_THAT(error("\n[settings]\nwdith = 3\n"),
              AllOf(HasSubstr("x.toml:3]"), HasSubstr("did you mean 'width'?")));
  EXPECT_THAT(error("[vary]\nwdith = [3]\n"), HasSubstr("did you mean 'width'?"));
}

TEST_F(PlanFileTest, BadValuesAreRefused) {
  EXPECT_THAT(error("[settings]\nlr = \"abc\"\n"), HasSubstr("[lr] expected a number"));
  EXPECT_THAT(error("[settings]\nlr = nan\n"), HasSubstr("[lr] expected a number"));
  EXPECT_THAT(error("[settings]\nlr = [1]\n"), HasSubstr("expected one value for lr"));
  EXPECT_THAT(error("[settings]\nwidth = 64.5\n"), HasSubstr("[width] expected an integer"));
  EXPECT_THAT(error("[vary]\nlr = 1\n"), HasSubstr("expected an array of values for lr"));
  EXPECT_THAT(error("[vary]\nlr = []\n"), HasSubstr("expected an array of values for lr"));
  EXPECT_THAT(error("[vary]\nlr = [1, [2]]\n"), HasSubstr("expected one value for lr"));
  EXPECT_THAT(error("vary = 1\n"), HasSubstr("expected a table [vary]"));
  EXPECT_THAT(error("seeds = 1.5\n"), HasSubstr("expected an integer for seeds"));
  EXPECT_THAT(error("budget = \"x\"\n"), HasSubstr("expected seconds for budget"));
  EXPECT_THAT(error("a = = 1\n"), AllOf(HasSubstr("x.toml:1]"), HasSubstr("expected TOML")));
}

TEST_F(PlanFileTest, AFileThatIsNotThereIsToldAsSuch) {
  EXPECT_THAT(message_of<Error>([&] { read_plan_file(folder_.path() / "none.toml"); }),
              HasSubstr("no such file"));
  EXPECT_THAT(message_of<Error>([&] { read_plan_file(folder_.path()); }), HasSubstr("a folder"));
}

TEST_F(PlanFileTest, TheExperimentsOfTheRepositoryCanBeRead) {
  const std::filesystem::path experiments =
      std::filesystem::path(OMNINORM_SOURCE_DIR) / "experiments";
  Plan standard = read_plan_file(experiments / "placement.toml").plan;
  expand(standard);
  EXPECT_TRUE(standard.is_default) << "placement.toml says that it is the default comparison";
  Plan counter = read_plan_file(experiments / "placement-fan-in.toml").plan;
  expand(counter);
  EXPECT_FALSE(counter.is_default);
  counter.base.init = "normal-0.02";
  counter.folder.clear();
  expand(counter);
  EXPECT_TRUE(counter.is_default) << "it differs from the default in its initialisation alone";
}

}  // namespace
}  // namespace omninorm::lab
