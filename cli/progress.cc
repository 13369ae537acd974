#include "cli/progress.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <system_error>
#include <vector>

#include "cli/progress_text.h"
#include "lab/experiment/run_folder.h"

namespace omninorm::cli {
namespace {

// 11400 -> "11,400".
std::string with_commas(double value) {
  if (!std::isfinite(value)) return "?";
  std::string digits = fmt::format("{:.0f}", std::max(value, 0.0));
  for (std::ptrdiff_t at = std::ssize(digits) - 3; at > 0; at -= 3) {
    digits.insert(static_cast<std::size_t>(at), ",");
  }
  return digits;
}

// Throws std::system_error when nobody reads any more, or the file that they go to is full.
void flush(std::FILE* file) {
  if (std::fflush(file) != 0) {
    throw std::system_error(errno, std::generic_category(), "cannot write the progress");
  }
}

}  // namespace

ProgressMode choose_progress_mode(bool quiet, bool json) {
  if (json) return ProgressMode::json;
  if (quiet) return ProgressMode::quiet;
  return live_terminal(stdout) ? ProgressMode::terminal : ProgressMode::plain;
}

Progress::Progress(ProgressMode mode, std::FILE* out, std::FILE* err, int width)
    : mode_(mode), out_(out), err_(err), width_(width) {}

Progress::~Progress() {
  try {
    clear();
  } catch (const std::system_error&) {
    // Nobody is there to see the line.
  }
}

void Progress::note(const std::string& line) {
  if (mode_ == ProgressMode::quiet) return;
  if (mode_ == ProgressMode::json) {
    event({{"kind", "note"}, {"text", line}});
    return;
  }
  clear();
  fmt::print(err_, "{}\n", line);
  flush(err_);
}

void Progress::begin_run(const std::string& id, const std::string& label, std::int64_t index,
                         std::int64_t count) {
  id_ = id;
  label_ = label;
  index_ = index;
  count_ = count;
  step_ = steps_ = 0;
  loss_ = std::nan("");
  tokens_per_second_ = 0;
  last_step_ = Clock::now();
  if (mode_ == ProgressMode::json) {
    event({{"kind", "run"}, {"id", id}, {"label", label}, {"index", index}, {"count", count}});
  } else if (mode_ == ProgressMode::plain) {
    say(fmt::format("run {}/{} {}", index + 1, count, label));
  } else if (mode_ == ProgressMode::terminal) {
    draw();
  }
}

void Progress::step(std::int64_t step, std::int64_t steps, double loss, double tokens_per_second) {
  const Clock::time_point now = Clock::now();
  timed_steps_ += step - step_;
  timed_seconds_ += std::chrono::duration<double>(now - last_step_).count();
  last_step_ = now;
  // A line where a tenth of the run is reached or passed.
  const bool tenth = steps > 0 && step * 10 / steps != step_ * 10 / steps && step < steps;
  step_ = step;
  steps_ = steps;
  loss_ = loss;
  tokens_per_second_ = tokens_per_second;
  if (mode_ == ProgressMode::json) {
    event({{"kind", "step"},
           {"id", id_},
           {"step", step},
           {"steps", steps},
           {"loss", lab::number(loss)},
           {"tokens_per_second", lab::number(tokens_per_second)},
           {"seconds_left", lab::number(seconds_left())}});
  } else if (mode_ == ProgressMode::plain && tenth) {
    say(fmt::format("run {}/{} {}: step {}/{}, loss {:.3f}, {} tokens/s, {} left", index_ + 1,
                    count_, label_, step, steps, loss, with_commas(tokens_per_second),
                    clock_time(seconds_left())));
  } else if (mode_ == ProgressMode::terminal && now - last_draw_ >= redraw_interval) {
    draw();
  }
}

void Progress::end_run(const RunSummary& run) {
  if (mode_ == ProgressMode::json) {
    event({{"kind", "run_end"},
           {"id", run.id},
           {"label", run.label},
           {"status", run.status},
           {"reason", run.reason},
           {"train_loss", lab::number(run.train_loss)},
           {"valid_loss", lab::number(run.valid_loss)},
           {"tokens_per_second", lab::number(run.tokens_per_second)},
           {"skipped", run.skipped}});
    return;
  }
  if (mode_ == ProgressMode::quiet) return;
  std::string line = fmt::format("{}: {}", run.label, run.status);
  if (run.skipped) line += " (earlier, not run again)";
  if (std::isfinite(run.train_loss)) line += fmt::format(", loss {:.3f}", run.train_loss);
  if (std::isfinite(run.valid_loss)) line += fmt::format(", validation {:.3f}", run.valid_loss);
  if (run.tokens_per_second > 0 && !run.skipped) {
    line += fmt::format(", {} tokens/s", with_commas(run.tokens_per_second));
  }
  if (run.status != "done" && !run.reason.empty()) line += fmt::format(" ({})", run.reason);
  say(line);
}

void Progress::result(const std::string& path, const std::string& headline) {
  if (mode_ == ProgressMode::json) {
    event({{"kind", "result"}, {"report", path}, {"headline", headline}});
    return;
  }
  if (mode_ == ProgressMode::quiet) {
    say(path);
    return;
  }
  if (!headline.empty()) say(headline);
  say("report: " + path);
}

void Progress::event(const nlohmann::json& json) {
  say(json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

void Progress::say(const std::string& line) {
  clear();
  fmt::print(out_, "{}\n", line);
  flush(out_);
}

// The parts in order of worth; what does not fit is left out, so that the line never wraps.
void Progress::draw() {
  const int width = (width_ > 0 ? width_ : terminal_width(out_)) - 1;
  std::string line = fmt::format("run {}/{} {}", index_ + 1, count_, label_);
  std::vector<std::string> parts;
  if (steps_ > 0) {
    parts.push_back(fmt::format("  step {}/{}", step_, steps_));
    parts.push_back(fmt::format("  loss {:.3f}", loss_));
    if (seconds_left() >= 0) parts.push_back(fmt::format("  {} left", clock_time(seconds_left())));
    parts.push_back(fmt::format("  {} tokens/s", with_commas(tokens_per_second_)));
  }
  for (const std::string& part : parts) {
    if (std::ssize(line) + std::ssize(part) > width) break;
    line += part;
  }
  const int bar_width = std::min<int>(30, width - static_cast<int>(line.size()) - 3);
  if (bar_width >= 5) line = fmt::format("{} {}", bar(step_, steps_, bar_width), line);
  line.resize(std::min(line.size(), static_cast<std::size_t>(std::max(width, 0))));
  fmt::print(out_, "\r\x1b[K{}", line);
  flush(out_);
  drawn_ = true;
  last_draw_ = Clock::now();
}

void Progress::clear() {
  if (!drawn_) return;
  fmt::print(out_, "\r\x1b[K");
  flush(out_);
  drawn_ = false;
}

double Progress::seconds_left() const {
  if (timed_steps_ <= 0 || steps_ <= 0) return -1;
  const std::int64_t steps = steps_ - step_ + (count_ - index_ - 1) * steps_;
  return timed_seconds_ / static_cast<double>(timed_steps_) * static_cast<double>(steps);
}

}  // namespace omninorm::cli
