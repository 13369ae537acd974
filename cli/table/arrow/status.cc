#include "cli/table/arrow/status.h"

#include <arrow/util/io_util.h>

#include <stdexcept>
#include <system_error>

#include "cli/program.h"

namespace omninorm::cli {

void throw_status(const arrow::Status& status, const std::string& path) {
  if (status.IsOutOfMemory())
    throw std::runtime_error(path + ": out of memory: " + status.message());
  if (const int error = arrow::internal::ErrnoFromStatus(status); error != 0) {
    throw std::system_error(error, std::generic_category(), path);
  }
  // Arrow may add the place in its own sources, in further lines.
  const std::string words = status.message().substr(0, status.message().find('\n'));
  throw UsageError(path + ": " + (words.empty() ? status.CodeAsString() : words));
}

}  // namespace omninorm::cli
