#include <algorithm>
#include <utility>

#include "cli/table/cells.h"
#include "cli/table/csv.h"

namespace omninorm::cli {
namespace {

constexpr std::size_t kChunk = std::size_t{1} << 18;

class CsvWriter final : public TableWriter {
 public:
  CsvWriter(std::unique_ptr<ByteSink> sink, const Schema& schema, const ReadOptions& options)
      : sink_(std::move(sink)),
        fields_(schema.fields),
        delimiter_(options.delimiter),
        to_quote_{options.delimiter, '"', '\r', '\n'} {
    if (!schema.named || !options.header) return;
    for (std::size_t j = 0; j < fields_.size(); ++j) {
      if (j > 0) text_ += delimiter_;
      append_text(fields_[j].name);
    }
    if (text_.empty()) text_ = "\"\"";
    text_ += '\n';
  }

  void write(const Batch& batch) override;
  void finish() override {
    sink_->write(text_);
    sink_->finish();
  }

 private:
  void append_text(std::string_view cell);

  std::unique_ptr<ByteSink> sink_;
  std::vector<Field> fields_;
  char delimiter_;
  std::string to_quote_;
  std::string text_;
};

void CsvWriter::write(const Batch& batch) {
  std::vector<std::vector<std::string>> made;
  if (batch.own_form) made = batch.own_form->text();
  const auto& others = batch.own_form ? made : batch.others;
  for (std::int64_t row = 0; row < batch.rows; ++row) {
    std::size_t number = 0, other = 0;
    const std::size_t start = text_.size();
    for (std::size_t j = 0; j < fields_.size(); ++j) {
      if (j > 0) text_ += delimiter_;
      if (fields_[j].number) {
        const auto at = static_cast<std::int64_t>(number++) * batch.stride + row;
        append_number(text_, batch.numbers[static_cast<std::size_t>(at)], fields_[j].dtype);
      } else {
        append_text(others[other++][static_cast<std::size_t>(row)]);
      }
    }
    if (text_.size() == start) text_ += "\"\"";  // an empty line would be no row
    text_ += '\n';
    if (text_.size() >= kChunk) {
      sink_->write(text_);
      text_.clear();
    }
  }
}

void CsvWriter::append_text(std::string_view cell) {
  // What a reader takes for a byte order mark is not one inside quotes.
  const bool mark = cell.starts_with("\xef\xbb\xbf") || cell.starts_with("\xff\xfe") ||
                    cell.starts_with("\xfe\xff");
  if (!mark && cell.find_first_of(to_quote_) == std::string_view::npos) {
    text_ += cell;
    return;
  }
  text_ += '"';
  for (const char c : cell) {
    if (c == '"') text_ += '"';
    text_ += c;
  }
  text_ += '"';
}

}  // namespace

std::unique_ptr<TableWriter> create_csv(std::unique_ptr<ByteSink> sink, const Schema& schema,
                                        const ReadOptions& options) {
  return std::make_unique<CsvWriter>(std::move(sink), schema, options);
}

}  // namespace omninorm::cli
