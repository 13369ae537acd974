#include "lab/experiment/run_folder.h"

#include <gmock/gmock.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <limits>
#include <system_error>

#include "omninorm/error.h"
#include "tests/lab/temp_folder.h"

namespace omninorm::lab {
namespace {

using nlohmann::json;
using omninorm::testing::message_of;
using omninorm::testing::read_text;
using omninorm::testing::TempFolder;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const json kRun = {{"format", 1}, {"settings", {{"lr", 0.003}}}, {"data", {{"sha256", "ab"}}}};

json end_record(const char* status) { return {{"kind", "end"}, {"step", 3}, {"status", status}}; }

void finish(const std::filesystem::path& folder, const char* status) {
  RunWriter(folder, kRun).append(end_record(status));
}

TEST(RunFolder, WhatIsWrittenIsReadBack) {
  TempFolder temp;
  const auto folder = temp.path() / "a/b";
  {
    RunWriter writer(folder, kRun);
    writer.append({{"kind", "step"}, {"step", 1}, {"loss", number(2.5)}});
    EXPECT_EQ(read_run(folder).records.size(), 1u) << "a record is there as soon as it is written";
    EXPECT_EQ(read_run(folder).status, "unfinished");
    writer.append(end_record("done"));
  }
  const RunRecords run = read_run(folder);
  EXPECT_EQ(run.run, kRun);
  ASSERT_EQ(run.records.size(), 2u);
  EXPECT_EQ(run.records[0].at("loss"), 2.5);
  EXPECT_EQ(run.status, "done");
  EXPECT_THAT(run.notes, IsEmpty());
}

TEST(RunFolder, NumbersThatJsonHasNotAreStrings) {
  const double inf = std::numeric_limits<double>::infinity();
  EXPECT_EQ(number(std::nan("")), "nan");
  EXPECT_EQ(number(inf), "inf");
  EXPECT_EQ(number(-inf), "-inf");
  for (const double value : {0.0, -1.5, 1e300, 0.1, inf, -inf}) {
    EXPECT_EQ(number_of(json::parse(number(value).dump())), value);
  }
  EXPECT_TRUE(std::isnan(number_of("nan")));
  EXPECT_TRUE(std::isnan(number_of(nullptr)));
}

TEST(RunFolder, BytesThatAreNotUtf8DoNotStopARecord) {
  TempFolder temp;
  RunWriter writer(temp.path() / "r", kRun);
  writer.append({{"kind", "end"}, {"status", "failed"}, {"reason", "bad \xff name"}});
  EXPECT_EQ(read_run(temp.path() / "r").status, "failed");
}

TEST(RunFolder, AnEarlierAttemptIsKept) {
  TempFolder temp;
  const auto folder = temp.path() / "r";
  for (int attempt = 0; attempt < 3; ++attempt) {
    RunWriter(folder, {{"attempt", attempt}}).append({{"kind", "step"}, {"step", attempt}});
  }
  EXPECT_EQ(read_run(folder).run.at("attempt"), 2);
  EXPECT_EQ(read_run(folder).records.size(), 1u);
  EXPECT_THAT(read_text(folder / "metrics.attempt-1.jsonl"), HasSubstr("\"step\":0"));
  EXPECT_THAT(read_text(folder / "metrics.attempt-2.jsonl"), HasSubstr("\"step\":1"));
  EXPECT_THAT(read_text(folder / "run.attempt-2.json"), HasSubstr("\"attempt\": 1"));
}

TEST(RunFolder, ACutLastLineAndBlankLinesAreLeftOut) {
  TempFolder temp;
  temp.write("run.json", kRun.dump());
  temp.write(
      "metrics.jsonl",
      "\n{\"kind\":\"step\",\"step\":1}\n  \nnot json\n[1]\n{\"kind\":\"end\",\"status\":\"do");
  const RunRecords run = read_run(temp.path());
  EXPECT_EQ(run.records.size(), 1u);
  EXPECT_EQ(run.status, "unfinished");
  EXPECT_THAT(run.notes, ElementsAre(HasSubstr("line 4 of metrics.jsonl"),
                                     HasSubstr("line 5 of metrics.jsonl"),
                                     HasSubstr("the last line of metrics.jsonl is cut")));
}

TEST(RunFolder, ALastLineWithoutItsNewlineCountsWhenItIsWhole) {
  TempFolder temp;
  temp.write("run.json", kRun.dump());
  temp.write("metrics.jsonl", end_record("done").dump());
  EXPECT_EQ(read_run(temp.path()).status, "done");
  EXPECT_THAT(read_run(temp.path()).notes, IsEmpty());
}

TEST(RunFolder, HalfAFolderIsADefinedOutcome) {
  TempFolder temp;
  EXPECT_THAT(message_of<Error>([&] { read_run(temp.path()); }), HasSubstr("run.json"));
  temp.write("run.json", "{\"format\":");
  EXPECT_THAT(message_of<Error>([&] { read_run(temp.path()); }), HasSubstr("expected JSON"));
  temp.write("run.json", "");
  EXPECT_THAT(message_of<Error>([&] { read_run(temp.path()); }), HasSubstr("an empty file"));
  temp.write("run.json", kRun.dump());
  const RunRecords run = read_run(temp.path());
  EXPECT_EQ(run.status, "unfinished");
  EXPECT_THAT(run.notes, ElementsAre(HasSubstr("no metrics.jsonl")));
}

TEST(RunFolder, FinishedMeansEndedByItselfWithTheseSettings) {
  TempFolder temp;
  const auto folder = temp.path() / "r";
  const json& settings = kRun.at("settings");
  EXPECT_FALSE(is_finished(folder, settings));
  for (const char* status : {"done", "diverged", "stuck"}) {
    finish(folder, status);
    EXPECT_TRUE(is_finished(folder, settings)) << status;
    EXPECT_TRUE(is_finished(folder, settings, "ab"));
    EXPECT_FALSE(is_finished(folder, settings, "cd")) << "the data changed";
    EXPECT_FALSE(is_finished(folder, {{"lr", 0.01}}));
  }
  for (const char* status : {"stopped", "failed"}) {
    finish(folder, status);
    EXPECT_FALSE(is_finished(folder, settings)) << status;
  }
  RunWriter begun(folder, kRun);
  EXPECT_FALSE(is_finished(folder, settings));
}

// Runs the body in a child process whose files cannot grow beyond `bytes`; the child's exit code.
template <class Body>
int with_full_disk(rlim_t bytes, Body&& body) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{bytes, bytes};
    if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) ::_exit(99);
    try {
      ::_exit(body());
    } catch (...) {
      ::_exit(97);  // not on into the other tests
    }
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 98;
}

TEST(RunFolder, AFullDiskIsAnErrorAndLosesNothing) {
  TempFolder temp;
  const auto folder = temp.path() / "r";
  const int code = with_full_disk(4096, [&] {
    RunWriter writer(folder, kRun);
    for (int step = 1; step < 1000; ++step) {
      try {
        writer.append({{"kind", "step"}, {"step", step}, {"loss", 0.125}});
      } catch (const std::system_error& error) {
        const std::string message = error.what();
        const bool clear = message.find((folder / "metrics.jsonl").string()) != std::string::npos &&
                           message.find("File too large") != std::string::npos;
        // It can go on where a short line still fits, on a line of its own.
        writer.append(json::object());
        return clear ? 0 : 1;
      }
    }
    return 2;
  });
  ASSERT_EQ(code, 0);
  const RunRecords run = read_run(folder);
  EXPECT_THAT(run.notes, IsEmpty()) << "no half line";
  ASSERT_GT(run.records.size(), 50u);
  for (std::size_t i = 0; i + 1 < run.records.size(); ++i) {
    EXPECT_EQ(run.records[i].at("step"), i + 1);
  }
}

TEST(AtomicFile, ReplacesInOneStepOrNotAtAll) {
  TempFolder temp;
  const auto file = temp.path() / "f";
  internal::write_file_atomically(file, "one");
  internal::write_file_atomically(file, "two");
  EXPECT_EQ(read_text(file), "two");
  const int code = with_full_disk(1000, [&] {
    try {
      internal::write_file_atomically(file, std::string(5000, 'x'));
    } catch (const std::system_error& error) {
      return std::string(error.what()).find(file.string()) != std::string::npos ? 0 : 1;
    }
    return 2;
  });
  EXPECT_EQ(code, 0);
  EXPECT_EQ(read_text(file), "two");
  const auto entries = std::filesystem::directory_iterator(temp.path());
  EXPECT_EQ(std::distance(begin(entries), end(entries)), 1) << "no half file is left behind";
}

TEST(AtomicFile, SaysWhichPathCannotBeWritten) {
  EXPECT_THAT(
      message_of<std::system_error>([] { internal::write_file_atomically("/dev/null/x", ""); }),
      AllOf(HasSubstr("/dev/null/x"), HasSubstr("Not a directory")));
  TempFolder temp;
  const auto file = temp.write("file", "x");
  EXPECT_THAT(message_of<std::system_error>([&] { RunWriter(file, kRun); }),
              HasSubstr(file.string()));
}

TEST(FolderLock, ASecondProcessIsRefusedWithThePidOfTheFirst) {
  TempFolder temp;
  const auto folder = temp.path() / "new";
  {
    const FolderLock lock(folder);
    // Also within one process: the descriptors differ.
    EXPECT_THAT(message_of<Error>([&] { FolderLock second(folder); }),
                AllOf(HasSubstr(std::to_string(::getpid())), HasSubstr(folder.string()),
                      HasSubstr("--out")));
    EXPECT_EQ(with_full_disk(RLIM_INFINITY,
                             [&] {
                               try {
                                 FolderLock second(folder);
                               } catch (const Error&) {
                                 return 7;
                               }
                               return 0;
                             }),
              7);
  }
  EXPECT_NO_THROW(FolderLock{folder}) << "free again";
}

}  // namespace
}  // namespace omninorm::lab
