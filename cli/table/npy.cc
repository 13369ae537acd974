#include "cli/table/npy.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include "cli/interrupt.h"
#include "cli/program.h"
#include "cli/table/cells.h"
#include "cli/table/npy_header.h"

namespace omninorm::cli {
namespace {

static_assert(std::endian::native == std::endian::little);

class NpyReader final : public TableReader {
 public:
  NpyReader(std::unique_ptr<ByteSource> source, const ReadOptions& options)
      : source_(std::move(source)), header_(read_npy_header(*source_)), place_(source_->place()) {
    schema_.named = false;
    schema_.format = "npy";
    schema_.rows = header_.rows;
    for (std::int64_t j = 0; j < header_.columns; ++j) {
      schema_.fields.push_back({std::to_string(j), true, header_.dtype});
    }
    batch_rows_ = rows_of_batch(options, schema_.fields.size());
    if (header_.fortran_order && !place_ && header_.columns > 1) {
      throw UsageError(fmt::format(
          "{}: an array in Fortran order is read from all over the file, which has to be there, "
          "uncompressed; numpy.ascontiguousarray(x) makes one that can come through a pipe",
          source_->name()));
    }
    if (!place_) return;
    start_ = place_->offset;
    if (header_.bytes() > source_->bytes().value_or(0)) cut_short();
  }

  const Schema& schema() const override { return schema_; }
  void select(const std::vector<std::size_t>&) override {}  // all are numbers
  bool next(Batch& batch) override;
  std::int64_t bytes_read() const override {
    return in_columns() ? row_ * header_.columns * size() : source_->bytes_read();
  }
  std::optional<std::int64_t> bytes() const override { return source_->bytes(); }

 private:
  bool in_columns() const { return header_.fortran_order && header_.columns > 1; }
  std::int64_t size() const { return static_cast<std::int64_t>(size_of(header_.dtype)); }
  void cut_short() const {
    throw UsageError(
        fmt::format("{}: cut short: expected {} rows, got fewer", source_->name(), header_.rows));
  }
  void read_rows(Batch& batch);
  void read_columns(Batch& batch);

  std::unique_ptr<ByteSource> source_;
  NpyHeader header_;
  std::optional<ByteSource::Place> place_;
  std::int64_t start_ = 0;
  Schema schema_;
  std::int64_t batch_rows_ = 0, row_ = 0;
  std::vector<char> bytes_;
};

bool NpyReader::next(Batch& batch) {
  if (row_ == header_.rows) return false;
  batch.first_row = row_;
  batch.rows = std::min(batch_rows_, header_.rows - row_);
  batch.stride = batch_rows_;
  batch.lines.clear();
  batch.others.clear();
  batch.own_form.reset();
  batch.numbers.resize(static_cast<std::size_t>(header_.columns * batch_rows_));
  if (in_columns()) {
    read_columns(batch);
  } else {
    read_rows(batch);
  }
  row_ += batch.rows;
  return true;
}

template <class T>
void spread(const char* from, std::int64_t rows, std::int64_t columns, Batch& batch) {
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t j = 0; j < columns; ++j) {
      T value;
      std::memcpy(&value, from + (row * columns + j) * std::int64_t{sizeof value}, sizeof value);
      batch.numbers[static_cast<std::size_t>(j * batch.stride + row)] = value;
    }
  }
}

void NpyReader::read_rows(Batch& batch) {
  bytes_.resize(static_cast<std::size_t>(batch.rows * header_.columns * size()));
  if (source_->read(bytes_) < bytes_.size()) cut_short();
  if (header_.dtype == DType::f32) {
    spread<float>(bytes_.data(), batch.rows, header_.columns, batch);
  } else {
    spread<double>(bytes_.data(), batch.rows, header_.columns, batch);
  }
}

void NpyReader::read_columns(Batch& batch) {
  bytes_.resize(static_cast<std::size_t>(batch.rows * size()));
  for (std::int64_t j = 0; j < header_.columns; ++j) {
    std::span<char> left = bytes_;
    std::int64_t from = start_ + (j * header_.rows + row_) * size();
    while (!left.empty()) {
      check_interrupt();
      const ssize_t count = ::pread(place_->descriptor, left.data(), left.size(), from);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) {
        throw std::system_error(errno, std::generic_category(), "cannot read " + source_->name());
      }
      if (count == 0) cut_short();
      left = left.subspan(static_cast<std::size_t>(count));
      from += count;
    }
    double* const to = batch.numbers.data() + j * batch.stride;
    if (header_.dtype == DType::f64) {
      std::memcpy(to, bytes_.data(), bytes_.size());
      continue;
    }
    for (std::int64_t row = 0; row < batch.rows; ++row) {
      float value;
      std::memcpy(&value, bytes_.data() + row * std::int64_t{sizeof value}, sizeof value);
      to[row] = value;
    }
  }
}

class NpyWriter final : public TableWriter {
 public:
  NpyWriter(std::unique_ptr<ByteSink> sink, const Schema& schema) : sink_(std::move(sink)) {
    header_.columns = static_cast<std::int64_t>(schema.fields.size());
    header_.dtype = DType::f32;
    for (const Field& field : schema.fields) {
      if (!field.number) {
        throw UsageError(fmt::format(
            "{}: npy holds numbers alone, and column {} is passed through as text; csv holds it",
            sink_->name(), shown(field.name)));
      }
      if (field.dtype == DType::f64) header_.dtype = DType::f64;
    }
    if (!schema.rows && !sink_->can_rewrite()) {
      throw UsageError(fmt::format(
          "{}: npy has the number of rows in front, which is not known yet; write an uncompressed "
          "file",
          sink_->name()));
    }
    header_.rows = schema.rows.value_or(0);
    sink_->write(npy_header_text(header_));
  }

  void write(const Batch& batch) override {
    if (header_.dtype == DType::f32) {
      gather<float>(batch);
    } else {
      gather<double>(batch);
    }
    sink_->write({bytes_.data(), bytes_.size()});
    rows_ += batch.rows;
  }

  void finish() override {
    if (rows_ != header_.rows) {
      header_.rows = rows_;
      sink_->rewrite_start(npy_header_text(header_));
    }
    sink_->finish();
  }

 private:
  template <class T>
  void gather(const Batch& batch) {
    bytes_.resize(static_cast<std::size_t>(batch.rows * header_.columns) * sizeof(T));
    for (std::int64_t row = 0; row < batch.rows; ++row) {
      for (std::int64_t j = 0; j < header_.columns; ++j) {
        T value;
        const double number = batch.numbers[static_cast<std::size_t>(j * batch.stride + row)];
        if constexpr (sizeof value == sizeof(float)) {
          value = to_f32(number);
        } else {
          value = number;
        }
        std::memcpy(bytes_.data() + (row * header_.columns + j) * std::int64_t{sizeof value},
                    &value, sizeof value);
      }
    }
  }

  std::unique_ptr<ByteSink> sink_;
  NpyHeader header_;
  std::int64_t rows_ = 0;
  std::vector<char> bytes_;
};

}  // namespace

std::unique_ptr<TableReader> open_npy(std::unique_ptr<ByteSource> source,
                                      const ReadOptions& options) {
  return std::make_unique<NpyReader>(std::move(source), options);
}

std::unique_ptr<TableWriter> create_npy(std::unique_ptr<ByteSink> sink, const Schema& schema) {
  return std::make_unique<NpyWriter>(std::move(sink), schema);
}

}  // namespace omninorm::cli
