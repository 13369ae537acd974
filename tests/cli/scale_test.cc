// omninorm scale: what the verbs do.
#include "tests/cli/scale.h"

#include <cmath>
#include <limits>
#include <random>
#include <sstream>

namespace omninorm::testing {
namespace {

using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

constexpr const char* kPeople =
    "name,age,income,city\n"
    "Ann,30,1000.5,Rome\n"
    "Bob,50,,\"Paris, France\"\n"
    "Cem,,3000.5,Oslo\n";

TEST_F(Scale, FitsTransformsAndInverts) {
  write("people.csv", kPeople);
  const Outcome fit = run("fit people.csv -o s.json");
  EXPECT_EQ(fit.code, 0) << fit.err;
  EXPECT_THAT(fit.out, IsEmpty());
  EXPECT_THAT(fit.err, HasSubstr("not fitted, as none of the first cells is a number: \"name\", "
                                 "\"city\""));
  EXPECT_EQ(out("transform s.json people.csv"),
            "name,age,income,city\n"
            "Ann,-1,-1,Rome\n"
            "Bob,1,,\"Paris, France\"\n"
            "Cem,,1,Oslo\n");
  out("transform s.json people.csv -o scaled.csv");
  EXPECT_EQ(out("inverse s.json scaled.csv"), kPeople);
}

TEST_F(Scale, RemembersWhatItWasFittedOn) {
  write("people.csv", kPeople);
  out("fit people.csv -o s.json");
  const auto on = json("s.json").at("fitted_on");
  EXPECT_EQ(on.at("column_names"), nlohmann::json({"age", "income"}));
  EXPECT_EQ(on.at("table_columns"), nlohmann::json({"name", "age", "income", "city"}));
  EXPECT_EQ(on.at("dtype"), "f64");
  EXPECT_EQ(on.at("rows"), 3);
  EXPECT_THAT(on.at("time").get<std::string>(),
              ::testing::MatchesRegex("[0-9]+-[0-9]+-[0-9]+T[0-9:]+Z"));
  ASSERT_EQ(on.at("sources").size(), 1u);
  EXPECT_THAT(on.at("sources")[0].get<std::string>(), StartsWith("people.csv on "));
}

TEST_F(Scale, MinMaxHasARangeAndClips) {
  write("a.csv", "x\n0\n10\n");
  write("b.csv", "x\n5\n20\n-3\n");
  out("fit a.csv --kind min_max --range -1 1 -o s.json");
  EXPECT_EQ(out("transform s.json b.csv"), "x\n0\n3\n-1.6\n");
  out("fit a.csv --kind min_max --range -1 1 --clip -o s.json");
  EXPECT_EQ(out("transform s.json b.csv"), "x\n0\n1\n-1\n");
}

TEST_F(Scale, EveryOptionReachesTheScaler) {
  write("a.csv", "x\n1\n2\n4\n");
  const auto options = [&](const std::string& flags) {
    return nlohmann::json::parse(out("fit a.csv " + flags)).at("options");
  };
  EXPECT_EQ(options("").at("variance"), "biased");
  EXPECT_EQ(options("--unbiased").at("variance"), "unbiased");
  EXPECT_EQ(options("--no-mean").at("with_mean"), false);
  EXPECT_EQ(options("--no-std").at("with_std"), false);
  EXPECT_EQ(options("--infinite ignore").at("infinite"), "ignore");
  EXPECT_EQ(options("--kind running --alpha 0.25").at("alpha"), 0.25);
  EXPECT_EQ(options("--kind running --half-life 1").at("alpha"), 0.5);
  EXPECT_EQ(options("--kind running --unbiased").at("variance"), "unbiased");
}

TEST_F(Scale, OptionsThatDoNotGoTogetherAreRefused) {
  write("a.csv", "x\n1\n2\n");
  out("fit a.csv -o s.json");
  EXPECT_THAT(refused("fit a.csv --clip"), HasSubstr("--clip is for --kind min_max"));
  EXPECT_THAT(refused("fit a.csv --kind min_max --unbiased"),
              HasSubstr("--unbiased is for --kind z_score or running, got --kind min_max"));
  EXPECT_THAT(refused("fit a.csv --alpha 0.5"), HasSubstr("is for --kind running"));
  EXPECT_THAT(refused("fit a.csv --kind running --alpha 0.5 --half-life 3"),
              HasSubstr("either --alpha or --half-life"));
  EXPECT_THAT(refused("fit a.csv --kind running --alpha 2"), HasSubstr("alpha"));
  EXPECT_THAT(refused("fit a.csv --kind zscore"), HasSubstr("did you mean 'z_score'?"));
  EXPECT_THAT(refused("fit a.csv --kind min_max --range 1 0"), HasSubstr("low < high"));
  EXPECT_THAT(refused("fit a.csv --infinite skip"), HasSubstr("error or ignore, got 'skip'"));
  EXPECT_THAT(refused("fit a.csv --append s.json --unbiased"),
              HasSubstr("--append takes the options of s.json"));
  EXPECT_THAT(refused("fit a.csv --append s.json --columns x"), HasSubstr("leave --columns"));
  EXPECT_THAT(refused("fit"), HasSubstr("files is required"));
  EXPECT_THAT(refused("fit - -"), HasSubstr("got - twice"));
  EXPECT_THAT(refused("transform - -"), HasSubstr("got - for the scaler and the table"));
  EXPECT_THAT(refused("transform s.json a.csv -o s.json"), HasSubstr("another file than s.json"));
  EXPECT_THAT(refused("fitt a.csv"), HasSubstr("did you mean 'fit'?"));
  EXPECT_THAT(refused("--json fit"), HasSubstr("no flag '--json' in front of its verb"));
  EXPECT_THAT(refused("fit a.csv --wieghts x"), HasSubstr("did you mean '--weights'?"));
}

TEST_F(Scale, EveryVerbTeaches) {
  const std::string all = out("--help");
  EXPECT_EQ(run("").out, all);
  for (const std::string verb : {"fit", "transform", "inverse", "merge", "show"}) {
    EXPECT_THAT(all, HasSubstr("  " + verb));
    EXPECT_THAT(out(verb + " --help"), AllOf(HasSubstr("Usage: omninorm scale " + verb),
                                             HasSubstr("\nExamples:\n  omninorm scale ")));
  }
}

// Numbers that sums of plain doubles would get wrong.
std::string numbers(int seed, int rows, const std::string& header = "x,y\n") {
  std::mt19937 random(static_cast<unsigned>(seed));
  std::normal_distribution<double> normal;
  std::ostringstream text;
  text.precision(17);
  text << header;
  for (int i = 0; i < rows; ++i) text << 1e9 + normal(random) << ',' << normal(random) << '\n';
  return text.str();
}

TEST_F(Scale, MergingTwoIsTheSameInEitherOrder) {
  write("a.csv", numbers(1, 500));
  write("b.csv", numbers(2, 300));
  for (const std::string kind : {"z_score", "min_max"}) {
    out("fit a.csv -o a.json --kind " + kind);
    out("fit b.csv -o b.json --kind " + kind);
    out("merge a.json b.json -o ab.json");
    out("merge b.json a.json -o ba.json");
    EXPECT_EQ(state("ab.json"), state("ba.json"));
    EXPECT_EQ(state("ab.json").at("rows"), 800);
    EXPECT_EQ(json("ab.json").at("fitted_on").at("sources").size(), 2u);
  }
}

TEST_F(Scale, MergingInAnyTreeAgreesWithOneFit) {
  write("all.csv", numbers(1, 500) + numbers(2, 300, "") + numbers(3, 1, ""));
  write("a.csv", numbers(1, 500));
  write("b.csv", numbers(2, 300));
  write("c.csv", numbers(3, 1));
  for (const std::string part : {"a", "b", "c", "all"}) {
    out("fit " + part + ".csv -o " + part + ".json");
  }
  out("merge a.json b.json -o ab.json");
  out("merge ab.json c.json -o left.json");
  out("merge b.json c.json -o bc.json");
  out("merge a.json bc.json -o right.json");
  out("merge c.json a.json b.json -o flat.json");
  out("merge b.json c.json a.json -o flat2.json");
  EXPECT_EQ(state("flat.json"), state("flat2.json"));
  out("fit b.csv c.csv --append a.json -o appended.json");
  const auto whole = nlohmann::json::parse(out("show all.json --json"));
  for (const std::string tree : {"left", "right", "flat", "appended"}) {
    const auto shown = nlohmann::json::parse(out("show " + tree + ".json --json"));
    EXPECT_EQ(shown.at("rows"), 801);
    for (std::size_t j = 0; j < 2; ++j) {
      for (const char* key : {"mean", "std"}) {
        const double want = whole.at("columns")[j].at(key), got = shown.at("columns")[j].at(key);
        EXPECT_NEAR(got, want, 1e-12 * std::abs(want)) << tree << key << j;
      }
    }
  }
}

TEST_F(Scale, OnlyWhatBelongsTogetherIsMerged) {
  write("a.csv", "x,y\n1,2\n3,5\n");
  write("b.csv", "x,z\n1,2\n3,5\n");
  out("fit a.csv -o a.json");
  out("fit b.csv -o b.json");
  out("fit a.csv --kind min_max -o m.json");
  out("fit a.csv --unbiased -o u.json");
  out("fit a.csv --kind running -o r.json");
  EXPECT_THAT(refused("merge a.json b.json"), AllOf(HasSubstr("\"y\""), HasSubstr("\"z\"")));
  EXPECT_THAT(refused("merge a.json m.json"), HasSubstr("min_max"));
  EXPECT_THAT(
      refused("merge a.json u.json"),
      AllOf(HasSubstr("same options"),
            AnyOf(HasSubstr("variance is \"biased\" in a.json and \"unbiased\" in u.json"),
                  HasSubstr("variance is \"unbiased\" in u.json and \"biased\" in a.json"))));
  EXPECT_THAT(refused("merge r.json r.json"), HasSubstr("running_scaler"));
  EXPECT_THAT(run("merge a.json a.json").err, HasSubstr("counted more than once: \"a.csv on "));
}

TEST_F(Scale, AppendGoesOnWhereFitStopped) {
  write("a.csv", "x\n1\n2\n");
  write("b.csv", "x\n4\n9\n");
  out("fit a.csv --kind running --half-life 2 -o s.json");
  out("fit b.csv --append s.json -o s.json");
  out("fit a.csv b.csv --kind running --half-life 2 -o both.json");
  EXPECT_EQ(state("s.json"), state("both.json"));
  EXPECT_EQ(json("s.json").at("fitted_on").at("sources").size(), 2u);
}

TEST_F(Scale, WeightsCountRows) {
  write("a.csv", "x,w\n1,2\n5,2\n7,0\n");
  write("b.csv", "x\n1\n1\n5\n5\n");
  out("fit a.csv --weights w -o a.json");
  out("fit b.csv -o b.json");
  EXPECT_EQ(state("a.json").at("columns"), state("b.json").at("columns"));
  EXPECT_EQ(out("transform a.json a.csv"), "x,w\n-1,2\n1,2\n2,0\n");
  write("bad.csv", "x,w\n1,2\n4,-1\n");
  EXPECT_THAT(refused("fit bad.csv --weights w"),
              HasSubstr("bad.csv row 2 (line 3), column \"w\": expected a weight >= 0, got -1"));
  write("none.csv", "x,w\n1,\n");
  EXPECT_THAT(refused("fit none.csv --weights w"), HasSubstr("expected a weight >= 0, got none"));
  EXPECT_THAT(refused("fit a.csv --weights v"),
              HasSubstr("a.csv: --weights expected a column \"v\", got \"x\", \"w\""));
  EXPECT_THAT(refused("fit a.csv --weights w --columns x,w"), HasSubstr("\"w\" is to be fitted"));
}

TEST_F(Scale, InfinitiesAreToldOrLeftOut) {
  write("a.csv", "x\n1\nInf\n3\n");
  EXPECT_THAT(refused("fit a.csv"),
              AllOf(HasSubstr("a.csv row 2 (line 3), column \"x\": expected a finite number, got "
                              "inf"),
                    HasSubstr("--infinite ignore")));
  out("fit a.csv --infinite ignore -o s.json");
  EXPECT_EQ(out("transform s.json a.csv"), "x\n-1\ninf\n1\n");
  write("big.csv", "x\n1e200\n-1e200\n");
  EXPECT_THAT(refused("fit big.csv"),
              AllOf(HasSubstr("big.csv row "), HasSubstr(", column \"x\": expected numbers whose "
                                                         "squared deviations fit a double")));
  out("fit big.csv --kind min_max -o s.json");
  EXPECT_EQ(out("transform s.json big.csv"), "x\n1\n0\n");
}

TEST_F(Scale, ConstantAndEmptyColumnsAreTold) {
  write("a.csv", "x,flag,none\n1,7,\n2,7,\n");
  const Outcome fit = run("fit a.csv -o s.json");
  EXPECT_THAT(fit.err, AllOf(HasSubstr("constant, so the scale is 1: \"flag\""),
                             HasSubstr("no values, so transform gives none: \"none\"")));
  write("b.csv", "x,flag,none\n1,9,5\n");
  EXPECT_EQ(out("transform s.json b.csv"), "x,flag,none\n-1,2,\n");
  EXPECT_THAT(run("fit a.csv --quiet -o s.json").err, IsEmpty());
}

TEST_F(Scale, OneRowAndNoRowsAreDefined) {
  write("one.csv", "x\n5\n");
  write("none.csv", "x\n");
  out("fit one.csv -o one.json");
  EXPECT_EQ(out("transform one.json one.csv"), "x\n0\n");
  EXPECT_EQ(out("transform one.json none.csv"), "x\n");
  EXPECT_THAT(run("fit none.csv -o none.json").err, HasSubstr("no rows"));
  EXPECT_THAT(refused("transform none.json one.csv"), HasSubstr("one that has seen no rows"));
  out("merge none.json one.json -o merged.json");
  EXPECT_EQ(state("merged.json"), state("one.json"));
}

TEST_F(Scale, ScalersThatCannotBeAreRefused) {
  write("a.csv", "x\n1\n2\n");
  out("fit a.csv -o s.json");
  const std::string good = read("s.json");
  write("cut.json", good.substr(0, good.size() / 2));
  EXPECT_THAT(refused("transform cut.json a.csv"),
              AllOf(StartsWith("omninorm: cut.json: "), HasSubstr("cut short")));
  std::string newer = good;
  newer.replace(newer.find("\"version\": 1"), 12, "\"version\": 9");
  write("newer.json", newer);
  for (const std::string verb : {"show newer.json", "merge s.json newer.json",
                                 "inverse newer.json a.csv", "fit a.csv --append newer.json"}) {
    EXPECT_THAT(refused(verb), HasSubstr("newer.json: [scaler] expected version 1"));
  }
  EXPECT_THAT(refused("show a.csv"), HasSubstr("expected the JSON of a scaler"));
  const Outcome missing = run("show nowhere.json");
  EXPECT_EQ(missing.code, 1);
  EXPECT_THAT(missing.err, HasSubstr("cannot read nowhere.json: No such file"));
  std::string rows = good;
  rows.replace(rows.find("\"rows\":2"), 8, "\"rows\":9223372036854775807");
  write("full.json", rows);
  EXPECT_THAT(refused("merge full.json s.json"), HasSubstr("at most 2^63 - 1 rows"));
  EXPECT_THAT(refused("fit a.csv --append full.json"), HasSubstr("at most 2^63 - 1 rows"));
}

TEST_F(Scale, ShowIsForPeopleAndPrograms) {
  write("a.csv", "height,flag,none\n1,7,\n2,7,\n4,7,\n");
  out("fit a.csv -o s.json");
  const std::string text = out("show s.json");
  EXPECT_THAT(text,
              AllOf(StartsWith("z_score scaler of 3 columns, fitted on 3 rows of f64\n"),
                    HasSubstr("options: variance biased, with_mean true"),
                    HasSubstr("\ncolumn  count     mean      std\n"),
                    HasSubstr("\nheight      3  2.33333  1.24722\n"),
                    HasSubstr("\nflag        3        7        0  constant: the scale is 1\n"),
                    HasSubstr("\nnone        0        -        -  no values")));
  const auto shown = nlohmann::json::parse(out("show s.json --json"));
  EXPECT_EQ(shown.at("kind"), "z_score");
  EXPECT_EQ(shown.at("columns")[1].at("constant"), true);
  EXPECT_EQ(shown.at("columns")[1].at("scale"), 1);
  EXPECT_TRUE(shown.at("columns")[2].at("mean").is_null());
  out("fit a.csv --kind min_max -o m.json");
  EXPECT_THAT(out("show m.json"), AllOf(HasSubstr("minimum  maximum"), HasSubstr("clip false")));
  out("fit a.csv --kind running -o r.json");
  EXPECT_THAT(out("show r.json"), HasSubstr("options: alpha 0.01"));
}

TEST_F(Scale, LoadsNoTorch) {
  const Outcome libraries = shell("ldd '" OMNINORM_BINARY "'");
  EXPECT_EQ(libraries.code, 0);
  EXPECT_THAT(libraries.out, AllOf(HasSubstr("libc.so"), Not(HasSubstr("torch")),
                                   Not(HasSubstr("python")), Not(HasSubstr("arrow"))));
}

}  // namespace
}  // namespace omninorm::testing
