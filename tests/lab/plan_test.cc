#include "lab/experiment/plan.h"

#include <gmock/gmock.h>

#include <regex>
#include <set>

#include "omninorm/error.h"
#include "tests/lab/temp_folder.h"

namespace omninorm::lab {
namespace {

using omninorm::testing::message_of;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

std::string expand_error(Plan plan) {
  return message_of<Error>([&] { expand(plan); });
}

TEST(Plan, FolderNamesThatNoFileSystemTakesAreRefused) {
  Plan plan = default_plan();
  plan.axes.clear();
  for (const char* axis :
       {"norm_eps=0.000012345678901234", "weight_decay=0.0123456789012345",
        "beta1=0.9123456789012345", "beta2=0.9123456789012345", "dropout=0.0123456789012345",
        "warmup=0.0123456789012345", "lr=0.00123456789012345", "clip=1.23456789012345",
        "embedding_norm=false", "probe_every=1000000", "validate_every=1000000"}) {
    plan.axes.push_back(parse_axis(axis));
  }
  EXPECT_THAT(expand_error(plan), HasSubstr("folder names of at most 255 bytes"));
}

TEST(Plan, TheDefaultIsFourPlacementsAtTwoLearningRates) {
  Plan plan = default_plan();
  expand(plan);
  EXPECT_TRUE(plan.is_default);
  EXPECT_EQ(plan.budget_seconds, 180);
  ASSERT_EQ(plan.variants.size(), 8u);
  EXPECT_EQ(plan.variants[0].id, "placement=post,lr=0.003,seed=1");
  EXPECT_EQ(plan.variants[0].label, "post, lr 0.003");
  EXPECT_EQ(plan.variants[7].id, "placement=output,lr=0.01,seed=1");
  EXPECT_EQ(plan.variants[7].settings.placement, "output");
  EXPECT_EQ(plan.variants[7].settings.lr, 0.01);
  EXPECT_TRUE(std::regex_match(plan.folder.string(), std::regex("runs/placement-lr-[0-9a-f]{6}")))
      << plan.folder;
}

TEST(Plan, TheCrossProductRunsWithEverySeed) {
  Plan plan;
  plan.axes = {parse_axis("norm=rms_norm,none"), parse_axis("tied=yes,no"), parse_axis("layers=2")};
  plan.seeds = 2;
  plan.base.seed = 5;
  expand(plan);
  ASSERT_EQ(plan.variants.size(), 8u);
  EXPECT_EQ(plan.variants[1].id, "norm=rms_norm,tied=true,layers=2,seed=6");
  EXPECT_EQ(plan.variants[1].label, "rms_norm, with tied, layers 2, seed 6");
  EXPECT_EQ(plan.variants[1].settings.seed, 6);
  EXPECT_EQ(plan.variants[7].label, "norm none, without tied, layers 2, seed 6");
  std::set<std::string> ids;
  for (const Variant& variant : plan.variants) ids.insert(variant.id);
  EXPECT_EQ(ids.size(), 8u);
  EXPECT_FALSE(plan.is_default);
}

TEST(Plan, IdsAreFolderNames) {
  Plan plan;
  plan.axes = {parse_axis("device=cpu,cuda:0")};
  expand(plan);
  EXPECT_EQ(plan.variants[1].id, "device=cuda_0,seed=1");
}

TEST(Plan, TheFolderFollowsWhatIsComparedAndNotHowItIsWritten) {
  const auto folder = [](const std::vector<std::string>& axes, auto change) {
    Plan plan;
    for (const std::string& axis : axes) plan.axes.push_back(parse_axis(axis));
    change(plan);
    expand(plan);
    return plan.folder;
  };
  const auto same = [](Plan&) {};
  const auto base = folder({"lr=3e-3,1e-2"}, same);
  EXPECT_EQ(folder({"lr=0.003,0.01"}, same), base);
  EXPECT_EQ(folder({"lr=3e-3,1e-2"}, [](Plan& p) { p.base.lr = 1; }), base) << "lr is varied";
  EXPECT_EQ(folder({"lr=3e-3,1e-2"}, [](Plan& p) { p.seeds = 3; }), base) << "more seeds join";
  EXPECT_NE(folder({"lr=3e-3,2e-2"}, same), base);
  EXPECT_NE(folder({"lr=3e-3,1e-2"}, [](Plan& p) { p.base.width = 64; }), base);
  EXPECT_EQ(folder({"lr=1"}, [](Plan& p) { p.folder = "here"; }), "here");
}

TEST(Plan, TheDefaultIsKnownByWhatItCompares) {
  const auto is_default = [](auto change) {
    Plan plan = default_plan();
    change(plan);
    expand(plan);
    return plan.is_default;
  };
  EXPECT_TRUE(is_default([](Plan& p) { p.base.steps = 20; }));
  EXPECT_TRUE(is_default([](Plan& p) { p.seeds = 3; }));
  EXPECT_FALSE(is_default([](Plan& p) { p.base.init = "fan-in"; }));
  EXPECT_FALSE(is_default([](Plan& p) { p.axes.pop_back(); }));
}

TEST(Plan, AxesThatCannotBeAreRefused) {
  const auto error = [](const char* text) { return message_of<Error>([&] { parse_axis(text); }); };
  EXPECT_THAT(error("wdith=1,2"), HasSubstr("did you mean 'width'?"));
  EXPECT_THAT(error("wdith"), HasSubstr("did you mean 'width'?"));
  EXPECT_THAT(error("width"), HasSubstr("expected setting=value,value,..., got 'width'"));
  EXPECT_THAT(error(""), HasSubstr("expected setting=value"));
  EXPECT_THAT(error("seed=1,2"), HasSubstr("--seeds N"));
  EXPECT_THAT(error("text=a,b"), AllOf(HasSubstr("got 'text'"), Not(HasSubstr("valid: text"))));
  EXPECT_THAT(error("lr=3e-3,0.003"), HasSubstr("got 0.003 twice"));
  EXPECT_THAT(error("lr=1e-3,abc"), HasSubstr("[lr] expected a number"));
  EXPECT_THAT(error("lr="), HasSubstr("[lr] expected a number above 0 and at most 1000, got ''"));
  EXPECT_THAT(error("lr=1,"), HasSubstr("got ''"));
  EXPECT_THAT(error("placement=pre,perry"), HasSubstr("did you mean 'peri'?"));
  Plan twice;
  twice.axes = {parse_axis("lr=1"), parse_axis("lr=2")};
  EXPECT_THAT(expand_error(twice), HasSubstr("got lr twice"));
}

TEST(Plan, CountsThatCannotBeAreRefused) {
  const auto error = [](auto change) {
    Plan plan = default_plan();
    change(plan);
    return expand_error(plan);
  };
  EXPECT_THAT(error([](Plan& p) { p.seeds = 0; }), HasSubstr("[seeds] expected"));
  EXPECT_THAT(error([](Plan& p) { p.seeds = -3; }), HasSubstr("got -3"));
  EXPECT_THAT(error([](Plan& p) { p.seeds = 5000; }), HasSubstr("at most 10000 runs"));
  EXPECT_THAT(error([](Plan& p) { p.budget_seconds = 0; }), HasSubstr("[budget] expected"));
}

TEST(Plan, WhatIsWrongIsToldWithTheVariantsThatHaveIt) {
  Plan plan;
  plan.axes = {parse_axis("placement=pre,peri"), parse_axis("width=128,130")};
  EXPECT_THAT(expand_error(plan),
              AllOf(HasSubstr("pre, width 130 and 1 more: [width] expected"),
                    HasSubstr("130 with 4 heads"), Not(HasSubstr("width 128"))));
  plan.axes = {parse_axis("placement=pre,peri")};
  plan.base.width = 130;
  EXPECT_THAT(expand_error(plan), ::testing::StartsWith("[width] expected")) << "the same for all";
}

TEST(Plan, FilesBelongToTheVariantsThatReadThem) {
  Plan plan;
  plan.axes = {parse_axis("data=prose,text")};
  plan.base.text = {"a.txt"};
  expand(plan);
  EXPECT_TRUE(plan.variants[0].settings.text.empty());
  EXPECT_THAT(plan.variants[1].settings.text, ElementsAre("a.txt"));
}

}  // namespace
}  // namespace omninorm::lab
