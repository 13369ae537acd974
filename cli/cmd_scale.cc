#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <new>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "cli/interrupt.h"
#include "cli/program.h"
#include "cli/scale/verbs.h"
#include "cli/verbs.h"
#include "lab/experiment/settings.h"

namespace omninorm::cli {
namespace {

struct Verb {
  const char* name;
  const char* summary;
  int (*run)(int, char**);
};

constexpr std::array verbs = {
    Verb{"fit", "learn each column's mean and deviation, or its range, from files", run_scale_fit},
    Verb{"transform", "scale a file's columns by a fitted scaler", run_scale_transform},
    Verb{"inverse", "take scaled columns back", run_scale_inverse},
    Verb{"merge", "join scalers that were fitted on parts of the data", run_scale_merge},
    Verb{"show", "what a scaler was fitted on, and what it does", run_scale_show},
};

std::string help() {
  std::string text =
      "omninorm scale: data scalers for files of any size (z-score, min-max, running)\n\n"
      "Usage: omninorm scale <verb> [flags]\n\n";
  for (const Verb& verb : verbs) text += fmt::format("  {:<10}{}\n", verb.name, verb.summary);
  return text +
         "\nStart here:\n"
         "  omninorm scale fit train.csv -o scaler.json\n"
         "  omninorm scale transform scaler.json test.csv -o scaled.csv\n"
         "  omninorm scale inverse scaler.json scaled.csv -o back.csv\n"
         "  omninorm scale show scaler.json\n\n"
         "In parts, on one machine or many:\n"
         "  omninorm scale fit part1.csv -o a.json\n"
         "  omninorm scale fit part2.csv -o b.json\n"
         "  omninorm scale merge a.json b.json -o scaler.json\n\n"
         "Tables are csv, tsv, npy, parquet and arrow; csv, tsv and npy also as .gz and .zst; - "
         "is\n"
         "standard input or output. Memory does not grow with the number of rows.\n\n"
         "omninorm scale <verb> --help shows a verb's flags.\n";
}

}  // namespace

int run_scale(int argc, char** argv) {
  const std::string_view word = argc > 2 ? argv[2] : "--help";
  if (word == "--help" || word == "-h" || word == "help") throw HelpText{help()};
  std::vector<std::string> names;
  for (const Verb& verb : verbs) {
    if (word == verb.name) {
      catch_interrupts();
      try {
        return verb.run(argc - 1, argv + 1);
      } catch (const std::bad_alloc&) {
        throw std::runtime_error("out of memory; memory grows with columns and long cells alone");
      }
    }
    names.emplace_back(verb.name);
  }
  if (word.starts_with('-')) {
    throw UsageError(fmt::format("scale has no flag '{}' in front of its verb; verbs: {}", word,
                                 fmt::join(names, ", ")));
  }
  throw UsageError(
      fmt::format("scale has no verb '{}'; {}", word, lab::suggestion(std::string(word), names)));
}

}  // namespace omninorm::cli
