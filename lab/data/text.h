// Text as bytes, split into training and validation by document, never inside one.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "lab/experiment/settings.h"

namespace omninorm::lab {

// Ctrl-C ended the command that data is read from: not an error, and nothing is missing.
struct Interrupted : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct TextData {
  std::string name;  // "prose", or the files' names
  std::vector<std::uint8_t> train;
  std::vector<std::uint8_t> valid;
  std::string sha256;  // of train, then valid
  std::vector<std::string> train_documents, valid_documents;
};

struct DataChoice {
  std::string_view name;
  std::string_view summary;
};
std::span<const DataChoice> data_choices();

// Where prepared data is kept: OMNINORM_CACHE, else XDG_CACHE_HOME/omninorm, else
// ~/.cache/omninorm.
std::filesystem::path cache_folder();

// Gets a line for people where there is something to say: what is being prepared, a cache that was
// damaged. Empty: nobody is told.
using Note = std::function<void(const std::string&)>;

// English prose from Debian's bible-kjv-text and r-cran-janeaustenr; prepared once into the cache
// folder and checked against its checksum on every later load. Which books are validation is fixed
// (lab/data/prose.cc). Throws omninorm::Error that names the packages when they are not there.
TextData load_prose(const Note& note = {});

// The user's own files. With one file the last tenth is validation, with several whole files are:
// the last ones, as many as it takes to reach a tenth. Throws omninorm::Error for a missing,
// unreadable or empty file, a folder, or a file given twice.
TextData load_text(const std::vector<std::filesystem::path>& files);

// Throws omninorm::Error unless each split holds at least one batch: batch sequences of context
// + 1.
void check_length(const TextData& data, std::int64_t batch, std::int64_t context);

// What the settings ask for, long enough for them.
TextData load_data(const Settings& settings, const Note& note = {});

}  // namespace omninorm::lab
