// A file's bytes, uncompressed, as a stream.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace omninorm::cli {

// What cannot be read is a std::system_error, what is damaged a UsageError, each with the name.
class ByteSource {
 public:
  virtual ~ByteSource() = default;

  // Fills `to`; fewer bytes only at the end.
  virtual std::size_t read(std::span<char> to) = 0;

  // The first bytes, as many as there are of `count`; they are read again.
  virtual std::string_view peek(std::size_t count) = 0;

  // Of the file, before anything is uncompressed.
  virtual std::int64_t bytes_read() const = 0;
  virtual std::optional<std::int64_t> bytes() const = 0;

  // Where read() would go on in a plain file that can be sought in, and its descriptor; else none.
  struct Place {
    int descriptor;
    std::int64_t offset;
  };
  virtual std::optional<Place> place() const { return std::nullopt; }

  virtual const std::string& name() const = 0;  // for messages: the path, or "standard input"
};

// "-" is standard input. gzip and zstd are known by their first bytes.
std::unique_ptr<ByteSource> open_bytes(const std::string& path);

}  // namespace omninorm::cli
