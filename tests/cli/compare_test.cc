// `omninorm compare` up to the point where training would begin.
#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "tests/cli/command.h"

namespace omninorm::cli {
namespace {

using nlohmann::json;
using omninorm::testing::Command;
using omninorm::testing::Outcome;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class CompareTest : public ::testing::Test {
 protected:
  // The plan of --dry-run --json.
  json plan(const std::string& arguments) {
    const Outcome outcome = command_.run("compare --dry-run --json " + arguments);
    EXPECT_EQ(outcome.code, 0) << arguments << ": " << outcome.err;
    return json::parse(outcome.out, nullptr, false);
  }
  std::vector<std::string> ids(const std::string& arguments) {
    std::vector<std::string> found;
    const json whole = plan(arguments);
    for (const json& variant : whole.at("variants")) found.push_back(variant.at("id"));
    return found;
  }
  std::string refused(const std::string& arguments) {
    const Outcome outcome = command_.run("compare " + arguments);
    EXPECT_EQ(outcome.code, 2) << arguments;
    EXPECT_THAT(outcome.out, IsEmpty()) << arguments;
    EXPECT_FALSE(std::filesystem::exists(command_.folder().path() / "runs")) << "nothing was begun";
    return outcome.err;
  }
  Command command_;
};

TEST_F(CompareTest, WithNothingAskedForRunsTheDefault) {
  const json found = plan("");
  EXPECT_EQ(found.at("is_default"), true);
  EXPECT_EQ(found.at("variants").size(), 8u);
  EXPECT_EQ(found.at("budget_seconds"), 180);
  EXPECT_EQ(plan("--steps 20 --seed 3").at("variants").size(), 8u) << "still the same comparison";
  const Outcome words = command_.run("compare --dry-run");
  EXPECT_THAT(words.out, AllOf(HasSubstr("8 runs into runs/placement-lr-"),
                               HasSubstr("peri, lr 0.003"), HasSubstr("180 s")));
}

TEST_F(CompareTest, WithSettingsAloneVariesThePlacement) {
  EXPECT_THAT(ids("--width 64"), ElementsAre("placement=post,seed=1", "placement=pre,seed=1",
                                             "placement=peri,seed=1", "placement=output,seed=1"));
  EXPECT_THAT(ids("--placement peri"), ElementsAre("placement=peri,seed=1"));
  EXPECT_EQ(plan("--width 64").at("is_default"), false);
}

TEST_F(CompareTest, AxesAndSeedsMakeTheCrossProduct) {
  EXPECT_THAT(ids("--vary norm=rms_norm,none --vary lr=1e-3 --seeds 2 --seed 7"),
              ElementsAre("norm=rms_norm,lr=0.001,seed=7", "norm=rms_norm,lr=0.001,seed=8",
                          "norm=none,lr=0.001,seed=7", "norm=none,lr=0.001,seed=8"));
}

TEST_F(CompareTest, EverySettingIsAFlagInBothSpellings) {
  const auto settings = [&](const std::string& arguments) {
    return plan(arguments).at("variants")[0].at("settings");
  };
  EXPECT_EQ(settings("--norm-eps 1e-5").at("norm_eps"), 1e-5);
  EXPECT_EQ(settings("--norm_eps=1e-5").at("norm_eps"), 1e-5);
  EXPECT_EQ(settings("--tied").at("tied"), true);
  EXPECT_EQ(settings("--tied false --qk-norm=yes").at("tied"), false);
  EXPECT_EQ(settings("--tied --lr 1").at("lr"), 1.0);
  const std::string help = command_.run("compare --help").out;
  const json all = settings("");
  for (const auto& [name, value] : all.items()) {
    std::string flag = "--" + name;
    std::ranges::replace(flag, '_', '-');
    EXPECT_THAT(help, HasSubstr(flag));
  }
}

TEST_F(CompareTest, BadValuesAreRefusedBeforeAnythingRuns) {
  EXPECT_THAT(refused("--lr abc"), HasSubstr("[lr] expected a number above 0"));
  EXPECT_THAT(refused("--lr nan"), HasSubstr("got 'nan'"));
  EXPECT_THAT(refused("--lr -1"), HasSubstr("got '-1'"));
  EXPECT_THAT(refused("--lr ''"), HasSubstr("[lr] expected a number"));
  EXPECT_THAT(refused("--lr"), HasSubstr("--lr"));
  EXPECT_THAT(refused("--lr 1 --lr 2"), HasSubstr("--lr"));
  EXPECT_THAT(refused("--layers 0"), HasSubstr("[layers] expected an integer from 1"));
  EXPECT_THAT(refused("--batch -8"), HasSubstr("[batch] expected an integer from 1"));
  EXPECT_THAT(refused("--context 1.5"), HasSubstr("[context] expected an integer"));
  EXPECT_THAT(refused("--width 130"), HasSubstr("130 with 4 heads"));
  EXPECT_THAT(refused("--placement perry"), HasSubstr("did you mean 'peri'?"));
  EXPECT_THAT(refused("--norm rmsnorm"), HasSubstr("did you mean 'rms_norm'?"));
  EXPECT_THAT(refused("--data novels"), HasSubstr("one of prose, text"));
  EXPECT_THAT(refused("--vary wdith=1"), HasSubstr("did you mean 'width'?"));
  EXPECT_THAT(refused("--vary lr"), HasSubstr("expected setting=value"));
  EXPECT_THAT(refused("--vary lr=1,2 --vary lr=3"), HasSubstr("got lr twice"));
  EXPECT_THAT(refused("--vary lr=1,2 --lr 3"), HasSubstr("either --lr or --vary lr="));
  EXPECT_THAT(refused("--seeds 0"), HasSubstr("[seeds] expected"));
  EXPECT_THAT(refused("--seeds two"), HasSubstr("got 'two'"));
  EXPECT_THAT(refused("--budget 0"), HasSubstr("[budget] expected seconds above 0"));
  EXPECT_THAT(refused("--budget nan"), HasSubstr("[budget] expected"));
}

TEST_F(CompareTest, TextsThatCannotServeAreRefused) {
  command_.folder().write("short.txt", std::string(500, 'x'));
  command_.folder().write("empty.txt", "");
  EXPECT_THAT(refused("--text short.txt"), HasSubstr("at least 1032 bytes of training text"));
  EXPECT_THAT(refused("--text empty.txt"), HasSubstr("it is empty"));
  EXPECT_THAT(refused("--text none.txt"), HasSubstr("no such file"));
  EXPECT_THAT(refused("--text ."), HasSubstr("a folder"));
  EXPECT_THAT(refused("--text short.txt short.txt"), HasSubstr("which are one"));
  EXPECT_THAT(refused("--text short.txt --data prose"), HasSubstr("data 'text'"));
  EXPECT_THAT(refused("--data text"), HasSubstr("--text FILE"));
  EXPECT_THAT(refused("--text short.txt --batch 1 --vary context=8,512"),
              HasSubstr("at least 513 bytes"));
  EXPECT_EQ(plan("--text short.txt --batch 1 --context 8").at("variants").size(), 4u);
}

TEST_F(CompareTest, AFileSaysTheSameAndFlagsWin) {
  command_.folder().write(
      "x.toml",
      "seeds = 2\nbudget = 50\n[settings]\nwidth = 64\n[vary]\nlr = [1e-3, 1e-2]\n"
      "placement = [\"pre\", \"peri\"]\n");
  EXPECT_EQ(ids("--from x.toml").size(), 8u);
  EXPECT_EQ(ids("--from x.toml").front(), "lr=0.001,placement=pre,seed=1");
  EXPECT_EQ(plan("--from x.toml").at("variants")[0].at("settings").at("width"), 64);
  const json changed = plan("--from x.toml --width 32 --seeds 1 --budget 9 --vary lr=1");
  EXPECT_EQ(changed.at("budget_seconds"), 9);
  EXPECT_EQ(changed.at("variants")[0].at("settings").at("width"), 32);
  EXPECT_THAT(ids("--from x.toml --seeds 1 --vary lr=1"),
              ElementsAre("placement=pre,lr=1,seed=1", "placement=peri,lr=1,seed=1"));
  EXPECT_THAT(ids("--from x.toml --seeds 1 --lr 2"),
              ElementsAre("placement=pre,seed=1", "placement=peri,seed=1"));
  command_.folder().write("bad.toml", "seed = 1\n");
  EXPECT_THAT(refused("--from bad.toml"), HasSubstr("did you mean 'seeds'?"));
  EXPECT_THAT(refused("--from none.toml"), HasSubstr("no such file"));
}

TEST_F(CompareTest, AFileInTheFoldersPlaceIsRefused) {
  command_.folder().write("taken", "x");
  EXPECT_THAT(refused("--out taken"), HasSubstr("expected a folder, got the file taken"));
}

TEST_F(CompareTest, WithoutALabSaysHowToGetOne) {
  // A copy of the program, with nothing beside it.
  const Outcome outcome =
      command_.shell("cp '" OMNINORM_BINARY "' omninorm && ./omninorm compare --width 64");
  EXPECT_EQ(outcome.code, 1);
  EXPECT_THAT(outcome.err, AllOf(HasSubstr("this build has no lab"), HasSubstr("./dev build")));
  EXPECT_EQ(command_.shell("./omninorm compare --dry-run").code, 0);
  EXPECT_EQ(command_.shell("./omninorm compare --width 130").code, 2);
}

TEST_F(CompareTest, HandsItsArgumentsToTheLab) {
  const auto lab = command_.program("lab", "printf '<%s>' \"$@\"; exit 5");
  const Outcome named =
      command_.run("compare --out 'a b' --lr 1e-3", "OMNINORM_LAB_BINARY=" + lab.string());
  EXPECT_EQ(named.code, 5) << named.err;
  EXPECT_EQ(named.out, "<compare><--out><a b><--lr><1e-3>");
  // Installed: bin/omninorm and libexec/omninorm/omninorm-lab.
  command_.program("libexec/omninorm/omninorm-lab", "echo from libexec");
  const Outcome installed =
      command_.shell("mkdir bin && cp '" OMNINORM_BINARY "' bin/omninorm && bin/omninorm compare");
  EXPECT_EQ(installed.out, "from libexec\n") << installed.err;
  command_.program("bin/omninorm-lab", "echo from beside");
  EXPECT_EQ(command_.shell("bin/omninorm compare").out, "from beside\n");
  const Outcome wrong = command_.run("compare", "OMNINORM_LAB_BINARY=/nowhere");
  EXPECT_EQ(wrong.code, 1);
  EXPECT_THAT(wrong.err, HasSubstr("got '/nowhere'"));
}

}  // namespace
}  // namespace omninorm::cli
