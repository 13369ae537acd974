// Replaces a file in one step: a reader sees the old content or the new, never a part.
#pragma once

#include <filesystem>
#include <string_view>

namespace omninorm::internal {

// Writes a new file beside `path`, syncs it to the disk and renames it over `path`. Throws
// std::system_error with the path and the reason ("No space left on device"); `path` then stays as
// it was and the new file is removed.
void write_file_atomically(const std::filesystem::path& path, std::string_view content);

// Makes a folder and those above it. Throws std::system_error with the path.
void make_folder(const std::filesystem::path& folder);

}  // namespace omninorm::internal
