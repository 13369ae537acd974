#include <arrow/io/file.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <parquet/arrow/reader.h>
#include <parquet/arrow/schema.h>
#include <parquet/file_reader.h>
#include <parquet/metadata.h>
#include <parquet/properties.h>
#include <parquet/size_statistics.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "cli/program.h"
#include "cli/table/arrow/source.h"
#include "cli/table/arrow/status.h"
#include "cli/table/table.h"

namespace omninorm::cli {
namespace {

class ParquetSource final : public RecordSource {
 public:
  explicit ParquetSource(ByteSource& source);

  std::shared_ptr<arrow::Schema> schema() const override { return schema_; }
  std::optional<std::int64_t> rows() const override { return rows_; }
  bool start(std::int64_t rows, const std::optional<std::vector<int>>& columns) override;
  std::shared_ptr<arrow::RecordBatch> next() override;
  bool validated() const override { return true; }  // Arrow built it from decoded values
  std::int64_t bytes_read() const override {
    return rows_ == 0 ? bytes_
                      : static_cast<std::int64_t>(double(bytes_) * double(read_) / double(rows_));
  }

 private:
  std::string name_;
  std::unique_ptr<parquet::arrow::FileReader> file_;
  std::shared_ptr<arrow::Schema> schema_;
  std::unique_ptr<arrow::RecordBatchReader> batches_;
  std::int64_t bytes_ = 0, rows_ = 0, read_ = 0;
};

// Pages are read and decoded as rows are asked for. Arrow's default reads a row group's columns
// whole, and ahead, which for a large row group is the whole file.
parquet::ReaderProperties page_by_page() {
  parquet::ReaderProperties properties;
  properties.enable_buffered_stream();
  properties.set_buffer_size(1 << 16);
  return properties;
}

ParquetSource::ParquetSource(ByteSource& source) : name_(source.name()) {
  const auto place = source.place();
  if (!place || place->offset != 0) {
    throw UsageError(
        fmt::format("{}: Parquet has its table of contents at the end: it is read from a plain "
                    "file, not from a "
                    "pipe or a compressed file",
                    name_));
  }
  bytes_ = source.bytes().value_or(0);
  if (bytes_ == 0) throw UsageError(fmt::format("{}: the file is empty", name_));
  const int descriptor = ::fcntl(place->descriptor, F_DUPFD_CLOEXEC, 0);
  if (descriptor < 0) throw std::system_error(errno, std::generic_category(), name_);
  auto input = check(arrow::io::ReadableFile::Open(descriptor), name_);

  parquet::arrow::FileReaderBuilder builder;
  check(builder.Open(std::move(input), page_by_page()), name_);
  parquet::ArrowReaderProperties properties(/*use_threads=*/true);
  properties.set_pre_buffer(false);
  builder.properties(properties);
  file_ = check(builder.Build(), name_);
  check(file_->GetSchema(&schema_), name_);
  rows_ = file_->parquet_reader()->metadata()->num_rows();
  if (rows_ < 0) throw UsageError(fmt::format("{}: it says that it has {} rows", name_, rows_));
}

// Arrow decodes all rows of a batch at once: with long strings they have to be fewer. A quarter of
// a batch, as only averages are known.
std::int64_t rows_of_text(const parquet::FileMetaData& file, std::int64_t most) {
  constexpr double limit = text_of_batch / 4.0;
  double rows = static_cast<double>(most), all = 0;
  for (int i = 0; i < file.num_row_groups(); ++i) {
    const auto group = file.RowGroup(i);
    double bytes = 0;
    for (int j = 0; j < group->num_columns(); ++j) {
      if (file.schema()->Column(j)->physical_type() != parquet::Type::BYTE_ARRAY) continue;
      const auto column = group->ColumnChunk(j);
      // What dictionaries shorten is known of files since 2024.
      const auto sizes = column->size_statistics();
      const auto encoded = static_cast<double>(column->total_uncompressed_size());
      const bool known = sizes != nullptr && sizes->unencoded_byte_array_data_bytes;
      bytes += known ? std::max(encoded, double(*sizes->unencoded_byte_array_data_bytes)) : encoded;
    }
    all += bytes;
    if (bytes <= limit) continue;
    rows = std::min(rows, limit / bytes * static_cast<double>(group->num_rows()));
  }
  if (all > limit) rows = std::min(rows, limit / all * double(file.num_rows()));
  return std::max<std::int64_t>(1, static_cast<std::int64_t>(rows));
}

bool ParquetSource::start(std::int64_t rows, const std::optional<std::vector<int>>& columns) {
  file_->set_batch_size(columns ? rows : rows_of_text(*file_->parquet_reader()->metadata(), rows));
  std::vector<int> leaves;
  for (const int column : columns.value_or(std::vector<int>{})) {
    const auto& field = file_->manifest().schema_fields.at(static_cast<std::size_t>(column));
    leaves.push_back(field.column_index);
  }
  std::vector<int> groups(static_cast<std::size_t>(file_->num_row_groups()));
  for (std::size_t i = 0; i < groups.size(); ++i) groups[i] = static_cast<int>(i);
  batches_ = check(
      columns ? file_->GetRecordBatchReader(groups, leaves) : file_->GetRecordBatchReader(groups),
      name_);
  return columns.has_value();
}

std::shared_ptr<arrow::RecordBatch> ParquetSource::next() {
  std::shared_ptr<arrow::RecordBatch> batch = check(batches_->Next(), name_);
  if (batch != nullptr) read_ += batch->num_rows();
  if (batch == nullptr && read_ != rows_) {
    throw UsageError(
        fmt::format("{}: it says that it has {} rows, and holds {}", name_, rows_, read_));
  }
  return batch;
}

}  // namespace

std::unique_ptr<RecordSource> open_parquet(ByteSource& source) {
  return std::make_unique<ParquetSource>(source);
}

}  // namespace omninorm::cli
