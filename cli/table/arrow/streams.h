// The program's byte streams as Arrow's. Arrow's code is not made for exceptions: what a stream
// throws is kept, Arrow gets an error, and whoever called Arrow has rethrow() throw it again.
#pragma once

#include <arrow/io/interfaces.h>
#include <arrow/result.h>

#include <cstdint>
#include <exception>
#include <memory>

#include "cli/table/byte_sink.h"
#include "cli/table/byte_source.h"

namespace omninorm::cli {

class SourceStream final : public arrow::io::InputStream {
 public:
  explicit SourceStream(ByteSource& source) : source_(source) {}

  arrow::Result<std::int64_t> Read(std::int64_t count, void* out) override;
  arrow::Result<std::shared_ptr<arrow::Buffer>> Read(std::int64_t count) override;
  arrow::Result<std::int64_t> Tell() const override { return position_; }
  arrow::Status Close() override { return arrow::Status::OK(); }
  bool closed() const override { return false; }
  void rethrow() const {
    if (thrown_) std::rethrow_exception(thrown_);
  }

 private:
  ByteSource& source_;
  std::int64_t position_ = 0;
  std::exception_ptr thrown_;
};

class SinkStream final : public arrow::io::OutputStream {
 public:
  explicit SinkStream(ByteSink& sink) : sink_(sink) {}

  arrow::Status Write(const void* bytes, std::int64_t count) override;
  arrow::Result<std::int64_t> Tell() const override { return position_; }
  arrow::Status Close() override { return arrow::Status::OK(); }
  bool closed() const override { return false; }
  void rethrow() const {
    if (thrown_) std::rethrow_exception(thrown_);
  }

 private:
  ByteSink& sink_;
  std::int64_t position_ = 0;
  std::exception_ptr thrown_;
};

}  // namespace omninorm::cli
