#include "bench/cell.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <iterator>
#include <span>

#include "bench/ops.h"
#include "bench/shapes.h"
#include "omninorm/error.h"

namespace omninorm::bench {
namespace {

constexpr std::int64_t kLargest = std::int64_t{1} << 40;  // keeps every product in 64 bits

template <class List, class Value>
bool wanted(const List& list, const Value& value) {
  return list.empty() || std::find(list.begin(), list.end(), value) != list.end();
}

std::int64_t parse_positive(std::string_view text, std::string_view whole) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 1) {
    throw Error(
        fmt::format("[bench] expected a shape such as 4096x768 (rows x width) or "
                    "8x64x56x56 (N x C x spatial dimensions), each at least 1, got '{}'",
                    whole));
  }
  return value;
}

// The table's shapes for an op, in its order.
std::vector<Shape> table_shapes(const Op& op, bool quick) {
  std::vector<Shape> shapes;
  if (op.rows && op.images && op.grouping == Grouping::channels) {  // batch_norm on features
    if (!quick) shapes.push_back({{std::begin(kFeatures), std::end(kFeatures)}});
  } else if (op.rows && quick) {
    shapes.push_back({{std::begin(kQuickRows), std::end(kQuickRows)}});
  } else if (op.rows) {
    for (const auto rows : kRows) {
      for (const auto width : kWidths) shapes.push_back({{rows, width}});
    }
  }
  if (op.images && quick) {
    shapes.push_back({{std::begin(kQuickImages), std::end(kQuickImages)}});
  } else if (op.images) {
    for (const auto images : kImages) {
      for (const auto& shape : kImageShapes) {
        shapes.push_back({{images, shape[0], shape[1], shape[2]}});
      }
    }
  }
  return shapes;
}

std::vector<std::int64_t> group_channels(const Op& op, const Selection& selection) {
  if (op.grouping != Grouping::groups) return {0};
  if (!selection.group_channels.empty()) return selection.group_channels;
  if (selection.quick) return {kQuickGroupChannels};
  return {std::begin(kGroupChannels), std::end(kGroupChannels)};
}

std::vector<Layout> layouts(const Selection& selection) {
  if (selection.layouts.empty() && selection.quick) return {Layout::rows, Layout::nhwc};
  return selection.layouts;
}

// The cells of one op, direction and dtype, appended.
void add_cells(const Op& op, const Cell& like, const Selection& selection,
               std::vector<Cell>& list) {
  const auto shapes =
      selection.shapes.empty() ? table_shapes(op, selection.quick) : selection.shapes;
  for (const Layout layout : {Layout::rows, Layout::nchw, Layout::nhwc}) {
    if (!wanted(layouts(selection), layout)) continue;
    for (const Shape& shape : shapes) {
      if (shape.is_rows() != (layout == Layout::rows)) continue;
      if (!(shape.is_rows() ? op.rows : op.images)) continue;
      for (const std::int64_t channels : group_channels(op, selection)) {
        if (channels != 0 && shape.sizes[1] % channels != 0) continue;
        Cell cell = like;
        cell.shape = shape;
        cell.layout = layout;
        cell.group_channels = channels;
        list.push_back(std::move(cell));
      }
    }
  }
}

template <class Value>
Value parse_name(std::string_view what, std::string_view text, std::span<const Value> values) {
  std::vector<std::string> names;
  for (const Value value : values) {
    names.emplace_back(name(value));
    if (names.back() == text) return value;
  }
  throw Error(
      fmt::format("[bench] expected {} out of {}, got '{}'", what, fmt::join(names, ", "), text));
}

}  // namespace

const char* name(Direction direction) {
  return direction == Direction::forward ? "forward" : "backward";
}

const char* name(Layout layout) {
  return layout == Layout::rows ? "rows" : layout == Layout::nchw ? "nchw" : "nhwc";
}

std::int64_t Shape::elements() const {
  std::int64_t product = 1;
  for (const std::int64_t size : sizes) product *= size;
  return product;
}

std::string name(const Shape& shape) { return fmt::format("{}", fmt::join(shape.sizes, "x")); }

Shape parse_shape(std::string_view text) {
  Shape shape;
  std::int64_t elements = 1;
  for (std::string_view rest = text;;) {
    const auto cross = rest.find('x');
    shape.sizes.push_back(parse_positive(rest.substr(0, cross), text));
    if (shape.sizes.back() > kLargest / elements) {
      throw Error(fmt::format("[bench] expected a shape of at most 2^40 entries, got '{}'", text));
    }
    elements *= shape.sizes.back();
    if (cross == rest.npos) break;
    rest.remove_prefix(cross + 1);
  }
  if (shape.sizes.size() < 2 || shape.sizes.size() > static_cast<std::size_t>(kMaxRank)) {
    throw Error(
        fmt::format("[bench] expected a shape of 2 to {} dimensions, got '{}'", kMaxRank, text));
  }
  return shape;
}

DType parse_dtype(std::string_view text) {
  static constexpr DType kDTypes[] = {DType::f32, DType::bf16, DType::f16};
  return parse_name<DType>("a dtype", text, kDTypes);
}

Layout parse_layout(std::string_view text) {
  static constexpr Layout kLayouts[] = {Layout::rows, Layout::nchw, Layout::nhwc};
  return parse_name<Layout>("a layout", text, kLayouts);
}

std::string group(const Cell& cell) {
  const std::string text =
      fmt::format("{} {} {}", cell.op, name(cell.direction), omninorm::name(cell.dtype));
  return cell.layout == Layout::rows ? text : text + " " + name(cell.layout);
}

std::string label(const Cell& cell) {
  return cell.group_channels == 0 ? name(cell.shape)
                                  : fmt::format("{} g{}", name(cell.shape), cell.group_channels);
}

std::string name(const Cell& cell) { return group(cell) + " " + label(cell); }

std::vector<Cell> cells(const Selection& selection) {
  for (const std::string& op : selection.ops) find_op(op);
  std::vector<DType> dtypes = selection.dtypes;
  if (dtypes.empty()) {
    dtypes = selection.quick ? std::vector{DType::f32}
                             : std::vector{DType::f32, DType::bf16, DType::f16};
  }
  std::vector<Cell> result;
  for (const Op& op : op_table()) {
    if (!wanted(selection.ops, std::string(op.name))) continue;
    for (const Direction direction : {Direction::forward, Direction::backward}) {
      if (!wanted(selection.directions, direction)) continue;
      for (const DType dtype : dtypes) {
        Cell like;
        like.op = op.name;
        like.direction = direction;
        like.dtype = dtype;
        add_cells(op, like, selection, result);
      }
    }
  }
  if (result.empty()) {
    throw Error(
        "[bench] expected ops, shapes and layouts that go together, got none to measure: "
        "ROWSxWIDTH is for layer_norm, rms_norm, grouped_layer_norm, add_* and batch_norm, "
        "NxCxHxW (--layout nchw or nhwc) for grouped_layer_norm, group_norm, instance_norm and "
        "batch_norm, with groups that divide the channels");
  }
  return result;
}

}  // namespace omninorm::bench
