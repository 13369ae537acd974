#include <algorithm>
#include <utility>

#include "cli/table/arrow/arrow_tables.h"
#include "cli/table/arrow/columns.h"
#include "cli/table/arrow/source.h"
#include "cli/table/arrow/status.h"

namespace omninorm::cli {
namespace {

class ArrowReader final : public TableReader {
 public:
  ArrowReader(std::unique_ptr<ByteSource> bytes, const ReadOptions& options,
              const std::string& format)
      : options_(options),
        format_(format),
        bytes_(std::move(bytes)),
        source_(format == "parquet" ? open_parquet(*bytes_) : open_ipc(*bytes_)),
        columns_(source_->schema(), options.others, source_->one_dictionary(), bytes_->name()) {
    describe();
  }

  const Schema& schema() const override { return columns_.schema(); }
  void select(const std::vector<std::size_t>& numbers) override {
    columns_.select(numbers);
    describe();
  }
  bool next(Batch& batch) override;
  std::int64_t bytes_read() const override { return source_->bytes_read(); }
  std::optional<std::int64_t> bytes() const override { return bytes_->bytes(); }

 private:
  void describe() {
    columns_.schema().format = format_;
    columns_.schema().rows = source_->rows();
  }
  bool more();
  std::shared_ptr<arrow::RecordBatch> next_piece(std::int64_t rows, std::int64_t text);

  ReadOptions options_;
  std::string format_;
  std::unique_ptr<ByteSource> bytes_;
  std::unique_ptr<RecordSource> source_;
  ArrowColumns columns_;
  std::int64_t batch_rows_ = 0;  // 0: nothing was read yet
  std::int64_t rows_read_ = 0;
  std::shared_ptr<arrow::RecordBatch> current_;
  std::int64_t used_ = 0;  // rows of current_ that batches have
};

// Has current_ hold a row that is not used; false at the end.
bool ArrowReader::more() {
  while (current_ == nullptr || used_ == current_->num_rows()) {
    current_ = source_->next();
    used_ = 0;
    if (current_ == nullptr) return false;
  }
  return true;
}

// At most so many rows, and, but for a single row, bytes of text.
std::shared_ptr<arrow::RecordBatch> ArrowReader::next_piece(std::int64_t rows, std::int64_t text) {
  std::int64_t count = std::min(rows, current_->num_rows() - used_);
  auto piece = current_->Slice(used_, count);
  // Without a look at the text itself, of which there may be gigabytes.
  if (!source_->validated()) check(piece->Validate(), bytes_->name());
  while (count > 1 && columns_.text_bytes(*piece) > text) {
    count /= 2;
    piece = current_->Slice(used_, count);
    if (!source_->validated()) check(piece->Validate(), bytes_->name());
  }
  if (!source_->validated()) check(piece->ValidateFull(), bytes_->name());
  used_ += count;
  return piece;
}

bool ArrowReader::next(Batch& batch) {
  if (batch_rows_ == 0) {
    batch_rows_ = rows_of_batch(options_, columns_.schema().fields.size());
    columns_.read_needed(source_->start(batch_rows_, columns_.needed()));
  }
  source_->release();
  std::size_t numbers = 0;
  for (const Field& field : schema().fields) numbers += field.number ? 1 : 0;
  batch.first_row = rows_read_;
  batch.rows = 0;
  batch.stride = batch_rows_;
  batch.numbers.resize(numbers * static_cast<std::size_t>(batch_rows_));
  batch.others.clear();
  batch.lines.clear();
  Pieces pieces;
  std::int64_t text = 0;
  while (batch.rows < batch_rows_ && text < text_of_batch && more()) {
    const std::shared_ptr<arrow::RecordBatch> piece =
        next_piece(batch_rows_ - batch.rows, text_of_batch - text);
    text += columns_.text_bytes(*piece);
    columns_.fill(*piece, batch.rows, batch);
    pieces.push_back(piece);
    batch.rows += piece->num_rows();
  }
  rows_read_ += batch.rows;
  batch.own_form = columns_.own_form(std::move(pieces));
  return batch.rows > 0;
}

}  // namespace

std::unique_ptr<TableReader> read_arrow_table(std::unique_ptr<ByteSource> source,
                                              const ReadOptions& options,
                                              const std::string& format) {
  return std::make_unique<ArrowReader>(std::move(source), options, format);
}

}  // namespace omninorm::cli
