#include "python/module/arrow.h"

#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <string_view>

#include "omninorm/dtype.h"
#include "src/core/check.h"

namespace omninorm::python {
namespace {

constexpr const char* kOp = "arrow";
constexpr std::string_view kNumbers = "fgecCsSiIlLbn";

bool bit(const void* bits, std::int64_t index) {
  return (static_cast<const std::uint8_t*>(bits)[index / 8] >> (index % 8)) & 1;
}

// Which rows of a column are there: neither it nor the batch around it has a null.
struct Validity {
  const void* column = nullptr;
  std::int64_t column_offset = 0;
  const void* batch = nullptr;
  std::int64_t batch_offset = 0;

  bool operator()(std::int64_t row) const {
    return (!column || bit(column, column_offset + row)) &&
           (!batch || bit(batch, batch_offset + row));
  }
  bool all(std::int64_t rows) const {
    if (!column && !batch) return true;
    for (std::int64_t row = 0; row < rows; ++row) {
      if (!(*this)(row)) return false;
    }
    return true;
  }
};

// `at(row)`, NaN where the row is null, in memory that `owner` keeps.
template <class To, class At>
ConstTensor convert(std::int64_t rows, const Validity& valid, At&& at,
                    std::vector<std::unique_ptr<double[]>>& owner) {
  const auto bytes = static_cast<std::size_t>(rows) * sizeof(To);
  owner.emplace_back(new double[bytes / sizeof(double) + 1]);
  To* out = reinterpret_cast<To*>(owner.back().get());
  for (std::int64_t row = 0; row < rows; ++row) {
    out[row] = valid(row) ? static_cast<To>(at(row)) : std::numeric_limits<To>::quiet_NaN();
  }
  return {out, {rows, 1}};
}

// A value at any address: the specification recommends aligned buffers, and does not demand them.
template <class T>
T load(const void* values, std::int64_t index) {
  T value;
  std::memcpy(&value, static_cast<const char*>(values) + index * std::int64_t{sizeof(T)},
              sizeof(T));
  return value;
}

template <class From, class To = double>
ConstTensor convert_from(const void* values, std::int64_t rows, const Validity& valid,
                         std::vector<std::unique_ptr<double[]>>& owner) {
  return convert<To>(
      rows, valid, [values](std::int64_t row) { return load<From>(values, row); }, owner);
}

template <class T>
ConstTensor view_or_convert(const void* values, std::int64_t rows, const Validity& valid,
                            std::vector<std::unique_ptr<double[]>>& owner) {
  const bool aligned = reinterpret_cast<std::uintptr_t>(values) % alignof(T) == 0;
  if (!aligned || !valid.all(rows)) return convert_from<T, T>(values, rows, valid, owner);
  return {static_cast<const T*>(values), {rows, 1}};
}

std::size_t bytes_of(char format) {
  switch (format) {
    case 'c':
    case 'C':
      return 1;
    case 's':
    case 'S':
    case 'e':
      return 2;
    case 'i':
    case 'I':
    case 'f':
      return 4;
    default:
      return 8;
  }
}

// Column `array` of a batch; `start` is the first row's index in its buffers.
ConstTensor column_of(char format, const ArrowArray& array, std::int64_t start, std::int64_t rows,
                      const Validity& valid, std::vector<std::unique_ptr<double[]>>& owner) {
  if (format == 'n') {
    return convert<double>(
        rows, valid, [](std::int64_t) { return std::numeric_limits<double>::quiet_NaN(); }, owner);
  }
  const void* buffer = array.buffers[1];
  if (rows == 0) {
    // Of the type that a batch with rows would have.
    const bool f32 = format == 'f' || format == 'e';
    return ConstTensor(nullptr, f32 ? DType::f32 : DType::f64, std::array{rows, std::int64_t{1}},
                       {});
  }
  if (!buffer) internal::fail(kOp, "a buffer of values in every column", "none");
  if (format == 'b') {
    return convert<double>(
        rows, valid, [=](std::int64_t row) { return bit(buffer, start + row) ? 1.0 : 0.0; }, owner);
  }
  const void* values =
      static_cast<const char*>(buffer) + static_cast<std::size_t>(start) * bytes_of(format);
  switch (format) {
    case 'f':
      return view_or_convert<float>(values, rows, valid, owner);
    case 'g':
      return view_or_convert<double>(values, rows, valid, owner);
    case 'e':
      return convert<float>(
          rows, valid, [values](std::int64_t row) { return to_float(load<float16>(values, row)); },
          owner);
    case 'c':
      return convert_from<std::int8_t>(values, rows, valid, owner);
    case 'C':
      return convert_from<std::uint8_t>(values, rows, valid, owner);
    case 's':
      return convert_from<std::int16_t>(values, rows, valid, owner);
    case 'S':
      return convert_from<std::uint16_t>(values, rows, valid, owner);
    case 'i':
      return convert_from<std::int32_t>(values, rows, valid, owner);
    case 'I':
      return convert_from<std::uint32_t>(values, rows, valid, owner);
    case 'l':
      return convert_from<std::int64_t>(values, rows, valid, owner);
    default:
      return convert_from<std::uint64_t>(values, rows, valid, owner);
  }
}

// The struct of a capsule, which the specification names by its type.
template <class Struct>
Struct& in_capsule(const pybind11::handle& capsule, const char* name) {
  auto* found = static_cast<Struct*>(PyCapsule_GetPointer(capsule.ptr(), name));
  if (!found) throw pybind11::error_already_set();
  if (!found->release) internal::fail(kOp, "a table that nobody has taken", "one that was read");
  return *found;
}

// A type as people know it, for messages.
std::string type_text(const ArrowSchema& column) {
  const std::string_view format = column.format;
  std::string words;
  if (column.dictionary) {
    words = "dictionary";
  } else if (format == "u" || format == "U" || format == "vu") {
    words = "text";
  } else if (format.starts_with("t")) {
    words = "time";
  } else if (format.starts_with("d:")) {
    words = "decimal";
  } else if (format.starts_with("+")) {
    words = "nested values";
  } else {
    words = "values";
  }
  return words + " (Arrow format \"" + std::string(format) + "\")";
}

}  // namespace

ArrowTable::ArrowTable(const pybind11::object& source) {
  Owned<ArrowSchema> schema;
  if (pybind11::hasattr(source, "__arrow_c_stream__")) {
    const pybind11::object capsule = source.attr("__arrow_c_stream__")();
    stream_ = Owned(in_capsule<ArrowArrayStream>(capsule, "arrow_array_stream"));
    if (const int code = stream_.get()->get_schema(stream_.get(), schema.get())) {
      const char* reason = stream_.get()->get_last_error(stream_.get());
      internal::fail(kOp, "a stream with a schema", reason ? reason : std::strerror(code));
    }
  } else {
    const pybind11::tuple pair = source.attr("__arrow_c_array__")();
    if (pair.size() != 2) internal::fail(kOp, "two capsules", std::to_string(pair.size()));
    schema = Owned(in_capsule<ArrowSchema>(pair[0], "arrow_schema"));
    only_ = Owned(in_capsule<ArrowArray>(pair[1], "arrow_array"));
  }
  read_schema(std::move(schema));
}

void ArrowTable::read_schema(Owned<ArrowSchema> schema) {
  if (std::string_view(schema->format) != "+s") {
    internal::fail(kOp, "a table, with columns", "one column of " + type_text(*schema.get()));
  }
  for (std::int64_t j = 0; j < schema->n_children; ++j) {
    const ArrowSchema& column = *schema->children[j];
    names_.emplace_back(column.name ? column.name : "");
    const std::string_view format = column.format;
    if (column.dictionary || format.size() != 1 ||
        kNumbers.find(format[0]) == std::string_view::npos) {
      internal::fail(kOp, "numbers in column \"" + names_.back() + "\"", type_text(column),
                     "leave it out, or cast it");
    }
    formats_.push_back(format[0]);
  }
}

DType ArrowTable::dtype() const {
  for (const char format : formats_) {
    if (format != 'f' && format != 'e') return DType::f64;
  }
  return DType::f32;
}

bool ArrowTable::next(ArrowBatch& batch) {
  batch = {};
  if (stream_->release) {
    if (const int code = stream_.get()->get_next(stream_.get(), batch.owner.get())) {
      const char* reason = stream_.get()->get_last_error(stream_.get());
      internal::fail(kOp, "another batch of the table", reason ? reason : std::strerror(code));
    }
  } else {
    batch.owner = std::move(only_);
  }
  const ArrowArray& array = *batch.owner.get();
  if (!array.release) return false;
  if (array.n_children != static_cast<std::int64_t>(formats_.size())) {
    internal::fail(kOp, std::to_string(formats_.size()) + " columns in every batch",
                   std::to_string(array.n_children));
  }
  batch.rows = array.length;
  Validity valid;
  if (array.null_count != 0 && array.n_buffers > 0) valid.batch = array.buffers[0];
  valid.batch_offset = array.offset;
  for (std::size_t j = 0; j < formats_.size(); ++j) {
    const ArrowArray& column = *array.children[j];
    if (column.length < array.offset + array.length) {
      internal::fail(kOp, "columns of one length",
                     std::to_string(column.length) + " rows in column \"" + names_[j] + "\"");
    }
    const std::int64_t start = column.offset + array.offset;
    valid.column = column.null_count != 0 && column.n_buffers > 1 ? column.buffers[0] : nullptr;
    valid.column_offset = start;
    batch.columns.push_back(
        column_of(formats_[j], column, start, batch.rows, valid, batch.converted));
  }
  return true;
}

}  // namespace omninorm::python
