#include "lab/data/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <system_error>

#include "lab/data/sha256.h"
#include "omninorm/error.h"

namespace omninorm::lab {
namespace {

namespace fs = std::filesystem;

constexpr std::array data_table = {
    DataChoice{"prose", "English prose: the King James Bible and Jane Austen's novels, by book"},
    DataChoice{"text", "your own files (--text FILE...), read as bytes"},
};

[[noreturn]] void unreadable(const fs::path& file, const std::string& why) {
  throw Error(fmt::format("[text] expected a readable file, got {}: {}", file.string(), why));
}

std::vector<std::uint8_t> read_bytes(const fs::path& file) {
  std::error_code error;
  const fs::file_status status = fs::status(file, error);
  if (status.type() == fs::file_type::not_found) {
    unreadable(file, fs::is_symlink(fs::symlink_status(file, error))
                         ? "a link to a file that is not there"
                         : "no such file");
  }
  if (error) unreadable(file, error.message());
  if (status.type() == fs::file_type::directory) {
    unreadable(file, "a folder; name the files in it");
  }
  // Pipes can be read only once, and devices such as /dev/zero have no end.
  if (status.type() != fs::file_type::regular) unreadable(file, "not a regular file");
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> stream(std::fopen(file.c_str(), "rb"),
                                                               std::fclose);
  if (!stream) unreadable(file, std::generic_category().message(errno));
  std::vector<std::uint8_t> bytes;
  std::array<std::uint8_t, 1 << 16> block;
  while (const std::size_t count = std::fread(block.data(), 1, block.size(), stream.get())) {
    bytes.insert(bytes.end(), block.begin(), block.begin() + static_cast<std::ptrdiff_t>(count));
  }
  if (std::ferror(stream.get()) != 0) unreadable(file, std::generic_category().message(errno));
  if (bytes.empty()) unreadable(file, "it is empty");
  return bytes;
}

// Where validation begins in a single file: at its last tenth, at the beginning of a line if one
// begins nearby.
std::size_t split_point(const std::vector<std::uint8_t>& bytes) {
  constexpr std::size_t nearby = 4096;
  const std::size_t cut = bytes.size() - bytes.size() / 10;
  for (std::size_t at = cut; at > 0 && cut - at < std::min(nearby, bytes.size() / 20); --at) {
    if (bytes[at - 1] == '\n') return at;
  }
  return cut;
}

void check_given_once(const std::vector<fs::path>& files) {
  for (std::size_t i = 0; i < files.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      std::error_code error;  // files that are not there are told by read_bytes
      if (fs::equivalent(files[i], files[j], error)) {
        throw Error(fmt::format(
            "[text] expected different files, got {} and {}, which are one: what is trained on "
            "must not be validated on",
            files[j].string(), files[i].string()));
      }
    }
  }
}

void append(std::vector<std::uint8_t>& to, const std::vector<std::uint8_t>& from) {
  to.insert(to.end(), from.begin(), from.end());
}

}  // namespace

std::span<const DataChoice> data_choices() { return data_table; }

fs::path cache_folder() {
  const auto variable = [](const char* name) {
    const char* const value = std::getenv(name);
    return fs::path(value == nullptr ? "" : value);
  };
  if (const fs::path own = variable("OMNINORM_CACHE"); !own.empty()) return own;
  if (const fs::path xdg = variable("XDG_CACHE_HOME"); !xdg.empty()) return xdg / "omninorm";
  if (const fs::path home = variable("HOME"); !home.empty()) return home / ".cache/omninorm";
  return fs::temp_directory_path() / "omninorm-cache";
}

TextData load_text(const std::vector<fs::path>& files) {
  if (files.empty()) throw Error("[text] expected at least one file, got none");
  check_given_once(files);
  std::vector<std::vector<std::uint8_t>> contents;
  std::size_t total = 0;
  for (const fs::path& file : files) {
    contents.push_back(read_bytes(file));
    total += contents.back().size();
  }
  TextData data;
  if (files.size() == 1) {
    const auto cut = contents[0].begin() + static_cast<std::ptrdiff_t>(split_point(contents[0]));
    data.name = files[0].filename().string();
    data.train.assign(contents[0].begin(), cut);
    data.valid.assign(cut, contents[0].end());
    data.train_documents = {data.name + " (first nine tenths)"};
    data.valid_documents = {data.name + " (last tenth)"};
  } else {
    std::size_t first_valid = files.size();
    std::size_t valid_bytes = 0;
    while (first_valid > 1 && valid_bytes < total / 10) {
      valid_bytes += contents[--first_valid].size();
    }
    first_valid = std::min(first_valid, files.size() - 1);
    for (std::size_t i = 0; i < files.size(); ++i) {
      const bool valid = i >= first_valid;
      append(valid ? data.valid : data.train, contents[i]);
      (valid ? data.valid_documents : data.train_documents).push_back(files[i].filename().string());
      if (i > 0) data.name += ' ';
      data.name += files[i].filename().string();
    }
  }
  data.sha256 = sha256_hex({data.train, data.valid});
  return data;
}

void check_length(const TextData& data, std::int64_t batch, std::int64_t context) {
  const auto check_split = [&](const std::vector<std::uint8_t>& split, const char* name) {
    const auto size = static_cast<std::int64_t>(split.size());
    const std::int64_t least = batch * (context + 1);
    if (size >= least) return;
    throw Error(fmt::format(
        "[text] expected at least {} bytes of {} text (batch {} x (context {} + 1)), got {} of {}; "
        "give a longer text, or lower --batch or --context",
        least, name, batch, context, size, data.name));
  };
  check_split(data.train, "training");
  check_split(data.valid, "validation");
}

TextData load_data(const Settings& settings, const Note& note) {
  TextData data = settings.data == "text" ? load_text({settings.text.begin(), settings.text.end()})
                                          : load_prose(note);
  check_length(data, settings.batch, settings.context);
  return data;
}

}  // namespace omninorm::lab
