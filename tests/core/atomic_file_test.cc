#include "src/core/atomic_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <string>
#include <system_error>
#include <thread>

#include "tests/lab/temp_folder.h"

namespace omninorm::internal {
namespace {

using omninorm::testing::read_text;
using omninorm::testing::TempFolder;

std::size_t files(const TempFolder& folder) {
  std::size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
    count += entry.exists() ? 1 : 0;
  }
  return count;
}

TEST(AtomicFile, AppearsWhenItIsFinished) {
  const TempFolder folder;
  const auto path = folder.write("file", "old");
  {
    AtomicFile file(path);
    file.write("new ");
    file.write("content");
    EXPECT_EQ(read_text(path), "old");
    file.rewrite(0, "NEW");
    file.finish();
    EXPECT_EQ(read_text(path), "NEW content");
  }
  EXPECT_EQ(read_text(path), "NEW content");
  EXPECT_EQ(files(folder), 1u);
}

TEST(AtomicFile, WithoutFinishNothingHappened) {
  const TempFolder folder;
  const auto path = folder.write("file", "old");
  { AtomicFile(path).write("new"); }
  EXPECT_EQ(read_text(path), "old");
  { AtomicFile(folder.path() / "other").write("new"); }
  EXPECT_EQ(files(folder), 1u);
}

TEST(AtomicFile, KeepsPermissionsAndLinks) {
  const TempFolder folder;
  const auto path = folder.write("file", "old");
  ::chmod(path.c_str(), 0600);
  const auto link = folder.path() / "link";
  std::filesystem::create_symlink("file", link);
  write_file_atomically(link, "new");
  EXPECT_TRUE(std::filesystem::is_symlink(link));
  EXPECT_EQ(read_text(path), "new");
  struct stat status {};
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
  // A link to what is not there yet.
  std::filesystem::create_symlink("later", folder.path() / "dangling");
  write_file_atomically(folder.path() / "dangling", "late");
  EXPECT_EQ(read_text(folder.path() / "later"), "late");
}

TEST(AtomicFile, NewFilesAreForThoseWhomTheUmaskLetsIn) {
  const TempFolder folder;
  const mode_t before = ::umask(0027);
  write_file_atomically(folder.path() / "file", "new");
  ::umask(before);
  struct stat status {};
  ASSERT_EQ(::stat((folder.path() / "file").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0640u);
}

// The umask is the process's: one thread that clears it, even for a moment, opens what another
// makes.
TEST(AtomicFile, OtherThreadsKeepTheirUmask) {
  const TempFolder folder;
  const mode_t before = ::umask(0077);
  std::atomic<bool> done = false;
  std::thread writer([&] {
    for (int i = 0; i < 2000; ++i) AtomicFile(folder.path() / "file").write("new");
    done = true;
  });
  int open_to_all = 0;
  while (!done) {
    const auto path = folder.path() / "other";
    ::close(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL, 0666));
    struct stat status {};
    ::stat(path.c_str(), &status);
    ::unlink(path.c_str());
    open_to_all += (status.st_mode & 0077) != 0 ? 1 : 0;
  }
  writer.join();
  ::umask(before);
  EXPECT_EQ(open_to_all, 0);
}

TEST(AtomicFile, WritesToDevicesAsTheyAre) {
  write_file_atomically("/dev/null", "nothing");
  struct stat status {};
  ASSERT_EQ(::stat("/dev/null", &status), 0);
  EXPECT_TRUE(S_ISCHR(status.st_mode));
  try {
    write_file_atomically("/dev/full", "something");
    ADD_FAILURE() << "nothing was thrown";
  } catch (const std::system_error& error) {
    EXPECT_EQ(error.code().value(), ENOSPC);
    EXPECT_EQ(std::string(error.what()).find("cannot write /dev/full"), 0u) << error.what();
  }
}

}  // namespace
}  // namespace omninorm::internal
