#include "cli/table/byte_sink.h"

#include <unistd.h>
#define ZLIB_CONST  // what is read is const
#include <zlib.h>
#include <zstd.h>

#include <cerrno>
#include <limits>
#include <new>
#include <stdexcept>
#include <system_error>
#include <vector>

#include "cli/interrupt.h"
#include "src/core/atomic_file.h"

namespace omninorm::cli {
namespace {

constexpr std::size_t kChunk = std::size_t{1} << 18;

class FileSink final : public ByteSink {
 public:
  explicit FileSink(const std::string& path) : name_(path), file_(path) {}

  void write(std::string_view bytes) override {
    check_interrupt();
    file_.write(bytes);
  }
  bool can_rewrite() const override { return file_.can_rewrite(); }
  void rewrite_start(std::string_view bytes) override { file_.rewrite(0, bytes); }
  void finish() override {
    check_interrupt();
    file_.finish();
  }
  const std::string& name() const override { return name_; }

 private:
  std::string name_;
  internal::AtomicFile file_;
};

class StandardOutput final : public ByteSink {
 public:
  void write(std::string_view bytes) override {
    while (!bytes.empty()) {
      check_interrupt();
      const ssize_t count = ::write(STDOUT_FILENO, bytes.data(), bytes.size());
      if (count < 0 && errno != EINTR) {
        throw std::system_error(errno, std::generic_category(), "cannot write " + name_);
      }
      if (count > 0) bytes.remove_prefix(static_cast<std::size_t>(count));
    }
  }
  bool can_rewrite() const override { return false; }
  void rewrite_start(std::string_view) override { throw std::logic_error("a pipe runs one way"); }
  void finish() override {}
  const std::string& name() const override { return name_; }

 private:
  std::string name_ = "standard output";
};

// Over another sink.
class Packing : public ByteSink {
 public:
  explicit Packing(std::unique_ptr<ByteSink> file) : file_(std::move(file)), buffer_(kChunk) {}

  bool can_rewrite() const override { return false; }
  void rewrite_start(std::string_view) override {
    throw std::logic_error("what is compressed cannot be written over");
  }
  const std::string& name() const override { return file_->name(); }

 protected:
  std::unique_ptr<ByteSink> file_;
  std::vector<char> buffer_;
};

class Gzip final : public Packing {
 public:
  explicit Gzip(std::unique_ptr<ByteSink> file) : Packing(std::move(file)) {
    if (::deflateInit2(&stream_, Z_DEFAULT_COMPRESSION, Z_DEFLATED, 15 + 16, 8,
                       Z_DEFAULT_STRATEGY) != Z_OK) {
      throw std::bad_alloc();
    }
  }
  ~Gzip() override { ::deflateEnd(&stream_); }

  void write(std::string_view bytes) override {
    constexpr std::size_t most = std::numeric_limits<uInt>::max();
    for (; bytes.size() > most; bytes.remove_prefix(most)) pack(bytes.substr(0, most), Z_NO_FLUSH);
    pack(bytes, Z_NO_FLUSH);
  }
  void finish() override {
    pack({}, Z_FINISH);
    file_->finish();
  }

 private:
  void pack(std::string_view bytes, int flush) {
    stream_.next_in = reinterpret_cast<const Bytef*>(bytes.data());
    stream_.avail_in = static_cast<uInt>(bytes.size());
    do {
      stream_.next_out = reinterpret_cast<Bytef*>(buffer_.data());
      stream_.avail_out = static_cast<uInt>(buffer_.size());
      ::deflate(&stream_, flush);
      file_->write({buffer_.data(), buffer_.size() - stream_.avail_out});
    } while (stream_.avail_out == 0);
  }

  z_stream stream_{};
};

class Zstd final : public Packing {
 public:
  explicit Zstd(std::unique_ptr<ByteSink> file)
      : Packing(std::move(file)), stream_(::ZSTD_createCStream()) {
    if (stream_ == nullptr) throw std::bad_alloc();
    ::ZSTD_CCtx_setParameter(stream_, ZSTD_c_checksumFlag, 1);
  }
  ~Zstd() override { ::ZSTD_freeCStream(stream_); }

  void write(std::string_view bytes) override { pack(bytes, ZSTD_e_continue); }
  void finish() override {
    pack({}, ZSTD_e_end);
    file_->finish();
  }

 private:
  void pack(std::string_view bytes, ZSTD_EndDirective directive) {
    ZSTD_inBuffer in = {bytes.data(), bytes.size(), 0};
    for (;;) {
      ZSTD_outBuffer out = {buffer_.data(), buffer_.size(), 0};
      const std::size_t left = ::ZSTD_compressStream2(stream_, &out, &in, directive);
      if (::ZSTD_isError(left)) throw std::runtime_error(::ZSTD_getErrorName(left));
      file_->write({buffer_.data(), out.pos});
      if (directive == ZSTD_e_end ? left == 0 : in.pos == in.size) return;
    }
  }

  ZSTD_CStream* stream_;
};

}  // namespace

std::unique_ptr<ByteSink> create_bytes(const std::string& path) {
  if (path == "-") return std::make_unique<StandardOutput>();
  auto file = std::make_unique<FileSink>(path);
  if (name_ends_in(path, ".gz")) return std::make_unique<Gzip>(std::move(file));
  if (name_ends_in(path, ".zst")) return std::make_unique<Zstd>(std::move(file));
  return file;
}

}  // namespace omninorm::cli
