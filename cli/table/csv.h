// CSV, TSV and the like (RFC 4180, any delimiter of one byte).
#pragma once

#include <memory>
#include <string>

#include "cli/table/byte_sink.h"
#include "cli/table/byte_source.h"
#include "cli/table/table.h"

namespace omninorm::cli {

// options.delimiter must be set.
std::unique_ptr<TableReader> open_csv(std::unique_ptr<ByteSource> source,
                                      const ReadOptions& options);
std::unique_ptr<TableWriter> create_csv(std::unique_ptr<ByteSink> sink, const Schema& schema,
                                        const ReadOptions& options);

}  // namespace omninorm::cli
