// Where the default text comes from: whole books, each a document. lab/data/prose.cc makes the
// splits; lab/data/text.h is what the lab calls.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace omninorm::lab {

struct Document {
  std::string name;
  std::string text;
};

// The six novels from Debian's r-cran-janeaustenr, in the order of their titles below; `root` is
// where the package's files stand, "/" where it is installed. Throws omninorm::Error that names the
// package, or says that its database is damaged.
std::vector<Document> read_novels(const std::filesystem::path& root);

// The 66 books from Debian's `bible` command (bible-kjv, bible-kjv-text), one verse a line without
// its reference. Throws omninorm::Error that names the packages, and Interrupted (lab/data/text.h)
// when a Ctrl-C ended the command.
std::vector<Document> read_bible();

}  // namespace omninorm::lab
