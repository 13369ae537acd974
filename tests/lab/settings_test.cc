#include "lab/experiment/settings.h"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "lab/model/placement.h"
#include "omninorm/error.h"
#include "tests/lab/temp_folder.h"

namespace omninorm::lab {
namespace {

using omninorm::testing::message_of;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

std::string set_error(const char* name, const char* value) {
  Settings settings;
  const nlohmann::json before = to_json(settings);
  const std::string message = message_of<Error>([&] { set(settings, name, value); });
  EXPECT_EQ(to_json(settings), before) << "a refused value must leave the settings alone";
  return message;
}

TEST(Settings, EveryFieldGoesThroughTextAndBack) {
  // A value other than the default for each setting; a new setting must be added here.
  // clang-format off
  const std::vector<std::pair<std::string, std::string>> values = {
      {"placement", "peri"}, {"norm", "layer_norm"},
      {"norm_eps", "1e-05"}, {"norm_groups", "4"},
      {"layers", "3"},
      {"width", "96"},       {"heads", "6"},
      {"context", "64"},     {"mlp", "swiglu"},
      {"dropout", "0.125"},  {"tied", "true"},
      {"qk_norm", "true"},   {"embedding_norm", "true"},
      {"init", "fan-in"},    {"lr", "0.012"},
      {"steps", "77"},       {"batch", "5"},
      {"warmup", "0.3"},     {"weight_decay", "0"},
      {"beta1", "0.8"},      {"beta2", "0.999"},
      {"clip", "0"},         {"dtype", "bf16"},
      {"device", "cuda:1"},  {"seed", "9"},
      {"data", "text"},      {"text", "a.txt\nb c.txt"},
      {"probe_every", "3"},  {"validate_every", "11"}};
  // clang-format on
  Settings settings;
  ASSERT_EQ(values.size(), setting_table().size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    EXPECT_EQ(values[i].first, setting_table()[i].name);
    EXPECT_NE(get(settings, values[i].first), values[i].second);
    set(settings, values[i].first, values[i].second);
    EXPECT_EQ(get(settings, values[i].first), values[i].second);
  }
  const nlohmann::json json = to_json(settings);
  EXPECT_EQ(json.size(), values.size());
  EXPECT_EQ(to_json(from_json(json)), json);
  EXPECT_EQ(to_json(from_json(nlohmann::json::parse(json.dump()))), json);
  EXPECT_TRUE(json.at("tied").is_boolean());
  EXPECT_TRUE(json.at("width").is_number_integer());
  EXPECT_DOUBLE_EQ(json.at("lr").get<double>(), 0.012);
  EXPECT_EQ(json.at("text"), nlohmann::json({"a.txt", "b c.txt"}));
}

TEST(Settings, NumbersAreWrittenInTheShortestFormThatReadsBack) {
  Settings settings;
  for (const char* text : {"0.003", "0.1", "1e-05", "0.30000000000000004", "3"}) {
    set(settings, "lr", text);
    EXPECT_EQ(get(settings, "lr"), text);
  }
  set(settings, "lr", "3e-3");
  EXPECT_EQ(settings.lr, 0.003);
  EXPECT_EQ(get(settings, "lr"), "0.003");
}

TEST(Settings, WhatIsNoNumberIsRefused) {
  for (const char* text : {"abc", "", " 1", "1 ", "nan", "inf", "-inf", "1e999", "1e-999", "1,5",
                           "0x10", "1e", "--1", "0", "-0", "-1e-3", "1001"}) {
    EXPECT_THAT(set_error("lr", text),
                AllOf(HasSubstr("[lr] expected a number above 0 and at most 1000"),
                      HasSubstr(std::string("got '") + text + "'")));
  }
  for (const char* text : {"0", "-1", "1.5", "1e3", "", "99999999999999999999", "1025", "six"}) {
    EXPECT_THAT(set_error("layers", text),
                HasSubstr("[layers] expected an integer from 1 to 1024, got '"));
  }
}

TEST(Settings, EveryNumberRefusesNonsenseAndSaysItsName) {
  for (const SettingInfo& info : setting_table()) {
    if (!info.expected.starts_with("a number") && !info.expected.starts_with("an integer"))
      continue;
    for (const char* text : {"abc", "", "nan", "1e999", "-1"}) {
      EXPECT_THAT(set_error(std::string(info.name).c_str(), text),
                  HasSubstr("[" + std::string(info.name) + "] expected " + info.expected));
    }
  }
}

TEST(Settings, BoundsThatAreExcludedAreRefused) {
  EXPECT_THAT(set_error("dropout", "1"), HasSubstr("of at least 0 and below 1"));
  EXPECT_THAT(set_error("beta2", "1"), HasSubstr("below 1"));
  Settings settings;
  set(settings, "dropout", "0");
  set(settings, "warmup", "1");
}

TEST(Settings, UnknownNamesAndChoicesAreAnsweredWithTheValidOnes) {
  EXPECT_THAT(set_error("wdith", "1"),
              AllOf(HasSubstr("did you mean 'width'?"), HasSubstr("valid: placement, norm, ")));
  EXPECT_THAT(set_error("zzzzzzzz", "1"),
              AllOf(Not(HasSubstr("did you mean")), HasSubstr("valid:")));
  EXPECT_THAT(set_error("placement", "perry"), AllOf(HasSubstr("one of post, pre, peri, output"),
                                                     HasSubstr("did you mean 'peri'?")));
  EXPECT_THAT(set_error("norm", "rmsnorm"), HasSubstr("did you mean 'rms_norm'?"));
  EXPECT_THAT(set_error("norm", "batch_norm_2d"),
              HasSubstr("one of rms_norm, layer_norm, grouped_layer_norm, none"));
  EXPECT_THAT(set_error("norm", "batch_norm"), HasSubstr("batch_norm pools over tokens"));
  EXPECT_THAT(set_error("norm", "group_norm"), HasSubstr("pools over positions"));
  EXPECT_THAT(set_error("device", "tpu"), HasSubstr("expected cpu, cuda or cuda:N"));
  EXPECT_THAT(set_error("device", "cuda:"), HasSubstr("expected cpu, cuda or cuda:N"));
  EXPECT_THAT(set_error("tied", "maybe"), HasSubstr("expected true or false, got 'maybe'"));
}

TEST(Settings, ChoicesComeFromTheirTables) {
  for (const Placement& placement : placements()) {
    Settings settings;
    set(settings, "placement", placement.name);
    EXPECT_EQ(settings.placement, placement.name);
  }
}

TEST(Settings, CheckSeesWhatNoSingleFieldCan) {
  const auto error = [](auto change) {
    Settings settings;
    change(settings);
    return message_of<Error>([&] { check(settings); });
  };
  EXPECT_NO_THROW(check(Settings{}));
  EXPECT_THAT(error([](Settings& s) { s.width = 130; }),
              AllOf(HasSubstr("width 130 with 4 heads"), HasSubstr("nearest that fits is 132")));
  EXPECT_THAT(error([](Settings& s) { s.width = 2; }), HasSubstr("nearest that fits is 4"));
  EXPECT_THAT(error([](Settings& s) { s.width = 12; }), HasSubstr("even width of a head"));
  Settings fits;
  fits.norm_groups = 7;  // read by no other norm
  EXPECT_NO_THROW(check(fits));
  fits.norm = "grouped_layer_norm";
  fits.norm_groups = 32;
  EXPECT_NO_THROW(check(fits));
  const auto grouped = [&](std::int64_t groups, bool qk_norm) {
    return error([&](Settings& s) {
      s.norm = "grouped_layer_norm";
      s.norm_groups = groups;
      s.qk_norm = qk_norm;
    });
  };
  EXPECT_THAT(grouped(7, false), HasSubstr("the width of the model, 128, got 7 groups"));
  EXPECT_THAT(grouped(64, false), HasSubstr("groups of 3 or more channels"));
  EXPECT_THAT(grouped(32, true), HasSubstr("the width of a head, 32, got 32 groups"));
  EXPECT_THAT(error([](Settings& s) { s.data = "text"; }), HasSubstr("--text FILE"));
  EXPECT_THAT(error([](Settings& s) { s.text = {"a"}; }), HasSubstr("data 'text'"));
  EXPECT_THAT(error([](Settings& s) { s.batch = 0; }), HasSubstr("[batch]"));
  EXPECT_THAT(error([](Settings& s) { s.context = -1; }), HasSubstr("[context]"));
  EXPECT_THAT(error([](Settings& s) { s.lr = std::nan(""); }), HasSubstr("[lr]"));
  EXPECT_THAT(error([](Settings& s) { s.placement = "side"; }), HasSubstr("[placement]"));
}

TEST(Settings, JsonWithUnknownNamesOrTypesIsRefused) {
  const auto error = [](const char* text) {
    return message_of<Error>([&] { from_json(nlohmann::json::parse(text)); });
  };
  EXPECT_THAT(error(R"({"wdith": 1})"), HasSubstr("did you mean 'width'?"));
  EXPECT_THAT(error(R"({"width": "128"})"), HasSubstr("[width] expected an integer"));
  EXPECT_THAT(error(R"({"width": 128.5})"), HasSubstr("[width] expected an integer"));
  EXPECT_THAT(error(R"({"width": 18446744073709551615})"), HasSubstr("[width] expected"));
  EXPECT_THAT(error(R"({"lr": null})"), HasSubstr("[lr] expected a number"));
  EXPECT_THAT(error(R"({"lr": -1.0})"), HasSubstr("[lr] expected a number"));
  EXPECT_THAT(error(R"({"tied": 1})"), HasSubstr("[tied]"));
  EXPECT_THAT(error(R"({"text": [1]})"), HasSubstr("[text]"));
  EXPECT_THAT(error("[]"), HasSubstr("expected a JSON object"));
  EXPECT_EQ(from_json(nlohmann::json::parse(R"({"lr": 1})")).lr, 1.0);
}

TEST(Settings, EditDistanceCountsSwapsOfNeighboursAsOne) {
  EXPECT_EQ(edit_distance("", ""), 0u);
  EXPECT_EQ(edit_distance("", "abc"), 3u);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3u);
  EXPECT_EQ(edit_distance("wdith", "width"), 1u);
}

TEST(Settings, TheNearestIsSuggestedOnlyWhereItIsNear) {
  const std::vector<std::string> valid = {"post", "pre", "peri", "output", "rms_norm"};
  EXPECT_EQ(nearest("Peri", valid), "peri");
  EXPECT_EQ(nearest("peri-ln", valid), "peri");
  EXPECT_EQ(nearest("rms", valid), "rms_norm");
  EXPECT_EQ(nearest("outptu", valid), "output");
  EXPECT_EQ(nearest("sandwich", valid), "");
  EXPECT_EQ(nearest("", valid), "");
  EXPECT_EQ(suggestion("x", valid), "valid: post, pre, peri, output, rms_norm");
}

}  // namespace
}  // namespace omninorm::lab
