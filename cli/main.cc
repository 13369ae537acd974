// omninorm: the command. Knows nothing of torch; `compare` becomes omninorm-lab.
#include <fmt/format.h>

#include <array>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "cli/cmd_compare.h"
#include "cli/program.h"
#include "cli/verbs.h"
#include "lab/experiment/settings.h"
#include "omninorm/version.h"

namespace {

using namespace omninorm::cli;

struct Verb {
  const char* name;
  const char* summary;
  int (*run)(int, char**);
};

constexpr std::array verbs = {
    Verb{"compare", "train Transformers that differ in one thing, and report how they fared",
         run_compare},
    Verb{"report", "draw the report of an experiment again", run_report},
    Verb{"list", "the norms, placements and data there are", run_list},
    Verb{"scale", "fit data scalers to files of any size, and apply them", run_scale},
    Verb{"doctor", "what this machine and this build can do", run_doctor},
};

std::string help() {
  std::string text =
      "omninorm: normalisation of data and in networks, and what it does to a Transformer\n\n"
      "  omninorm <verb> [flags]\n\n";
  for (const Verb& verb : verbs) text += fmt::format("  {:<10}{}\n", verb.name, verb.summary);
  return text +
         "\nStart here:\n"
         "  omninorm compare                  four norm placements at two learning rates, about\n"
         "                                    3 minutes on two cores, then a report to open\n"
         "  omninorm compare --dry-run        what that would run\n"
         "  omninorm list placements          what the placements are\n"
         "  omninorm scale fit train.csv -o scaler.json\n"
         "                                    data scalers: z-score, min-max, for files of any "
         "size\n\n"
         "Compare something else:\n"
         "  omninorm compare --vary norm=rms_norm,layer_norm,none\n"
         "  omninorm compare --vary lr=1e-3,3e-3,1e-2 --placement peri --seeds 3\n"
         "  omninorm compare --text my-book.txt\n\n"
         "omninorm <verb> --help shows a verb's flags.\n";
}

int run_verb(int argc, char** argv) {
  std::string_view word = argc > 1 ? argv[1] : "--help";
  if (word == "help" && argc > 2) {
    // "help compare" is "compare --help".
    static char flag[] = "--help";
    char* const words[] = {argv[0], argv[2], flag, nullptr};
    return run_verb(3, const_cast<char**>(words));
  }
  if (word == "--help" || word == "-h" || word == "help") throw HelpText{help()};
  if (word == "--version") throw HelpText{"omninorm " OMNINORM_VERSION "\n"};
  std::vector<std::string> names;
  for (const Verb& verb : verbs) {
    if (word == verb.name) return verb.run(argc, argv);
    names.emplace_back(verb.name);
  }
  if (word.starts_with('-')) {
    throw UsageError(
        fmt::format("there is no flag '{}' in front of a verb; valid: --help, --version; verbs: {}",
                    word, fmt::join(names, ", ")));
  }
  throw UsageError(
      fmt::format("there is no verb '{}'; {}", word, omninorm::lab::suggestion(word, names)));
}

}  // namespace

int main(int argc, char** argv) {
  return run_program([&] { return run_verb(argc, argv); });
}
