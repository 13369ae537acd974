#include "cli/table/npy_header.h"

#include <fmt/format.h>

#include <charconv>
#include <optional>
#include <vector>

#include "cli/program.h"
#include "cli/table/cells.h"

namespace omninorm::cli {
namespace {

// The header is a literal of a Python dictionary: of it, what NumPy writes.
class Literal {
 public:
  explicit Literal(std::string_view text) : left_(text) {}

  bool take(char c) {
    skip_spaces();
    if (left_.empty() || left_.front() != c) return false;
    left_.remove_prefix(1);
    return true;
  }
  std::optional<std::string> text() {
    for (const char quote : {'\'', '"'}) {
      if (!take(quote)) continue;
      const std::size_t end = left_.find(quote);
      if (end == std::string_view::npos) return std::nullopt;
      const std::string result(left_.substr(0, end));
      left_.remove_prefix(end + 1);
      return result;
    }
    return std::nullopt;
  }
  std::optional<bool> truth() {
    skip_spaces();
    for (const auto& [word, value] : {std::pair{"True", true}, std::pair{"False", false}}) {
      if (!left_.starts_with(word)) continue;
      left_.remove_prefix(std::string_view(word).size());
      return value;
    }
    return std::nullopt;
  }
  std::optional<std::vector<std::int64_t>> sizes() {
    if (!take('(')) return std::nullopt;
    std::vector<std::int64_t> result;
    while (!take(')')) {
      skip_spaces();
      std::int64_t size = 0;
      const auto [end, error] = std::from_chars(left_.data(), left_.data() + left_.size(), size);
      if (error != std::errc() || size < 0) return std::nullopt;
      left_.remove_prefix(static_cast<std::size_t>(end - left_.data()));
      take('L');  // Python 2
      result.push_back(size);
      if (!take(',') && left_.substr(0, 1) != ")") return std::nullopt;
    }
    return result;
  }

 private:
  void skip_spaces() {
    while (!left_.empty() && (left_.front() == ' ' || left_.front() == '\n'))
      left_.remove_prefix(1);
  }
  std::string_view left_;
};

struct Entries {
  std::optional<std::string> descr;
  std::optional<bool> fortran_order;
  std::optional<std::vector<std::int64_t>> shape;
};

Entries parse(std::string_view text) {
  Entries found;
  Literal literal(text);
  if (!literal.take('{')) return found;
  while (!literal.take('}')) {
    const std::optional<std::string> key = literal.text();
    if (!key || !literal.take(':')) break;
    if (*key == "descr") {
      found.descr = literal.text();
      if (!found.descr) break;  // a list: records with names
    } else if (*key == "fortran_order") {
      found.fortran_order = literal.truth();
    } else if (*key == "shape") {
      found.shape = literal.sizes();
    } else {
      break;
    }
    literal.take(',');
  }
  return found;
}

std::string header_text(ByteSource& source) {
  char start[12] = {};
  const auto cut = [&] { return UsageError(source.name() + ": the NPY header is cut short"); };
  if (source.read({start, 8}) < 8) throw cut();
  if (std::string_view(start, 6) != "\x93NUMPY") {
    throw UsageError(source.name() + ": expected an NPY file, got something else");
  }
  const auto byte = [&](int i) {
    return static_cast<std::size_t>(static_cast<unsigned char>(start[i]));
  };
  const std::size_t version = byte(6);
  if (version < 1 || version > 3) {
    throw UsageError(fmt::format("{}: expected version 1, 2 or 3 of NPY, got {}.{}", source.name(),
                                 version, byte(7)));
  }
  const std::size_t wide = version == 1 ? 2 : 4;
  if (source.read({start + 8, wide}) < wide) throw cut();
  std::size_t length = byte(8) | byte(9) << 8;
  if (version > 1) length |= byte(10) << 16 | byte(11) << 24;
  if (length > (std::size_t{1} << 20)) {
    throw UsageError(fmt::format("{}: an NPY header of {} bytes", source.name(), length));
  }
  std::string text(length, ' ');
  if (source.read(text) < length) throw cut();
  return text;
}

}  // namespace

std::int64_t NpyHeader::bytes() const {
  return rows * columns * static_cast<std::int64_t>(size_of(dtype));
}

NpyHeader read_npy_header(ByteSource& source) {
  const std::string text = header_text(source);
  const Entries found = parse(text);
  NpyHeader header;
  const auto refuse = [&](const std::string& why) {
    return UsageError(fmt::format("{}: {}; its header is {}", source.name(), why, shown(text)));
  };
  if (!found.descr) throw refuse("expected numbers of type f4 or f8");
  if (*found.descr == "<f4") {
    header.dtype = DType::f32;
  } else if (*found.descr != "<f8") {
    throw refuse(
        fmt::format("expected '<f4' or '<f8' (little-endian float32, float64), got '{}'; "
                    "x.astype('<f8') converts it",
                    *found.descr));
  }
  if (!found.fortran_order || !found.shape) throw refuse("expected fortran_order and shape");
  if (found.shape->size() != 2) {
    throw refuse(fmt::format("expected a matrix of rows and columns, got {} dimension{}{}",
                             found.shape->size(), found.shape->size() == 1 ? "" : "s",
                             found.shape->size() == 1 ? "; x.reshape(-1, 1) makes one" : ""));
  }
  header.fortran_order = *found.fortran_order;
  header.rows = (*found.shape)[0];
  header.columns = (*found.shape)[1];
  if (header.columns < 1) throw refuse("expected at least one column");
  constexpr std::int64_t most_columns = 1 << 22;  // a batch of 16 rows is 512 MB then
  std::int64_t bytes = 0;
  if (header.columns > most_columns ||
      __builtin_mul_overflow(header.rows, header.columns * 8, &bytes)) {
    throw refuse(fmt::format("expected at most {} columns and 2^63 bytes", most_columns));
  }
  return header;
}

std::string npy_header_text(const NpyHeader& header) {
  constexpr std::size_t total = 128;
  std::string text("\x93NUMPY\x01\x00", 8);
  text += static_cast<char>(total - 10);
  text += '\0';
  text += fmt::format("{{'descr': '{}', 'fortran_order': {}, 'shape': ({}, {}), }}",
                      header.dtype == DType::f32 ? "<f4" : "<f8",
                      header.fortran_order ? "True" : "False", header.rows, header.columns);
  text.resize(total - 1, ' ');
  return text + '\n';
}

}  // namespace omninorm::cli
