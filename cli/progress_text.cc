#include "cli/progress_text.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <string_view>

namespace omninorm::cli {

int terminal_width(std::FILE* out) {
  winsize size{};
  if (::ioctl(::fileno(out), TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  return 80;
}

std::string clock_time(double seconds) {
  const auto total = static_cast<std::int64_t>(std::lround(std::clamp(seconds, 0.0, 1e7)));
  const std::int64_t hours = total / 3600, minutes = total / 60 % 60;
  return hours > 0 ? fmt::format("{}:{:02}:{:02}", hours, minutes, total % 60)
                   : fmt::format("{}:{:02}", minutes, total % 60);
}

bool live_terminal(std::FILE* out) {
  const char* const terminal = std::getenv("TERM");
  const bool dumb = terminal == nullptr || std::string_view(terminal) == "dumb";
  return ::isatty(::fileno(out)) == 1 && !dumb;
}

std::string bar(std::int64_t step, std::int64_t steps, int width) {
  const double share =
      steps > 0 ? std::clamp(static_cast<double>(step) / static_cast<double>(steps), 0.0, 1.0) : 0;
  const int done = static_cast<int>(share * width);
  return fmt::format("[{:=<{}}{:<{}}]", "", done, "", width - done);
}

}  // namespace omninorm::cli
