// What is measured: one cell of the table is an op, a direction, a dtype, a shape and how it lies
// in memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "omninorm/dtype.h"

namespace omninorm::bench {

enum class Direction : std::uint8_t { forward, backward };
const char* name(Direction direction);

// nchw and nhwc stand for any number of spatial dimensions.
enum class Layout : std::uint8_t { rows, nchw, nhwc };
const char* name(Layout layout);

// [rows, width], or [N, C, spatial...] whatever the layout.
struct Shape {
  std::vector<std::int64_t> sizes;

  bool is_rows() const { return sizes.size() == 2; }
  std::int64_t elements() const;
  bool operator==(const Shape&) const = default;
};
std::string name(const Shape& shape);      // "4096x768"
Shape parse_shape(std::string_view text);  // throws Error

struct Cell {
  std::string op;
  Direction direction = Direction::forward;
  DType dtype = DType::f32;
  Shape shape;
  Layout layout = Layout::rows;
  std::int64_t group_channels = 0;  // of one group, for the ops that have groups; else 0
};
std::string name(const Cell& cell);   // "group_norm forward f32 nhwc 8x64x56x56 g8"
std::string group(const Cell& cell);  // "group_norm forward f32 nhwc": a table of its own
std::string label(const Cell& cell);  // "8x64x56x56 g8": a line of that table

DType parse_dtype(std::string_view text);    // f32, bf16 or f16; throws Error
Layout parse_layout(std::string_view text);  // rows, nchw or nhwc; throws Error

struct Selection {
  std::vector<std::string> ops;              // empty: all
  std::vector<Direction> directions;         // empty: both
  std::vector<DType> dtypes;                 // empty: f32, bf16 and f16; quick: f32
  std::vector<Layout> layouts;               // empty: all; quick: rows and nhwc
  std::vector<Shape> shapes;                 // empty: the table's, or the quick ones
  std::vector<std::int64_t> group_channels;  // empty: the table's, or the quick one
  bool quick = false;
};

// In the order of the table. Throws Error for an op that is not in op_table(), and where nothing is
// left to measure.
std::vector<Cell> cells(const Selection& selection);

}  // namespace omninorm::bench
