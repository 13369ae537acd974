#include <fmt/format.h>
#include <signal.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <string_view>

#include "lab/data/prose.h"
#include "lab/data/r_strings.h"
#include "lab/data/text.h"
#include "omninorm/error.h"

namespace omninorm::lab {
namespace {

constexpr std::string_view bible_packages = "bible-kjv bible-kjv-text";
constexpr std::string_view novel_package = "r-cran-janeaustenr";

[[noreturn]] void missing(std::string_view packages, const std::string& why) {
  throw Error(fmt::format(
      "[prose] expected Debian's {}, but {}; install it (apt-get install {}), or give your own "
      "files with --text FILE...",
      packages, why, packages));
}

constexpr std::array novel_titles = {"Emma",       "Mansfield Park",      "Northanger Abbey",
                                     "Persuasion", "Pride and Prejudice", "Sense and Sensibility"};

// In the order in which `bible` prints them.
constexpr std::array bible_books = {"Genesis",
                                    "Exodus",
                                    "Leviticus",
                                    "Numbers",
                                    "Deuteronomy",
                                    "Joshua",
                                    "Judges",
                                    "Ruth",
                                    "1 Samuel",
                                    "2 Samuel",
                                    "1 Kings",
                                    "2 Kings",
                                    "1 Chronicles",
                                    "2 Chronicles",
                                    "Ezra",
                                    "Nehemiah",
                                    "Esther",
                                    "Job",
                                    "Psalms",
                                    "Proverbs",
                                    "Ecclesiastes",
                                    "Song of Solomon",
                                    "Isaiah",
                                    "Jeremiah",
                                    "Lamentations",
                                    "Ezekiel",
                                    "Daniel",
                                    "Hosea",
                                    "Joel",
                                    "Amos",
                                    "Obadiah",
                                    "Jonah",
                                    "Micah",
                                    "Nahum",
                                    "Habakkuk",
                                    "Zephaniah",
                                    "Haggai",
                                    "Zechariah",
                                    "Malachi",
                                    "Matthew",
                                    "Mark",
                                    "Luke",
                                    "John",
                                    "Acts",
                                    "Romans",
                                    "1 Corinthians",
                                    "2 Corinthians",
                                    "Galatians",
                                    "Ephesians",
                                    "Philippians",
                                    "Colossians",
                                    "1 Thessalonians",
                                    "2 Thessalonians",
                                    "1 Timothy",
                                    "2 Timothy",
                                    "Titus",
                                    "Philemon",
                                    "Hebrews",
                                    "James",
                                    "1 Peter",
                                    "2 Peter",
                                    "1 John",
                                    "2 John",
                                    "3 John",
                                    "Jude",
                                    "Revelation"};
static_assert(bible_books.size() == 66);
constexpr std::size_t bible_verses = 31102;

bool same_letters(std::string_view a, std::string_view b) {
  return std::ranges::equal(
      a, b, [](unsigned char x, unsigned char y) { return std::tolower(x) == std::tolower(y); });
}

std::string join_lines(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) {
    text += line;
    text += '\n';
  }
  return text;
}

// Whether a Ctrl-C, which goes to all processes of the terminal, or its like ended a command. A
// shell that outlives its child says so with 128 + the signal.
bool was_interrupted(int status) {
  const int number = WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status) - 128;
  return number == SIGINT || number == SIGTERM || number == SIGHUP;
}

// Standard output of a command; throws when it cannot be run or fails.
std::string output_of(const char* command) {
  std::FILE* const pipe = ::popen(command, "r");
  if (pipe == nullptr) missing(bible_packages, "no process could be started");
  std::string output;
  std::array<char, 1 << 16> block;
  while (const std::size_t count = std::fread(block.data(), 1, block.size(), pipe)) {
    output.append(block.data(), count);
  }
  const int status = ::pclose(pipe);
  if (status != -1 && was_interrupted(status)) {
    throw Interrupted("[prose] reading the text was interrupted");
  }
  if (status == -1 || !WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    missing(bible_packages, WIFEXITED(status) && WEXITSTATUS(status) == 127
                                ? "there is no command 'bible'"
                                : fmt::format("'bible' ended with status {}", status));
  }
  return output;
}

// "1Sm12:3 Now therefore ...": the label in front of chapter:verse, and the verse; false if the
// line is not of that form.
bool split_verse(std::string_view line, std::string_view& label, std::string_view& verse) {
  const std::size_t space = line.find(' ');
  if (space == std::string_view::npos || space + 1 == line.size()) return false;
  const std::string_view reference = line.substr(0, space);
  const std::size_t last_letter = reference.find_last_not_of("0123456789:");
  if (last_letter == std::string_view::npos) return false;
  const std::string_view numbers = reference.substr(last_letter + 1);
  if (std::ranges::count(numbers, ':') != 1 || numbers.size() < 3) return false;
  label = reference.substr(0, last_letter + 1);
  verse = line.substr(space + 1);
  return true;
}

}  // namespace

std::vector<Document> read_novels(const std::filesystem::path& root) {
  const std::filesystem::path file = root / "usr/lib/R/site-library/janeaustenr/data/Rdata.rdb";
  std::ifstream stream(file, std::ios::binary);
  if (!stream) missing(novel_package, file.string() + " cannot be read");
  const std::vector<std::uint8_t> database{std::istreambuf_iterator<char>(stream), {}};
  std::vector<Document> found;
  for (const std::vector<std::string>& lines : read_r_string_vectors(database)) {
    if (lines.empty()) continue;
    for (const std::string_view title : novel_titles) {
      if (same_letters(title, lines[0])) found.push_back({std::string(title), join_lines(lines)});
    }
  }
  // In the order of the titles, whatever the database's.
  std::vector<Document> novels;
  for (const std::string_view title : novel_titles) {
    const auto novel = std::ranges::find(found, title, &Document::name);
    if (novel == found.end()) {
      missing(novel_package, fmt::format("{} does not hold '{}'", file.string(), title));
    }
    novels.push_back(*novel);
  }
  return novels;
}

std::vector<Document> read_bible() {
  const std::string output = output_of("bible -f gen1:1-rev22:21 </dev/null 2>/dev/null");
  std::vector<Document> books;
  std::string label_before;
  std::size_t verses = 0;
  std::string_view rest = output;
  while (!rest.empty()) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    std::string_view label, verse;
    if (!split_verse(line, label, verse)) {
      missing(bible_packages, fmt::format("'bible' printed '{}'", line.substr(0, 60)));
    }
    if (label != label_before) {
      if (books.size() == bible_books.size()) missing(bible_packages, "'bible' has a 67th book");
      books.push_back({bible_books[books.size()], ""});
      label_before = label;
    }
    books.back().text += verse;
    books.back().text += '\n';
    ++verses;
  }
  if (books.size() != bible_books.size() || verses != bible_verses) {
    missing(bible_packages, fmt::format("'bible' printed {} books and {} verses, not {} and {}",
                                        books.size(), verses, bible_books.size(), bible_verses));
  }
  return books;
}

}  // namespace omninorm::lab
