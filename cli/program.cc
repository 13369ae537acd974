#include "cli/program.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <exception>
#include <new>
#include <system_error>

#include "cli/interrupt.h"

namespace omninorm::cli {
namespace {

int fail(const char* message, int code) {
  fmt::print(stderr, "omninorm: {}\n", message);
  return code;
}

// What was printed has to arrive: a report's path lost on a full disk is no success.
int flush_output(int code) {
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return code;
  const std::string why = std::generic_category().message(errno);
  return fail(fmt::format("cannot write to standard output: {}", why).c_str(), exit_failed);
}

}  // namespace

int run_program(const std::function<int()>& body) {
  std::signal(SIGXFSZ, SIG_IGN);
  try {
    return flush_output(body());
  } catch (const HelpText& help) {
    std::fputs(help.text.c_str(), stdout);
    return flush_output(exit_done);
  } catch (const Interrupted& interrupted) {
    return fail("interrupted", 128 + interrupted.signal);
  } catch (const UsageError& error) {
    return fail(error.what(), exit_usage);
  } catch (const std::bad_alloc&) {
    return fail("out of memory; a smaller --width, --layers, --context or --batch needs less",
                exit_failed);
  } catch (const std::exception& error) {
    return fail(error.what(), exit_failed);
  }
}

std::string shell_word(std::string_view word) {
  const bool plain = !word.empty() && std::ranges::all_of(word, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("-_=+.,:/@%").find(c) != std::string_view::npos;
  });
  if (plain) return std::string(word);
  std::string out = "'";
  for (const char c : word) {
    if (c == '\'') out += "'\\'";  // leave the quotes, an escaped one, and back
    out += c;
  }
  return out + "'";
}

std::string command_line(int argc, const char* const* argv) {
  std::string line = "omninorm";
  for (int i = 1; i < argc; ++i) line += fmt::format(" {}", shell_word(argv[i]));
  return line;
}

}  // namespace omninorm::cli
