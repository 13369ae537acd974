// Tables in the Arrow C data interface (https://arrow.apache.org/docs/format/CDataInterface.html),
// from any library that speaks it; none is linked.
#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "omninorm/tensor.h"

extern "C" {

// As the specification writes them.
struct ArrowSchema {
  const char* format;
  const char* name;
  const char* metadata;
  std::int64_t flags;
  std::int64_t n_children;
  ArrowSchema** children;
  ArrowSchema* dictionary;
  void (*release)(ArrowSchema*);
  void* private_data;
};

struct ArrowArray {
  std::int64_t length;
  std::int64_t null_count;
  std::int64_t offset;
  std::int64_t n_buffers;
  std::int64_t n_children;
  const void** buffers;
  ArrowArray** children;
  ArrowArray* dictionary;
  void (*release)(ArrowArray*);
  void* private_data;
};

struct ArrowArrayStream {
  int (*get_schema)(ArrowArrayStream*, ArrowSchema* out);
  int (*get_next)(ArrowArrayStream*, ArrowArray* out);
  const char* (*get_last_error)(ArrowArrayStream*);
  void (*release)(ArrowArrayStream*);
  void* private_data;
};
}

namespace omninorm::python {

// Owns one of the structs, taken out of where it was.
template <class Struct>
class Owned {
 public:
  Owned() = default;
  explicit Owned(Struct& from) : value_(from) { from.release = nullptr; }
  Owned(Owned&& other) noexcept : Owned(other.value_) {}
  Owned& operator=(Owned&& other) noexcept {
    std::swap(value_, other.value_);
    return *this;
  }
  ~Owned() {
    if (value_.release) value_.release(&value_);
  }
  Struct* get() { return &value_; }
  const Struct* operator->() const { return &value_; }

 private:
  Struct value_{};
};

// One record batch: each column [rows, 1], f32 or f64. Columns of float and double without nulls
// are Arrow's own memory; all others are converted, with NaN for null, to double (half to float).
struct ArrowBatch {
  std::int64_t rows = 0;
  std::vector<ConstTensor> columns;

  Owned<ArrowArray> owner;
  std::vector<std::unique_ptr<double[]>> converted;
};

// A table that is read once, from front to back.
class ArrowTable {
 public:
  // From an object with __arrow_c_stream__ or __arrow_c_array__. Throws Error for what is no table
  // of numbers, naming the column.
  explicit ArrowTable(const pybind11::object& source);

  const std::vector<std::string>& names() const { return names_; }

  // f32 where every column is float or half, else f64.
  DType dtype() const;

  // False at the end. Works without the GIL; throws Error with the producer's reason.
  bool next(ArrowBatch& batch);

 private:
  void read_schema(Owned<ArrowSchema> schema);

  Owned<ArrowArrayStream> stream_;
  Owned<ArrowArray> only_;  // where there is no stream
  std::vector<std::string> names_;
  std::vector<char> formats_;  // one letter a column
};

}  // namespace omninorm::python
