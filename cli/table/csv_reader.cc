// libcsv cuts the text into cells; what they mean is decided here.
#include <csv.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <exception>
#include <span>
#include <utility>

#include "cli/program.h"
#include "cli/table/cells.h"
#include "cli/table/csv.h"

namespace omninorm::cli {
namespace {

constexpr std::size_t kChunk = std::size_t{1} << 18;
constexpr std::size_t kLongestCell = std::size_t{1} << 26;

constexpr const char* kNumberAdvice =
    "; --text passes a column through as it is, --na makes a word a missing number";

// Without it libcsv would take a file with an open quote into memory whole.
void* grow(void* memory, std::size_t size) {
  return size > kLongestCell ? nullptr : std::realloc(memory, size);
}

int never(unsigned char) { return 0; }

std::string counted(std::size_t cells) {
  return fmt::format("{} cell{}", cells, cells == 1 ? "" : "s");
}

class CsvReader final : public TableReader {
 public:
  CsvReader(std::unique_ptr<ByteSource> source, const ReadOptions& options)
      : source_(std::move(source)), options_(options), chunk_(kChunk) {
    // Strict: a quote that is out of place is an error, not a cell that swallows the rest.
    if (::csv_init(&parser_, CSV_STRICT | CSV_STRICT_FINI | CSV_REPALL_NL) != 0) {
      throw std::bad_alloc();
    }
    ::csv_set_delim(&parser_, static_cast<unsigned char>(options.delimiter));
    ::csv_set_space_func(&parser_, never);  // spaces are part of a cell
    ::csv_set_realloc_func(&parser_, grow);
    ::csv_set_blk_size(&parser_, 4096);
    try {
      skip_byte_order_mark();
      while (ready_.empty() && !ended_) feed();
      if (!has_columns_) {
        throw UsageError(fmt::format("{}: expected {}, got an empty file", source_->name(),
                                     options_.header ? "a line of column names" : "rows"));
      }
      propose();
    } catch (...) {
      ::csv_free(&parser_);
      throw;
    }
  }
  ~CsvReader() override { ::csv_free(&parser_); }

  const Schema& schema() const override { return schema_; }
  void select(const std::vector<std::size_t>& numbers) override;
  bool next(Batch& batch) override;
  std::int64_t bytes_read() const override { return source_->bytes_read(); }
  std::optional<std::int64_t> bytes() const override { return source_->bytes(); }

 private:
  enum class Use : std::uint8_t { number, other, none };
  struct Column {
    Use use = Use::other;
    std::size_t index = 0;  // among those of its use
  };

  // libcsv is C: nothing may be thrown through it. What goes wrong in a callback waits here.
  template <class Function>
  void guarded(const Function& function) noexcept {
    if (error_) return;
    try {
      function();
    } catch (...) {
      error_ = std::current_exception();
    }
  }
  static void on_cell(void* bytes, std::size_t count, void* self) {
    auto* const reader = static_cast<CsvReader*>(self);
    reader->guarded([&] { reader->take_cell({static_cast<const char*>(bytes), count}); });
  }
  static void on_row(int end, void* self) {
    auto* const reader = static_cast<CsvReader*>(self);
    reader->guarded([&] { reader->end_row(end); });
  }

  void skip_byte_order_mark();
  void feed();
  void take_cell(std::string_view cell);
  void end_row(int end);
  void add_row(std::size_t cells);
  void take_first();
  void take_number(std::size_t column, std::string_view cell, Batch& batch, std::int64_t row,
                   std::int64_t line, double& value) const;
  void begin_batch();
  void end_batch();
  void propose();
  void convert(Batch& batch, std::size_t begun) const;
  std::string place(std::int64_t row, std::int64_t line) const;
  std::string here() const;

  std::unique_ptr<ByteSource> source_;
  ReadOptions options_;
  std::vector<char> chunk_;
  csv_parser parser_{};
  std::exception_ptr error_;
  bool ended_ = false;

  Schema schema_;
  std::vector<Column> columns_;
  bool has_columns_ = false;
  bool selected_ = false;  // until then every cell of a batch is text
  std::int64_t batch_rows_ = 0;
  std::size_t numbers_ = 0, others_ = 0;

  std::vector<std::string> first_record_;  // the names, or the first row of a file without
  std::size_t cell_ = 0;                   // of the row that is being read
  std::int64_t line_ = 1, row_line_ = 1;   // here, and where the row begins
  int last_end_ = 0;                       // what ended the last row, if nothing came behind it
  std::int64_t text_ = 0;                  // bytes of text in the batch
  Batch batch_;                            // being filled
  std::int64_t rows_ = 0;                  // of whole batches
  std::deque<Batch> ready_, spare_;
};

void CsvReader::skip_byte_order_mark() {
  const std::string_view start = source_->peek(3);
  if (start == "\xef\xbb\xbf") {
    char mark[3];
    source_->read(mark);
  } else if (start.starts_with("\xff\xfe") || start.starts_with("\xfe\xff")) {
    throw UsageError(fmt::format(
        "{}: expected UTF-8, got UTF-16; iconv -f UTF-16 -t UTF-8 converts it", source_->name()));
  }
}

void CsvReader::feed() {
  const std::size_t count = source_->read(chunk_);
  if (count > 0) {
    const std::size_t taken = ::csv_parse(&parser_, chunk_.data(), count, on_cell, on_row, this);
    if (error_) std::rethrow_exception(error_);
    if (taken == count) return;
    if (::csv_error(&parser_) == CSV_EPARSE) {
      throw UsageError(
          fmt::format("{}: a quote in cell {} is neither around the whole cell nor doubled", here(),
                      cell_ + 1));
    }
  } else {
    const int failed = ::csv_fini(&parser_, on_cell, on_row, this);
    if (error_) std::rethrow_exception(error_);
    if (failed == 0) {
      ended_ = true;
      if (batch_.rows > 0) end_batch();
      return;
    }
    if (::csv_error(&parser_) == CSV_EPARSE) {
      throw UsageError(
          fmt::format("{}: the quote that opens in cell {} is never closed", here(), cell_ + 1));
    }
  }
  throw UsageError(fmt::format("{}: cell {} has over {} MB; is a quote not closed?", here(),
                               cell_ + 1, kLongestCell >> 20));
}

// Rows count from 1, without the one of names.
std::string CsvReader::place(std::int64_t row, std::int64_t line) const {
  return fmt::format("{} row {} (line {})", source_->name(), row + 1, line);
}

// The row that is being read.
std::string CsvReader::here() const {
  const std::int64_t line = cell_ == 0 ? line_ : row_line_;
  if (!has_columns_) return fmt::format("{} line {}", source_->name(), line);
  return place(batch_.first_row + batch_.rows, line);
}

void CsvReader::take_cell(std::string_view cell) {
  last_end_ = 0;
  if (cell_ == 0) row_line_ = line_;
  const std::size_t column = cell_++;
  if (!has_columns_) {
    line_ += std::ranges::count(cell, '\n');
    first_record_.emplace_back(cell);
    return;
  }
  if (column >= columns_.size()) {
    if (column > columns_.size()) return;
    throw UsageError(fmt::format(
        "{}: expected {}, as in the first line, got more: {} is beyond "
        "column {}",
        here(), counted(columns_.size()), shown(cell), shown(schema_.fields.back().name)));
  }
  const Column& use = columns_[column];
  if (use.use == Use::number) {
    const auto row = static_cast<std::size_t>(batch_.rows);
    take_number(column, cell, batch_, batch_.rows, row_line_,
                batch_.numbers[use.index * static_cast<std::size_t>(batch_.stride) + row]);
    return;
  }
  line_ += std::ranges::count(cell, '\n');
  if (use.use == Use::none) return;
  std::vector<std::string>& texts = batch_.others[use.index];
  const auto row = static_cast<std::size_t>(batch_.rows);
  if (texts.size() <= row) texts.resize(std::max<std::size_t>(16, 2 * row));
  texts[row].assign(cell);
  text_ += std::ssize(cell);
}

void CsvReader::take_number(std::size_t column, std::string_view cell, Batch& batch,
                            std::int64_t row, std::int64_t line, double& value) const {
  const Cell kind = read_number(cell, options_.missing, value);
  if (kind == Cell::number || kind == Cell::missing) return;
  const std::string where = fmt::format("{}, column {}", place(batch.first_row + row, line),
                                        shown(schema_.fields[column].name));
  if (kind == Cell::too_large) {
    throw UsageError(fmt::format("{}: {} is beyond the range of a double", where, shown(cell)));
  }
  throw UsageError(
      fmt::format("{}: expected a number, got {}{}", where, shown(cell), kNumberAdvice));
}

// `end` is the character behind the row; -1: the file's end.
void CsvReader::end_row(int end) {
  const bool second_of_crlf = end == '\n' && last_end_ == '\r' && cell_ == 0;
  const std::size_t cells = std::exchange(cell_, 0);
  last_end_ = end;
  if (cells > 0 && !has_columns_) {
    take_first();
  } else if (cells > 0) {
    add_row(cells);
  }
  if (!second_of_crlf) ++line_;
}

void CsvReader::add_row(std::size_t cells) {
  if (cells < columns_.size()) {
    throw UsageError(
        fmt::format("{}: expected {}, as in the first line, got {}; column {} is not there",
                    place(batch_.first_row + batch_.rows, row_line_), counted(columns_.size()),
                    cells, shown(schema_.fields[cells].name)));
  }
  batch_.lines.push_back(row_line_);
  ++batch_.rows;
  if (batch_.rows == batch_rows_ || text_ >= text_of_batch) end_batch();
}

// The first record: names, or a row that tells how many columns there are.
void CsvReader::take_first() {
  const std::size_t count = first_record_.size();
  schema_.named = options_.header;
  schema_.format = options_.delimiter == '\t' ? "tsv" : "csv";
  for (std::size_t i = 0; i < count; ++i) {
    schema_.fields.push_back({options_.header ? first_record_[i] : std::to_string(i)});
    columns_.push_back({Use::other, i});
  }
  others_ = count;
  batch_rows_ = rows_of_batch(options_, count);
  has_columns_ = true;
  begin_batch();
  if (options_.header) return;
  line_ = row_line_;
  for (const std::string& cell : first_record_) take_cell(cell);
  cell_ = 0;
  add_row(count);
}

void CsvReader::begin_batch() {
  if (!spare_.empty()) {
    batch_ = std::move(spare_.front());
    spare_.pop_front();
  }
  batch_.first_row = rows_;
  batch_.rows = 0;
  batch_.lines.clear();
  batch_.stride = batch_rows_;
  batch_.numbers.resize(numbers_ * static_cast<std::size_t>(batch_rows_));
  // Not only resized: a cell would keep the room of the longest that ever stood in its row.
  for (auto& texts : batch_.others) texts.clear();
  batch_.others.resize(others_);
  text_ = 0;
}

void CsvReader::end_batch() {
  rows_ += batch_.rows;
  ready_.push_back(std::exchange(batch_, Batch{}));
  begin_batch();
}

// A column none of whose cells is a number, though some are not missing, is none of numbers.
void CsvReader::propose() {
  if (ready_.empty()) return;
  const Batch& first = ready_.front();
  for (std::size_t j = 0; j < columns_.size(); ++j) {
    bool number = false, text = false;
    for (std::size_t row = 0; row < first.lines.size() && !number; ++row) {
      double value = 0;
      const Cell cell = read_number(first.others[j][row], options_.missing, value);
      number = cell == Cell::number || cell == Cell::too_large;
      text |= cell == Cell::text;
    }
    schema_.fields[j].number = number || !text;
  }
}

void CsvReader::select(const std::vector<std::size_t>& numbers) {
  for (Field& field : schema_.fields) field.number = false;
  for (const std::size_t j : numbers) schema_.fields.at(j).number = true;
  numbers_ = others_ = 0;
  for (std::size_t j = 0; j < columns_.size(); ++j) {
    if (schema_.fields[j].number) {
      columns_[j] = {Use::number, numbers_++};
    } else if (options_.others) {
      columns_[j] = {Use::other, others_++};
    } else {
      columns_[j] = {Use::none, 0};
    }
  }
  selected_ = true;
  for (Batch& batch : ready_) convert(batch, 0);
  convert(batch_, cell_);
}

// From a batch that holds all as text, and behind its rows the cells of one that has begun.
void CsvReader::convert(Batch& batch, std::size_t begun) const {
  batch.numbers.resize(numbers_ * static_cast<std::size_t>(batch_rows_));
  batch.stride = batch_rows_;
  // By rows: the first cell that is wrong is the one that is told.
  for (std::int64_t row = 0; row <= batch.rows; ++row) {
    const bool whole = row < batch.rows;
    const auto i = static_cast<std::size_t>(row);
    for (std::size_t j = 0; j < (whole ? columns_.size() : begun); ++j) {
      if (columns_[j].use != Use::number) continue;
      take_number(j, batch.others[j][i], batch, row, whole ? batch.lines[i] : row_line_,
                  batch.numbers[columns_[j].index * static_cast<std::size_t>(batch_rows_) + i]);
    }
  }
  std::vector<std::vector<std::string>> others(others_);
  for (std::size_t j = 0; j < batch.others.size(); ++j) {
    const Column& use = columns_[j];
    if (use.use == Use::other) others[use.index] = std::move(batch.others[j]);
  }
  batch.others = std::move(others);
}

bool CsvReader::next(Batch& batch) {
  if (!selected_) {
    std::vector<std::size_t> numbers;
    for (std::size_t j = 0; j < columns_.size(); ++j) {
      if (schema_.fields[j].number) numbers.push_back(j);
    }
    select(numbers);
  }
  while (ready_.empty() && !ended_) feed();
  if (ready_.empty()) return false;
  std::swap(batch, ready_.front());
  spare_.push_back(std::move(ready_.front()));
  ready_.pop_front();
  return true;
}

}  // namespace

std::unique_ptr<TableReader> open_csv(std::unique_ptr<ByteSource> source,
                                      const ReadOptions& options) {
  return std::make_unique<CsvReader>(std::move(source), options);
}

}  // namespace omninorm::cli
