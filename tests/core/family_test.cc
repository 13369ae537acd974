// Views of the whole family through builder, launch and reference: the ops to come are nothing but
// such axes.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "src/core/kernel_list.h"
#include "src/core/norm_build.h"
#include "tests/core/expect_error.h"

namespace omninorm::internal {
namespace {

constexpr std::int64_t kN = 3, kC = 6, kH = 2, kW = 4;
constexpr std::size_t kElements = kN * kC * kH * kW;

struct Index {
  std::int64_t n, c, h, w;
};

// One member of the family on x [N, C, H, W], defined by which elements share statistics and which
// share a weight.
struct Member {
  std::string name;
  NormSpec spec;
  std::int64_t statistics;
  std::vector<std::int64_t> statistics_shape;
  std::function<std::int64_t(const Index&)> pool;  // row-major index into mean and rstd
  std::function<bool(const Index&)> counts;  // is it among what the statistics are taken from?
};

constexpr auto kChannels = std::array{Axis::n, Axis::c, Axis::s, Axis::s};

NormSpec spec(const char* op, std::int64_t groups) {
  NormSpec result;
  result.op = op;
  std::copy(kChannels.begin(), kChannels.end(), result.axes.of.begin());
  result.axes.groups = groups;
  result.parameters.eps = 0.1;
  result.parameters.weight_offset = 0.25;
  return result;
}

std::vector<Member> members() {
  const auto all = [](const Index&) { return true; };
  std::vector<Member> list;
  list.push_back({"group_norm",
                  spec("group_norm", 3),
                  kN * 3,
                  {kN, 3},
                  [](const Index& i) { return i.n * 3 + i.c / 2; },
                  all});
  list.push_back({"instance_norm",
                  spec("instance_norm", kC),
                  kN * kC,
                  {kN, kC},
                  [](const Index& i) { return i.n * kC + i.c; },
                  all});
  list.push_back(
      {"image_norm", spec("group_norm", 1), kN, {kN}, [](const Index& i) { return i.n; }, all});
  Member batch{"batch_norm", spec("batch_norm", kC), kC, {kC}, [](const Index& i) { return i.c; },
               all};
  batch.spec.axes.pool_n = true;
  list.push_back(batch);
  Member position{"layer_norm_groups_per_position",
                  spec("grouped_layer_norm", 2),
                  kN * 2 * kH * kW,
                  {kN, kH, kW, 2},
                  [](const Index& i) { return ((i.n * kH + i.h) * kW + i.w) * 2 + i.c / 3; },
                  all};
  position.spec.axes.of = {Axis::n, Axis::c, Axis::n, Axis::n};
  list.push_back(position);
  Member uncentred = list[0];
  uncentred.name = "grouped_rms_norm";
  uncentred.spec.center = false;
  list.push_back(uncentred);
  Member partial = position;
  partial.name = "partial_grouped_rms_norm_per_position";
  partial.spec.center = false;
  partial.spec.partial = 0.67;
  partial.counts = [](const Index& i) { return i.c % 3 < 2; };
  list.push_back(partial);
  return list;
}

std::size_t flat(const Index& i) {
  return static_cast<std::size_t>(((i.n * kC + i.c) * kH + i.h) * kW + i.w);
}

std::vector<Index> indices() {
  std::vector<Index> list;
  for (std::int64_t n = 0; n < kN; ++n) {
    for (std::int64_t c = 0; c < kC; ++c) {
      for (std::int64_t h = 0; h < kH; ++h) {
        for (std::int64_t w = 0; w < kW; ++w) list.push_back({n, c, h, w});
      }
    }
  }
  return list;
}

// [N, C, H, W] strides in three memories: NCHW, NHWC, and a window cut out of a larger image, whose
// rows no single stride walks.
struct Memory {
  const char* name;
  std::array<std::int64_t, 4> strides;
};
constexpr Memory kMemories[] = {{"nchw", {kC * kH * kW, kH* kW, kW, 1}},
                                {"nhwc", {kC * kH * kW, 1, kW* kC, kC}},
                                {"window", {kC * 5 * 9, 5 * 9, 9, 1}}};

struct Images {
  explicit Images(const Memory& memory) : strides(memory.strides) {
    const std::size_t space = kN * kC * 5 * 9;
    x.assign(space, std::nan(""));
    y = dy = dx = x;
    double value = 0.37;
    for (const Index& i : indices()) {
      value = 3.9 * value * (1 - value);  // the logistic map: plain, repeatable scatter
      x[at(i)] = 4 * value - 1;
      dy[at(i)] = 1 - 2 * std::fmod(value * 1000, 1.0);
    }
    for (std::size_t c = 0; c < kC; ++c) {
      weight.push_back(0.5 + 0.2 * static_cast<double>(c));
      bias.push_back(1.0 - 0.3 * static_cast<double>(c));
    }
    dweight = dbias = weight;
  }

  std::size_t at(const Index& i) const {
    return static_cast<std::size_t>(i.n * strides[0] + i.c * strides[1] + i.h * strides[2] +
                                    i.w * strides[3]);
  }
  Tensor image(std::vector<double>& data) const {
    static constexpr std::int64_t kSizes[] = {kN, kC, kH, kW};
    return {data.data(), DType::f64, kSizes, strides};
  }
  void forward(const Member& member) {
    mean.assign(static_cast<std::size_t>(member.statistics), std::nan(""));
    rstd = mean;
    NormForwardArgs args{.x = image(x),
                         .weight = {weight.data(), {kC}},
                         .bias = {bias.data(), {kC}},
                         .y = image(y),
                         .rstd = {rstd.data(), DType::f64, member.statistics_shape, {}}};
    if (member.spec.center) args.mean = {mean.data(), DType::f64, member.statistics_shape, {}};
    launch(build_forward(member.spec, args), {});
  }
  void backward(const Member& member) {
    NormBackwardArgs args{.x = image(x),
                          .weight = {weight.data(), {kC}},
                          .rstd = {rstd.data(), DType::f64, member.statistics_shape, {}},
                          .dy = image(dy),
                          .dx = image(dx),
                          .dweight = {dweight.data(), {kC}},
                          .dbias = {dbias.data(), {kC}}};
    if (member.spec.center) args.mean = {mean.data(), DType::f64, member.statistics_shape, {}};
    launch(build_backward(member.spec, args), {});
  }
  double loss(const Member& member) {
    forward(member);
    double sum = 0;
    for (const Index& i : indices()) sum += y[at(i)] * dy[at(i)];
    return sum;
  }

  std::array<std::int64_t, 4> strides;
  std::vector<double> x, y, dy, dx, weight, bias, dweight, dbias, mean, rstd;
};

TEST(Family, ForwardIsTheDefinition) {
  for (const Member& member : members()) {
    for (const Memory& memory : kMemories) {
      SCOPED_TRACE(member.name + " " + memory.name);
      Images setup(memory);
      setup.forward(member);
      std::map<std::int64_t, std::vector<double>> pools;
      for (const Index& i : indices()) {
        if (member.counts(i)) pools[member.pool(i)].push_back(setup.x[setup.at(i)]);
      }
      ASSERT_EQ(pools.size(), static_cast<std::size_t>(member.statistics));
      for (const Index& i : indices()) {
        const std::int64_t pool = member.pool(i);
        const std::vector<double>& values = pools[pool];
        const auto count = static_cast<double>(values.size());
        double mean = 0, m2 = 0;
        for (const double v : values) mean += member.spec.center ? v / count : 0;
        for (const double v : values) m2 += (v - mean) * (v - mean) / count;
        const double rstd = 1 / std::sqrt(m2 + 0.1);
        const auto c = static_cast<std::size_t>(i.c);
        const double y =
            (setup.x[setup.at(i)] - mean) * rstd * (setup.weight[c] + 0.25) + setup.bias[c];
        ASSERT_NEAR(setup.y[setup.at(i)], y, 1e-13) << flat(i);
        ASSERT_NEAR(setup.rstd.at(static_cast<std::size_t>(pool)), rstd, 1e-13);
        if (member.spec.center) {
          ASSERT_NEAR(setup.mean.at(static_cast<std::size_t>(pool)), mean, 1e-13);
        }
      }
    }
  }
}

// f''' is at most about rstd^3 = 30, so a step of 1e-5 is off by 1e-9 in x and 1e-11 by rounding.
void expect_derivative(const Member& member, Images& setup, double& input, double got) {
  constexpr double kStep = 1e-5;
  const double at = input;
  input = at + kStep;
  const double above = setup.loss(member);
  input = at - kStep;
  const double quotient = (above - setup.loss(member)) / (2 * kStep);
  input = at;
  ASSERT_NEAR(got, quotient, 1e-7);
}

TEST(Family, BackwardIsTheDerivativeOfForward) {
  for (const Member& member : members()) {
    for (const Memory& memory : kMemories) {
      SCOPED_TRACE(member.name + " " + memory.name);
      Images setup(memory);
      setup.forward(member);
      setup.backward(member);
      const std::vector<double> dx = setup.dx;
      for (const Index& i : indices()) {
        expect_derivative(member, setup, setup.x[setup.at(i)], dx[setup.at(i)]);
      }
      for (std::size_t c = 0; c < kC; ++c) {
        expect_derivative(member, setup, setup.weight[c], setup.dweight[c]);
        expect_derivative(member, setup, setup.bias[c], setup.dbias[c]);
      }
    }
  }
}

TEST(Family, GroupsMustDivideChannels) {
  Images setup(kMemories[0]);
  Member member = members()[0];
  member.spec.axes.groups = 4;
  EXPECT_ERROR(setup.forward(member), "[group_norm] expected groups to divide 6 channels, got 4");
  member.spec.axes.groups = 0;
  EXPECT_ERROR(setup.forward(member), "[group_norm] expected groups to divide 6 channels, got 0");
}

TEST(Family, ElementsOutsideTheTensorAreUntouched) {
  Images setup(kMemories[2]);
  setup.forward(members()[0]);
  std::size_t written = 0;
  for (const double value : setup.y) written += std::isnan(value) ? 0 : 1;
  EXPECT_EQ(written, kElements);
}

}  // namespace
}  // namespace omninorm::internal
