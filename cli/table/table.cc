#include "cli/table/table.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <string_view>

#include "cli/program.h"
#include "cli/table/arrow_table.h"
#include "cli/table/byte_sink.h"
#include "cli/table/byte_source.h"
#include "cli/table/csv.h"
#include "cli/table/npy.h"

namespace omninorm::cli {
namespace {

constexpr std::array formats = {"csv", "tsv", "npy", "parquet", "arrow", "feather"};

bool of_arrow(const std::string& format) {
  return format == "parquet" || format == "arrow" || format == "feather";
}

std::string lower(std::string text) {
  std::ranges::transform(text, text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

// What files of a format begin with.
std::string format_of_bytes(std::string_view start) {
  if (start.starts_with("\x93NUMPY")) return "npy";
  if (start.starts_with("PAR1")) return "parquet";
  if (start.starts_with("ARROW1") || start.starts_with("\xff\xff\xff\xff")) return "arrow";
  return "csv";
}

ReadOptions with_delimiter(ReadOptions options, const std::string& format) {
  if (options.delimiter == 0) options.delimiter = format == "tsv" ? '\t' : ',';
  return options;
}

}  // namespace

std::string table_format(const std::string& path, const std::string& given) {
  const auto known = [](const std::string& word) {
    return std::ranges::find(formats, word) != formats.end();
  };
  if (!given.empty()) {
    if (known(given)) return given;
    throw UsageError(
        fmt::format("there is no table format '{}'; valid: {}", given, fmt::join(formats, ", ")));
  }
  std::string name = lower(path.substr(path.find_last_of('/') + 1));
  for (const std::string_view packed : {".gz", ".zst"}) {
    if (name.ends_with(packed)) {
      name.resize(name.size() - packed.size());
      break;
    }
  }
  const std::size_t dot = name.rfind('.');
  const std::string word = dot == std::string::npos ? "" : name.substr(dot + 1);
  return known(word) ? word : "";
}

std::unique_ptr<TableReader> open_table(const std::string& path, const ReadOptions& options,
                                        const std::string& given) {
  std::string format = table_format(path, given);
  std::unique_ptr<ByteSource> source = open_bytes(path);
  if (format.empty()) format = format_of_bytes(source->peek(8));
  if (of_arrow(format) && table_format(path, given).empty()) {
    try {
      return open_arrow_table(std::move(source), options, format);
    } catch (const UsageError& error) {
      throw UsageError(fmt::format("{} ({} by its first bytes; --from csv if it is text)",
                                   error.what(), format));
    }
  }
  if (of_arrow(format)) return open_arrow_table(std::move(source), options, format);
  if (format == "npy") return open_npy(std::move(source), options);
  return open_csv(std::move(source), with_delimiter(options, format));
}

std::unique_ptr<TableWriter> create_table(const std::string& path, const Schema& schema,
                                          const ReadOptions& options, const std::string& given) {
  const std::string format = table_format(path, given);
  if (format.empty()) {
    throw UsageError(
        fmt::format("{}: the name does not tell the format to write; valid endings: .{}", path,
                    fmt::join(formats, ", .")));
  }
  if (of_arrow(format)) return create_arrow_table(create_bytes(path), schema, format);
  if (format == "npy") return create_npy(create_bytes(path), schema);
  return create_csv(create_bytes(path), schema, with_delimiter(options, format));
}

}  // namespace omninorm::cli
