// Tables of data in files, as streams of batches: one interface for every format, so that no verb
// knows formats and no format knows verbs.
#pragma once

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
  bool named = true;  // false: the file has no names; they are then "0", "1", ...

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

  // The other columns as text, in the schema's order: others[k][row].
  std::vector<std::vector<std::string>> others;

  // Where it is set, `others` is empty and text() makes it.
  std::shared_ptr<const OwnForm> own_form;
};

// How a file is read. What a format has no use for it ignores.
struct ReadOptions {
  char delimiter = 0;                // 0: comma, or tab where the name says .tsv
  bool header = true;                // the first record holds the names
  std::vector<std::string> missing;  // cells that stand for a missing number, beside the empty one
  std::vector<std::string> text;     // columns that are passed through though they hold numbers
  std::int64_t batch_rows = 0;       // rows of a batch; 0: as suits the format
};

// Throws UsageError for a file that does not hold what it should (with row, column and cell), and
// std::system_error with the path for one that cannot be read.
class TableReader {
 public:
  virtual ~TableReader() = default;
  virtual const Schema& schema() const = 0;

  // The next rows; false at the end. The batch's memory is used again.
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

// "-" is standard input and output. The format is the one that the name ends in (.csv, .tsv, .npy,
// .parquet, .arrow, .feather; .gz and .zst around the first two), or `format`, one of these words
// without the dot, where given.
std::unique_ptr<TableReader> open_table(const std::string& path, const ReadOptions& options,
                                        const std::string& format = {});
std::unique_ptr<TableWriter> create_table(const std::string& path, const Schema& schema,
                                          const ReadOptions& options,
                                          const std::string& format = {});

}  // namespace omninorm::cli
