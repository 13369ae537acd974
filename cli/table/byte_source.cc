#include "cli/table/byte_source.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <vector>

#include "cli/interrupt.h"
#include "cli/program.h"

namespace omninorm::cli {
namespace {

constexpr std::size_t kChunk = std::size_t{1} << 18;

// read() and peek() on top of pull(), which gives some bytes, none at the end.
class Stream : public ByteSource {
 public:
  std::size_t read(std::span<char> to) final {
    const std::size_t ahead = std::min(ahead_.size() - taken_, to.size());
    std::copy_n(ahead_.data() + taken_, ahead, to.data());
    taken_ += ahead;
    std::size_t count = ahead;
    while (count < to.size()) {
      const std::size_t more = pull(to.subspan(count));
      if (more == 0) break;
      count += more;
    }
    given_ += static_cast<std::int64_t>(count);
    return count;
  }

  std::string_view peek(std::size_t count) final {
    ahead_.erase(0, taken_);
    taken_ = 0;
    while (ahead_.size() < count) {
      const std::size_t before = ahead_.size();
      ahead_.resize(count);
      const std::size_t more = pull({ahead_.data() + before, count - before});
      ahead_.resize(before + more);
      if (more == 0) break;
    }
    return std::string_view(ahead_).substr(0, count);
  }

 protected:
  virtual std::size_t pull(std::span<char> to) = 0;
  std::int64_t given() const { return given_; }

 private:
  std::string ahead_;
  std::size_t taken_ = 0;
  std::int64_t given_ = 0;
};

class File final : public Stream {
 public:
  explicit File(const std::string& path) : name_(path == "-" ? "standard input" : path) {
    descriptor_ = path == "-" ? ::dup(STDIN_FILENO) : ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (descriptor_ < 0) fail();
    struct stat status {};
    if (::fstat(descriptor_, &status) != 0 || !S_ISREG(status.st_mode)) return;
    start_ = ::lseek(descriptor_, 0, SEEK_CUR);
    if (start_ < 0) start_ = 0;
    size_ = std::max<std::int64_t>(0, status.st_size - start_);
    ::posix_fadvise(descriptor_, 0, 0, POSIX_FADV_SEQUENTIAL);
  }
  ~File() override {
    if (descriptor_ >= 0) ::close(descriptor_);
  }

  std::int64_t bytes_read() const override { return read_; }
  std::optional<std::int64_t> bytes() const override { return size_; }
  std::optional<Place> place() const override {
    if (!size_) return std::nullopt;
    return Place{descriptor_, start_ + given()};
  }
  const std::string& name() const override { return name_; }

 protected:
  std::size_t pull(std::span<char> to) override {
    for (;;) {
      check_interrupt();
      const ssize_t count = ::read(descriptor_, to.data(), to.size());
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) fail();
      read_ += count;
      return static_cast<std::size_t>(count);
    }
  }

 private:
  [[noreturn]] void fail() const {
    throw std::system_error(errno, std::generic_category(), "cannot read " + name_);
  }

  std::string name_;
  int descriptor_ = -1;
  std::int64_t start_ = 0, read_ = 0;
  std::optional<std::int64_t> size_;
};

// What is common to compressed streams: the file below, and a buffer of it.
class Packed : public Stream {
 public:
  explicit Packed(std::unique_ptr<ByteSource> file) : file_(std::move(file)), buffer_(kChunk) {}

  std::int64_t bytes_read() const override { return file_->bytes_read(); }
  std::optional<std::int64_t> bytes() const override { return file_->bytes(); }
  const std::string& name() const override { return file_->name(); }

 protected:
  std::span<char> refill() { return std::span(buffer_).first(file_->read(buffer_)); }

  [[noreturn]] void damaged(const char* what) const {
    throw UsageError(fmt::format("{}: {}", name(), what));
  }

 private:
  std::unique_ptr<ByteSource> file_;
  std::vector<char> buffer_;
};

class Gzip final : public Packed {
 public:
  explicit Gzip(std::unique_ptr<ByteSource> file) : Packed(std::move(file)) {
    if (::inflateInit2(&stream_, 15 + 16) != Z_OK) throw std::bad_alloc();
  }
  ~Gzip() override { ::inflateEnd(&stream_); }

 protected:
  std::size_t pull(std::span<char> to) override {
    stream_.next_out = reinterpret_cast<Bytef*>(to.data());
    stream_.avail_out = static_cast<uInt>(std::min<std::size_t>(to.size(), 1u << 30));
    const uInt wanted = stream_.avail_out;
    while (stream_.avail_out == wanted && wanted > 0) {
      if (stream_.avail_in == 0 && !more_input()) return 0;
      if (between_members_ && !next_member()) return 0;
      const int status = ::inflate(&stream_, Z_NO_FLUSH);
      if (status == Z_STREAM_END) {
        between_members_ = true;
      } else if (status == Z_MEM_ERROR) {
        throw std::bad_alloc();
      } else if (status != Z_OK && status != Z_BUF_ERROR) {
        damaged("the gzip data is damaged");
      }
    }
    return wanted - stream_.avail_out;
  }

 private:
  // false at the file's end, where it may be.
  bool more_input() {
    const std::span<char> bytes = refill();
    if (bytes.empty() && !between_members_) damaged("the gzip data is cut short");
    stream_.next_in = reinterpret_cast<Bytef*>(bytes.data());
    stream_.avail_in = static_cast<uInt>(bytes.size());
    return !bytes.empty();
  }

  // Parts that were packed one by one and put together, as pigz and bgzip do. false: only padding
  // was left in the buffer, which is then empty.
  bool next_member() {
    while (stream_.avail_in > 0 && *stream_.next_in == 0) {
      ++stream_.next_in;
      --stream_.avail_in;
    }
    if (stream_.avail_in == 0) return more_input() && next_member();
    if (*stream_.next_in != 0x1f) damaged("there are bytes behind the end of the gzip data");
    ::inflateReset(&stream_);
    between_members_ = false;
    return true;
  }

  z_stream stream_{};
  bool between_members_ = false;
};

class Zstd final : public Packed {
 public:
  explicit Zstd(std::unique_ptr<ByteSource> file)
      : Packed(std::move(file)), stream_(::ZSTD_createDStream()) {
    if (stream_ == nullptr) throw std::bad_alloc();
  }
  ~Zstd() override { ::ZSTD_freeDStream(stream_); }

 protected:
  std::size_t pull(std::span<char> to) override {
    ZSTD_outBuffer out = {to.data(), to.size(), 0};
    while (out.pos == 0 && out.size > 0) {
      if (in_.pos == in_.size && !full_) {
        const std::span<char> bytes = refill();
        if (bytes.empty()) {
          if (inside_) damaged("the zstd data is cut short");
          return 0;
        }
        in_ = {bytes.data(), bytes.size(), 0};
      }
      const std::size_t left = ::ZSTD_decompressStream(stream_, &out, &in_);
      if (::ZSTD_isError(left)) {
        throw UsageError(
            fmt::format("{}: the zstd data is damaged, or its window is over 128 MB: {}", name(),
                        ::ZSTD_getErrorName(left)));
      }
      inside_ = left != 0;
      full_ = inside_ && out.pos == out.size;
    }
    return out.pos;
  }

 private:
  ZSTD_DStream* stream_;
  ZSTD_inBuffer in_{};
  bool inside_ = false;  // a frame has begun and not ended
  bool full_ = false;    // the last call may have held back what did not fit
};

}  // namespace

std::unique_ptr<ByteSource> open_bytes(const std::string& path) {
  auto file = std::make_unique<File>(path);
  const std::string_view start = file->peek(4);
  const bool skippable = start.size() == 4 && (start[0] & 0xf0) == 0x50 &&
                         start.substr(1) == std::string_view("\x2a\x4d\x18");
  if (start.starts_with("\x1f\x8b")) return std::make_unique<Gzip>(std::move(file));
  if (start == std::string_view("\x28\xb5\x2f\xfd") || skippable) {
    return std::make_unique<Zstd>(std::move(file));
  }
  return file;
}

}  // namespace omninorm::cli
