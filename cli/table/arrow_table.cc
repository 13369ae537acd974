#include "cli/table/arrow_table.h"

#include <fmt/format.h>

#include "cli/program.h"

namespace omninorm::cli {
namespace {

[[noreturn]] void not_built(const std::string& path, const std::string& format) {
  throw UsageError(fmt::format(
      "{}: this omninorm was built without Apache Arrow, and reads and writes no {}; convert it to "
      "csv or npy",
      path, format));
}

}  // namespace

std::unique_ptr<TableReader> open_arrow_table(const std::string& path, const ReadOptions&,
                                              const std::string& format) {
  not_built(path, format);
}

std::unique_ptr<TableWriter> create_arrow_table(const std::string& path, const Schema&,
                                                const ReadOptions&, const std::string& format) {
  not_built(path, format);
}

}  // namespace omninorm::cli
