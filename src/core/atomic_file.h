// Replaces a file in one step: a reader sees the old content or the new, never a part.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace omninorm::internal {

// A file that is written beside `path` and takes its place in finish(), synced to the disk; until
// then, and if finish() is never called, `path` stays as it was. A link is followed, and what is
// replaced keeps its permissions. What is there but no regular file (a device, a pipe), and the
// descriptors that /dev/stdout and /dev/fd/N name, are written to directly. Every call throws
// std::system_error with the path and the reason ("No space left on device").
class AtomicFile {
 public:
  explicit AtomicFile(const std::filesystem::path& path);
  ~AtomicFile();  // removes what was not finished
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(std::string_view content);

  // Over bytes that were written, at this offset. Not for a device or a pipe.
  void rewrite(std::int64_t offset, std::string_view content);
  bool can_rewrite() const { return !fresh_.empty(); }

  void finish();

 private:
  [[noreturn]] void fail(int error) const;
  void close();

  std::filesystem::path path_, target_;  // as given, and where links lead
  std::string fresh_;                    // empty: written to directly
  int descriptor_ = -1;
};

// One call for content that is there already.
void write_file_atomically(const std::filesystem::path& path, std::string_view content);

// Makes a folder and those above it. Throws std::system_error with the path.
void make_folder(const std::filesystem::path& folder);

}  // namespace omninorm::internal
