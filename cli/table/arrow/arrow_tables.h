// Tables of Arrow's formats.
#pragma once

#include <memory>
#include <string>

#include "cli/table/byte_sink.h"
#include "cli/table/byte_source.h"
#include "cli/table/table.h"

namespace omninorm::cli {

// As ArrowPlugin says.
std::unique_ptr<TableReader> read_arrow_table(std::unique_ptr<ByteSource> source,
                                              const ReadOptions& options,
                                              const std::string& format);
std::unique_ptr<TableWriter> write_arrow_table(std::unique_ptr<ByteSink> sink, const Schema& schema,
                                               const std::string& format);

}  // namespace omninorm::cli
