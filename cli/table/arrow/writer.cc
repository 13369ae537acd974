#include <arrow/ipc/writer.h>
#include <arrow/util/byte_size.h>
#include <arrow/util/compression.h>
#include <fmt/format.h>
#include <parquet/arrow/writer.h>
#include <parquet/properties.h>

#include <algorithm>
#include <utility>

#include "cli/program.h"
#include "cli/table/arrow/arrow_tables.h"
#include "cli/table/arrow/columns.h"
#include "cli/table/arrow/status.h"
#include "cli/table/arrow/streams.h"

namespace omninorm::cli {
namespace {

// Where record batches go.
class RecordSink {
 public:
  virtual ~RecordSink() = default;
  virtual arrow::Status write(const arrow::RecordBatch& rows) = 0;
  virtual arrow::Status close() = 0;
};

class ParquetSink final : public RecordSink {
 public:
  ParquetSink(const std::shared_ptr<arrow::Schema>& schema,
              const std::shared_ptr<SinkStream>& stream, const std::string& name) {
    parquet::WriterProperties::Builder properties;
    // A column's dictionary has a hash table of some ten times its size. Small ones serve columns
    // of few values; those of real numbers have no use for any.
    constexpr std::int64_t dictionaries = 4 << 20;
    properties.dictionary_pagesize_limit(std::clamp<std::int64_t>(
        dictionaries / std::max(1, schema->num_fields()), 1 << 12, 1 << 18));
    if (arrow::util::Codec::IsAvailable(arrow::Compression::SNAPPY)) {
      properties.compression(arrow::Compression::SNAPPY);
    }
    parquet::ArrowWriterProperties::Builder arrow_properties;
    arrow_properties.store_schema();  // for types that Parquet has not: they read back the same
    arrow_properties.set_use_threads(true);
    file_ = check(parquet::arrow::FileWriter::Open(*schema, arrow::default_memory_pool(), stream,
                                                   properties.build(), arrow_properties.build()),
                  name);
  }

  // A row group is in memory until it is whole: it ends by its size, as well as by its rows.
  arrow::Status write(const arrow::RecordBatch& rows) override {
    constexpr std::int64_t largest = std::int64_t{64} << 20;
    if (group_bytes_ >= largest) {
      ARROW_RETURN_NOT_OK(file_->NewBufferedRowGroup());
      group_bytes_ = 0;
    }
    ARROW_ASSIGN_OR_RAISE(const std::int64_t bytes, arrow::util::ReferencedBufferSize(rows));
    group_bytes_ += bytes;
    return file_->WriteRecordBatch(rows);
  }
  arrow::Status close() override { return file_->Close(); }

 private:
  std::unique_ptr<parquet::arrow::FileWriter> file_;
  std::int64_t group_bytes_ = 0;
};

class IpcSink final : public RecordSink {
 public:
  IpcSink(const std::shared_ptr<arrow::Schema>& schema, const std::shared_ptr<SinkStream>& stream,
          bool is_file, bool compressed, const std::string& name) {
    auto options = arrow::ipc::IpcWriteOptions::Defaults();
    if (compressed && arrow::util::Codec::IsAvailable(arrow::Compression::LZ4_FRAME)) {
      options.codec = check(arrow::util::Codec::Create(arrow::Compression::LZ4_FRAME), name);
    }
    writer_ = check(is_file ? arrow::ipc::MakeFileWriter(stream, schema, options)
                            : arrow::ipc::MakeStreamWriter(stream, schema, options),
                    name);
  }
  arrow::Status write(const arrow::RecordBatch& rows) override {
    return writer_->WriteRecordBatch(rows);
  }
  arrow::Status close() override { return writer_->Close(); }

 private:
  std::shared_ptr<arrow::ipc::RecordBatchWriter> writer_;
};

class ArrowWriter final : public TableWriter {
 public:
  ArrowWriter(std::unique_ptr<ByteSink> sink, const Schema& schema, const std::string& format)
      : sink_(std::move(sink)),
        name_(sink_->name()),
        stream_(std::make_shared<SinkStream>(*sink_)),
        // A pipe's reader wants rows as they come; the file format is for those that seek.
        is_file_(format != "arrow" || sink_->can_rewrite()),
        rows_(schema, format == "parquet" || !is_file_, name_) {
    if (format == "parquet") {
      records_ = std::make_unique<ParquetSink>(rows_.schema(), stream_, name_);
    } else {
      records_ =
          std::make_unique<IpcSink>(rows_.schema(), stream_, is_file_, format == "feather", name_);
    }
  }

  void write(const Batch& batch) override {
    for (const auto& rows : rows_.of(batch)) done(records_->write(*rows));
  }
  void finish() override {
    done(records_->close());
    sink_->finish();
  }

 private:
  void done(const arrow::Status& status) {
    if (status.ok()) return;
    stream_->rethrow();
    throw_status(status, name_);
  }

  std::unique_ptr<ByteSink> sink_;
  std::string name_;
  std::shared_ptr<SinkStream> stream_;
  bool is_file_;
  ArrowRows rows_;
  std::unique_ptr<RecordSink> records_;
};

}  // namespace

std::unique_ptr<TableWriter> write_arrow_table(std::unique_ptr<ByteSink> sink, const Schema& schema,
                                               const std::string& format) {
  const std::string& name = sink->name();
  if (name_ends_in(name, ".gz") || name_ends_in(name, ".zst")) {
    throw UsageError(fmt::format("{}: {} files are compressed inside, and not again as a whole",
                                 name, format == "parquet" ? "Parquet" : "Arrow"));
  }
  return std::make_unique<ArrowWriter>(std::move(sink), schema, format);
}

}  // namespace omninorm::cli
