// `omninorm compare`: the command line, as `omninorm` checks it and `omninorm-lab` runs it.
#pragma once

#include <filesystem>
#include <string>

#include "lab/experiment/plan.h"

namespace omninorm::cli {

struct CompareRequest {
  lab::Plan plan;  // expanded and checked
  bool quiet = false;
  bool json = false;
  bool dry_run = false;
  std::string command;  // "omninorm compare --lr 1e-2", for experiment.json
};

// argv[1] is "compare". Reads what --from names, checks the settings and the user's text files, and
// runs nothing. Throws UsageError or HelpText (cli/program.h).
CompareRequest parse_compare(int argc, const char* const* argv);

// What would run, for --dry-run: in words, or as one JSON object.
std::string describe(const CompareRequest& request);

// The program that trains: OMNINORM_LAB_BINARY, else omninorm-lab beside this program or in
// ../libexec/omninorm. Throws std::runtime_error that says how to get one.
std::filesystem::path find_lab_program();

// For `omninorm`: parses, answers --dry-run itself, else becomes `omninorm-lab` with the same
// arguments. Returns only for --dry-run; throws UsageError, HelpText, std::runtime_error when there
// is no omninorm-lab.
int run_compare(int argc, char** argv);

}  // namespace omninorm::cli
