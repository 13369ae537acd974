// What is measured: one cell of the table is an op, a direction, a dtype and a shape.
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

struct Shape {
  std::int64_t rows = 0;
  std::int64_t width = 0;
  bool operator==(const Shape&) const = default;
};
std::string name(Shape shape);             // "4096x768"
Shape parse_shape(std::string_view text);  // throws Error

struct Cell {
  std::string op;
  Direction direction = Direction::forward;
  DType dtype = DType::f32;
  Shape shape;
};
std::string name(const Cell& cell);   // "layer_norm forward f32 4096x768"
std::string group(const Cell& cell);  // "layer_norm forward f32"

DType parse_dtype(std::string_view text);  // f32, bf16 or f16; throws Error

// Bytes of one operand of x's shape.
std::size_t operand_bytes(const Cell& cell);

// Bytes that must cross memory once: forward reads x and writes y; backward reads x and dy and
// writes dx. Weights and saved statistics, a few permille of it, are left out.
std::size_t moved_bytes(const Cell& cell);

// The most memory that measuring this cell holds at once, with PyTorch beside us or without.
std::size_t memory_needed(const Cell& cell, bool with_torch);

struct Selection {
  std::vector<std::string> ops;       // empty: all
  std::vector<Direction> directions;  // empty: both
  std::vector<DType> dtypes;          // empty: f32 and bf16
  std::vector<Shape> shapes;          // empty: the table's, or the quick ones
  bool quick = false;
};

// In the order of the table. Throws Error for an op that is not in op_table().
std::vector<Cell> cells(const Selection& selection);

}  // namespace omninorm::bench
