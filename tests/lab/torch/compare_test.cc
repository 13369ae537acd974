#include "lab/train/compare.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <fstream>
#include <new>
#include <sstream>
#include <thread>

#include "lab/experiment/run_folder.h"
#include "omninorm/error.h"
#include "tests/lab/torch/fixtures.h"

extern char** environ;

namespace omninorm::lab::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

std::string content_of(const fs::path& file) {
  std::ifstream stream(file);
  std::stringstream content;
  content << stream.rdbuf();
  return content.str();
}

TEST(SizeSteps, TakesTheDefaultWhenItFits) {
  const Sizing sizing = size_steps({0.1, 0.1}, 180);
  EXPECT_EQ(sizing.steps, 200);
  EXPECT_FALSE(sizing.shortened);
  EXPECT_THAT(sizing.reason, HasSubstr("200 steps a run: 2 runs at 0.1 s a step take about 40 s"));
}

TEST(SizeSteps, ShortensAllRunsAlikeAndSaysSo) {
  const Sizing sizing = size_steps({0.5, 0.5, 1.0}, 200);
  EXPECT_LT(sizing.steps, 100);  // 2 s for one step of each
  EXPECT_GE(sizing.steps, 80);
  EXPECT_TRUE(sizing.shortened);
  EXPECT_THAT(sizing.reason, HasSubstr("instead of 200"));
  EXPECT_THAT(sizing.reason, HasSubstr("--steps 200"));
}

TEST(SizeSteps, GoesDownToFiftyAndNoFurther) {
  const Sizing sizing = size_steps({100.0}, 1);
  EXPECT_EQ(sizing.steps, 50);
  EXPECT_TRUE(sizing.shortened);
  EXPECT_THAT(sizing.reason, HasSubstr("more than the 1 s aimed at"));
}

// A small comparison over a text of its own.
class Compare : public ::testing::Test {
 protected:
  Compare() {
    std::ofstream(folder_.path / "text.txt") << made_up_text(20'000);
    plan_.base = small_settings();
    plan_.base.data = "text";
    plan_.base.text = {(folder_.path / "text.txt").string()};
    plan_.axes = {{"placement", {"pre", "peri"}}};
    plan_.folder = out();
  }

  fs::path out() const { return folder_.path / "out"; }
  fs::path run_folder(const std::string& placement) const {
    return out() / "runs" / ("placement=" + placement + ",seed=1");
  }

  CompareResult run() {
    expand(plan_);
    return compare(plan_, "omninorm compare", stop_, events_);
  }

  static std::vector<std::string> statuses(const CompareResult& result) {
    std::vector<std::string> found;
    for (const RunOutcome& outcome : result.runs) {
      found.push_back(outcome.status + (outcome.skipped ? ", skipped" : ""));
    }
    return found;
  }

  TemporaryFolder folder_;
  Plan plan_;
  std::atomic<bool> stop_{false};
  CompareEvents events_;
};

TEST_F(Compare, RunsThePlanAndDrawsTheReport) {
  const CompareResult result = run();
  EXPECT_THAT(statuses(result), ElementsAre("done", "done"));
  EXPECT_FALSE(result.stopped);
  EXPECT_TRUE(fs::exists(out() / "report.html"));
  EXPECT_FALSE(result.headline.empty());
  const auto experiment = nlohmann::json::parse(content_of(out() / "experiment.json"));
  EXPECT_EQ(experiment.at("steps"), 10);
  EXPECT_EQ(experiment.at("shortened"), false);
  EXPECT_EQ(experiment.at("variants").at(1).at("id"), "placement=peri,seed=1");
  const RunRecords peri = read_run(run_folder("peri"));
  EXPECT_EQ(peri.run.at("varied"), (nlohmann::json{{"placement", "peri"}}));
  EXPECT_EQ(peri.run.at("settings").at("steps"), 10);
  EXPECT_EQ(peri.run.at("parameters"), parameter_count(plan_.variants[1].settings));
  EXPECT_GT(peri.run.at("machine").at("threads"), 0);
  for (const char* field : {"data", "versions", "git", "started", "label", "seed", "format"}) {
    EXPECT_TRUE(peri.run.contains(field)) << field;
  }
  EXPECT_NEAR(result.runs[1].valid_loss, number_of(peri.records.end()[-2].at("loss")), 1e-12);
}

TEST_F(Compare, EveryVariantSeesTheSameBatchesFromTheSameStart) {
  plan_.axes = {{"lr", {"1e-12", "2e-12"}}};  // too small to move: the losses must agree
  run();
  const auto losses = [&](const char* lr) {
    std::vector<double> found;
    for (const auto& record :
         read_run(out() / "runs" / ("lr=" + std::string(lr) + ",seed=1")).records) {
      if (record.at("kind") == "step") {
        found.push_back(record.at("loss"));
      }
    }
    return found;
  };
  const auto first = losses("1e-12");
  const auto second = losses("2e-12");
  ASSERT_EQ(first.size(), 10u);
  for (std::size_t i = 0; i < first.size(); ++i) {
    EXPECT_NEAR(first[i], second[i], 1e-6);
  }
}

TEST_F(Compare, ARerunSkipsFinishedRunsAndARunWithOtherSettingsIsDoneAgain) {
  run();
  const std::string before = content_of(run_folder("pre") / "metrics.jsonl");
  EXPECT_THAT(statuses(run()), ElementsAre("done, skipped", "done, skipped"));
  EXPECT_EQ(content_of(run_folder("pre") / "metrics.jsonl"), before);
  plan_.axes = {{"placement", {"pre", "peri", "post"}}};
  EXPECT_THAT(statuses(run()), ElementsAre("done, skipped", "done, skipped", "done"));
  plan_.base.lr = 1e-4;
  EXPECT_THAT(statuses(run()), ElementsAre("done", "done", "done"));
  EXPECT_EQ(content_of(run_folder("pre") / "metrics.attempt-1.jsonl"), before);
}

TEST_F(Compare, SizesTheStepsOnceForAllAndKeepsThemOnARerun) {
  plan_.base.steps = 0;
  plan_.budget_seconds = 1e-3;
  const CompareResult first = run();
  EXPECT_THAT(statuses(first), ElementsAre("done", "done"));
  auto experiment = nlohmann::json::parse(content_of(out() / "experiment.json"));
  EXPECT_EQ(experiment.at("steps"), 50);
  EXPECT_EQ(experiment.at("shortened"), true);
  plan_.budget_seconds = 1000;  // would allow 200 by now
  std::vector<std::string> notes;
  events_.note = [&](const std::string& line) { notes.push_back(line); };
  EXPECT_THAT(statuses(run()), ElementsAre("done, skipped", "done, skipped"));
  experiment = nlohmann::json::parse(content_of(out() / "experiment.json"));
  EXPECT_EQ(experiment.at("steps"), 50);
  EXPECT_EQ(experiment.at("shortened"), true);
  EXPECT_EQ(experiment.at("budget_seconds"), 1e-3) << "what the steps were sized for";
  EXPECT_THAT(notes, ::testing::Contains(HasSubstr("sized for --budget 0.001, and --budget 1000 "
                                                   "does not change them: give --steps N")));
}

TEST_F(Compare, StopWhileTheRunsAreSizedLeavesNoPlan) {
  plan_.base.steps = 0;
  events_.note = [&](const std::string& line) { stop_ = line.starts_with("timing"); };
  EXPECT_TRUE(run().stopped);
  EXPECT_FALSE(fs::exists(out() / "experiment.json"));
}

TEST_F(Compare, FieldsOfAnotherTypeDoNotStopIt) {
  run();
  auto experiment = nlohmann::json::parse(content_of(out() / "experiment.json"));
  for (const char* field : {"steps", "created", "steps_reason", "shortened", "budget_seconds"}) {
    experiment[field] = nlohmann::json::array({1});
  }
  std::ofstream(out() / "experiment.json") << experiment;
  std::ofstream(run_folder("pre") / "metrics.jsonl", std::ios::app)
      << R"({"kind":7,"step":10})"
         "\n"
      << R"({"kind":"step","step":"x"})"
         "\n"
      << R"({"kind":"end","status":"done","reason":4,"tokens_per_second":[]})"
         "\n";
  EXPECT_THAT(statuses(run()), ElementsAre("done, skipped", "done, skipped"));
  plan_.base.steps = 0;
  plan_.budget_seconds = 1e-3;
  experiment["base"] = to_json(plan_.base);
  std::ofstream(out() / "experiment.json") << experiment;
  EXPECT_THAT(statuses(run()), ElementsAre("done", "done"));
}

TEST_F(Compare, ARunThatFailsIsRecordedAndTheOthersGoOn) {
  int steps = 0;
  events_.step = [&](const StepEvent&) {
    if (++steps == 3) {
      throw std::bad_alloc();
    }
  };
  const CompareResult result = run();
  EXPECT_THAT(statuses(result), ElementsAre("failed", "done"));
  EXPECT_EQ(result.runs[0].reason, "out of memory");
  const RunRecords failed = read_run(run_folder("pre"));
  EXPECT_EQ(failed.status, "failed");
  EXPECT_EQ(failed.records.back().at("step"), 3);
  EXPECT_TRUE(fs::exists(result.report));
  events_.step = {};
  EXPECT_THAT(statuses(run()), ElementsAre("done", "done, skipped"))
      << "a failed run is tried again";
}

TEST_F(Compare, StopKeepsWhatIsWrittenAndDrawsTheReport) {
  events_.step = [&](const StepEvent& event) { stop_ = event.step == 4; };
  const CompareResult result = run();
  EXPECT_TRUE(result.stopped);
  EXPECT_THAT(statuses(result), ElementsAre("stopped"));
  EXPECT_TRUE(fs::exists(out() / "report.html"));
  EXPECT_FALSE(fs::exists(run_folder("peri")));
}

TEST_F(Compare, ASecondProcessIsToldOfTheFirst) {
  fs::create_directories(out());
  const FolderLock lock(out());
  try {
    run();
    FAIL() << "two runs into one folder";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr(std::to_string(::getpid())));
  }
}

TEST_F(Compare, DataThatIsTooShortOrMissingIsToldBeforeAnyRun) {
  plan_.base.context = 5000;
  EXPECT_THROW(run(), Error);
  plan_.base = small_settings();
  plan_.base.data = "text";
  plan_.base.text = {(folder_.path / "nowhere.txt").string()};
  EXPECT_THROW(run(), Error);
  EXPECT_FALSE(fs::exists(out() / "runs"));
}

// omninorm-lab as a process of its own.
class LabProgram : public Compare {
 protected:
  pid_t start(std::vector<std::string> arguments, const std::string& limit = "") {
    std::string command =
        limit + " export OMP_NUM_THREADS=1; exec '" OMNINORM_LAB_PROGRAM "' compare --text '" +
        (folder_.path / "text.txt").string() + "' --out '" + out().string() + "'";
    for (const std::string& argument : arguments) {
      command += " " + argument;
    }
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    const std::string output = stdout_file().string(), errors = stderr_file().string();
    constexpr int flags = O_WRONLY | O_CREAT | O_TRUNC;
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, output.c_str(), flags, 0600);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, errors.c_str(), flags, 0600);
    std::string shell = "sh", flag = "-c";
    char* const argv[] = {shell.data(), flag.data(), command.data(), nullptr};
    pid_t child = -1;
    EXPECT_EQ(posix_spawn(&child, "/bin/sh", &actions, nullptr, argv, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    return child;
  }

  // The exit code; -1 for a death by signal.
  static int wait_for(pid_t child) {
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

  int run_program(const std::vector<std::string>& arguments, const std::string& limit = "") {
    return wait_for(start(arguments, limit));
  }

  // Waits until `is_true` or the child has ended.
  template <class Condition>
  static bool wait_until(pid_t child, const Condition& is_true) {
    while (!is_true()) {
      siginfo_t info{};
      waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOHANG | WNOWAIT);
      if (info.si_pid == child) {
        return false;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return true;
  }

  fs::path stdout_file() const { return folder_.path / "stdout"; }
  fs::path stderr_file() const { return folder_.path / "stderr"; }

  static std::vector<std::string> tiny(const std::string& steps) {
    return {"--layers 1 --width 8 --heads 1 --context 8 --batch 2 --vary placement=pre,peri",
            "--steps " + steps};
  }
};

TEST_F(LabProgram, CtrlCEndsTheStepKeepsWhatIsWrittenAndTheNextCallGoesOn) {
  const auto arguments = tiny("2000");
  const pid_t child = start(arguments);
  const fs::path second = run_folder("peri") / "metrics.jsonl";
  ASSERT_TRUE(wait_until(child, [&] { return fs::exists(second) && fs::file_size(second) > 500; }))
      << content_of(stderr_file());
  ASSERT_EQ(::kill(child, SIGINT), 0);
  EXPECT_EQ(wait_for(child), 130);

  const RunRecords interrupted = read_run(run_folder("peri"));
  EXPECT_EQ(interrupted.status, "stopped");
  EXPECT_THAT(interrupted.notes, ElementsAre());
  EXPECT_EQ(read_run(run_folder("pre")).status, "done");
  ASSERT_TRUE(fs::exists(out() / "report.html"));
  EXPECT_THAT(content_of(stdout_file()), HasSubstr("report.html"));
  const std::string first = content_of(run_folder("pre") / "metrics.jsonl");

  EXPECT_EQ(run_program(arguments), 0) << content_of(stderr_file());
  EXPECT_EQ(read_run(run_folder("peri")).status, "done");
  EXPECT_EQ(content_of(run_folder("pre") / "metrics.jsonl"), first) << "a finished run ran again";
  EXPECT_TRUE(fs::exists(run_folder("peri") / "metrics.attempt-1.jsonl"));
}

TEST_F(LabProgram, ASecondCtrlCDoesNotWaitForTheStep) {
  // A step of seconds.
  const pid_t child = start({"--layers 4 --width 512 --heads 4 --context 480 --batch 4 --steps 5"});
  const fs::path metrics = out() / "runs" / "placement=post,seed=1" / "metrics.jsonl";
  ASSERT_TRUE(wait_until(child, [&] { return fs::exists(metrics); })) << content_of(stderr_file());
  ::kill(child, SIGINT);
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  ::kill(child, SIGINT);
  EXPECT_EQ(wait_for(child), 130);
  EXPECT_EQ(read_run(metrics.parent_path()).status, "unfinished");
}

TEST_F(LabProgram, AFullDiskEndsItWithAClearErrorAndKeepsWhatIsWritten) {
  // A file size limit of 16 blocks of 512 bytes stands for the full disk.
  EXPECT_EQ(run_program(tiny("2000"), "ulimit -f 16;"), 1);
  EXPECT_THAT(content_of(stderr_file()), HasSubstr("cannot write"));
  EXPECT_THAT(content_of(stderr_file()), HasSubstr("metrics.jsonl"));
  const RunRecords run = read_run(run_folder("pre"));
  EXPECT_EQ(run.status, "unfinished");
  EXPECT_GT(run.records.size(), 20u);
  EXPECT_THAT(run.notes, ElementsAre()) << "whole lines only";
}

TEST_F(LabProgram, SpeaksJsonAndQuiet) {
  auto arguments = tiny("20");
  arguments.push_back("--json");
  ASSERT_EQ(run_program(arguments), 0) << content_of(stderr_file());
  std::vector<std::string> kinds;
  std::ifstream lines(stdout_file());
  nlohmann::json last;
  for (std::string line; std::getline(lines, line);) {
    last = nlohmann::json::parse(line);
    kinds.push_back(last.at("kind"));
  }
  EXPECT_EQ(std::ranges::count(kinds, "step"), 40);
  EXPECT_EQ(std::ranges::count(kinds, "run_end"), 2);
  EXPECT_EQ(last.at("kind"), "result");
  EXPECT_TRUE(fs::exists(last.at("report").get<std::string>()));

  arguments.back() = "--quiet";
  ASSERT_EQ(run_program(arguments), 0);
  EXPECT_EQ(content_of(stdout_file()), (out() / "report.html").string() + "\n");
}

TEST_F(LabProgram, PlainOutputEndsWithATableAndTheReport) {
  ASSERT_EQ(run_program(tiny("20")), 0);
  const std::string output = content_of(stdout_file());
  EXPECT_THAT(output, HasSubstr("valid loss"));
  EXPECT_THAT(output, HasSubstr("report: " + (out() / "report.html").string()));
}

TEST_F(LabProgram, NamesTheDevicesThereAre) {
  auto arguments = tiny("20");
  arguments.push_back("--device cuda:99");
  EXPECT_EQ(run_program(arguments), 2);
  EXPECT_FALSE(fs::exists(out()));
  EXPECT_THAT(content_of(stderr_file()), HasSubstr("(cpu"));
  EXPECT_THAT(content_of(stderr_file()), HasSubstr("cuda:99"));
  EXPECT_THAT(content_of(stderr_file()), Not(HasSubstr("c10")));
}

}  // namespace
}  // namespace omninorm::lab::testing
