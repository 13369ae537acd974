// Arrow's errors as the program's.
#pragma once

#include <arrow/result.h>
#include <arrow/status.h>

#include <string>
#include <utility>

namespace omninorm::cli {

// A word of the file system: std::system_error. No memory: std::runtime_error. All else is what the
// file holds: UsageError "PATH: what is wrong".
[[noreturn]] void throw_status(const arrow::Status& status, const std::string& path);

inline void check(const arrow::Status& status, const std::string& path) {
  if (!status.ok()) throw_status(status, path);
}

template <class T>
T check(arrow::Result<T> result, const std::string& path) {
  if (!result.ok()) throw_status(result.status(), path);
  return std::move(result).ValueUnsafe();
}

}  // namespace omninorm::cli
