// Tables of data in files, as streams of batches: one interface for every format, so that no verb
// knows formats and no format knows verbs.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "omninorm/dtype.h"

namespace omninorm::cli {

// One column. A number column is read into doubles, whatever the file keeps (f32 is exact in them);
// any other column is passed through as it stands.
struct Field {
  std::string name;
  bool number = true;
  DType dtype = DType::f64;  // of a number column in the file: f32 or f64
};

// What a reader passes through in a form of its own (dates, lists) to the writer of the same family
// of formats, which knows it by its class.
class OwnForm {
 public:
  virtual ~OwnForm() = default;

  // Batch::others of it, for a writer of any other format.
  virtual std::vector<std::vector<std::string>> text() const = 0;
};

struct Schema {
  std::vector<Field> fields;
  bool named = true;                 // false: the file has no names; they are then "0", "1", ...
  std::optional<std::int64_t> rows;  // where the file tells it in front
  std::string format;                // as table_format() calls it

  // Where the batches have an own form: that of no rows. A writer needs it before the first batch.
  std::shared_ptr<const OwnForm> own_form;
};

// Some rows of a table.
struct Batch {
  std::int64_t first_row = 0;  // of the file's rows, from 0, for messages
  std::int64_t rows = 0;

  // The number columns, in the schema's order, one after the other: value (row, k) is
  // numbers[k * stride + row]. A missing value is NaN.
  std::vector<double> numbers;
  std::int64_t stride = 0;

  // The other columns as text, in the schema's order: others[k][row], rows of them or more.
  std::vector<std::vector<std::string>> others;

  // Where it is set, `others` is empty and text() makes it.
  std::shared_ptr<const OwnForm> own_form;

  // Of a file of text, the line that each row begins in, from 1; else empty.
  std::vector<std::int64_t> lines;
};

// How a file is read and written. What a format has no use for it ignores.
struct ReadOptions {
  char delimiter = 0;                // 0: comma, or tab where the name says .tsv
  bool header = true;                // the first record holds the names
  std::vector<std::string> missing;  // cells that stand for a missing number, beside the empty one
  std::int64_t batch_rows = 0;       // rows of a batch; 0: rows_of_batch()

  // false: nobody asks for other columns; `others` and `own_form` stay empty.
  bool others = true;
};

// Rows of a batch of a table of so many columns: about 4 MB of doubles. The same for every format,
// so that the same numbers are fitted in the same parts, to the same bits.
inline std::int64_t rows_of_batch(const ReadOptions& options, std::size_t columns) {
  if (options.batch_rows > 0) return options.batch_rows;
  constexpr std::int64_t values = 1 << 19, least = 16, most = 1 << 16;
  return std::clamp(values / std::max<std::int64_t>(1, static_cast<std::int64_t>(columns)), least,
                    most);
}

// Where text makes a batch end sooner.
constexpr std::int64_t text_of_batch = 1 << 24;

// Throws UsageError for a file that does not hold what it should (with row, column and cell), and
// std::system_error with the path for one that cannot be read.
class TableReader {
 public:
  virtual ~TableReader() = default;

  // Before select(), `number` says what the file's types, or for text its first batch, let expect:
  // a column is a number column unless none of its cells there is one.
  virtual const Schema& schema() const = 0;

  // Which columns have to be numbers, by index, before the first next(). In a file of text all
  // others are passed through as text; in one with types of its own (NPY, Parquet), those of f32
  // and f64 stay number columns, and one that cannot be made numbers is a UsageError. schema() then
  // says what batches hold.
  virtual void select(const std::vector<std::size_t>& numbers) = 0;

  // The next rows, rows_of_batch() of them but for the last (or fewer, if their text is long);
  // false at the end. The batch's memory is used again.
  virtual bool next(Batch& batch) = 0;

  // Bytes of the file: read so far, and in all where that is known (not of a pipe).
  virtual std::int64_t bytes_read() const = 0;
  virtual std::optional<std::int64_t> bytes() const = 0;
};

// Nothing is to be seen at the path before finish(); without it, what was there stays.
class TableWriter {
 public:
  virtual ~TableWriter() = default;
  virtual void write(const Batch& batch) = 0;
  virtual void finish() = 0;
};

// "csv", "tsv", "npy", "parquet", "arrow" or "feather": `given` if there is one, else what the name
// ends in (.gz or .zst behind it does not count); empty: the name does not tell.
std::string table_format(const std::string& path, const std::string& given = {});

// "-" is standard input and output. Of a file whose name does not tell the format, the first bytes
// do, or it is read as csv; a writer has to be told.
std::unique_ptr<TableReader> open_table(const std::string& path, const ReadOptions& options,
                                        const std::string& format = {});
std::unique_ptr<TableWriter> create_table(const std::string& path, const Schema& schema,
                                          const ReadOptions& options,
                                          const std::string& format = {});

}  // namespace omninorm::cli
