// Columns of Arrow's record batches as those of a Batch, and back.
#pragma once

#include <arrow/record_batch.h>
#include <arrow/type.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "cli/table/table.h"

namespace omninorm::cli {

// Rows as Arrow holds them, with every column of the file.
class ArrowForm final : public OwnForm {
 public:
  ArrowForm(std::shared_ptr<arrow::RecordBatch> batch, std::vector<int> others)
      : batch_(std::move(batch)), others_(std::move(others)) {}

  std::vector<std::vector<std::string>> text() const override;
  const std::shared_ptr<arrow::RecordBatch>& batch() const { return batch_; }

 private:
  std::shared_ptr<arrow::RecordBatch> batch_;
  std::vector<int> others_;
};

// Which columns hold numbers: floating-point and integer ones, but for those that options.text
// names and those that pandas marks as its index. Booleans, decimals, dates and dictionaries are
// passed through.
class ArrowColumns {
 public:
  ArrowColumns(const std::shared_ptr<arrow::Schema>& schema, const ReadOptions& options,
               const std::string& path);

  const Schema& schema() const { return schema_; }

  // All of `batch` but first_row, from a record batch of the schema. A null is NaN. Throws
  // UsageError for an integer that a double does not hold.
  void fill(const std::shared_ptr<arrow::RecordBatch>& rows, Batch& batch) const;

 private:
  std::string path_;
  Schema schema_;
  std::vector<int> numbers_, others_;
};

// The schema that a table of this one is written with: f32 is float, f64 is double, and others are
// what they were in the own form, or else strings.
std::shared_ptr<arrow::Schema> arrow_schema(const Schema& schema);

// The rows with that schema. Null is what was null in the own form, or else what is NaN. Throws
// UsageError for text that is not UTF-8.
std::shared_ptr<arrow::RecordBatch> arrow_rows(const Batch& batch,
                                               const std::shared_ptr<arrow::Schema>& target,
                                               const Schema& schema, const std::string& path);

// A cell as text: "" for null, the shortest digits that read back the same, ISO 8601 for times,
// lists and structs as JSON has them.
std::string cell_text(const arrow::Array& column, std::int64_t row);

}  // namespace omninorm::cli
