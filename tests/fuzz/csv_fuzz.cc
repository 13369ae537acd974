// libFuzzer on the CSV reader: quotes, ends of lines, ragged rows, numbers, columns, batches.
//
// - Whatever is read, nothing crashes; what cannot be read is a UsageError that names the file.
// - How the bytes arrive and how many rows a batch has makes no difference, to errors neither.
// - Nor does it to numbers, lines and errors whether the other columns are asked for.
// - What was read and is written again reads as the same cells.
#include <fuzzer/FuzzedDataProvider.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "cli/program.h"
#include "cli/table/csv.h"

namespace omninorm::cli {
namespace {

// Gives at most `step` bytes at a time where chunks are asked for.
class Memory final : public ByteSource {
 public:
  Memory(std::string text, std::size_t step) : text_(std::move(text)), step_(step) {}
  std::size_t read(std::span<char> to) override {
    const std::size_t most = to.size() > 16 ? step_ : to.size();
    const std::size_t count = std::min({to.size(), most, text_.size() - at_});
    std::copy_n(text_.data() + at_, count, to.data());
    at_ += count;
    return count;
  }
  std::string_view peek(std::size_t count) override {
    return std::string_view(text_).substr(at_, count);
  }
  std::int64_t bytes_read() const override { return static_cast<std::int64_t>(at_); }
  std::optional<std::int64_t> bytes() const override { return std::nullopt; }
  const std::string& name() const override { return name_; }

 private:
  std::string text_, name_ = "memory";
  std::size_t step_, at_ = 0;
};

class Kept final : public ByteSink {
 public:
  explicit Kept(std::string& text) : text_(text) {}
  void write(std::string_view bytes) override { text_ += bytes; }
  bool can_rewrite() const override { return false; }
  void rewrite_start(std::string_view) override { std::abort(); }
  void finish() override {}
  const std::string& name() const override { return name_; }

 private:
  std::string& text_;
  std::string name_ = "memory";
};

struct Table {
  std::vector<std::string> names, texts;
  std::vector<std::uint64_t> numbers;  // bits
  std::vector<std::size_t> selected;
  std::vector<std::int64_t> lines;
  std::int64_t rows = 0;
  std::string error;

  bool same_cells(const Table& other) const {
    return names == other.names && texts == other.texts && numbers == other.numbers &&
           rows == other.rows;
  }
};

[[noreturn]] void found(const char* what, const std::string& text, const Table& a, const Table& b) {
  std::fprintf(stderr, "%s\n---\n%s\n---\n", what, text.c_str());
  for (const Table* table : {&a, &b}) {
    std::fprintf(stderr, "rows %lld, error \"%s\"\n", static_cast<long long>(table->rows),
                 table->error.c_str());
    for (const std::string& cell : table->texts) std::fprintf(stderr, "  [%s]\n", cell.c_str());
    for (const std::uint64_t bits : table->numbers) {
      std::fprintf(stderr, "  %a\n", std::bit_cast<double>(bits));
    }
  }
  std::abort();
}

void take(const Batch& batch, const Schema& schema, bool others, Table& table) {
  if (!others && !batch.others.empty()) std::abort();
  if (batch.first_row != table.rows) std::abort();
  if (static_cast<std::int64_t>(batch.lines.size()) != batch.rows) std::abort();
  table.lines.insert(table.lines.end(), batch.lines.begin(), batch.lines.end());
  for (std::int64_t row = 0; row < batch.rows; ++row) {
    std::size_t number = 0, other = 0;
    for (const Field& field : schema.fields) {
      if (field.number) {
        const auto at = static_cast<std::int64_t>(number++) * batch.stride + row;
        const double value = batch.numbers[static_cast<std::size_t>(at)];
        table.numbers.push_back(std::isnan(value) ? ~std::uint64_t{0}
                                                  : std::bit_cast<std::uint64_t>(value));
      } else if (others) {
        table.texts.push_back(batch.others[other++].at(static_cast<std::size_t>(row)));
      }
    }
  }
  table.rows += batch.rows;
}

// Reads all; with `written`, writes it again too. `choice`: bits of the columns to select;
// `selected` instead where it is given.
Table read(const std::string& text, std::size_t step, const ReadOptions& options,
           std::uint32_t choice, const std::vector<std::size_t>* selected = nullptr,
           std::string* written = nullptr) {
  Table table;
  try {
    const auto reader = open_csv(std::make_unique<Memory>(text, step), options);
    for (std::size_t j = 0; j < reader->schema().fields.size(); ++j) {
      const Field& field = reader->schema().fields[j];
      table.names.push_back(field.name);
      // Half of the choices go by what the reader proposes.
      const bool chosen = choice & 1 ? field.number : (choice >> (1 + j % 31) & 1) != 0;
      if (chosen) table.selected.push_back(j);
    }
    if (selected) table.selected = *selected;
    reader->select(table.selected);
    std::unique_ptr<TableWriter> writer;
    if (written) writer = create_csv(std::make_unique<Kept>(*written), reader->schema(), options);
    Batch batch;
    while (reader->next(batch)) {
      take(batch, reader->schema(), options.others, table);
      if (writer) writer->write(batch);
    }
    if (writer) writer->finish();
  } catch (const UsageError& error) {
    table.error = error.what();
    if (table.error.find("memory") == std::string::npos) found("no name", text, table, table);
  }
  return table;
}

// A cell a byte, in rows of so many columns: most are tables, which bytes as they come seldom are.
std::string cells(const std::string& bytes, char delimiter, std::size_t columns) {
  static const std::string words[] = {"1",  "2.5", "-3",   "1e99",          "0.1",  "+.5",
                                      "NA", "",    " 7 ",  "nan",           "inf",  "\"8\"",
                                      "x",  "a b", "word", "\"\"\"q\"\"\"", "\"\"", "\"a\nb\""};
  static const std::string ends[] = {"\n", "\r\n", "\r", "\n\n"};
  std::string text;
  std::size_t column = 0;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 252) {  // a row too short, a quote out of place
      text += byte == 252 ? "\"" : "\n";
      continue;
    }
    // The lower half of bytes are numbers, which is what columns of numbers need.
    text += words[byte < 128 ? byte % 12 : byte % std::size(words)];
    if (++column % columns != 0) {
      text += delimiter;
    } else {
      text += ends[byte % 7 == 0 ? byte % std::size(ends) : 0];
    }
  }
  return text;
}

}  // namespace
}  // namespace omninorm::cli

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace omninorm::cli;
  FuzzedDataProvider bytes(data, size);
  ReadOptions options;
  options.delimiter = bytes.PickValueInArray({',', '\t', ';', ' ', '|'});
  options.header = bytes.ConsumeBool();
  if (bytes.ConsumeBool()) options.missing = {"NA"};
  const auto choice = bytes.ConsumeIntegral<std::uint32_t>();
  const auto step = bytes.ConsumeIntegralInRange<std::size_t>(1, 32);
  const auto batch_rows = bytes.ConsumeIntegralInRange<std::int64_t>(1, 4);
  const auto columns = bytes.ConsumeIntegralInRange<std::size_t>(0, 4);  // 0: bytes as they come
  std::string text = bytes.ConsumeRemainingBytesAsString();
  if (columns > 0) text = cells(text, options.delimiter, columns);

  std::string written;
  const Table whole = read(text, std::string::npos, options, choice, nullptr, &written);
  ReadOptions small = options;
  small.batch_rows = batch_rows;
  // What the first batch proposes depends on its size: the same columns are asked for.
  const Table pieces = read(text, step, small, choice, &whole.selected);
  ReadOptions bare = small;
  bare.others = false;
  Table numbers = read(text, step, bare, choice, &whole.selected);
  if (numbers.error != pieces.error) found("others change errors", text, pieces, numbers);
  if (pieces.error.empty()) {
    numbers.texts = pieces.texts;
    if (!pieces.same_cells(numbers) || pieces.lines != numbers.lines) {
      found("others change numbers", text, pieces, numbers);
    }
  }
  if (whole.error.empty()) {
    if (!pieces.error.empty() || !whole.same_cells(pieces) || whole.lines != pieces.lines) {
      found("pieces differ", text, whole, pieces);
    }
    const Table again = read(written, std::string::npos, options, choice, &whole.selected);
    if (!again.error.empty() || !whole.same_cells(again)) {
      found("written differs", written, whole, again);
    }
  } else if (pieces.error.empty()) {
    found("an error in one only", text, whole, pieces);
  }
  return 0;
}
