// Error messages of batches in parts and of running statistics that family_checks_test.cc lacks.
#include <gtest/gtest.h>

#include <limits>

#include "omninorm/omninorm.h"
#include "tests/core/expect_error.h"

namespace omninorm {
namespace {

constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();

struct Parts {
  float x[12] = {}, y[12], mean[3], rstd[3] = {1, 1, 1}, dy[12] = {}, dx[12];
  double a[6] = {}, b[6] = {}, c[6] = {}, d[6] = {};
  BatchNormMoments moments{4, {a, {3}}, {b, {3}}};
  BatchNormMoments other{4, {c, {3}}, {d, {3}}};
  NormForwardArgs forward{.x = {x, {4, 3}}, .y = {y, {4, 3}}};
  NormBackwardArgs backward{.x = {x, {4, 3}},
                            .mean = {mean, {3}},
                            .rstd = {rstd, {3}},
                            .dy = {dy, {4, 3}},
                            .dx = {dx, {4, 3}}};
  static Tensor strided(double* data) {
    static constexpr std::int64_t kSizes[] = {3}, kStrides[] = {2};
    return {data, DType::f64, kSizes, kStrides};
  }
};

TEST(MomentsChecks, MomentsAreContiguous) {
  Parts p;
  p.moments.mean = Parts::strided(p.a);
  EXPECT_ERROR(batch_norm_moments(p.forward.x, p.moments),
               "[batch_norm] expected contiguous moments.mean, got strides [2]; copy it first");
  p.other.m2 = Parts::strided(p.d);
  EXPECT_ERROR(merge_moments(p.other, p.other),
               "[merge_moments] expected contiguous into.m2, got strides [2]; copy it first");
}

TEST(MomentsChecks, MomentsAreThoseOfTheChannels) {
  Parts p;
  p.moments = {4, {p.a, {2}}, {p.b, {2}}};
  EXPECT_ERROR(batch_norm_normalize(p.forward, p.moments),
               "[batch_norm] expected moments of 3 channels, got 2");
}

TEST(MomentsChecks, CountsOverflow) {
  Parts p;
  p.moments.count = kMost - 3;
  p.a[0] = 7;
  EXPECT_ERROR(merge_moments(p.moments, p.other),
               "[merge_moments] expected counts that add up to less than 2^63, got "
               "9223372036854775804 and 4");
  EXPECT_EQ(p.a[0], 7);
  p.other.count = 3;
  merge_moments(p.moments, p.other);
  EXPECT_EQ(p.moments.count, kMost);
}

TEST(MomentsChecks, BatchesCanBeCounted) {
  for (const std::int64_t before : {std::int64_t{-1}, kMost}) {
    Parts p;
    std::int64_t batches = before;
    const RunningStatistics running{.num_batches_tracked = &batches};
    const std::string message =
        "expected num_batches_tracked of 0 or more that can be counted up, got " +
        std::to_string(before);
    EXPECT_ERROR(batch_norm_forward(p.forward, running), "[batch_norm] " + message);
    EXPECT_ERROR(batch_norm_normalize(p.forward, p.moments, running), "[batch_norm] " + message);
    p.forward.x = {p.x, {2, 3, 2}};
    p.forward.y = {p.y, {2, 3, 2}};
    EXPECT_ERROR(instance_norm_forward(p.forward, running), "[instance_norm] " + message);
    EXPECT_EQ(batches, before);
  }
}

TEST(MomentsChecks, SumsAreOneF64PerChannel) {
  Parts p;
  BatchNormSums sums{4, {p.a, {3}}, {p.dx, {3}}};
  EXPECT_ERROR(batch_norm_backward_sums(p.backward, sums),
               "[batch_norm] expected sums of dy * xhat of dtype f64, got f32");
  sums.dy_xhat = {p.b, {2}};
  EXPECT_ERROR(batch_norm_backward_sums(p.backward, sums),
               "[batch_norm] expected sums of dy * xhat of shape [3], got [2]");
  EXPECT_ERROR(batch_norm_backward_input(p.backward, sums),
               "[batch_norm] expected sums of dy * xhat of shape [3], got [2]");
}

TEST(MomentsChecks, EvaluationHasNoSavedStatistics) {
  Parts p;
  float mean[3] = {}, var[3] = {1, 1, 1};
  const RunningStatistics running{{mean, {3}}, {var, {3}}};
  p.backward.mean = {};
  EXPECT_ERROR(batch_norm_backward(p.backward, running, {.training = false}),
               "[batch_norm] expected no mean and rstd beside running statistics, got an rstd");
}

}  // namespace
}  // namespace omninorm
