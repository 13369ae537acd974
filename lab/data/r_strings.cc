#include "lab/data/r_strings.h"

#include <fmt/format.h>
#include <zlib.h>

#include "omninorm/error.h"

namespace omninorm::lab {
namespace {

[[noreturn]] void corrupt(const std::string& what) {
  throw Error("[prose] expected an R database of character vectors, got one that is damaged: " +
              what);
}

// Reads big-endian fields; never past the end.
class Reader {
 public:
  explicit Reader(std::span<const std::uint8_t> bytes) : bytes_(bytes) {}

  std::span<const std::uint8_t> take(std::size_t count) {
    if (count > bytes_.size()) {
      corrupt(fmt::format("{} bytes wanted where {} are left", count, bytes_.size()));
    }
    const auto taken = bytes_.first(count);
    bytes_ = bytes_.subspan(count);
    return taken;
  }

  std::uint32_t word() {
    const auto b = take(4);
    return std::uint32_t{b[0]} << 24 | std::uint32_t{b[1]} << 16 | std::uint32_t{b[2]} << 8 | b[3];
  }

  std::span<const std::uint8_t> rest() const { return bytes_; }
  bool empty() const { return bytes_.empty(); }

 private:
  std::span<const std::uint8_t> bytes_;
};

// Unpacks the zlib stream at the reader, which must hold exactly `size` bytes, and skips it.
std::vector<std::uint8_t> inflate_block(Reader& reader, std::uint32_t size) {
  // zlib cannot pack more than about 1032 : 1; a larger claim is damage, not worth allocating for.
  if (size / 1100 > reader.rest().size()) corrupt(fmt::format("a block of {} bytes", size));
  std::vector<std::uint8_t> content(size);
  z_stream stream{};
  if (inflateInit(&stream) != Z_OK) corrupt("zlib cannot start");
  const auto input = reader.rest();
  stream.next_in = const_cast<Bytef*>(input.data());  // zlib reads only
  stream.avail_in = static_cast<uInt>(std::min<std::size_t>(input.size(), UINT32_MAX));
  stream.next_out = content.data();
  stream.avail_out = size;
  const int status = inflate(&stream, Z_FINISH);
  const std::size_t used = stream.total_in;
  const std::size_t made = stream.total_out;
  inflateEnd(&stream);
  if (status != Z_STREAM_END || made != size) {
    corrupt(fmt::format("a block unpacks to {} bytes, not {}", made, size));
  }
  reader.take(used);
  return content;
}

// Flags word: the type in the low 8 bits, then is-object, has-attributes and has-tag.
constexpr std::uint32_t string_vector = 16;
constexpr std::uint32_t string_type = 9;

void read_header(Reader& reader) {
  const auto format = reader.take(2);
  if (format[0] != 'X' || format[1] != '\n') corrupt("not in the XDR format");
  const std::uint32_t version = reader.word();
  reader.take(8);  // the versions of R that wrote it and that can read it
  if (version == 3) {
    reader.take(reader.word());  // the native encoding
  } else if (version != 2) {
    corrupt(fmt::format("serialisation version {}", version));
  }
}

std::vector<std::string> read_strings(std::span<const std::uint8_t> content) {
  Reader reader(content);
  read_header(reader);
  const std::uint32_t flags = reader.word();
  if (flags != string_vector) corrupt(fmt::format("an object with flags {:#x}", flags));
  const std::uint32_t count = reader.word();
  if (count > reader.rest().size() / 8) corrupt(fmt::format("{} strings", count));
  std::vector<std::string> strings;
  strings.reserve(count);
  for (std::uint32_t i = 0; i < count; ++i) {
    // Above the type stand bits that tell the encoding.
    if ((reader.word() & 0xff) != string_type) corrupt("an element that is not a string");
    const std::uint32_t length = reader.word();
    const auto bytes = reader.take(length == UINT32_MAX ? 0 : length);  // -1: NA
    strings.emplace_back(bytes.begin(), bytes.end());
  }
  if (!reader.empty()) corrupt("bytes after its end");
  return strings;
}

}  // namespace

std::vector<std::vector<std::string>> read_r_string_vectors(
    std::span<const std::uint8_t> database) {
  std::vector<std::vector<std::string>> vectors;
  Reader reader(database);
  while (!reader.empty()) {
    const std::uint32_t size = reader.word();
    vectors.push_back(read_strings(inflate_block(reader, size)));
  }
  return vectors;
}

}  // namespace omninorm::lab
