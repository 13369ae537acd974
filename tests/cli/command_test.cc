// The verbs beside compare, and what is said to a wrong command line.
#include "tests/cli/command.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "cli/program.h"
#include "omninorm/version.h"

namespace omninorm::cli {
namespace {

using nlohmann::json;
using omninorm::testing::Command;
using omninorm::testing::Outcome;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

TEST(Command, WithoutArgumentsTeaches) {
  const Command command;
  const Outcome bare = command.run("");
  EXPECT_EQ(bare.code, 0);
  EXPECT_THAT(bare.err, IsEmpty());
  EXPECT_THAT(bare.out, AllOf(HasSubstr("compare"), HasSubstr("report"), HasSubstr("list"),
                              HasSubstr("doctor"), HasSubstr("Start here")));
  EXPECT_EQ(command.run("--help").out, bare.out);
  EXPECT_EQ(command.run("help").out, bare.out);
  EXPECT_EQ(command.run("--version").out, "omninorm " OMNINORM_VERSION "\n");
}

TEST(Command, EveryVerbHasHelp) {
  const Command command;
  for (const std::string verb : {"compare", "report", "list", "scale", "doctor"}) {
    const Outcome help = command.run(verb + " --help");
    EXPECT_EQ(help.code, 0) << verb;
    EXPECT_THAT(help.out, HasSubstr("Usage: omninorm " + verb));
    EXPECT_THAT(help.err, IsEmpty());
    EXPECT_EQ(command.run("help " + verb).out, help.out);
  }
}

TEST(Command, UnknownVerbsFlagsAndArgumentsAreAnsweredWithTheValidOnes) {
  const Command command;
  const auto refused = [&](const std::string& arguments) {
    const Outcome outcome = command.run(arguments);
    EXPECT_EQ(outcome.code, 2) << arguments;
    EXPECT_THAT(outcome.out, IsEmpty()) << arguments;
    EXPECT_THAT(outcome.err, ::testing::StartsWith("omninorm: "));
    return outcome.err;
  };
  EXPECT_THAT(refused("compere"), AllOf(HasSubstr("did you mean 'compare'?"),
                                        HasSubstr("valid: compare, report, list, scale, doctor")));
  EXPECT_THAT(refused("--compare"), HasSubstr("there is no flag '--compare'"));
  EXPECT_THAT(refused("compare --wdith 3"),
              AllOf(HasSubstr("no flag '--wdith'; did you mean '--width'?"), HasSubstr("--vary")));
  EXPECT_THAT(refused("compare --wdith=3"), HasSubstr("did you mean '--width'?"));
  EXPECT_THAT(refused("compare -x"), HasSubstr("no flag '-x'"));
  EXPECT_THAT(refused("compare lr=3"), HasSubstr("expects no argument 'lr=3'"));
  EXPECT_THAT(refused("list norm"), AllOf(HasSubstr("did you mean 'norms'?"),
                                          HasSubstr("valid: norms, placements, data")));
  EXPECT_THAT(refused("report --ot x"), HasSubstr("did you mean '--out'?"));
}

TEST(Command, ListsWhatThereIs) {
  const Command command;
  const std::string all = command.run("list").out;
  for (const char* name : {"rms_norm", "layer_norm", "grouped_layer_norm", "none", "post", "pre",
                           "peri", "output", "prose", "text", "x' = x + N_out(F(N_in(x)))"}) {
    EXPECT_THAT(all, HasSubstr(name));
  }
  const std::string placements = command.run("list placements").out;
  EXPECT_EQ(std::count(placements.begin(), placements.end(), '\n'), 4);
  EXPECT_THAT(placements, Not(HasSubstr("rms_norm")));
  const json found = json::parse(command.run("list --json placements").out);
  ASSERT_EQ(found.at("placements").size(), 4u);
  EXPECT_EQ(found.at("placements")[2].at("name"), "peri");
  EXPECT_THAT(found.at("placements")[2].at("source").get<std::string>(), HasSubstr("Peri-LN"));
  EXPECT_EQ(json::parse(command.run("list --json").out).size(), 3u);
}

TEST(Command, DoctorMeasuresTheMachine) {
  const Command command;
  const auto lab = command.program(
      "lab", R"(test "$1" = --versions && echo '{"omninorm": "0.1.0", "torch": "9.8.7"}')");
  const Outcome outcome =
      command.run("doctor --json", "OMNINORM_LAB_BINARY='" + lab.string() + "'");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const json found = json::parse(outcome.out);
  EXPECT_THAT(found.at("simd").at("available"), ::testing::Contains(found.at("simd").at("in_use")));
  EXPECT_GE(found.at("threads").at("count"), 1);
  for (const char* where : {"in_cache", "past_cache"}) {
    EXPECT_GT(found.at("copy").at(where).at("gigabytes_per_second"), 0.0);
    EXPECT_GT(found.at("copy").at(where).at("bytes"), 0);
  }
  ASSERT_FALSE(found.at("kernels").empty());
  for (const json& choice : found.at("kernels")) {
    EXPECT_TRUE(choice.at("kernel").is_string()) << choice;
    if (choice.at("case").get<std::string>().find("f64") != std::string::npos) {
      EXPECT_EQ(choice.at("kernel"), "reference");
      EXPECT_FALSE(choice.at("declined").empty());
    }
  }
  EXPECT_EQ(found.at("lab").at("versions").at("torch"), "9.8.7");
}

TEST(Command, DoctorSaysWhenTheLabIsMissingOrBroken) {
  const Command command;
  const auto broken = command.program("lab", "exit 3");
  const std::string text = command.run("doctor", "OMNINORM_LAB_BINARY=" + broken.string()).out;
  EXPECT_THAT(text, AllOf(HasSubstr("in use, of"), HasSubstr("GB/s"),
                          HasSubstr("rms_norm 64 x 512"), HasSubstr("does not answer --versions")));
  EXPECT_THAT(command.run("doctor", "OMNINORM_LAB_BINARY=/nowhere").out,
              HasSubstr("OMNINORM_LAB_BINARY expected a program"));
}

TEST(Command, ReportOfNothingSaysWhatToDo) {
  const Command command;
  const auto refused = [&](const std::string& arguments) {
    const Outcome outcome = command.run(arguments);
    EXPECT_NE(outcome.code, 0) << arguments;
    return outcome.err;
  };
  EXPECT_THAT(refused("report"), HasSubstr("expected an experiment in runs/, found none"));
  EXPECT_THAT(refused("report nowhere"), HasSubstr("nowhere: no such folder"));
  command.folder().write("file", "x");
  EXPECT_THAT(refused("report file"), HasSubstr("not a folder"));
  std::filesystem::create_directory(command.folder().path() / "empty");
  EXPECT_THAT(refused("report empty"), ::testing::StartsWith("omninorm: "));
}

// One short run, enough to draw.
void write_experiment(const Command& command, const std::string& folder) {
  command.folder().write(folder + "/experiment.json",
                         R"({"format":1,"axes":[{"name":"placement","values":["pre"]}],"seeds":1,
    "base":{},"is_default":false,"steps":2,"steps_reason":"2 steps","shortened":false,
    "budget_seconds":180,"command":"omninorm compare",
    "variants":[{"id":"placement=pre,seed=1","label":"pre"}],"created":"2026-11-22T10:00:00Z"})");
  const std::string run = folder + "/runs/placement=pre,seed=1/";
  command.folder().write(run + "run.json", R"({"format":1,"id":"placement=pre,seed=1","label":"pre",
    "varied":{"placement":"pre"},"seed":1,"settings":{"placement":"pre","lr":0.003},
    "parameters":100,"data":{"name":"prose","sha256":"00","train_bytes":1,"valid_bytes":1,
    "train_documents":[],"valid_documents":[]},"versions":{},"machine":{},"git":{},
    "started":"2026-11-22T10:00:00Z"})");
  command.folder().write(
      run + "metrics.jsonl",
      R"({"kind":"step","step":1,"loss":5.5,"grad_norm":1,"lr":0.1,"seconds":1,"tokens":8}
{"kind":"step","step":2,"loss":5.0,"grad_norm":1,"lr":0.1,"seconds":2,"tokens":16}
{"kind":"valid","step":2,"loss":5.1}
{"kind":"end","step":2,"status":"done","reason":"","seconds":2,"tokens_per_second":8,"probe_share":0}
{"kind":"st)");
}

TEST(Command, ReportTakesTheExperimentWrittenLast) {
  const Command command;
  write_experiment(command, "runs/a");
  write_experiment(command, "runs/b");
  const auto folder = command.folder().path() / "runs";
  const auto now = std::filesystem::file_time_type::clock::now();
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    const bool older = entry.path().string().find("runs/b") != std::string::npos;
    std::filesystem::last_write_time(entry.path(), now - std::chrono::hours(older ? 1 : 0));
  }
  const Outcome outcome = command.run("report --json");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const json result = json::parse(outcome.out);
  EXPECT_EQ(result.at("report"), "runs/a/report.html");
  EXPECT_TRUE(std::filesystem::exists(folder / "a/report.html"));
  EXPECT_FALSE(std::filesystem::exists(folder / "b/report.html"));
  const Outcome quiet = command.run("report --quiet runs/b --out here.html");
  EXPECT_EQ(quiet.out, "here.html\n");
  EXPECT_THAT(quiet.err, IsEmpty());
  EXPECT_TRUE(std::filesystem::exists(command.folder().path() / "here.html"));
}

TEST(Command, AFullDiskIsAnErrorAndKeepsTheOldReport) {
  const Command command;
  write_experiment(command, "runs/a");
  ASSERT_EQ(command.run("report").code, 0);
  const auto file = command.folder().path() / "runs/a/report.html";
  const std::string before = omninorm::testing::read_text(file);
  const Outcome outcome = command.run("report", "ulimit -f 8;");  // 8 blocks, at most 8 KiB
  EXPECT_EQ(outcome.code, 1);
  EXPECT_THAT(outcome.err, AllOf(HasSubstr("report.html"), HasSubstr("File too large")));
  EXPECT_EQ(omninorm::testing::read_text(file), before);
  const Outcome nowhere = command.shell("'" OMNINORM_BINARY "' list >/dev/full");
  EXPECT_EQ(nowhere.code, 1);
  EXPECT_THAT(nowhere.err, HasSubstr("No space left on device"));
}

TEST(CommandLine, CanBeTypedAgain) {
  const char* const words[] = {"/x/omninorm-lab", "compare", "--out", "it's here", "--lr=1e-3", ""};
  EXPECT_EQ(command_line(6, words), R"(omninorm compare --out 'it'\''s here' --lr=1e-3 '')");
}

}  // namespace
}  // namespace omninorm::cli
