#include "cli/progress.h"

#include <gmock/gmock.h>

#include <cmath>
#include <system_error>
#include <thread>

#include "tests/lab/temp_folder.h"

namespace omninorm::cli {
namespace {

using nlohmann::json;
using omninorm::testing::read_text;
using omninorm::testing::TempFolder;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

struct Shown {
  std::string out, err;
};

// A short comparison: one run from before, one of `steps` steps, one that diverges.
Shown show(ProgressMode mode, int width = 80, int steps = 200) {
  const TempFolder temp;
  std::FILE* const out = std::fopen((temp.path() / "out").c_str(), "w");
  std::FILE* const err = std::fopen((temp.path() / "err").c_str(), "w");
  {
    Progress progress(mode, out, err, width);
    progress.note("sized");
    progress.end_run({"a", "post, lr 0.003", "done", "", 2.5, 2.75, 9000, true});
    progress.begin_run("b", "pre, lr 0.003", 1, 3);
    for (int step = 1; step <= steps; ++step) {
      if (mode == ProgressMode::terminal && step % 10 == 0) {
        std::this_thread::sleep_for(std::chrono::milliseconds(15));
      }
      progress.step(step, steps, 3.0 - step * 0.001, 11400.4);
    }
    progress.end_run({"b", "pre, lr 0.003", "done", "", 2.8, std::nan(""), 11400, false});
    progress.begin_run("c", "peri, lr 0.003", 2, 3);
    progress.end_run(
        {"c", "peri, lr 0.003", "diverged", "loss nan", std::nan(""), std::nan(""), 0});
    progress.result("runs/x/report.html", "It went so.");
  }
  std::fclose(out);
  std::fclose(err);
  return {read_text(temp.path() / "out"), read_text(temp.path() / "err")};
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

TEST(Progress, InAPipeEachTenthOfARunIsALine) {
  const Shown shown = show(ProgressMode::plain);
  const std::vector<std::string> lines = lines_of(shown.out);
  ASSERT_EQ(lines.size(), 1u + 1 + 9 + 1 + 1 + 1 + 2) << shown.out;
  EXPECT_EQ(lines[0],
            "post, lr 0.003: done (earlier, not run again), loss 2.500, validation 2.750");
  EXPECT_EQ(lines[1], "run 2/3 pre, lr 0.003");
  EXPECT_THAT(lines[2], AllOf(HasSubstr("step 20/200, loss 2.980, 11,400 tokens/s, 0:00 left")));
  EXPECT_THAT(lines[10], HasSubstr("step 180/200"));
  EXPECT_EQ(lines[11], "pre, lr 0.003: done, loss 2.800, 11,400 tokens/s");
  EXPECT_EQ(lines[13], "peri, lr 0.003: diverged (loss nan)");
  EXPECT_EQ(lines[14], "It went so.");
  EXPECT_EQ(lines[15], "report: runs/x/report.html");
  EXPECT_THAT(shown.out, Not(HasSubstr("\x1b"))) << "no terminal codes in a pipe";
  EXPECT_EQ(shown.err, "sized\n");
}

TEST(Progress, AShortRunHasNoMoreLinesThanSteps) {
  const std::string out = show(ProgressMode::plain, 80, 3).out;
  EXPECT_THAT(out, AllOf(HasSubstr("step 1/3"), HasSubstr("step 2/3"), Not(HasSubstr("step 3/3"))));
}

TEST(Progress, QuietPrintsThePathAlone) {
  const Shown shown = show(ProgressMode::quiet);
  EXPECT_EQ(shown.out, "runs/x/report.html\n");
  EXPECT_THAT(shown.err, IsEmpty());
}

TEST(Progress, JsonIsOneObjectALine) {
  const Shown shown = show(ProgressMode::json, 80, 2);
  EXPECT_THAT(shown.err, IsEmpty());
  std::vector<std::string> kinds;
  std::vector<json> events;
  for (const std::string& line : lines_of(shown.out)) {
    events.push_back(json::parse(line));
    kinds.push_back(events.back().at("kind"));
  }
  EXPECT_THAT(kinds, ElementsAre("note", "run_end", "run", "step", "step", "run_end", "run",
                                 "run_end", "result"));
  EXPECT_EQ(events[1].at("skipped"), true);
  EXPECT_EQ(events[2].at("index"), 1);
  EXPECT_EQ(events[4].at("step"), 2);
  EXPECT_EQ(events[7].at("train_loss"), "nan");
  EXPECT_EQ(events[8].at("report"), "runs/x/report.html");
}

// What stood in the live line at each redraw: the text after a return and an erase.
std::vector<std::string> redraws(const std::string& out) {
  const std::string mark = "\r\x1b[K";
  std::vector<std::string> found;
  for (std::size_t at = out.find(mark); at != std::string::npos;) {
    const std::size_t begin = at + mark.size();
    at = out.find(mark, begin);
    const std::string text = out.substr(begin, std::min(at, out.size()) - begin);
    if (!text.empty() && text.find('\n') == std::string::npos) found.push_back(text);
  }
  return found;
}

TEST(Progress, TheLiveLineNeverWraps) {
  for (const int width : {10, 24, 40, 60, 80, 200}) {
    const std::vector<std::string> lines = redraws(show(ProgressMode::terminal, width).out);
    ASSERT_GE(lines.size(), 2u);
    for (const std::string& line : lines) EXPECT_LT(line.size(), static_cast<std::size_t>(width));
  }
}

TEST(Progress, TheLiveLineSaysWhatFits) {
  const auto last = [](int width) {
    for (const std::string& line : redraws(show(ProgressMode::terminal, width).out)) {
      if (line.find("step") != std::string::npos) return line;
    }
    return std::string();
  };
  EXPECT_THAT(last(120),
              AllOf(HasSubstr("[="), HasSubstr("run 2/3 pre, lr 0.003"), HasSubstr("/200"),
                    HasSubstr("loss 2."), HasSubstr("left"), HasSubstr("11,400 tokens/s")));
  EXPECT_THAT(last(50), AllOf(HasSubstr("run 2/3 pre, lr 0.003"), HasSubstr("/200"),
                              Not(HasSubstr("tokens/s")),
                              ::testing::ContainsRegex("loss [0-9]\\.[0-9][0-9][0-9]$")))
      << "whole parts only";
}

TEST(Progress, OnATerminalFinishedRunsStayAndTheLiveLineGoes) {
  const std::string out = show(ProgressMode::terminal).out;
  EXPECT_THAT(out, HasSubstr("\r\x1b[Kpre, lr 0.003: done, loss 2.800, 11,400 tokens/s\n"));
  EXPECT_TRUE(out.ends_with("report: runs/x/report.html\n"));
}

TEST(Progress, AnOutputThatIsFullIsAnError) {
  std::FILE* const full = std::fopen("/dev/full", "w");
  ASSERT_NE(full, nullptr);
  {
    Progress progress(ProgressMode::plain, full, full);
    EXPECT_THROW(progress.begin_run("a", "a", 0, 1), std::system_error);
  }
  std::fclose(full);
}

TEST(Progress, TheModeFollowsTheFlags) {
  EXPECT_EQ(choose_progress_mode(true, false), ProgressMode::quiet);
  EXPECT_EQ(choose_progress_mode(true, true), ProgressMode::json);
}

}  // namespace
}  // namespace omninorm::cli
