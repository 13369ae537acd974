#include "lab/data/prose.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string_view>
#include <system_error>

#include "lab/data/sha256.h"
#include "lab/data/text.h"
#include "omninorm/error.h"
#include "src/core/atomic_file.h"

namespace omninorm::lab {
namespace {

namespace fs = std::filesystem;

// About a tenth of each source. None of these has a parallel elsewhere: Samuel, Kings, Chronicles
// and Isaiah tell the same events in the same words, and so do the first three gospels, so a model
// trained on one would know the other.
constexpr std::array<std::string_view, 6> valid_names = {"Persuasion", "Ruth", "Job",
                                                         "Daniel",     "Acts", "Romans"};

// Bump when the preparation or the split changes: old caches are then left alone.
constexpr std::string_view cache_name = "prose-1";

std::string_view as_text(const std::vector<std::uint8_t>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

TextData prepare() {
  const char* const root = std::getenv("OMNINORM_JANEAUSTENR");
  std::vector<Document> documents = read_novels(root == nullptr || *root == '\0' ? "/" : root);
  std::ranges::move(read_bible(), std::back_inserter(documents));
  TextData data;
  data.name = "prose";
  for (const Document& document : documents) {
    const bool valid = std::ranges::find(valid_names, document.name) != valid_names.end();
    auto& bytes = valid ? data.valid : data.train;
    bytes.insert(bytes.end(), document.text.begin(), document.text.end());
    (valid ? data.valid_documents : data.train_documents).push_back(document.name);
  }
  data.sha256 = sha256_hex({data.train, data.valid});
  return data;
}

std::vector<std::uint8_t> read_all(const fs::path& file) {
  std::ifstream stream(file, std::ios::binary);
  if (!stream) throw Error(file.filename().string() + " cannot be read");
  return {std::istreambuf_iterator<char>(stream), {}};
}

// Reads the cache; throws what is wrong with it.
TextData read_cache(const fs::path& folder) {
  std::ifstream stream(folder / "manifest.json", std::ios::binary);
  const nlohmann::json manifest = nlohmann::json::parse(stream, nullptr, false);
  TextData data;
  data.name = "prose";
  try {
    data.sha256 = manifest.at("sha256").get<std::string>();
    data.train_documents = manifest.at("train_documents").get<std::vector<std::string>>();
    data.valid_documents = manifest.at("valid_documents").get<std::vector<std::string>>();
  } catch (const nlohmann::json::exception&) {
    throw Error("manifest.json cannot be read");
  }
  data.train = read_all(folder / "train.txt");
  data.valid = read_all(folder / "valid.txt");
  if (sha256_hex({data.train, data.valid}) != data.sha256) {
    throw Error("the checksum does not fit");
  }
  return data;
}

// The manifest last: a cache without one is an interrupted preparation.
void write_cache(const fs::path& folder, const TextData& data) {
  internal::make_folder(folder);
  fs::remove(folder / "manifest.json");
  internal::write_file_atomically(folder / "train.txt", as_text(data.train));
  internal::write_file_atomically(folder / "valid.txt", as_text(data.valid));
  const nlohmann::json manifest = {
      {"format", 1},
      {"sha256", data.sha256},
      {"train_bytes", data.train.size()},
      {"valid_bytes", data.valid.size()},
      {"train_documents", data.train_documents},
      {"valid_documents", data.valid_documents},
      {"sources", "Debian: bible-kjv-text, r-cran-janeaustenr; public domain"}};
  internal::write_file_atomically(folder / "manifest.json", manifest.dump(2) + "\n");
}

// One process prepares while others wait; the lock ends with the process that holds it.
class CacheLock {
 public:
  explicit CacheLock(const fs::path& file)
      : descriptor_(::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666)) {
    int locked = -1;
    if (descriptor_ >= 0) {
      do {
        locked = ::flock(descriptor_, LOCK_EX);
      } while (locked != 0 && errno == EINTR);
    }
    if (locked != 0) {
      const int error = errno;
      if (descriptor_ >= 0) ::close(descriptor_);
      throw std::system_error(error, std::generic_category(), "cannot write " + file.string());
    }
  }
  ~CacheLock() { ::close(descriptor_); }
  CacheLock(const CacheLock&) = delete;
  CacheLock& operator=(const CacheLock&) = delete;

 private:
  int descriptor_;
};

bool try_cache(const fs::path& folder, TextData& data, std::string& why) {
  std::error_code error;
  if (!fs::exists(folder / "manifest.json", error)) return false;
  try {
    data = read_cache(folder);
    return true;
  } catch (const Error& problem) {
    why = problem.what();
    return false;
  }
}

}  // namespace

TextData load_prose(const Note& note) {
  const auto say = [&](const std::string& line) {
    if (note) note(line);
  };
  const fs::path cache = cache_folder();
  const fs::path folder = cache / cache_name;
  TextData data;
  std::string damage;
  if (try_cache(folder, data, damage)) return data;
  bool prepared = false;
  const auto prepare_once = [&] {
    if (!damage.empty()) {
      say(fmt::format("the prepared text in {} is damaged ({}): preparing it again",
                      folder.string(), damage));
    } else {
      say("preparing the text, once: the King James Bible and six novels by Jane Austen");
    }
    data = prepare();
    prepared = true;
  };
  try {
    internal::make_folder(cache);
    const CacheLock lock(cache / (std::string(cache_name) + ".lock"));
    damage.clear();
    if (try_cache(folder, data, damage)) return data;  // another process was faster
    prepare_once();
    write_cache(folder, data);
  } catch (const std::system_error& error) {
    // A cache is a convenience: a full disk or a home that cannot be written must not stop a run.
    if (!prepared) prepare_once();
    say(fmt::format("the prepared text is not kept: {}", error.what()));
  }
  return data;
}

}  // namespace omninorm::lab
