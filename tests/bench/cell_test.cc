// What is measured, and how many bytes it must move.
#include "bench/cell.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "bench/ops.h"
#include "bench/view.h"
#include "omninorm/error.h"

namespace omninorm::bench {
namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;

Cell cell(std::string op, Direction direction, DType dtype, std::string_view shape, Layout layout,
          std::int64_t group_channels = 0) {
  Cell result;
  result.op = std::move(op);
  result.direction = direction;
  result.dtype = dtype;
  result.shape = parse_shape(shape);
  result.layout = layout;
  result.group_channels = group_channels;
  return result;
}

// How often x's bytes cross memory.
std::size_t operands(const Cell& cell, std::size_t private_cache) {
  const std::size_t bytes = moved_bytes(cell, private_cache);
  EXPECT_EQ(bytes % operand_bytes(cell), 0u);
  return bytes / operand_bytes(cell);
}

constexpr auto kForward = Direction::forward;
constexpr auto kBackward = Direction::backward;

TEST(MovedBytes, OneReadOfWhatFitsThePrivateCache) {
  const auto row = [](Direction direction, const char* shape) {
    return cell("rms_norm", direction, DType::f32, shape, Layout::rows);
  };
  EXPECT_EQ(operands(row(kForward, "64x1024"), 4096), 2u);  // a row is 4096 bytes
  EXPECT_EQ(operands(row(kForward, "64x1024"), 4095), 3u);
  EXPECT_EQ(operands(row(kBackward, "64x1024"), 8192), 3u);  // x and dy
  EXPECT_EQ(operands(row(kBackward, "64x1024"), 8191), 5u);
}

TEST(MovedBytes, AResidualIsReadAndItsSumWritten) {
  const auto add = [](Direction direction) {
    return cell("add_layer_norm", direction, DType::bf16, "64x1024", Layout::rows);
  };
  EXPECT_EQ(operands(add(kForward), kMiB), 4u);
  EXPECT_EQ(operands(add(kForward), 1), 5u);  // the sum once more
  EXPECT_EQ(operands(add(kBackward), kMiB), 4u);
  EXPECT_EQ(operands(add(kBackward), 1), 6u);  // the sum and dy once more
}

TEST(MovedBytes, OneStatisticOfEachOp) {
  const auto bytes = [](const char* op, const char* shape, Layout layout, std::int64_t channels) {
    const Cell each = cell(op, kForward, DType::f32, shape, layout, channels);
    return footprint(view_of(find_op(op), each), each.dtype);
  };
  const char* image = "8x64x56x56";
  EXPECT_EQ(bytes("layer_norm", "64x768", Layout::rows, 0), 768u * 4);
  EXPECT_EQ(bytes("grouped_layer_norm", "64x768", Layout::rows, 8), 64u);
  EXPECT_EQ(bytes("grouped_layer_norm", image, Layout::nhwc, 64), 256u);
  EXPECT_EQ(bytes("grouped_layer_norm", image, Layout::nchw, 8), 8u * 64);
  EXPECT_EQ(bytes("group_norm", image, Layout::nchw, 8), 8u * 56 * 56 * 4);
  EXPECT_EQ(bytes("group_norm", image, Layout::nhwc, 8), 56u * 56 * 64);  // half of each line
  EXPECT_EQ(bytes("instance_norm", image, Layout::nchw, 0), 56u * 56 * 4);
  EXPECT_EQ(bytes("batch_norm", image, Layout::nchw, 0), 8u * 56 * 56 * 4);
  EXPECT_EQ(bytes("batch_norm", "100000x32", Layout::rows, 0), 100000u * 64);
}

TEST(MovedBytes, EvaluationNeedsNoStatistics) {
  for (const Direction direction : {kForward, kBackward}) {
    const Cell each =
        cell("batch_norm_evaluation", direction, DType::f32, "32x64x56x56", Layout::nhwc);
    EXPECT_EQ(operands(each, 1), direction == kForward ? 2u : 3u);
  }
}

TEST(Cells, TheWholeTableHoldsEveryOpLayoutAndDtype) {
  const auto all = cells({});
  std::vector<std::string> groups;
  for (const Cell& each : all) {
    if (groups.empty() || groups.back() != group(each)) groups.push_back(group(each));
  }
  // (layer_norm, rms_norm, two add_*: rows) 4, grouped_layer_norm and two batch_norms 3 layouts
  // each, group_norm and instance_norm 2 each; times directions and dtypes.
  EXPECT_EQ(groups.size(), (4u + 9u + 4u) * 2 * 3);
  const auto holds = [&](const char* text) {
    return std::any_of(all.begin(), all.end(),
                       [&](const Cell& each) { return name(each) == text; });
  };
  EXPECT_TRUE(holds("layer_norm backward f16 16384x16384"));
  EXPECT_TRUE(holds("grouped_layer_norm forward bf16 1x64 g64"));
  EXPECT_TRUE(holds("group_norm forward f32 nhwc 32x512x7x7 g8"));
  EXPECT_TRUE(holds("batch_norm forward f32 100000x32"));
  EXPECT_FALSE(holds("batch_norm forward f32 4096x1024"));
}

TEST(Cells, QuickIsOneShapeAnOp) {
  Selection selection;
  selection.quick = true;
  EXPECT_EQ(cells(selection).size(), 20u);
}

TEST(Cells, GroupsThatDoNotDivideTheChannelsAreLeftOut) {
  Selection selection;
  selection.ops = {"group_norm"};
  selection.shapes = {parse_shape("2x24x5")};
  for (const Cell& each : cells(selection)) EXPECT_EQ(each.group_channels, 8) << name(each);
  selection.group_channels = {7};
  EXPECT_THROW(cells(selection), Error);
}

TEST(Cells, ShapesAreParsed) {
  EXPECT_EQ(parse_shape("4096x768").sizes, (std::vector<std::int64_t>{4096, 768}));
  EXPECT_EQ(parse_shape("8x64x56x56").sizes, (std::vector<std::int64_t>{8, 64, 56, 56}));
  for (const char* text : {"", "x", "4096", "4096x", "0x3", "3x-1", "3x4y", "1x1x1x1x1x1x1x1x1",
                           "1099511627776x2", "9223372036854775807x2", "2x9223372036854775807"}) {
    EXPECT_THROW(parse_shape(text), Error) << text;
  }
}

}  // namespace
}  // namespace omninorm::bench
