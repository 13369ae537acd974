// The file of a scaler: every bit comes back, and what is no such file is told where.
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <system_error>

#include "tests/core/expect_error.h"
#include "tests/scaler/table.h"

namespace omninorm::scaler_tests {
namespace {

// Numbers of every size that fit can take.
double any_number() {
  return std::ldexp(*rc::gen::inRange(-1000000, 1000001) + 0.1 * *rc::gen::inRange(0, 10),
                    *rc::gen::inRange(-480, 480));
}

std::vector<std::unique_ptr<Scaler>> samples(const Table& table) {
  std::vector<std::unique_ptr<Scaler>> all;
  all.push_back(std::make_unique<ZScoreScaler>(ZScoreOptions{
      .variance = Variance::unbiased, .with_mean = false, .infinite = Infinite::ignore}));
  all.push_back(std::make_unique<ZScoreScaler>(ZScoreOptions{.with_std = false}));
  all.push_back(
      std::make_unique<MinMaxScaler>(MinMaxOptions{.low = -0.1, .high = 1.7, .clip = true}));
  all.push_back(std::make_unique<RunningScaler>(RunningOptions{.alpha = 0.07}));
  for (const auto& scaler : all) {
    partial_fit(*scaler, table);
    FittedOn& on = scaler->fitted_on();
    on.time = "2026-01-02T03:04:05Z";
    on.sources = {"part \"1\".csv", "\xff not UTF-8"};
    for (std::int64_t j = 0; j < table.columns; ++j) {
      on.column_names.push_back("spalte \xc3\xa4 \"" + std::to_string(j) + "\"\n\t\\");
    }
  }
  return all;
}

std::string sample() { return samples(Table(4, 2, {1, 2, 3, 1e9, 5, 0.1, kNaN, 7}))[0]->to_json(); }

TEST(Json, EveryBitComesBack) {
  EXPECT_TRUE(rc::check([] {
    Table table(*rc::gen::inRange(0, 6), *rc::gen::inRange(1, 4));
    for (double& value : table.values) value = *rc::gen::inRange(0, 5) ? any_number() : kNaN;
    for (const std::unique_ptr<Scaler>& scaler : samples(table)) {
      const std::string text = scaler->to_json();
      const std::unique_ptr<Scaler> back = load_scaler(text);
      RC_ASSERT(back->same_state(*scaler));
      RC_ASSERT(back->rows() == scaler->rows());
      RC_ASSERT(back->fitted_on().column_names == scaler->fitted_on().column_names);
      RC_ASSERT(back->to_json() == text);
    }
  }));
}

TEST(Json, AScalerThatHasSeenNothing) {
  for (const char* text : {"z_score", "min_max", "running"}) {
    std::unique_ptr<Scaler> scaler;
    if (text[0] == 'z') scaler = std::make_unique<ZScoreScaler>();
    if (text[0] == 'm') scaler = std::make_unique<MinMaxScaler>();
    if (text[0] == 'r') scaler = std::make_unique<RunningScaler>();
    const std::unique_ptr<Scaler> back = load_scaler(scaler->to_json());
    EXPECT_STREQ(back->kind(), text);
    EXPECT_TRUE(back->same_state(*scaler));
    EXPECT_EQ(back->columns(), -1);
  }
}

TEST(Json, CutShortAtEveryByte) {
  for (const std::unique_ptr<Scaler>& scaler : samples(Table(2, 2, {1, 2, 3, 5}))) {
    const std::string text = scaler->to_json();
    // Without the last byte, a line feed, nothing is missing.
    EXPECT_TRUE(load_scaler(text.substr(0, text.size() - 1))->same_state(*scaler));
    for (std::size_t size = 0; size + 1 < text.size(); ++size) {
      try {
        load_scaler(text.substr(0, size));
        ADD_FAILURE() << "took " << size << " of " << text.size() << " bytes";
      } catch (const Error& error) {
        EXPECT_NE(std::string(error.what()).find("expected the JSON of a scaler, got "),
                  std::string::npos)
            << error.what();
        EXPECT_NE(std::string(error.what()).find("cut short"), std::string::npos);
      }
    }
  }
}

// Whatever one byte is changed to: an Error, or a scaler that can be written again.
TEST(Json, AnyByteChanged) {
  const std::string text = sample();
  for (std::size_t at = 0; at < text.size(); ++at) {
    for (const char byte : {'0', '9', '-', '"', ',', '}', ']', 'e', '\0', '\xff', 'n'}) {
      std::string changed = text;
      changed[at] = byte;
      try {
        const std::unique_ptr<Scaler> scaler = load_scaler(changed);
        EXPECT_TRUE(load_scaler(scaler->to_json())->same_state(*scaler));
      } catch (const Error&) {
      }
    }
  }
}

// The sample with one entry replaced.
std::string with(const nlohmann::json::json_pointer& where, const nlohmann::json& value) {
  nlohmann::json file = nlohmann::json::parse(sample());
  file[where] = value;
  return file.dump();
}

std::string running_with(const nlohmann::json& column, const char* variance) {
  nlohmann::json file = nlohmann::json::parse(samples(Table(1, 1, {1}))[3]->to_json());
  file["options"]["variance"] = variance;
  file["columns"][0] = column;
  return file.dump();
}

TEST(Json, StatesThatCannotBe) {
  using nlohmann::json;
  const auto refused = [](const std::string& text, const std::string& message) {
    EXPECT_ERROR(load_scaler(text), "[scaler] expected " + message);
  };
  const auto running = [](double weight, double squares, double mean, double m2) {
    return json{{"weight", weight}, {"weight_squares", squares}, {"mean", mean}, {"m2", m2}};
  };
  EXPECT_NO_THROW(load_scaler(running_with(running(0, 0, 0, 0), "unbiased")));
  EXPECT_NO_THROW(load_scaler(running_with(running(1, 1, 7, 0), "unbiased")));
  const std::string none =
      "weight_squares, mean and m2 of 0 where weight is 0 at columns[0], got others";
  refused(running_with(running(0, 0, 7, 0), "biased"), none);
  refused(running_with(running(0, 0, 0, 1), "biased"), none);
  refused(running_with(running(0, 1, 0, 0), "biased"), none);
  refused(running_with(running(1e-10, 1e-20, 0, 1e300), "biased"),
          "a variance that fits a double at columns[0], got 1e+300 over a weight of 1e-10");
  const json close = running(1, 1 - 0x1p-52, 0, 1e300);
  EXPECT_NO_THROW(load_scaler(running_with(close, "biased")));
  refused(running_with(close, "unbiased"),
          "a variance that fits a double at columns[0], got 1e+300 over a weight of 1");

  json file = json::parse(sample());  // unbiased
  file["columns"][0] = {{"count", {1, 0x1p-60}}, {"mean", {0, 0}}, {"m2", {1e300, 0}}};
  refused(file.dump(), "a variance that fits a double at columns[0], got 1e+300 over a count of 1");
  file["options"]["variance"] = "biased";
  EXPECT_NO_THROW(load_scaler(file.dump()));

  file = json::parse(samples(Table(2, 1, {1, 2}))[2]->to_json());
  file["options"]["low"] = 0;
  file["options"]["high"] = 1e-300;
  file["columns"][0]["maximum"] = 1e10;
  refused(file.dump(), "(high - low) / range of at least 2^-1022 at columns[0], got 1 to 1e+10");
}

std::string without(const std::string& parent, const std::string& key) {
  nlohmann::json file = nlohmann::json::parse(sample());
  file[nlohmann::json::json_pointer(parent)].erase(key);
  return file.dump();
}

TEST(Json, WhatIsRefusedAndWhere) {
  using P = nlohmann::json::json_pointer;
  using nlohmann::json;
  const auto refused = [](const std::string& text, const std::string& message) {
    EXPECT_ERROR(load_scaler(text), "[scaler] expected " + message);
  };
  refused("[]", "JSON whose \"format\" is \"omninorm-scaler\", got a list");
  refused(with(P("/format"), "other"),
          "JSON whose \"format\" is \"omninorm-scaler\", got an object");
  refused(with(P("/version"), 2),
          "version 1 of the format, got version 2; this is omninorm's older or newer file");
  refused(without("", "version"),
          "version 1 of the format, got none; this is omninorm's older or newer file");
  refused(with(P("/kind"), "robust"),
          "\"z_score\", \"min_max\" or \"running\" at kind, got \"robust\"");
  refused(with(P("/kind"), 7), "a text at the top.kind, got 7");
  refused(with(P("/options"), 7), "an object at options, got 7");
  refused(without("/options", "variance"), "\"variance\" at options, got no such entry");
  refused(with(P("/options/variance"), "both"),
          "\"biased\" or \"unbiased\" at options.variance, got \"both\"");
  refused(with(P("/options/with_mean"), 1), "true or false at options.with_mean, got 1");
  refused(with(P("/columns"), 1), "a list at columns, got 1");
  refused(with(P("/columns/0"), 1), "an object at columns[0], got 1");
  refused(with(P("/columns/1/mean"), 1), "two numbers, [high, low] at columns[1].mean, got 1");
  refused(with(P("/columns/1/mean"), {1, 2, 3}),
          "two numbers, [high, low] at columns[1].mean, got a list");
  refused(with(P("/columns/1/mean"), {1, "x"}), "a finite number at columns[1].mean, got \"x\"");
  refused(with(P("/columns/1/mean"), {1, 1}),
          "two numbers of which the first is their rounded sum at columns[1].mean, got a list");
  refused(with(P("/columns/0/m2"), {-1, 0}), "numbers >= 0 at columns[0].m2, got -1");
  refused(with(P("/columns/0/count"), {-1, 0}), "numbers >= 0 at columns[0].count, got -1");
  refused(with(P("/columns/0/count"), {1e-200, 0}),
          "0, or from 2^-500 to 2^500 at columns[0].count, got 1e-200");
  refused(with(P("/columns/0/count"), {1e200, 0}),
          "0, or from 2^-500 to 2^500 at columns[0].count, got 1e+200");
  refused(with(P("/columns/0/count"), {0, 0}),
          "mean and m2 of 0 where count is 0 at columns[0], got others");
  refused(with(P("/fitted_on/rows"), -1),
          "a whole number from 0 to 2^63 - 1 at fitted_on.rows, got -1");
  refused(with(P("/fitted_on/rows"), 1.5),
          "a whole number from 0 to 2^63 - 1 at fitted_on.rows, got 1.5");
  refused(with(P("/fitted_on/rows"), std::uint64_t{1} << 63),
          "a whole number from 0 to 2^63 - 1 at fitted_on.rows, got 9223372036854775808");
  refused(with(P("/fitted_on/rows"), json::array()),
          "a whole number from 0 to 2^63 - 1 at fitted_on.rows, got a list");
  refused(with(P("/fitted_on/column_names"), {"a"}),
          "2 names or none at fitted_on.column_names, got 1");
  refused(with(P("/fitted_on/column_names"), {"a", 1}),
          "a list of texts at fitted_on.column_names, got 1");
}

TEST(Json, NumbersThatCannotBe) {
  const std::string text = sample();
  const std::size_t at = text.find("\"mean\":[") + 8;
  for (const char* number : {"NaN", "Infinity", "1e999", "-1e999", "nan", "0x10", "1.", "+1", ""}) {
    std::string changed = text;
    changed.replace(at, changed.find(',', at) - at, number);
    EXPECT_THROW(load_scaler(changed), Error) << number;
  }
}

TEST(Json, DeepNesting) {
  for (const std::size_t depth : {1000, 1000000}) {
    EXPECT_THROW(load_scaler(std::string(depth, '[')), Error);
    EXPECT_THROW(load_scaler(std::string(depth, '[') + std::string(depth, ']')), Error);
    std::string objects;
    for (std::size_t i = 0; i < depth; ++i) objects += "{\"format\":";
    EXPECT_THROW(load_scaler(objects), Error);
    const std::string deep = std::string(depth, '[') + std::string(depth, ']');
    for (const char* entry : {"\"mean\":", "\"options\": ", "\"kind\": ", "\"columns\": ",
                              "\"rows\":", "\"format\": ", "\"version\": "}) {
      const std::string text = sample();
      const std::size_t at = text.find(entry);
      ASSERT_NE(at, std::string::npos) << entry;
      const std::string changed =
          text.substr(0, at) + entry + deep + ", \"x\": " + text.substr(at + std::strlen(entry));
      EXPECT_THROW(load_scaler(changed), Error) << entry;
    }
  }
}

TEST(Json, NamesThatCouldNotBeReadBackAreNotWritten) {
  ZScoreScaler scaler;
  partial_fit(scaler, {1, 2, {1, 2}});
  scaler.fitted_on().column_names = {"a"};
  EXPECT_ERROR(scaler.to_json(), "[z_score_scaler] expected 2 column names or none, got 1");
  scaler.fitted_on().column_names = {"a", "caf\xe9"};
  EXPECT_ERROR(scaler.to_json(),
               "[z_score_scaler] expected column names in UTF-8, got \"caf\\ufffd\" for column 1");
  scaler.fitted_on().column_names = {"a", "b"};
  scaler.fitted_on().table_columns = {"a", "b", "caf\xe9"};
  EXPECT_TRUE(load_scaler(scaler.to_json())->fitted_on().table_columns.empty());
  scaler.fitted_on().table_columns = {"a", "b", "caf\xc3\xa9"};
  EXPECT_EQ(load_scaler(scaler.to_json())->fitted_on().table_columns,
            scaler.fitted_on().table_columns);
}

// ---- Files

class Folder {
 public:
  Folder() {
    std::string path = (std::filesystem::temp_directory_path() / "omninorm-XXXXXX").string();
    if (!mkdtemp(path.data())) throw std::runtime_error("no temporary folder");
    path_ = path;
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() { std::filesystem::remove_all(path_); }
  std::string file(const char* name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

TEST(Files, SaveAndRead) {
  const Folder folder;
  const std::string path = folder.file("scaler.json");
  for (const std::unique_ptr<Scaler>& scaler : samples(normal_table(5, 3, 1, 2))) {
    save_scaler(*scaler, path);
    EXPECT_TRUE(read_scaler(path)->same_state(*scaler));
  }
  std::ofstream(path) << "{";
  try {
    read_scaler(path);
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(std::string(error.what()).find(path + ": [scaler] expected the JSON of a scaler"),
              0u);
  }
  try {
    read_scaler(folder.file("none.json"));
    ADD_FAILURE();
  } catch (const std::system_error& error) {
    EXPECT_EQ(error.code(), std::errc::no_such_file_or_directory);
    EXPECT_NE(std::string(error.what()).find("none.json"), std::string::npos);
  }
  try {
    read_scaler(folder.file(""));
    ADD_FAILURE();
  } catch (const std::system_error& error) {
    EXPECT_EQ(error.code(), std::errc::is_a_directory);
    EXPECT_EQ(std::string(error.what()).find("cannot read " + folder.file("") + ": "), 0u);
  }
  EXPECT_THROW(save_scaler(ZScoreScaler(), folder.file("no/such/folder.json")), std::system_error);
}

// A child writes two scalers in turn, for ever, and is killed: the file is whole, every time.
TEST(Files, KilledWhileSaving) {
  const Folder folder;
  const std::string path = folder.file("scaler.json");
  ZScoreScaler a, b;
  partial_fit(a, normal_table(3, 2000, 0, 1));
  partial_fit(b, normal_table(3, 100, 5, 1));
  save_scaler(a, path);
  int seen_a = 0, seen_b = 0;
  for (int i = 0; i < 40; ++i) {
    const pid_t child = fork();
    if (child == 0) {
      for (;;) {
        save_scaler(b, path);
        save_scaler(a, path);
      }
    }
    ASSERT_GT(child, 0);
    usleep(static_cast<useconds_t>(500 + 731 * i));
    kill(child, SIGKILL);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status));
    const std::unique_ptr<Scaler> whole = read_scaler(path);
    seen_a += whole->same_state(a);
    seen_b += whole->same_state(b);
    ASSERT_EQ(seen_a + seen_b, i + 1);
  }
}

}  // namespace
}  // namespace omninorm::scaler_tests
