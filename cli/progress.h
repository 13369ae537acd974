// What a person (or a program) sees while runs go on.
#pragma once

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>

namespace omninorm::cli {

// terminal: one live line under one line for each finished run. plain: a line when a run begins and
// ends and at every tenth of its steps. quiet: the result's path alone. json: one object a line for
// each event; kind is note, run, step, run_end or result.
enum class ProgressMode { terminal, plain, quiet, json };

// quiet and json as asked for on the command line; else by whether standard output is a terminal.
ProgressMode choose_progress_mode(bool quiet, bool json);

// How a run ended; losses that are not there are NaN.
struct RunSummary {
  std::string id, label;
  std::string status, reason;
  double train_loss = 0;
  double valid_loss = 0;
  double tokens_per_second = 0;
  bool skipped = false;  // had finished before
};

// Every call throws std::system_error when its line cannot be written.
class Progress {
 public:
  // `width` is the terminal's in columns; 0: asked for at each redraw.
  explicit Progress(ProgressMode mode, std::FILE* out = stdout, std::FILE* err = stderr,
                    int width = 0);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // A line for people: what is being prepared, how many steps were chosen and why. Goes to standard
  // error, in json to standard output.
  void note(const std::string& line);

  // Run number `index` of 0 .. count-1 begins.
  void begin_run(const std::string& id, const std::string& label, std::int64_t index,
                 std::int64_t count);

  // Of the run that began last.
  void step(std::int64_t step, std::int64_t steps, double loss, double tokens_per_second);

  // That run's end, or a run that needs no running, which then did not begin.
  void end_run(const RunSummary& run);

  // What came of it all: the report, and its first sentence (may be empty).
  void result(const std::string& path, const std::string& headline);

 private:
  using Clock = std::chrono::steady_clock;

  void event(const nlohmann::json& json);
  void say(const std::string& line);
  void draw();
  void clear();
  double seconds_left() const;  // negative: not known yet

  ProgressMode mode_;
  std::FILE* out_;
  std::FILE* err_;
  int width_;

  std::string id_, label_;
  std::int64_t index_ = 0, count_ = 0;
  std::int64_t step_ = 0, steps_ = 0;
  double loss_ = 0, tokens_per_second_ = 0;

  std::int64_t timed_steps_ = 0;  // steps seen in all runs, and the seconds between them
  double timed_seconds_ = 0;
  Clock::time_point last_step_{}, last_draw_{};
  bool drawn_ = false;  // a live line stands on the terminal
};

}  // namespace omninorm::cli
