#include "src/core/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <random>
#include <system_error>

namespace omninorm::internal {
namespace {

// The file that a write to `path` would change, which may not be there yet.
std::filesystem::path where_links_lead(std::filesystem::path path) {
  std::error_code error;
  for (int links = 0; links < 40 && std::filesystem::is_symlink(path, error); ++links) {
    const std::filesystem::path target = std::filesystem::read_symlink(path, error);
    if (error) break;
    path = path.parent_path() / target;  // an absolute target stands alone
  }
  return path;
}

// /dev/stdout, /dev/fd/N and /proc/self/fd/N name a descriptor, not the file behind it: a copy of
// it, which writes on where it stands, or -1 with errno. False: the path names none.
bool names_descriptor(std::filesystem::path path, int& copy) {
  std::error_code error;
  const std::filesystem::path open_ones = std::filesystem::canonical("/proc/self/fd", error);
  if (error) return false;
  for (int links = 0; links < 40; ++links) {
    const std::string word = path.filename();
    const bool number = !word.empty() && word.size() < 9 &&
                        word.find_first_not_of("0123456789") == std::string::npos;
    if (number && std::filesystem::canonical(path.parent_path(), error) == open_ones) {
      copy = ::fcntl(std::stoi(word), F_DUPFD_CLOEXEC, 0);
      return true;
    }
    if (!std::filesystem::is_symlink(path, error)) return false;
    const std::filesystem::path target = std::filesystem::read_symlink(path, error);
    if (error) return false;
    path = path.parent_path() / target;
  }
  return false;
}

// A file of its own beside `path`, in a name of its own, with what the umask leaves of `mode`; -1
// where none can be made.
int open_fresh(const std::filesystem::path& path, mode_t mode, std::string& name) {
  constexpr std::string_view letters = "0123456789abcdefghijklmnopqrstuvwxyz";
  std::random_device random;
  for (int tries = 0; tries < 100; ++tries) {
    name = path.string() + ".";
    for (int i = 0; i < 6; ++i) name += letters[random() % letters.size()];
    const int descriptor = ::open(name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (descriptor >= 0 || errno != EEXIST) return descriptor;
  }
  return -1;
}

// The name in the folder has to be on the disk too. A file system that cannot sync a folder keeps
// its own order.
void sync_folder(const std::filesystem::path& file) {
  const std::filesystem::path folder = file.has_parent_path() ? file.parent_path() : ".";
  const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return;
  ::fsync(descriptor);
  ::close(descriptor);
}

}  // namespace

AtomicFile::AtomicFile(const std::filesystem::path& path)
    : path_(path), target_(where_links_lead(path)) {
  if (names_descriptor(path_, descriptor_)) {
    if (descriptor_ < 0) fail(errno);
    return;
  }
  struct stat status {};
  const bool exists = ::stat(path_.c_str(), &status) == 0;
  if (exists && !S_ISREG(status.st_mode)) {
    descriptor_ = ::open(path_.c_str(), O_WRONLY | O_CLOEXEC);
    if (descriptor_ < 0) fail(errno);
    return;
  }
  descriptor_ = open_fresh(target_, exists ? status.st_mode & 0777 : 0666, fresh_);
  if (descriptor_ < 0) {
    const int error = errno;
    fresh_.clear();
    fail(error);
  }
  if (exists && ::fchmod(descriptor_, status.st_mode & 07777) != 0) {
    const int error = errno;
    close();
    fail(error);
  }
}

AtomicFile::~AtomicFile() { close(); }

void AtomicFile::close() {
  if (descriptor_ < 0) return;
  ::close(descriptor_);
  descriptor_ = -1;
  if (!fresh_.empty()) ::unlink(fresh_.c_str());
}

void AtomicFile::fail(int error) const {
  throw std::system_error(error, std::generic_category(), "cannot write " + path_.string());
}

void AtomicFile::write(std::string_view content) {
  while (!content.empty()) {
    const ssize_t count = ::write(descriptor_, content.data(), content.size());
    if (count < 0 && errno != EINTR) fail(errno);
    if (count > 0) content.remove_prefix(static_cast<std::size_t>(count));
  }
}

void AtomicFile::rewrite(std::int64_t offset, std::string_view content) {
  while (!content.empty()) {
    const ssize_t count = ::pwrite(descriptor_, content.data(), content.size(), offset);
    if (count < 0 && errno != EINTR) fail(errno);
    if (count > 0) {
      content.remove_prefix(static_cast<std::size_t>(count));
      offset += count;
    }
  }
}

void AtomicFile::finish() {
  if (::fsync(descriptor_) != 0 && errno != EINVAL) fail(errno);  // EINVAL: a pipe or the like
  const int descriptor = descriptor_;
  descriptor_ = -1;
  int error = ::close(descriptor) == 0 ? 0 : errno;
  if (fresh_.empty()) {
    if (error != 0) fail(error);
    return;
  }
  if (error == 0 && ::rename(fresh_.c_str(), target_.c_str()) != 0) error = errno;
  if (error != 0) {
    ::unlink(fresh_.c_str());
    fail(error);
  }
  sync_folder(target_);
}

void write_file_atomically(const std::filesystem::path& path, std::string_view content) {
  AtomicFile file(path);
  file.write(content);
  file.finish();
}

void make_folder(const std::filesystem::path& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (!error && !std::filesystem::is_directory(folder, error) && !error) {
    error = std::make_error_code(std::errc::not_a_directory);
  }
  if (error) throw std::system_error(error, "cannot make the folder " + folder.string());
}

}  // namespace omninorm::internal
