// A stream of bytes into a file, which appears when it is whole.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>

namespace omninorm::cli {

// Every call throws std::system_error with the path. Without finish(), what was there stays.
class ByteSink {
 public:
  virtual ~ByteSink() = default;
  virtual void write(std::string_view bytes) = 0;

  // Writes over the first bytes of the file, where that can be done: not in a pipe, nor where they
  // are compressed.
  virtual bool can_rewrite() const = 0;
  virtual void rewrite_start(std::string_view bytes) = 0;

  virtual void finish() = 0;

  virtual const std::string& name() const = 0;  // for messages: the path, or "standard output"
};

// In any case: DATA.CSV.GZ ends in ".gz".
inline bool name_ends_in(std::string_view name, std::string_view end) {
  const auto same = [](char a, char b) { return a == b || (a >= 'A' && a <= 'Z' && a + 32 == b); };
  return name.size() >= end.size() &&
         std::equal(end.begin(), end.end(), name.end() - std::ssize(end),
                    [&](char wanted, char c) { return same(c, wanted); });
}

// "-" is standard output. A name that ends in .gz or .zst, in any case, is compressed.
std::unique_ptr<ByteSink> create_bytes(const std::string& path);

}  // namespace omninorm::cli
