// The text in front of the numbers of an .npy file.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "cli/table/byte_source.h"
#include "omninorm/dtype.h"

namespace omninorm::cli {

struct NpyHeader {
  DType dtype = DType::f64;  // f32 or f64
  bool fortran_order = false;
  std::int64_t rows = 0, columns = 1;

  std::int64_t bytes() const;  // of the numbers
};

// Reads it off the source, which then stands at the numbers. UsageError for what is no matrix of f4
// or f8.
NpyHeader read_npy_header(ByteSource& source);

// Version 1.0, always 128 bytes: it can be written over when the rows have been counted.
std::string npy_header_text(const NpyHeader& header);

}  // namespace omninorm::cli
