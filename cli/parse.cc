#include "cli/parse.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <vector>

#include "cli/program.h"
#include "lab/experiment/settings.h"

namespace omninorm::cli {
namespace {

// --norm_eps=1e-6 -> --norm-eps=1e-6; values stay as they are.
std::string with_dashes(std::string word) {
  if (!word.starts_with("--")) return word;
  const std::size_t end = std::min(word.find('='), word.size());
  std::replace(word.begin() + 2, word.begin() + static_cast<std::ptrdiff_t>(end), '_', '-');
  return word;
}

std::vector<std::string> flags_of(const CLI::App& app) {
  std::vector<std::string> flags;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) flags.push_back("--" + name);
  }
  return flags;
}

// "compare" of "omninorm compare": messages have the program's name in front already.
std::string verb_of(const CLI::App& app) {
  const std::string name = app.get_name();
  return name.substr(name.find(' ') + 1);
}

[[noreturn]] void unknown_argument(const CLI::App& app, const std::vector<std::string>& extras) {
  const auto flag = std::ranges::find_if(
      extras, [](const auto& word) { return word.size() > 1 && word[0] == '-'; });
  if (flag == extras.end()) {
    throw UsageError(fmt::format("{} expects no argument '{}'; {} --help shows what it takes",
                                 verb_of(app), extras.at(0), app.get_name()));
  }
  const std::string name = flag->substr(0, flag->find('='));
  throw UsageError(fmt::format("{} has no flag '{}'; {}", verb_of(app), name,
                               lab::suggestion(name, flags_of(app))));
}

}  // namespace

void parse_arguments(CLI::App& app, int argc, const char* const* argv) {
  std::vector<std::string> words;  // CLI11 wants the last first
  for (int i = argc - 1; i >= 2; --i) words.push_back(with_dashes(argv[i]));
  app.set_help_flag("--help,-h", "show this help");
  app.get_formatter()->column_width(34);
  app.allow_extras();
  try {
    app.parse(std::move(words));
  } catch (const CLI::CallForHelp&) {
    throw HelpText{app.help()};
  } catch (const CLI::ParseError& error) {
    throw UsageError(fmt::format("{}: {}; {} --help shows what it takes", verb_of(app),
                                 error.what(), app.get_name()));
  }
  const std::vector<std::string> extras = app.remaining();
  if (!extras.empty()) unknown_argument(app, extras);
}

}  // namespace omninorm::cli
