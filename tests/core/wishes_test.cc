// What users of other libraries asked for and what was measured to be wrong elsewhere, as far as it
// is about images, batches and residuals; each test has the name of its thread or symptom. Row
// norms have theirs in wishes_rows_test.cc and numerics_test.cc (docs/wishes.md lists all). u =
// 2^-24 and k(d) = 8 + sqrt(d) as in cases.h.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>

#include "tests/core/cases.h"
#include "tests/core/expect_error.h"
#include "tests/core/expect_truth.h"

namespace omninorm::cases {
namespace {

constexpr double kU = 0x1p-24;
constexpr Op kImageOps[] = {Op::grouped_layer_norm, Op::group_norm, Op::instance_norm,
                            Op::batch_norm};

double growth(double terms) { return 8 + std::sqrt(terms); }

Case image(Op op, std::vector<std::int64_t> sizes, DType dtype, Layout layout) {
  Case c;
  c.op = op;
  c.sizes = std::move(sizes);
  c.dtype = c.weight_dtype = c.y_dtype = dtype;
  c.layout = layout;
  c.bias = true;
  c.per_position = op == Op::grouped_layer_norm;
  c.groups = op == Op::grouped_layer_norm || op == Op::group_norm ? 2 : 1;
  return c;
}

std::vector<double> normal(std::int64_t count, double mean, double deviation) {
  std::mt19937_64 random(5);
  std::normal_distribution<double> distribution(mean, deviation);
  std::vector<double> values(static_cast<std::size_t>(count));
  std::ranges::generate(values, [&] { return distribution(random); });
  return values;
}

void expect_both(const Case& c, Tensors& tensors) {
  SCOPED_TRACE(name(c));
  forward(c, tensors.forward_args());
  expect_forward(c, tensors);
  backward(c, tensors.backward_args());
  expect_backward(c, tensors);
}

// Wish 9. E[x^2] - E[x]^2 loses everything here and can come out below 0.
TEST(Wishes, Tensorflow118701BatchNormVarianceIsNeverNegative) {
  for (const Layout layout : {Layout::contiguous, Layout::channels_last}) {
    for (const double value : {1e4, 3e6, -1e8}) {
      Case c = image(Op::batch_norm, {4, 3, 50}, DType::f32, layout);
      c.running = Running::updated;
      c.momentum = 1.0;
      Tensors tensors(c);
      std::vector<double> x(600, value);
      tensors.x.fill(x);
      expect_both(c, tensors);
      for (const double variance : tensors.running_var.values()) EXPECT_GE(variance, 0.0);
      x = normal(600, value, std::abs(value) * 1e-6);
      tensors.x.fill(x);
      tensors.running_var_before = tensors.running_var.values();
      tensors.running_mean_before = tensors.running_mean.values();
      expect_both(c, tensors);
      for (const double variance : tensors.running_var.values()) EXPECT_GE(variance, 0.0);
    }
  }
}

// Address space without memory behind it: only pages that are touched cost any.
class Sparse {
 public:
  explicit Sparse(std::size_t bytes) : bytes_(bytes) {
    memory_ = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  }
  Sparse(const Sparse&) = delete;
  Sparse& operator=(const Sparse&) = delete;
  ~Sparse() {
    if (memory_ != MAP_FAILED) munmap(memory_, bytes_);
  }
  float* floats() const { return memory_ == MAP_FAILED ? nullptr : static_cast<float*>(memory_); }

 private:
  std::size_t bytes_;
  void* memory_;
};

// The same small problem with its images more than 2^32 elements apart, to the bit.
void expect_offsets_of_64_bits(const Case& c) {
  SCOPED_TRACE(name(c));
  constexpr std::int64_t kApart = (std::int64_t{1} << 32) + 64;
  const std::int64_t images = c.sizes[0], per_image = c.elements() / images;
  const auto bytes = static_cast<std::size_t>((images - 1) * kApart + per_image) * sizeof(float);
  const Sparse x(bytes), y(bytes), dx(bytes);
  ASSERT_NE(x.floats(), nullptr);
  ASSERT_NE(y.floats(), nullptr);
  ASSERT_NE(dx.floats(), nullptr);
  Tensors near(c);
  ForwardCall call = near.forward_args();
  BackwardCall back = near.backward_args();
  forward(c, call);
  backward(c, back);
  const std::vector<double> mean = near.mean.values();
  const auto apart = [&](const ConstTensor& like, float* memory) {
    Tensor tensor(memory, DType::f32, c.sizes, {like.strides.data(), c.sizes.size()});
    tensor.strides[0] = kApart;
    return tensor;
  };
  const auto bytes_of_image = static_cast<std::size_t>(per_image) * sizeof(float);
  const auto* from = static_cast<const float*>(call.x.data);
  for (std::int64_t n = 0; n < images; ++n) {
    std::memcpy(x.floats() + n * kApart, from + n * per_image, bytes_of_image);
  }
  call.x = apart(call.x, x.floats());
  call.y = apart(call.y, y.floats());
  back.x = call.x;
  back.dx = apart(back.dx, dx.floats());
  const std::vector<double> y_near = near.y.values(), dx_near = near.dx.values();
  const auto* y_from = static_cast<const float*>(near.y.tensor().data);
  const auto* dx_from = static_cast<const float*>(near.dx.tensor().data);
  forward(c, call);
  backward(c, back);
  EXPECT_EQ(near.mean.values(), mean);
  for (std::int64_t n = 0; n < images; ++n) {
    EXPECT_EQ(std::memcmp(y.floats() + n * kApart, y_from + n * per_image, bytes_of_image), 0);
    EXPECT_EQ(std::memcmp(dx.floats() + n * kApart, dx_from + n * per_image, bytes_of_image), 0);
  }
}

// Wishes 12 and 13.
TEST(Wishes, Pytorch181555Liger803Vllm42862OffsetsBeyond32Bits) {
  for (const Op op : kImageOps) {
    for (const Layout layout : {Layout::contiguous, Layout::channels_last}) {
      expect_offsets_of_64_bits(image(op, {2, 6, 5, 4}, DType::f32, layout));
    }
  }
  Case rows;
  rows.op = Op::rms_norm;
  rows.sizes = {2, 40};
  expect_offsets_of_64_bits(rows);
}

// Wish 17. The layout of the output is the caller's: channels-last in, channels-last out, each
// element where its own strides say, and the numbers of NCHW.
TEST(Wishes, Pytorch111824And72341ChannelsLastIsKept) {
  for (const Op op : kImageOps) {
    const Case last = image(op, {2, 6, 5, 4}, DType::f32, Layout::channels_last);
    const Case first = image(op, {2, 6, 5, 4}, DType::f32, Layout::contiguous);
    Tensors nhwc(last), nchw(first);
    expect_both(last, nhwc);
    expect_both(first, nchw);
    EXPECT_EQ(nhwc.y.tensor().strides[1], 1);
    EXPECT_EQ(nhwc.dx.tensor().strides[1], 1);
    // Mixed: NHWC in, NCHW out.
    ForwardCall call = nhwc.forward_args();
    Buffer y(DType::f32, last.sizes);
    call.y = y.tensor();
    forward(last, call);
    EXPECT_EQ(mismatch("y", forward_truth(last, nhwc).y, y), "");
  }
}

// Wishes 18 and 31. Moments of bf16 images are those of fp32 sums, kept in fp32: a mean of 4000
// ones and hundreds is not a bf16 number, and dx and dweight are one rounding away from exact.
TEST(Wishes, Pytorch77507Bf16MomentsAreKeptInF32) {
  for (const Op op : {Op::group_norm, Op::instance_norm, Op::batch_norm}) {
    for (const Layout layout : {Layout::contiguous, Layout::channels_last}) {
      Case c = image(op, {2, 4, 33, 33}, DType::bf16, layout);
      c.weight_dtype = DType::f32;
      Tensors tensors(c);
      EXPECT_EQ(tensors.mean.tensor().dtype, DType::f32);
      tensors.x.fill(normal(c.elements(), 100.0, 1.0));
      expect_both(c, tensors);
      bool needs_f32 = false;
      for (const double mean : tensors.mean.values()) {
        needs_f32 |= to_float(to_bfloat16(static_cast<float>(mean))) != static_cast<float>(mean);
      }
      EXPECT_TRUE(needs_f32) << "the test would not see a mean in bf16";
    }
  }
}

// Wish 20.
TEST(Wishes, Pytorch12013And36530EmptyBatchLeavesRunningStatistics) {
  for (const Op op : {Op::batch_norm, Op::instance_norm}) {
    for (const std::vector<std::int64_t>& sizes :
         {std::vector<std::int64_t>{0, 3, 5}, {2, 3, 0}, {0, 3, 0}}) {
      Case c = image(op, sizes, DType::f32, Layout::contiguous);
      c.running = Running::updated;
      Tensors tensors(c);
      expect_both(c, tensors);
      EXPECT_EQ(tensors.running_mean.values(), tensors.running_mean_before);
      EXPECT_EQ(tensors.running_var.values(), tensors.running_var_before);
      EXPECT_EQ(tensors.num_batches_tracked, 0);
      for (const double sum : tensors.dweight.values()) EXPECT_EQ(sum, 0.0);
      for (const double sum : tensors.dbias.values()) EXPECT_EQ(sum, 0.0);
    }
  }
}

// Wishes 21 and 35.
TEST(Wishes, Pytorch73194NumGroupsOfZeroIsAnError) {
  float x[30] = {}, y[30];
  const NormForwardArgs args{.x = {x, {1, 30}}, .y = {y, {1, 30}}};
  EXPECT_ERROR(group_norm_forward(args, {.num_groups = 0}),
               "[group_norm] expected num_groups to divide 30 channels, got 0");
  EXPECT_ERROR(group_norm_forward(args, {.num_groups = -5}),
               "[group_norm] expected num_groups to divide 30 channels, got -5");
  EXPECT_ERROR(group_norm_forward(args, {.num_groups = 4}),
               "[group_norm] expected num_groups to divide 30 channels, got 4");
  const NormForwardArgs empty{.x = {x, {1, 0}}, .y = {y, {1, 0}}};
  EXPECT_ERROR(group_norm_forward(empty, {.num_groups = 0}),
               "[group_norm] expected num_groups to divide 0 channels, got 0");
}

// Wish 22. y uses the biased variance, running_var the unbiased one; momentum is the weight of the
// new value. By hand: 1, 3, 5, 7 have mean 4, biased variance 5, unbiased 20 / 3.
TEST(Wishes, Pytorch19902And15298BiasedUnbiasedAndMomentum) {
  const double x[] = {1, 3, 5, 7};
  double y[4], mean[1] = {10}, var[1] = {2};
  batch_norm_forward({.x = {x, {4, 1}}, .y = {y, {4, 1}}}, {.mean = {mean, {1}}, .var = {var, {1}}},
                     {.eps = 0, .momentum = 0.25});
  EXPECT_NEAR(y[3], 3 / std::sqrt(5.0), 1e-15);
  EXPECT_NEAR(mean[0], 0.75 * 10 + 0.25 * 4, 1e-15);
  EXPECT_NEAR(var[0], 0.75 * 2 + 0.25 * 20 / 3, 1e-15);
}

// No momentum: the average of all batches, by their count.
TEST(Wishes, WithoutMomentumRunningStatisticsAreTheAverage) {
  double y[2], mean[1] = {100}, var[1] = {100};
  std::int64_t batches = 0;
  const RunningStatistics running{{mean, {1}}, {var, {1}}, &batches};
  const BatchNormOptions options{.momentum = std::nullopt};
  for (const double at : {1.0, 4.0, 10.0}) {
    const double x[] = {at - 1, at + 1};
    batch_norm_forward({.x = {x, {2, 1}}, .y = {y, {2, 1}}}, running, options);
  }
  EXPECT_EQ(batches, 3);
  EXPECT_NEAR(mean[0], 5.0, 1e-14);
  EXPECT_NEAR(var[0], 2.0, 1e-14);
}

// Wish 23.
TEST(Wishes, Pytorch1381OneValuePerChannelIsAnError) {
  float x[6] = {}, y[6], mean[6] = {}, var[6] = {};
  const RunningStatistics running{{mean, {6}}, {var, {6}}};
  EXPECT_ERROR(batch_norm_forward({.x = {x, {1, 6}}, .y = {y, {1, 6}}}, running),
               "[batch_norm] expected more than 1 value per channel in training, got shape [1, 6]");
  EXPECT_ERROR(
      batch_norm_forward({.x = {x, {1, 6, 1, 1}}, .y = {y, {1, 6, 1, 1}}}, running),
      "[batch_norm] expected more than 1 value per channel in training, got shape [1, 6, 1, 1]");
  EXPECT_ERROR(
      instance_norm_forward({.x = {x, {2, 3, 1}}, .y = {y, {2, 3, 1}}}),
      "[instance_norm] expected more than 1 value per channel in training, got shape [2, 3, 1]");
  for (int i = 0; i < 6; ++i) EXPECT_EQ(var[i], 0.0f);
  var[0] = 3;
  batch_norm_forward({.x = {x, {1, 6}}, .y = {y, {1, 6}}}, running, {.training = false});
}

// Wish 24: uneven and empty shards give what the whole batch gives.
TEST(Wishes, Pytorch22192UnevenAndEmptyShardsAreExact) {
  for (const DType dtype : {DType::f32, DType::bf16, DType::f64}) {
    for (const Activation activation : {Activation::none, Activation::silu}) {
      Case c = image(Op::batch_norm, {11, 5, 3, 3}, dtype, Layout::contiguous);
      c.activation = activation;
      c.running = Running::updated;
      Tensors whole(c), parts(c);
      forward(c, whole.forward_args());
      backward(c, whole.backward_args());
      constexpr std::int64_t kBegin[] = {0, 1, 1, 9, 11}, kShards = 4;
      const BatchNormOptions options = batch_norm_options(c);
      const auto cut = [&](auto tensor, std::int64_t shard) {
        tensor.sizes[0] = kBegin[shard + 1] - kBegin[shard];
        using Byte =
            std::conditional_t<std::is_const_v<std::remove_pointer_t<decltype(tensor.data)>>,
                               const std::byte, std::byte>;
        tensor.data =
            static_cast<Byte*>(tensor.data) +
            kBegin[shard] * tensor.strides[0] * static_cast<std::int64_t>(size_of(tensor.dtype));
        return tensor;
      };
      std::vector<double> mean(5), m2(5), shard_mean(5), shard_m2(5);
      BatchNormMoments total{.mean = {mean.data(), {5}}, .m2 = {m2.data(), {5}}};
      for (std::int64_t shard = 0; shard < kShards; ++shard) {
        BatchNormMoments one{.mean = {shard_mean.data(), {5}}, .m2 = {shard_m2.data(), {5}}};
        batch_norm_moments(cut(parts.forward_args().x, shard), one);
        EXPECT_EQ(one.count, (kBegin[shard + 1] - kBegin[shard]) * 9);
        merge_moments(total, one);
      }
      EXPECT_EQ(total.count, 99);
      std::vector<double> dy(5), dy_xhat(5), shard_dy(5), shard_dy_xhat(5);
      BatchNormSums sums{.dy = {dy.data(), {5}}, .dy_xhat = {dy_xhat.data(), {5}}};
      for (std::int64_t shard = 0; shard < kShards; ++shard) {
        ForwardCall call = parts.forward_args();
        call.x = cut(call.x, shard);
        call.y = cut(call.y, shard);
        // One process has one set of running statistics; here the first shard's is looked at.
        batch_norm_normalize(call, total, shard == 0 ? call.running : RunningStatistics{}, options);
      }
      for (std::int64_t shard = 0; shard < kShards; ++shard) {
        BackwardCall call = parts.backward_args();
        call.x = cut(call.x, shard);
        call.dy = cut(call.dy, shard);
        BatchNormSums one{.dy = {shard_dy.data(), {5}}, .dy_xhat = {shard_dy_xhat.data(), {5}}};
        batch_norm_backward_sums(call, one, options);
        sums.count += one.count;
        for (std::size_t i = 0; i < 5; ++i) dy[i] += shard_dy[i], dy_xhat[i] += shard_dy_xhat[i];
      }
      parts.dweight.fill(dy_xhat);
      parts.dbias.fill(dy);
      for (std::int64_t shard = 0; shard < kShards; ++shard) {
        BackwardCall call = parts.backward_args();
        call.x = cut(call.x, shard);
        call.dy = cut(call.dy, shard);
        call.dx = cut(call.dx, shard);
        call.dweight = call.dbias = {};
        batch_norm_backward_input(call, sums, options);
      }
      SCOPED_TRACE(name(c));
      expect_forward(c, parts);
      expect_backward(c, parts);
      EXPECT_EQ(parts.num_batches_tracked, 1);
    }
  }
}

// Wish 29. As for layer_norm in numerics_test: the error is that of sums of deviations.
TEST(Wishes, GroupNormChannelsLastIsRightAtMean2000) {
  for (const Op op : kImageOps) {
    for (const Layout layout : {Layout::contiguous, Layout::channels_last}) {
      Case c = image(op, {2, 8, 14, 14}, DType::f32, layout);
      c.weight = c.bias = false;
      Tensors tensors(c);
      tensors.x.fill(normal(c.elements(), 2000.0, 1.0));
      forward(c, tensors.forward_args());
      const std::vector<double> want = forward_truth(c, tensors).y.value;
      const std::vector<double> got = tensors.y.values();
      const double k = growth(static_cast<double>(c.width()));
      for (std::size_t i = 0; i < got.size(); ++i) {
        ASSERT_NEAR(got[i], want[i], k * kU * (1 + std::abs(want[i]))) << name(c) << " at " << i;
      }
    }
  }
}

// Wish 30.
TEST(Wishes, InstanceNormBatchOfOneChannelsLastBackward) {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    for (const bool channels_last : {false, true}) {
      const Layout layout = channels_last ? Layout::channels_last : Layout::contiguous;
      Case c = image(Op::instance_norm, {1, 12, 7, 9}, dtype, layout);
      Tensors tensors(c);
      expect_both(c, tensors);
    }
  }
}

// Wish 33. (100000, 32) in f32 within the bound of cases.h, and constant columns are their mean.
TEST(Wishes, BatchNormOfManyRowsIsWithinASoundBound) {
  Case c = image(Op::batch_norm, {100000, 32}, DType::f32, Layout::contiguous);
  Tensors tensors(c);
  expect_both(c, tensors);
}

TEST(Wishes, ConstantChannelsHaveTheirMeanAndNoVariance) {
  for (const Layout layout : {Layout::contiguous, Layout::channels_last}) {
    for (const double value : {0.1, -7.7, 1e6}) {
      Case c = image(Op::batch_norm, {16, 6, 20}, DType::f32, layout);
      c.weight = c.bias = false;
      Tensors tensors(c);
      tensors.x.fill(std::vector<double>(16 * 6 * 20, value));
      forward(c, tensors.forward_args());
      const double ku = growth(320) * kU, rstd = 1 / std::sqrt(c.eps);
      for (const double y : tensors.y.values()) {
        ASSERT_LE(std::abs(y), ku * ku * std::abs(value) * rstd);
      }
    }
  }
}

// Wish 34: and as far as fp32 goes, in every layout.
TEST(Wishes, ImagesNear1e30AreNormalised) {
  for (const Op op : kImageOps) {
    for (const Layout layout : {Layout::contiguous, Layout::channels_last}) {
      for (const double size : {1e18, 1e30, 1e37}) {
        Case c = image(op, {2, 6, 40}, DType::f32, layout);
        Tensors tensors(c);
        tensors.x.fill(normal(c.elements(), size / 3, size));
        expect_both(c, tensors);
        Case small = c;
        small.eps = 0;
        Tensors tiny(small);
        tiny.x.fill(normal(c.elements(), 1 / size / 3, 1 / size));
        if (size < 1e37) expect_both(small, tiny);
      }
    }
  }
}

// Wish 35, the rest of it.
TEST(Wishes, GroupNormWithBiasAndNoWeightHasABackward) {
  Case c = image(Op::group_norm, {2, 6, 10}, DType::f32, Layout::contiguous);
  c.weight = false;
  Tensors tensors(c);
  expect_both(c, tensors);
}

TEST(Wishes, InstanceNormOfAnEmptyBatchIsNothing) {
  Case c = image(Op::instance_norm, {0, 6, 10}, DType::f32, Layout::contiguous);
  Tensors tensors(c);
  expect_both(c, tensors);
}

}  // namespace
}  // namespace omninorm::cases
