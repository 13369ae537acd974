// What libomninorm_arrow.so gives to the program, which loads it when a Parquet or Arrow file is
// named: Arrow's libraries take 60 MB, and tens of milliseconds to start.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "cli/table/table.h"

namespace omninorm::cli {

// Where a writer's bytes go. The program's own streams are behind it, so that files of every format
// are replaced in one step by the same code.
class ByteSink {
 public:
  virtual ~ByteSink() = default;
  virtual void write(const char* bytes, std::size_t count) = 0;
  virtual void finish() = 0;
};

// `format` is "parquet", "arrow" (the file format; the stream format on standard output), "arrows"
// (the stream format) or "feather". Both throw what TableReader does.
struct ArrowPlugin {
  const char* version;  // of omninorm; another's classes may differ
  std::unique_ptr<TableReader> (*open)(const std::string& path, const ReadOptions& options,
                                       const std::string& format);
  std::unique_ptr<TableWriter> (*create)(std::unique_ptr<ByteSink> sink, const std::string& path,
                                         const Schema& schema, const std::string& format);
};

constexpr const char* arrow_plugin_file = "libomninorm_arrow.so";
constexpr const char* arrow_plugin_symbol = "omninorm_arrow_plugin";

}  // namespace omninorm::cli
