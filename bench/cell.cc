#include "bench/cell.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "bench/ops.h"
#include "omninorm/error.h"

namespace omninorm::bench {
namespace {

constexpr std::int64_t kRows[] = {64, 512, 4096, 16384};
constexpr std::int64_t kWidths[] = {64, 256, 768, 1024, 4096};
// Small, in the caches, and past them.
constexpr Shape kQuickShapes[] = {{64, 64}, {512, 768}, {4096, 1024}, {4096, 4096}};

std::int64_t parse_positive(std::string_view text, std::string_view whole) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 1) {
    throw Error(fmt::format(
        "[bench] expected a shape such as 4096x768 (rows x width, both at least 1), got '{}'",
        whole));
  }
  return value;
}

}  // namespace

const char* name(Direction direction) {
  return direction == Direction::forward ? "forward" : "backward";
}

std::string name(Shape shape) { return fmt::format("{}x{}", shape.rows, shape.width); }

Shape parse_shape(std::string_view text) {
  const auto cross = text.find('x');
  const auto rows = text.substr(0, cross);
  const auto width = cross == text.npos ? std::string_view() : text.substr(cross + 1);
  const Shape shape{parse_positive(rows, text), parse_positive(width, text)};
  constexpr std::int64_t kLargest = std::int64_t{1} << 40;  // keeps every product below in 64 bits
  if (shape.rows > kLargest / shape.width) {
    throw Error(fmt::format("[bench] expected a shape of at most 2^40 entries, got '{}'", text));
  }
  return shape;
}

DType parse_dtype(std::string_view text) {
  for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
    if (text == omninorm::name(dtype)) return dtype;
  }
  throw Error(fmt::format("[bench] expected dtype f32, bf16 or f16, got '{}'", text));
}

std::string group(const Cell& cell) {
  return fmt::format("{} {} {}", cell.op, name(cell.direction), omninorm::name(cell.dtype));
}

std::string name(const Cell& cell) { return group(cell) + " " + name(cell.shape); }

std::size_t operand_bytes(const Cell& cell) {
  return static_cast<std::size_t>(cell.shape.rows * cell.shape.width) * size_of(cell.dtype);
}

std::size_t moved_bytes(const Cell& cell) {
  return operand_bytes(cell) * (cell.direction == Direction::forward ? 2 : 3);
}

std::size_t memory_needed(const Cell& cell, bool with_torch) {
  const bool forward = cell.direction == Direction::forward;
  const std::size_t ours = operand_bytes(cell) * (forward ? 4 : 7);
  // PyTorch's rms_norm is a chain of ops, in fp32 for 16-bit inputs; backward keeps its parts.
  const auto entries = static_cast<std::size_t>(cell.shape.rows * cell.shape.width);
  const std::size_t torch = with_torch ? entries * sizeof(float) * (forward ? 5 : 12) : 0;
  return ours + torch;
}

std::vector<Cell> cells(const Selection& selection) {
  for (const std::string& op : selection.ops) find_op(op);
  std::vector<Shape> shapes = selection.shapes;
  if (shapes.empty() && selection.quick) {
    shapes.assign(std::begin(kQuickShapes), std::end(kQuickShapes));
  } else if (shapes.empty()) {
    for (const auto rows : kRows) {
      for (const auto width : kWidths) shapes.push_back({rows, width});
    }
  }
  const auto wanted = [](const auto& list, const auto& value) {
    return list.empty() || std::find(list.begin(), list.end(), value) != list.end();
  };
  const std::vector<DType> dtypes =
      selection.dtypes.empty() ? std::vector{DType::f32, DType::bf16} : selection.dtypes;
  std::vector<Cell> result;
  for (const Op& op : op_table()) {
    if (!wanted(selection.ops, std::string(op.name))) continue;
    for (const Direction direction : {Direction::forward, Direction::backward}) {
      if (!wanted(selection.directions, direction)) continue;
      for (const DType dtype : dtypes) {
        for (const Shape& shape : shapes) {
          result.push_back({std::string(op.name), direction, dtype, shape});
        }
      }
    }
  }
  return result;
}

}  // namespace omninorm::bench
