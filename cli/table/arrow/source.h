// Files of record batches, whatever their format.
#pragma once

#include <arrow/record_batch.h>
#include <arrow/type.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "cli/table/byte_source.h"

namespace omninorm::cli {

class RecordSource {
 public:
  virtual ~RecordSource() = default;
  virtual std::shared_ptr<arrow::Schema> schema() const = 0;
  virtual std::optional<std::int64_t> rows() const { return std::nullopt; }

  // ArrowForm::one_dictionary().
  virtual bool one_dictionary() const { return false; }

  // Before the first next(): how many rows will be asked for at a time, and of which columns. Both
  // are advice where the format has no use for them; returns whether only those columns will come.
  virtual bool start(std::int64_t, const std::optional<std::vector<int>>&) { return false; }

  // nullptr at the end. `validated` tells that the batch can be trusted to lie within its memory.
  virtual std::shared_ptr<arrow::RecordBatch> next() = 0;
  virtual bool validated() const = 0;

  // Memory of what was read may go.
  virtual void release() {}

  virtual std::int64_t bytes_read() const = 0;
};

// Throw what TableReader does.
std::unique_ptr<RecordSource> open_parquet(ByteSource& source);
std::unique_ptr<RecordSource> open_ipc(ByteSource& source);  // Arrow's file and stream formats

}  // namespace omninorm::cli
