#include <arrow/buffer.h>
#include <arrow/io/memory.h>
#include <arrow/ipc/reader.h>
#include <fmt/format.h>
#include <sys/mman.h>

#include <array>
#include <cerrno>
#include <string_view>
#include <system_error>

#include "cli/program.h"
#include "cli/table/arrow/source.h"
#include "cli/table/arrow/status.h"
#include "cli/table/arrow/streams.h"

namespace omninorm::cli {
namespace {

constexpr std::string_view magic = "ARROW1";

arrow::ipc::IpcReadOptions read_options() {
  auto options = arrow::ipc::IpcReadOptions::Defaults();
  options.ensure_alignment = arrow::ipc::Alignment::kDataTypeSpecificAlignment;
  return options;
}

// A file in memory, to read. A record batch may be as large as the file (it is where a whole table
// is written at once), and is then read without a copy.
class Mapping final : public arrow::Buffer {
 public:
  Mapping(const ByteSource::Place& place, std::int64_t bytes, const std::string& name)
      : arrow::Buffer(map(place.descriptor, bytes, name), bytes) {}
  ~Mapping() override { ::munmap(start(), length()); }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;

  // Pages that were read leave this process; they come back from the file where they are needed.
  void release() const { ::madvise(start(), length(), MADV_DONTNEED); }

 private:
  static const std::uint8_t* map(int descriptor, std::int64_t bytes, const std::string& name) {
    void* const start =
        ::mmap(nullptr, static_cast<std::size_t>(bytes), PROT_READ, MAP_SHARED, descriptor, 0);
    if (start == MAP_FAILED) throw std::system_error(errno, std::generic_category(), name);
    return static_cast<const std::uint8_t*>(start);
  }
  void* start() const { return const_cast<std::uint8_t*>(data()); }
  std::size_t length() const { return static_cast<std::size_t>(size()); }
};

class IpcFile final : public RecordSource {
 public:
  IpcFile(ByteSource& source, std::int64_t bytes)
      : name_(source.name()),
        bytes_(bytes),
        mapping_(std::make_shared<Mapping>(*source.place(), bytes, name_)) {
    const auto input = std::make_shared<arrow::io::BufferReader>(mapping_);
    file_ = check(arrow::ipc::RecordBatchFileReader::Open(input, read_options()), name_);
    rows_ = check(file_->CountRows(), name_);
  }

  std::shared_ptr<arrow::Schema> schema() const override { return file_->schema(); }
  std::optional<std::int64_t> rows() const override { return rows_; }
  bool one_dictionary() const override { return true; }
  std::shared_ptr<arrow::RecordBatch> next() override {
    if (next_ == file_->num_record_batches()) return nullptr;
    return check(file_->ReadRecordBatch(next_++), name_);
  }
  bool validated() const override { return false; }
  void release() override { mapping_->release(); }
  std::int64_t bytes_read() const override {
    const int batches = file_->num_record_batches();
    return batches == 0 ? bytes_ : bytes_ / batches * next_;
  }

 private:
  std::string name_;
  std::int64_t bytes_;
  std::shared_ptr<Mapping> mapping_;
  std::shared_ptr<arrow::ipc::RecordBatchFileReader> file_;
  std::int64_t rows_ = 0;
  int next_ = 0;
};

// The stream format, which a file in the file format is too, but for its magic in front and the
// table of contents behind.
class IpcStream final : public RecordSource {
 public:
  explicit IpcStream(ByteSource& source) : source_(source), stream_(source) {
    if (source.peek(magic.size()) == magic) {
      std::array<char, 8> skipped;
      source.read(skipped);
      is_file_ = true;
    }
    reader_ = checked(arrow::ipc::RecordBatchStreamReader::Open(&stream_, read_options()));
  }

  std::shared_ptr<arrow::Schema> schema() const override { return reader_->schema(); }
  std::shared_ptr<arrow::RecordBatch> next() override {
    std::shared_ptr<arrow::RecordBatch> batch = checked(reader_->Next());
    if (batch == nullptr && is_file_) check_end();
    return batch;
  }
  bool validated() const override { return false; }
  std::int64_t bytes_read() const override { return source_.bytes_read(); }

 private:
  template <class T>
  T checked(arrow::Result<T> result) {
    if (!result.ok()) stream_.rethrow();
    return check(std::move(result), source_.name());
  }

  void check_end() {
    std::string last;
    std::array<char, 4096> part;
    while (const std::size_t count = source_.read(part)) {
      last.append(part.data(), count);
      if (last.size() > magic.size()) last.erase(0, last.size() - magic.size());
    }
    if (last != magic) {
      throw UsageError(
          fmt::format("{}: the file is cut short: its end is missing", source_.name()));
    }
    is_file_ = false;
  }

  ByteSource& source_;
  SourceStream stream_;
  std::shared_ptr<arrow::ipc::RecordBatchStreamReader> reader_;
  bool is_file_ = false;
};

}  // namespace

std::unique_ptr<RecordSource> open_ipc(ByteSource& source) {
  const std::string_view start = source.peek(8);
  if (start.empty()) throw UsageError(fmt::format("{}: the file is empty", source.name()));
  if (start.starts_with("FEA1")) {
    throw UsageError(fmt::format(
        "{}: this is version 1 of Feather, of before 2020; pyarrow.feather.read_table() reads it "
        "and write_feather() writes version 2",
        source.name()));
  }
  const auto place = source.place();
  if (start.starts_with(magic) && place && place->offset == 0 && source.bytes()) {
    return std::make_unique<IpcFile>(source, *source.bytes());
  }
  // A stream begins with the length of a message, in versions since 2019 behind a mark of four
  // bytes.
  if (!start.starts_with(magic) && !start.starts_with("\xff\xff\xff\xff")) {
    throw UsageError(fmt::format("{}: this is no Arrow file, and no Arrow stream", source.name()));
  }
  return std::make_unique<IpcStream>(source);
}

}  // namespace omninorm::cli
