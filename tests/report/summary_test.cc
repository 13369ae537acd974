// The page's top: title, headline, facts, warnings, and what the runs cannot show.
#include "tests/report/fixture.h"

namespace omninorm::lab::report {
namespace {

using synthetic::SyntheticAxis;
using synthetic::SyntheticRun;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

const std::vector<SyntheticAxis> kPlacements = {{"placement", {"pre", "peri"}}};

class SummaryWords : public ReportFolder {
 protected:
  Summary of(const std::string& name) {
    synthetic::write_experiment(folder, name);
    return summarise(load_experiment(folder));
  }
  static std::string fact(const Summary& summary, const std::string& name) {
    for (const Fact& fact : summary.compared)
      if (fact.name == name) return fact.text;
    return "";
  }
};

TEST_F(SummaryWords, TheDefaultExperiment) {
  const Summary summary = of("default");
  EXPECT_EQ(summary.title, "Post, Pre, Peri and Output compared");
  EXPECT_EQ(summary.headline,
            "Lowest validation loss, one seed each: Peri at lr 0.003 (1.659) and Peri at lr 0.01 "
            "(1.698). "
            "Output at lr 0.01 diverged and Post at lr 0.01 got stuck.");
  EXPECT_EQ(fact(summary, "Compared"),
            "placement (Post, Pre, Peri, Output) × learning rate (0.003, 0.01), one seed, 8 runs");
  EXPECT_EQ(fact(summary, "Model"),
            "6 layers, 128 wide, 4 heads, 1,218,048 parameters, rms_norm, gelu, normal-0.02 "
            "initialisation");
  EXPECT_EQ(fact(summary, "Training"), "200 steps of 8 × 128 bytes, f32");
  EXPECT_EQ(fact(summary, "Data"), "prose: 7,600,000 bytes to train on, 800,000 held out");
  EXPECT_EQ(fact(summary, "Machine"), "Example CPU, AVX3, 2 threads");
  EXPECT_THAT(summary.warnings, IsEmpty());
}

TEST_F(SummaryWords, TheDefaultNamesItsBiasAndTheCounterExample) {
  const Summary summary = of("default");
  EXPECT_THAT(summary.limits, Contains(StartsWith("One seed each")));
  EXPECT_THAT(summary.limits, Contains(HasSubstr("chosen because they separate the placements")));
  EXPECT_THAT(summary.limits,
              Contains(HasSubstr("`omninorm compare --vary placement=post,pre,peri,output --vary "
                                 "lr=3e-3,1e-2 --init fan-in`")));
}

TEST_F(SummaryWords, OtherExperimentsAreNotCalledChosenToSeparate) {
  EXPECT_THAT(of("axes").limits, Not(Contains(HasSubstr("chosen because"))));
}

TEST_F(SummaryWords, SeveralSeedsAreNotCalledOne) {
  const Summary summary = of("seeds");
  EXPECT_THAT(summary.limits, Not(Contains(HasSubstr("One seed"))));
  EXPECT_THAT(summary.headline, StartsWith("Lowest mean validation loss: "));
  EXPECT_THAT(fact(summary, "Compared"), HasSubstr("3 seeds, 24 runs"));
}

TEST_F(SummaryWords, UnfinishedShortenedAndNotStartedStandFirst) {
  const Summary summary = of("unfinished");
  ASSERT_EQ(summary.warnings.size(), 3u);
  EXPECT_THAT(summary.warnings[0],
              StartsWith("The runs were shortened to 200 steps; their losses do not compare with "
                         "those of full runs. Why: 200 steps: 0.11 s a step."));
  EXPECT_THAT(summary.warnings[1],
              StartsWith("Not finished when this was drawn: Peri at lr 0.003 (step 37 "
                         "of 200)."));
  EXPECT_THAT(summary.warnings[2], StartsWith("Not started: placement=peri,lr=0.01,seed=1"));
  EXPECT_EQ(
      summary.headline,
      "So far, lowest validation loss, one seed each: Post at lr 0.003 (1.668) and Post at lr 0.01 "
      "(1.668). 4 runs still open.");
  EXPECT_THAT(summary.happened[0].text, StartsWith("So far, at lr 0.003, Post had the lowest"));
}

TEST_F(SummaryWords, NoRunFinished) {
  auto run = placed("pre", 1.7);
  run.status = "unfinished", run.steps = 5;
  EXPECT_EQ(summarise(load(kPlacements, {run})).headline, "No run has finished yet.");
}

TEST_F(SummaryWords, EveryRunFailed) {
  auto run = placed("pre", 1.7), other = placed("peri", 1.7);
  run.status = other.status = "diverged";
  EXPECT_THAT(summarise(load(kPlacements, {run, other})).headline,
              StartsWith("No run finished. P"));
}

TEST_F(SummaryWords, OnlyWhatWasSeenIsCalledSeenOnce) {
  auto pre = placed("pre", 1.7), peri = placed("peri", 1.6);
  EXPECT_THAT(summarise(load(kPlacements, {pre, peri})).limits, Not(Contains(HasSubstr("Even "))));
  pre.status = "diverged";
  EXPECT_THAT(summarise(load(kPlacements, {pre, peri})).limits,
              Contains(HasSubstr("Even divergence was seen with one seed only.")));
}

TEST_F(SummaryWords, OneRunAlone) {
  const Summary summary = of("single");
  EXPECT_EQ(summary.title, "One run: Pre");
  EXPECT_EQ(summary.headline, "Pre ended at a validation loss of 1.650.");
}

TEST_F(SummaryWords, ManyFailuresAreCounted) {
  std::vector<SyntheticRun> runs;
  for (const char* placement : {"a", "b", "c", "d", "e"}) {
    runs.push_back(placed(placement, 1.7));
    if (runs.size() > 1) runs.back().status = "stuck";
  }
  EXPECT_THAT(summarise(load({{"placement", {"a", "b", "c", "d", "e"}}}, runs)).headline,
              HasSubstr(" 4 of 5 runs diverged, got stuck or failed."));
}

TEST_F(SummaryWords, TrainingLossIsComparedWhereAFinishedRunHasNoValidation) {
  auto short_run = placed("pre", 1.7);
  short_run.planned = 800;  // validated at 200, 400, ...: none within 150 steps
  short_run.steps = 150;
  const Experiment experiment = load(kPlacements, {short_run, placed("peri", 1.6)});
  EXPECT_FALSE(experiment.by_validation);
  EXPECT_THAT(summarise(experiment).headline, StartsWith("Lowest training loss"));
}

TEST_F(SummaryWords, DifferentLengthsCommitsAndMachinesAreSaid) {
  auto pre = placed("pre", 1.7), peri = placed("peri", 1.6);
  pre.steps = pre.planned = 400;
  pre.commit = "other", pre.cpu = "Other CPU";
  const auto limits = summarise(load(kPlacements, {pre, peri})).limits;
  EXPECT_THAT(limits, Contains(HasSubstr("different lengths, from 200 to 400 steps")));
  EXPECT_THAT(limits, Contains(HasSubstr("not all made from the same git commit")));
  EXPECT_THAT(limits, Contains(HasSubstr("not all made on the same processor")));
}

TEST_F(SummaryWords, EqualOriginsAreNotRemarkedOn) {
  EXPECT_THAT(summarise(load(kPlacements, {placed("pre", 1.7), placed("peri", 1.6)})).limits,
              Not(Contains(HasSubstr("not all made"))));
}

}  // namespace
}  // namespace omninorm::lab::report
