// What the programs `omninorm` and `omninorm-lab` share: exit codes, errors, help.
#pragma once

#include <functional>
#include <stdexcept>
#include <string>
#include <string_view>

namespace omninorm::cli {

constexpr int exit_done = 0;
constexpr int exit_failed = 1;  // something went wrong while running
constexpr int exit_usage = 2;   // the command line or a file it names asks for what cannot be
constexpr int exit_interrupted = 130;  // Ctrl-C

// A command line that cannot be run. The message names what was expected and what came.
struct UsageError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Not an error: the text that --help or --version asked for.
struct HelpText {
  std::string text;
};

// Runs a program's body and turns what it throws into one clear line on standard error and an exit
// code: UsageError 2, all else 1; HelpText goes to standard output, exit code 0. Also makes a write
// beyond a file size limit an error like a full disk, instead of a signal that kills the process.
int run_program(const std::function<int()>& body);

// A word as a shell takes it: quoted where it needs to be.
std::string shell_word(std::string_view word);

// The command line as it can be typed again: words quoted for a shell where they need it, the
// program's name without its folder.
std::string command_line(int argc, const char* const* argv);

}  // namespace omninorm::cli
