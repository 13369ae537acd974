// What libomninorm_arrow.so gives to the program, which loads it when a Parquet or Arrow file is
// named: Arrow's libraries take 60 MB, and tens of milliseconds to start.
#pragma once

#include <memory>
#include <string>

#include "cli/table/byte_sink.h"
#include "cli/table/byte_source.h"
#include "cli/table/table.h"

namespace omninorm::cli {

// `format` is "parquet", "arrow" (its file format; the stream format where the sink is a pipe) or
// "feather". Both throw what TableReader does. The bytes are the program's own, so that files of
// every format are replaced in one step by the same code.
struct ArrowPlugin {
  const char* version;  // of omninorm; another's classes may differ
  int abi;              // arrow_plugin_abi that it was built with
  std::unique_ptr<TableReader> (*open)(std::unique_ptr<ByteSource> source,
                                       const ReadOptions& options, const std::string& format);
  std::unique_ptr<TableWriter> (*create)(std::unique_ptr<ByteSink> sink, const Schema& schema,
                                         const std::string& format);
};

// Counts up when table.h, byte_source.h, byte_sink.h or ArrowPlugin change between two versions.
constexpr int arrow_plugin_abi = 1;

constexpr const char* arrow_plugin_file = "libomninorm_arrow.so";
constexpr const char* arrow_plugin_symbol = "omninorm_arrow_plugin";

}  // namespace omninorm::cli
