#include "cli/table/arrow/streams.h"

#include <arrow/buffer.h>

#include <algorithm>
#include <span>
#include <string_view>

namespace omninorm::cli {

arrow::Result<std::int64_t> SourceStream::Read(std::int64_t count, void* out) {
  try {
    const std::size_t read =
        source_.read({static_cast<char*>(out), static_cast<std::size_t>(count)});
    position_ += static_cast<std::int64_t>(read);
    return static_cast<std::int64_t>(read);
  } catch (...) {
    thrown_ = std::current_exception();
    return arrow::Status::IOError("cannot be read");
  }
}

arrow::Result<std::shared_ptr<arrow::Buffer>> SourceStream::Read(std::int64_t count) {
  // A damaged length asks for any size: memory is taken as bytes come.
  constexpr std::int64_t first = std::int64_t{64} << 20;
  ARROW_ASSIGN_OR_RAISE(auto buffer, arrow::AllocateResizableBuffer(std::min(count, first)));
  std::int64_t filled = 0;
  while (true) {
    ARROW_ASSIGN_OR_RAISE(const std::int64_t read,
                          Read(buffer->size() - filled, buffer->mutable_data() + filled));
    filled += read;
    if (filled < buffer->size() || filled == count) break;
    ARROW_RETURN_NOT_OK(buffer->Resize(std::min(count, 2 * filled)));
  }
  ARROW_RETURN_NOT_OK(buffer->Resize(filled));
  return std::shared_ptr<arrow::Buffer>(std::move(buffer));
}

arrow::Status SinkStream::Write(const void* bytes, std::int64_t count) {
  try {
    sink_.write(std::string_view(static_cast<const char*>(bytes), static_cast<std::size_t>(count)));
    position_ += count;
    return arrow::Status::OK();
  } catch (...) {
    thrown_ = std::current_exception();
    return arrow::Status::IOError("cannot be written");
  }
}

}  // namespace omninorm::cli
