// How dimensions collapse: what kernels get to see.
#include <gtest/gtest.h>

#include <vector>

#include "omninorm/omninorm.h"
#include "src/core/norm_build.h"

namespace omninorm::internal {
namespace {

using Sizes = std::vector<std::int64_t>;

float memory[1 << 16];

NormForward build(const Sizes& sizes, const Sizes& x_strides, const Sizes& y_strides,
                  int normalized_dims = 1) {
  const NormForwardArgs args{.x = {memory, DType::f32, sizes, x_strides},
                             .y = {memory + (1 << 15), DType::f32, sizes, y_strides}};
  const NormSpec spec{.op = "layer_norm", .axes = last_dims("layer_norm", args.x, normalized_dims)};
  return build_forward(spec, args);
}

Sizes n_sizes(const NormForward& p) {
  return {p.view.n_sizes.begin(), p.view.n_sizes.begin() + p.view.n_rank};
}
Sizes n_strides(const NormForward& p, const NormStrides& strides) {
  return {strides.n.begin(), strides.n.begin() + p.view.n_rank};
}

TEST(NormView, ContiguousRowsAreOneDimension) {
  const NormForward p = build({2, 3, 4, 8}, {}, {});
  EXPECT_EQ(p.view.n, 24);
  EXPECT_EQ(n_sizes(p), Sizes({24}));
  EXPECT_EQ(n_strides(p, p.x.strides), Sizes({8}));
  EXPECT_EQ(p.view.c, 8);
  EXPECT_EQ(p.x.strides.c, 1);
  EXPECT_EQ(p.view.g, 1);
  EXPECT_EQ(p.view.s, 1);
  EXPECT_EQ(p.view.stats_c, 8);
}

TEST(NormView, PackedQkvKeepsTwoRowDimensions) {
  // q of [B, T, 3, H, D] = [2, 5, 3, 4, 8].
  const NormForward p = build({2, 5, 4, 8}, {480, 96, 8, 1}, {480, 96, 8, 1});
  EXPECT_EQ(n_sizes(p), Sizes({10, 4}));
  EXPECT_EQ(n_strides(p, p.x.strides), Sizes({96, 8}));
  EXPECT_EQ(p.view.c, 8);
  EXPECT_EQ(p.x.strides.c, 1);
}

TEST(NormView, RowsCollapseOnlyWhereEveryOperandAllows) {
  const NormForward p = build({2, 5, 4, 8}, {480, 96, 8, 1}, {});
  EXPECT_EQ(n_sizes(p), Sizes({10, 4}));
  EXPECT_EQ(n_strides(p, p.y.strides), Sizes({32, 8}));
}

TEST(NormView, PaddedRowsStayOneDimension) {
  const NormForward p = build({2, 3, 8}, {39, 13, 1}, {});
  EXPECT_EQ(n_sizes(p), Sizes({6}));
  EXPECT_EQ(n_strides(p, p.x.strides), Sizes({13}));
}

TEST(NormView, SizesOfOneDoNotStandInTheWay) {
  const NormForward p = build({2, 1, 3, 1, 8}, {24, 777, 8, -5, 1}, {}, 2);
  EXPECT_EQ(n_sizes(p), Sizes({6}));
  EXPECT_EQ(p.view.c_rank, 1);
  EXPECT_EQ(p.view.c, 8);
  EXPECT_EQ(p.x.strides.c, 1);
}

TEST(NormView, OneColumnHasStrideOne) {
  const NormForward p = build({6, 1}, {7, 7}, {1, 1});
  EXPECT_EQ(p.x.strides.c, 1);
  EXPECT_EQ(p.y.strides.c, 1);
  EXPECT_EQ(n_strides(p, p.x.strides), Sizes({7}));
}

TEST(NormView, OneRowAndScalarsOfRows) {
  const NormForward p = build({8}, {}, {});
  EXPECT_EQ(p.view.n, 1);
  EXPECT_EQ(n_sizes(p), Sizes({1}));
  EXPECT_EQ(p.view.statistics(), 1);
}

TEST(NormView, ExpandedRowsCollapseWithStrideZero) {
  const NormForward p = build({2, 3, 8}, {0, 0, 1}, {});
  EXPECT_EQ(n_sizes(p), Sizes({6}));
  EXPECT_EQ(n_strides(p, p.x.strides), Sizes({0}));
  EXPECT_EQ(n_strides(p, p.y.strides), Sizes({8}));
}

TEST(NormView, NegativeStridesStayNegative) {
  const NormForwardArgs args{.x = {memory + 40, DType::f32, Sizes{6, 8}, Sizes{-8, 1}},
                             .y = {memory + 1000, {6, 8}}};
  const NormForward p =
      build_forward({.op = "layer_norm", .axes = last_dims("layer_norm", args.x, 1)}, args);
  EXPECT_EQ(n_strides(p, p.x.strides), Sizes({-8}));
}

TEST(NormView, ChannelsLastImagesHaveTwoNormalisedDimensions) {
  // [N, C, H, W] = [2, 3, 4, 5] in NHWC memory: C steps by 1, (H, W) by C.
  const NormForward p = build({2, 3, 4, 5}, {60, 1, 15, 3}, {60, 1, 15, 3}, 3);
  EXPECT_EQ(p.view.c, 60);
  EXPECT_EQ(p.view.c_rank, 2);
  EXPECT_EQ(p.view.c_sizes[0], 3);
  EXPECT_EQ(p.view.c_sizes[1], 20);
  EXPECT_EQ(p.x.strides.c_dims[0], 1);
  EXPECT_EQ(p.x.strides.c_dims[1], 3);
  EXPECT_EQ(p.x.strides.c, 0) << "so that a kernel that wants stride 1 declines";
}

TEST(NormView, EmptyTensorsKeepTheirCounts) {
  const NormForward no_rows = build({0, 3, 8}, {}, {});
  EXPECT_TRUE(no_rows.view.empty());
  EXPECT_EQ(no_rows.view.n, 0);
  EXPECT_EQ(no_rows.view.c, 8);
  const NormForward no_columns = build({4, 3, 0}, {}, {});
  EXPECT_TRUE(no_columns.view.empty());
  EXPECT_EQ(no_columns.view.n, 12);
  EXPECT_EQ(no_columns.view.statistics(), 12);
  EXPECT_EQ(no_columns.view.affine_size(), 0);
}

TEST(NormView, GivenWithoutMemoryIsStillGiven) {
  NormForwardArgs args{.x = {memory, {2, 8}}, .y = {memory + 1000, {2, 8}}};
  args.weight = {static_cast<const float*>(nullptr), {8}};
  const NormSpec spec{.op = "rms_norm", .axes = last_dims("rms_norm", args.x, 1), .center = false};
  const NormForward p = build_forward(spec, args, Purpose::size_query);
  EXPECT_NE(p.weight, nullptr);
  EXPECT_EQ(p.bias, nullptr);
}

TEST(NormView, PartialRoundsDown) {
  const NormForwardArgs args{.x = {memory, {2, 10}}, .y = {memory + 1000, {2, 10}}};
  NormSpec spec{.op = "rms_norm", .axes = last_dims("rms_norm", args.x, 1), .center = false};
  spec.partial = 0.59;
  EXPECT_EQ(build_forward(spec, args).view.stats_c, 5);
  spec.partial = 1.0;
  EXPECT_EQ(build_forward(spec, args).view.stats_c, 10);
}

TEST(NormView, GroupsSplitChannels) {
  // group_norm over [N, C, H, W] = [2, 6, 4, 5] with 3 groups.
  const NormForwardArgs args{.x = {memory, {2, 6, 4, 5}}, .y = {memory + 1000, {2, 6, 4, 5}}};
  const NormSpec spec{.op = "group_norm",
                      .axes = {.of = {Axis::n, Axis::c, Axis::s, Axis::s}, .groups = 3}};
  const NormForward p = build_forward(spec, args);
  EXPECT_EQ(p.view.n, 2);
  EXPECT_EQ(p.view.g, 3);
  EXPECT_EQ(p.view.c, 2);
  EXPECT_EQ(p.view.s, 20);
  EXPECT_EQ(p.x.strides.g, 40);
  EXPECT_EQ(p.x.strides.c, 20);
  EXPECT_EQ(p.x.strides.s, 1);
  EXPECT_EQ(p.view.statistics(), 6);
  EXPECT_EQ(p.view.affine_size(), 6);
}

// x [N, C, H, W] = [2, 6, 4, 5] as NCHW or NHWC.
NormForward build_image(NormAxes axes, bool channels_last) {
  const Sizes sizes{2, 6, 4, 5};
  const Sizes strides = channels_last ? Sizes{120, 1, 30, 6} : Sizes{120, 20, 5, 1};
  const NormForwardArgs args{.x = {memory, DType::f32, sizes, strides},
                             .y = {memory + 1000, DType::f32, sizes, strides}};
  return build_forward({.op = "norm", .axes = axes}, args);
}

TEST(NormView, PositionsWithStatisticsOfTheirOwnAreRows) {
  const NormAxes axes{.of = {Axis::n, Axis::c, Axis::n, Axis::n}, .groups = 2, .grouped = true};
  const NormForward nchw = build_image(axes, false);
  EXPECT_EQ(n_sizes(nchw), Sizes({2, 20}));
  EXPECT_EQ(n_strides(nchw, nchw.x.strides), Sizes({120, 1}));
  EXPECT_EQ(nchw.view.c, 3);
  EXPECT_EQ(nchw.x.strides.c, 20);
  EXPECT_EQ(nchw.view.s, 1);
  EXPECT_EQ(nchw.view.statistics(), 80);
  const NormForward nhwc = build_image(axes, true);
  EXPECT_EQ(n_sizes(nhwc), Sizes({40}));
  EXPECT_EQ(n_strides(nhwc, nhwc.x.strides), Sizes({6}));
  EXPECT_EQ(nhwc.x.strides.c, 1);
  EXPECT_EQ(nhwc.x.strides.g, 3);
}

TEST(NormView, BatchNormHasAGroupForEachChannel) {
  const NormForwardArgs args{.x = {memory, {2, 6, 4, 5}}, .y = {memory + 1000, {2, 6, 4, 5}}};
  NormSpec spec{.op = "batch_norm", .axes = single_channels("batch_norm", args.x)};
  spec.axes.pool_n = true;
  const NormForward p = build_forward(spec, args);
  EXPECT_EQ(p.view.g, 6);
  EXPECT_EQ(p.view.c, 1);
  EXPECT_EQ(p.view.s, 20);
  EXPECT_EQ(p.x.strides.g, 20);
  EXPECT_EQ(p.x.strides.s, 1);
  EXPECT_TRUE(p.view.pool_n);
  EXPECT_EQ(p.view.statistics(), 6);
}

TEST(NormView, NoChannelsMeanNoStatistics) {
  const NormForwardArgs args{.x = {memory, {2, 0, 5}}, .y = {memory + 1000, {2, 0, 5}}};
  const NormForward p =
      build_forward({.op = "norm", .axes = single_channels("norm", args.x)}, args);
  EXPECT_TRUE(p.view.empty());
  EXPECT_EQ(p.view.statistics(), 0);
  EXPECT_EQ(p.view.affine_size(), 0);
}

}  // namespace
}  // namespace omninorm::internal
