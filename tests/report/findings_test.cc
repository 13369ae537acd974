// Every sentence that the probes and the ends of runs give rise to, and the data that give none.
#include "tests/report/fixture.h"

namespace omninorm::lab::report {
namespace {

using synthetic::SyntheticAxis;
using synthetic::SyntheticRun;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

const std::vector<SyntheticAxis> kPlacements = {{"placement", {"pre", "peri"}}};
const std::vector<SyntheticAxis> kGrid = {{"placement", {"pre", "peri"}},
                                          {"lr", {"0.003", "0.01"}}};

class Findings : public ReportFolder {};

TEST_F(Findings, NameTheLowestLossOfEachCondition) {
  const Experiment experiment =
      load(kGrid, {placed("pre", 1.70, "0.003"), placed("peri", 1.65, "0.003"),
                   placed("pre", 1.60, "0.01"), placed("peri", 1.80, "0.01")});
  EXPECT_THAT(
      outcome_sentences(experiment),
      ElementsAre("At lr 0.003, Peri had the lowest validation loss, 1.650, before Pre (1.700).",
                  "At lr 0.01, Pre had the lowest validation loss, 1.600, before Peri (1.800)."));
}

TEST_F(Findings, SayWhenOnlyOneFinished) {
  auto failed = placed("pre", 1.7);
  failed.status = "diverged";
  const Experiment experiment = load(kPlacements, {failed, placed("peri", 1.65)});
  EXPECT_THAT(outcome_sentences(experiment),
              ElementsAre("Only Peri ended at a validation loss of 1.650."));
}

TEST_F(Findings, CountWinsWhereConditionsAreMany) {
  std::vector<SyntheticRun> runs;
  const std::vector<std::string> rates = {"0.001", "0.002", "0.003", "0.004"};
  for (std::size_t i = 0; i < rates.size(); ++i) {
    runs.push_back(placed("pre", i == 0 ? 1.6 : 1.7, rates[i]));
    runs.push_back(placed("peri", 1.65, rates[i]));
  }
  const Experiment experiment = load({{"placement", {"pre", "peri"}}, {"lr", rates}}, runs);
  EXPECT_THAT(
      outcome_sentences(experiment),
      ElementsAre("Over 4 conditions in which two or more variants finished, the lowest loss was "
                  "had by Peri in 3 and Pre in 1."));
}

TEST_F(Findings, NameRunsThatFailedAndWhy) {
  auto diverged = placed("pre", 1.7);
  diverged.status = "diverged", diverged.steps = 143, diverged.reason = "loss not finite";
  auto stuck = placed("peri", 3.15);
  stuck.status = "stuck";
  const Experiment experiment = load(kPlacements, {diverged, stuck});
  const auto sentences = failure_sentences(experiment);
  EXPECT_THAT(sentences, ::testing::UnorderedElementsAre(
                             "Pre diverged at step 143 (loss not finite).",
                             StartsWith("Peri got stuck at a training loss of 3.1")));
}

TEST_F(Findings, TellStoppedAndFailedRuns) {
  auto stopped = placed("pre", 1.7);
  stopped.status = "stopped", stopped.steps = 50;
  auto failed = placed("peri", 1.7);
  failed.status = "failed", failed.reason = "out of memory";
  EXPECT_THAT(failure_sentences(load(kPlacements, {stopped, failed})),
              ::testing::UnorderedElementsAre("Pre was stopped at step 50.",
                                              "Peri failed (out of memory)."));
}

TEST_F(Findings, NothingFailedNothingSaid) {
  EXPECT_THAT(failure_sentences(load(kPlacements, {placed("pre", 1.7), placed("peri", 1.6)})),
              IsEmpty());
}

TEST_F(Findings, TellGrowthFromAFactorOfThree) {
  auto pre = placed("pre", 1.7), peri = placed("peri", 1.6);
  pre.variance_start = 17, pre.variance_end = 1950;
  peri.variance_start = 18, peri.variance_end = 21;
  const auto sentences = growth_sentences(load(kPlacements, {pre, peri}));
  ASSERT_EQ(sentences.size(), 1u);
  EXPECT_EQ(
      sentences[0],
      "Residual variance behind the last block during training: Pre's grew from 16.9 to 1,960 "
      "(×116) and Peri's stayed near 21.3 (from 18.5 to 21.3).");
}

TEST_F(Findings, TellAFallAndNoGrowthBelowAFactorOfThree) {
  auto pre = placed("pre", 1.7), peri = placed("peri", 1.6);
  pre.variance_start = 20, pre.variance_end = 2;
  peri.variance_start = 10, peri.variance_end = 25;
  const auto sentences = growth_sentences(load(kPlacements, {pre, peri}));
  EXPECT_THAT(sentences[0], HasSubstr("Pre's fell from"));
  EXPECT_THAT(sentences[0], Not(HasSubstr("grew")));
}

TEST_F(Findings, TellBothEndsOfAVarianceThatMoved) {
  auto pre = placed("pre", 1.7);
  pre.variance_start = 2.5, pre.variance_end = 6.5;
  const std::string sentence = growth_sentences(load(kPlacements, {pre})).at(0);
  EXPECT_THAT(sentence, HasSubstr("Pre's went from "));
  EXPECT_THAT(sentence, Not(HasSubstr("stayed")));
}

TEST_F(Findings, TellNothingOfTheCourseWithoutAProbeNearTheEnd) {
  auto first_only = placed("pre", 1.7), early = placed("peri", 1.6), diverged = placed("post", 2);
  first_only.probe_every = 1000;
  early.probe_every = 170;
  diverged.status = "diverged";
  const Experiment experiment =
      load({{"placement", {"pre", "peri", "post"}}}, {first_only, early, diverged});
  EXPECT_THAT(growth_sentences(experiment), IsEmpty());
  EXPECT_EQ(depth_sentence(experiment), "");
  EXPECT_EQ(gradient_sentence(experiment), "");
}

TEST_F(Findings, EqualPrintedLossesAreNoWin) {
  const Experiment two = load(kPlacements, {placed("pre", 1.65001), placed("peri", 1.65004)});
  EXPECT_THAT(outcome_sentences(two),
              ElementsAre("Pre and Peri ended at the same validation loss, 1.650: there is no "
                          "difference to three decimals."));
  EXPECT_EQ(summarise(two).headline,
            "Lowest validation loss, one seed each: Pre and Peri (1.650, no difference to three "
            "decimals).");
}

TEST_F(Findings, EqualPrintedLossesAreCountedApart) {
  std::vector<SyntheticRun> runs;
  const std::vector<std::string> rates = {"0.001", "0.002", "0.003", "0.004"};
  for (std::size_t i = 0; i < rates.size(); ++i) {
    runs.push_back(placed("pre", i == 0 ? 1.6 : 1.65001, rates[i]));
    runs.push_back(placed("peri", 1.65, rates[i]));
  }
  EXPECT_THAT(
      outcome_sentences(load({{"placement", {"pre", "peri"}}, {"lr", rates}}, runs)),
      ElementsAre("Over 4 conditions in which two or more variants finished, the lowest loss was "
                  "had by Pre in 1; in 3 there is no difference to three decimals."));
}

TEST_F(Findings, TellGrowthOverDepth) {
  auto pre = placed("pre", 1.7), peri = placed("peri", 1.6);
  pre.depth_growth = 50, peri.depth_growth = 4;
  EXPECT_THAT(depth_sentence(load(kPlacements, {pre, peri})),
              ::testing::AllOf(HasSubstr("variance grew most in Pre (from "),
                               HasSubstr("least in Peri (from ")));
}

TEST_F(Findings, TellNoGrowthOverDepth) {
  auto pre = placed("pre", 1.7), peri = placed("peri", 1.6);
  pre.depth_growth = 2, peri.depth_growth = 1.5;
  EXPECT_THAT(depth_sentence(load(kPlacements, {pre, peri})),
              HasSubstr("no variant's variance changed by more than a factor of 2."));
}

TEST_F(Findings, TellVanishedGradientsWithTheirBlock) {
  auto pre = placed("pre", 1.7), peri = placed("peri", 1.6);
  pre.grad_first = 1e-9, peri.grad_first = 0.1;
  const std::string sentence = gradient_sentence(load(kPlacements, {pre, peri}));
  EXPECT_THAT(sentence, HasSubstr("most uneven over the blocks in Pre: "));
  EXPECT_THAT(sentence, HasSubstr("in block 1 against"));
  EXPECT_THAT(sentence, HasSubstr("in block 6; most even in Peri"));
}

TEST_F(Findings, EvenGradientsAreSaidToBeEven) {
  auto pre = placed("pre", 1.7), peri = placed("peri", 1.6);
  pre.grad_first = 0.3, peri.grad_first = 0.1;
  EXPECT_THAT(gradient_sentence(load(kPlacements, {pre, peri})),
              StartsWith("Gradient norms lay within a factor of"));
}

TEST_F(Findings, TellSensitivityToTheLearningRate) {
  auto lost = placed("peri", 1.8, "0.01");
  lost.status = "stuck";
  const Experiment experiment =
      load(kGrid, {placed("pre", 1.70, "0.003"), placed("peri", 1.65, "0.003"),
                   placed("pre", 1.82, "0.01"), lost});
  EXPECT_THAT(
      sensitivity_sentences(experiment),
      ElementsAre("Over the learning rates tried, final losses differed: Pre by 0.120 (best 1.700 "
                  "at 0.003) and Peri did not finish at all of them (best 1.650 at 0.003)."));
}

TEST_F(Findings, NoSensitivityWithoutSeveralRates) {
  EXPECT_THAT(sensitivity_sentences(load(kPlacements, {placed("pre", 1.7), placed("peri", 1.6)})),
              IsEmpty());
}

TEST_F(Findings, TellHeadroomAndOverflow) {
  auto pre = placed("pre", 1.7), peri = placed("peri", 1.6);
  pre.variance_end = 1950;
  EXPECT_THAT(headroom_sentence(load(kPlacements, {pre, peri})),
              ::testing::AllOf(HasSubstr("in Pre: 0.7 % of FP16's largest number, 65,504.")));
  pre.variance_end = 1e9;
  EXPECT_THAT(headroom_sentence(load(kPlacements, {pre, peri})),
              ::testing::AllOf(StartsWith("The residual stream of Pre reached "),
                               HasSubstr("past FP16's largest number")));
}

TEST_F(Findings, CountSpikes) {
  auto pre = placed("pre", 1.7);
  pre.spikes = 3;
  EXPECT_EQ(spike_sentence(load(kPlacements, {pre, placed("peri", 1.6)})),
            "Spikes of loss or gradient norm: 3 in Pre.");
  pre.spikes = 0;
  EXPECT_EQ(spike_sentence(load(kPlacements, {pre, placed("peri", 1.6)})), "");
}

TEST_F(Findings, TellWhatNormsCost) {
  auto pre = placed("pre", 1.7), peri = placed("peri", 1.6);
  pre.norm_share = 0.064, peri.norm_share = 0.098;
  EXPECT_EQ(cost_sentence(load(kPlacements, {pre, peri})),
            "Norms took from 6.4 % of a step's time (Pre) to 9.8 % (Peri).");
}

TEST_F(Findings, FewTimedProbesGiveNoCost) {
  auto pre = placed("pre", 1.7);
  pre.probe_every = 50;  // 4 probes and the first step's
  EXPECT_EQ(cost_sentence(load(kPlacements, {pre})), "");
  pre.probe_every = 40;
  EXPECT_EQ(cost_sentence(load(kPlacements, {pre})), "Norms took 7.0 % of a step's time in Pre.");
}

TEST_F(Findings, WithoutProbesNothingIsSaidOfThem) {
  auto pre = placed("pre", 1.7), peri = placed("peri", 1.6);
  pre.probes = peri.probes = false;
  const Experiment experiment = load(kPlacements, {pre, peri});
  EXPECT_THAT(growth_sentences(experiment), IsEmpty());
  EXPECT_EQ(depth_sentence(experiment), "");
  EXPECT_EQ(gradient_sentence(experiment), "");
  EXPECT_EQ(headroom_sentence(experiment), "");
  EXPECT_EQ(cost_sentence(experiment), "");
}

TEST_F(Findings, TellPairedDifferences) {
  std::vector<SyntheticRun> runs;
  const double noise[] = {0, 0.01, -0.01};
  for (std::int64_t seed = 1; seed <= 3; ++seed) {
    runs.push_back(placed("pre", 1.70 + 0.02 * double(seed), "", seed));
    runs.push_back(placed("peri", 1.60 + 0.02 * double(seed) + noise[seed - 1] / 10, "", seed));
    runs.push_back(placed("output", 1.70 + 0.02 * double(seed) + noise[seed - 1], "", seed));
  }
  const Experiment experiment = load({{"placement", {"pre", "peri", "output"}}}, runs);
  const auto sentences = comparison_sentences(experiment);
  ASSERT_EQ(sentences.size(), 2u);
  // Peri: differences -0.1, -0.099, -0.101: sd 0.001, half width 4.30265 * 0.001 / sqrt(3) =
  // 0.00248.
  EXPECT_EQ(
      sentences[0],
      "Paired difference in final loss to Pre, with its 95 % interval over seeds: Peri −0.100 "
      "(−0.102 to −0.098; lower) and Output 0.000 (−0.025 to +0.025; no difference shown).");
  EXPECT_THAT(sentences[1],
              StartsWith("Each interval misses the true difference one time in twenty; "
                         "there are 2"));
}

TEST_F(Findings, PairsWithoutAFinishedSideAreCountedAndSaid) {
  std::vector<SyntheticRun> runs;
  for (std::int64_t seed = 1; seed <= 3; ++seed) {
    runs.push_back(placed("pre", 1.7 + 0.01 * double(seed), "", seed));
    runs.push_back(placed("peri", 1.6 + 0.02 * double(seed), "", seed));
  }
  runs[1].status = "diverged";
  const Experiment experiment = load(kPlacements, runs);
  ASSERT_EQ(comparisons(experiment).size(), 1u);
  EXPECT_EQ(comparisons(experiment)[0].left_out, 1u);
  EXPECT_EQ(comparisons(experiment)[0].difference->pairs, 2u);
  EXPECT_THAT(comparison_sentences(experiment).back(), StartsWith("One pair of runs is left out"));
}

TEST_F(Findings, TheLowestMeanIsToldWithTheDifferenceToTheNext) {
  std::vector<SyntheticRun> runs;
  const double noise[] = {0.02, -0.03, 0.02};
  for (std::int64_t seed = 1; seed <= 3; ++seed) {
    runs.push_back(placed("pre", 1.70 + noise[seed - 1], "", seed));
    runs.push_back(placed("peri", 1.69, "", seed));
  }
  const auto sentences = outcome_sentences(load(kPlacements, runs));
  ASSERT_EQ(sentences.size(), 1u);
  EXPECT_THAT(sentences[0],
              HasSubstr("Peri had the lowest mean validation loss, 1.690, before Pre (1.703)."));
  EXPECT_THAT(sentences[0],
              HasSubstr("No difference to the next, Pre, is shown (+0.013, 95 % interval −0.058 "
                        "to +0.085)."));
}

}  // namespace
}  // namespace omninorm::lab::report
