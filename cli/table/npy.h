// NumPy's .npy files, versions 1 to 3: matrices of f32 and f64, little-endian.
#pragma once

#include <memory>
#include <string>

#include "cli/table/byte_sink.h"
#include "cli/table/byte_source.h"
#include "cli/table/table.h"

namespace omninorm::cli {

// Rows are the first dimension. A file in Fortran order has to be one that can be sought in.
std::unique_ptr<TableReader> open_npy(std::unique_ptr<ByteSource> source,
                                      const ReadOptions& options);

// In C order; f32 where all columns are. UsageError for a column of text, and where the number of
// rows is not known in front and the sink cannot be gone back in.
std::unique_ptr<TableWriter> create_npy(std::unique_ptr<ByteSink> sink, const Schema& schema);

}  // namespace omninorm::cli
