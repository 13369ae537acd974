// One verb's command line with CLI11, with errors in omninorm's words.
#pragma once

#include <CLI/CLI.hpp>

namespace omninorm::cli {

// Parses argv[2..]; argv[1] is the verb. Flags may be written with - or _ inside. Throws
// UsageError, which lists the flags and names the nearest where one is unknown, and HelpText for
// --help.
void parse_arguments(CLI::App& app, int argc, const char* const* argv);

}  // namespace omninorm::cli
