// Parquet and Arrow files: what open_table() and create_table() hand on to.
#pragma once

#include <memory>
#include <string>

#include "cli/table/byte_sink.h"
#include "cli/table/byte_source.h"
#include "cli/table/table.h"

namespace omninorm::cli {

// `format` is "parquet", "arrow" or "feather". Throws UsageError, with what to do about it, where
// this build or this machine cannot read and write them.
std::unique_ptr<TableReader> open_arrow_table(std::unique_ptr<ByteSource> source,
                                              const ReadOptions& options,
                                              const std::string& format);
std::unique_ptr<TableWriter> create_arrow_table(std::unique_ptr<ByteSink> sink,
                                                const Schema& schema, const std::string& format);

}  // namespace omninorm::cli
