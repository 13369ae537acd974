// The command line of `omninorm scale show --html`; what is on the page is for the browser's test.
#include "tests/cli/scale.h"

namespace omninorm::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class ShowPage : public Scale {
 protected:
  ShowPage() {
    write("train.csv", "x,name,y\n1,a,5\n2,b,7\n3,c,9\n");
    out("fit train.csv -o s.json --quiet");
  }
};

TEST_F(ShowPage, IsNamedAsTheTable) {
  write("new.csv", "x,name,y\n1,a,5\n2,b,7\n3,c,9\n");
  EXPECT_EQ(out("show s.json --data new.csv --html"),
            "3 rows: nothing stands out.\npage: new.html\n");
  EXPECT_THAT(read("new.html"), HasSubstr("2 columns before and after z-score scaling"));
  EXPECT_EQ(out("show s.json --data new.csv --html other.html --quiet"), "other.html\n");
  EXPECT_EQ(read("other.html"), read("new.html"));
}

TEST_F(ShowPage, CompressedTablesAreReadTwiceToo) {
  shell("gzip -k train.csv");
  EXPECT_THAT(out("show s.json --data train.csv.gz --html"), HasSubstr("page: train.html"));
}

TEST_F(ShowPage, EveryKindOfScalerHasOne) {
  for (const char* const flags :
       {"--kind min_max", "--kind min_max --range -1 1 --clip", "--kind running", "--no-mean",
        "--no-std", "--no-mean --no-std"}) {
    out("fit train.csv --quiet -o kind.json " + std::string(flags));
    EXPECT_THAT(out("show kind.json --data train.csv --html kind.html"), HasSubstr("3 rows: "))
        << flags;
  }
}

TEST_F(ShowPage, ATableWithoutRowsHasOne) {
  write("none.csv", "x,name,y\n");
  EXPECT_EQ(out("show s.json --data none.csv --html"), "The table has no rows.\npage: none.html\n");
}

TEST_F(ShowPage, FlagsThatDoNotGoTogether) {
  EXPECT_THAT(refused("show s.json --html"), HasSubstr("--data and --html go together"));
  EXPECT_THAT(refused("show s.json --data train.csv"), HasSubstr("--data and --html go together"));
  EXPECT_THAT(refused("show s.json --data train.csv --html x.html --json"),
              HasSubstr("--html or --json"));
}

TEST_F(ShowPage, APipeCannotBeReadTwice) {
  const Outcome outcome =
      shell("cat train.csv | '" OMNINORM_BINARY "' scale show s.json --data - --html x.html");
  EXPECT_EQ(outcome.code, 2);
  EXPECT_THAT(outcome.err, AllOf(HasSubstr("standard input"), HasSubstr("read once")));
  EXPECT_FALSE(exists("x.html"));
}

TEST_F(ShowPage, AnotherTableIsRefusedAndNothingWritten) {
  write("other.csv", "a,b\n1,2\n");
  EXPECT_THAT(refused("show s.json --data other.csv --html"), HasSubstr("\"x\""));
  EXPECT_FALSE(exists("other.html"));
  write("word.csv", "x,name,y\n1,a,word\n2,b,2\n");
  EXPECT_THAT(refused("show s.json --data word.csv --html"), HasSubstr("\"word\""));
  EXPECT_FALSE(exists("word.html"));
}

TEST_F(ShowPage, AScalerThatSawNothingIsRefused) {
  write("empty.csv", "x,y\n");
  out("fit empty.csv --columns x -o empty.json --quiet");
  EXPECT_THAT(refused("show empty.json --data train.csv --html e.html"),
              HasSubstr("empty.json: expected a fitted scaler, got one that has seen no rows"));
  EXPECT_FALSE(exists("e.html"));
  // One column without values is said of that column.
  write("gaps.csv", "x,y\n1,\n2,\n");
  out("fit gaps.csv --columns x,y -o gaps.json --quiet");
  EXPECT_THAT(out("show gaps.json --data train.csv --html g.html"), HasSubstr("page: g.html"));
  EXPECT_THAT(read("g.html"), HasSubstr("had no value when fitted"));
}

TEST_F(ShowPage, RangesWiderThanADoubleHaveAPage) {
  write("wide.csv", "x\n-1e308\n1e308\ninf\n-1e308\n1e308\n-inf\n0\n");
  write("narrow.csv", "x\n1\n2\n");
  out("fit narrow.csv -o wide.json");
  EXPECT_THAT(out("show wide.json --data wide.csv --html"), HasSubstr("page: wide.html"));
}

}  // namespace
}  // namespace omninorm::testing
