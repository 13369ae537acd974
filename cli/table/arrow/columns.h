// Columns of Arrow's record batches as those of a Batch, and back.
#pragma once

#include <arrow/record_batch.h>
#include <arrow/type.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cli/table/table.h"

namespace omninorm::cli {

using Pieces = std::vector<std::shared_ptr<arrow::RecordBatch>>;

// Rows as Arrow holds them, with every column of the file: one piece or more, one after the other.
class ArrowForm final : public OwnForm {
 public:
  ArrowForm(Pieces pieces, std::vector<int> others, bool one_dictionary)
      : pieces_(std::move(pieces)), others_(std::move(others)), one_dictionary_(one_dictionary) {}

  std::vector<std::vector<std::string>> text() const override;

  const Pieces& pieces() const { return pieces_; }

  // All batches of a file share each column's dictionary, as Arrow's file format asks.
  bool one_dictionary() const { return one_dictionary_; }

 private:
  Pieces pieces_;
  std::vector<int> others_;
  bool one_dictionary_;
};

// Which columns hold numbers. Expected to: floating-point and integer ones, but for those that
// pandas marks as its index. Booleans, decimals, dates and dictionaries never do.
class ArrowColumns {
 public:
  // Without `others` the number columns are all that is asked for.
  ArrowColumns(std::shared_ptr<arrow::Schema> schema, bool others, bool one_dictionary,
               const std::string& path);

  const Schema& schema() const { return schema_; }
  Schema& schema() { return schema_; }

  // TableReader::select().
  void select(const std::vector<std::size_t>& numbers);

  // The columns that have to be read; none: all. `alone` says whether fill() gets only those.
  std::optional<std::vector<int>> needed() const;
  void read_needed(bool alone) { alone_ = alone; }

  // Numbers into batch's, from row `offset` of it on; null is NaN. Throws UsageError for an integer
  // that a double may not hold.
  void fill(const arrow::RecordBatch& rows, std::int64_t offset, Batch& batch) const;

  // Bytes of text of the other columns, where they are asked for: those of strings and bytes, and
  // about those of dictionaries. The rows need to be validated, but not in full.
  std::int64_t text_bytes(const arrow::RecordBatch& rows) const;

  // Of the rows that were filled in; nullptr where others are not asked for.
  std::shared_ptr<const OwnForm> own_form(Pieces pieces) const;

 private:
  void divide(const std::vector<bool>& numbers);

  std::string path_;
  bool others_asked_, one_dictionary_;
  bool alone_ = false;
  std::shared_ptr<arrow::Schema> arrow_schema_;
  Schema schema_;
  std::vector<int> numbers_, others_;
};

// Batches of a schema as record batches: f32 is float, f64 is double, the others are what they were
// in the own form, or else strings. Null is what was null in the own form, or else what is NaN.
class ArrowRows {
 public:
  // Without `many_dictionaries`, dictionary columns that change from batch to batch become what
  // their dictionaries hold.
  ArrowRows(const Schema& schema, bool many_dictionaries, const std::string& path);

  const std::shared_ptr<arrow::Schema>& schema() const { return schema_; }

  // Throws UsageError for text that is not UTF-8.
  Pieces of(const Batch& batch) const;

 private:
  std::shared_ptr<arrow::RecordBatch> piece(
      const Batch& batch, std::int64_t offset, const arrow::RecordBatch* own,
      const std::vector<std::vector<std::string>>& others) const;

  std::string path_;
  std::vector<Field> fields_;
  std::shared_ptr<arrow::Schema> schema_;
};

// A cell as text: "" for null, the shortest digits that read back the same, ISO 8601 for times,
// lists and structs as JSON has them, bytes in hexadecimal digits.
std::string cell_text(const arrow::Array& column, std::int64_t row);

}  // namespace omninorm::cli
