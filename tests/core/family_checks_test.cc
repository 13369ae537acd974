// The checks that only images, batches and residuals have, and their exact words, through the
// public calls; what all norms share is in norm_checks_test.cc.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "omninorm/omninorm.h"
#include "tests/core/expect_error.h"

namespace omninorm {
namespace {

// Valid calls on x [2, 6, 5], for each test to spoil.
struct Valid {
  float x[60] = {}, residual[60] = {}, weight[6] = {}, bias[6] = {}, sum[60] = {}, y[60] = {};
  float mean[12] = {}, rstd[12] = {}, running_mean[6] = {}, running_var[6] = {};
  float dy[60] = {}, dsum[60] = {}, dx[60] = {}, dweight[6] = {}, dbias[6] = {};
  double wide[64] = {}, moment_mean[6] = {}, moment_m2[6] = {}, sum_dy[6] = {}, sum_dy_xhat[6] = {};
  std::int64_t batches = 0;

  NormForwardArgs forward() {
    return {.x = {x, {2, 6, 5}}, .weight = {weight, {6}}, .bias = {bias, {6}}, .y = {y, {2, 6, 5}}};
  }
  NormBackwardArgs backward() {
    return {.x = {x, {2, 6, 5}},
            .weight = {weight, {6}},
            .mean = {mean, {6}},
            .rstd = {rstd, {6}},
            .dy = {dy, {2, 6, 5}},
            .dx = {dx, {2, 6, 5}}};
  }
  RunningStatistics running() { return {{running_mean, {6}}, {running_var, {6}}, &batches}; }
  AddNormForwardArgs add() {
    return {.x = {x, {12, 5}},
            .residual = {residual, {12, 5}},
            .sum = {sum, {12, 5}},
            .y = {y, {12, 5}}};
  }
  BatchNormMoments moments() { return {10, {moment_mean, {6}}, {moment_m2, {6}}}; }
  BatchNormSums sums() { return {10, {sum_dy, {6}}, {sum_dy_xhat, {6}}}; }
};

std::string error_of(const std::function<void(Valid&)>& call) {
  Valid valid;
  try {
    call(valid);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(FamilyChecks, ValidCallsPass) {
  EXPECT_EQ(error_of([](Valid& v) {
              group_norm_forward(v.forward(), {.num_groups = 3});
              instance_norm_forward(v.forward(), v.running());
              batch_norm_forward(v.forward(), v.running());
              batch_norm_forward(v.forward(), v.running(), {.training = false});
              batch_norm_backward(v.backward());
              add_rms_norm_forward(v.add());
              grouped_layer_norm_forward(v.forward(), {.groups = 2, .per_position = true});
              BatchNormMoments moments = v.moments();
              batch_norm_moments(v.forward().x, moments);
              batch_norm_normalize(v.forward(), moments);
              BatchNormSums sums = v.sums();
              batch_norm_backward_sums(v.backward(), sums);
              batch_norm_backward_input(v.backward(), sums);
            }),
            "no error");
}

TEST(FamilyChecks, ChannelsAndGroups) {
  EXPECT_EQ(error_of([](Valid& v) {
              group_norm_forward({.x = {v.x, {60}}, .y = {v.y, {60}}});
            }),
            "[group_norm] expected x of shape [N, C] or [N, C, spatial...], got shape [60]");
  EXPECT_EQ(error_of([](Valid&) { batch_norm_forward({}); }),
            "[batch_norm] expected x to be given, got none");
  EXPECT_EQ(error_of([](Valid& v) {
              grouped_layer_norm_forward({.x = {v.x, {2, 30}}, .y = {v.y, {2, 30}}}, {.groups = 4});
            }),
            "[grouped_layer_norm] expected groups to divide 30 channels, got 4");
  EXPECT_EQ(error_of([](Valid& v) {
              grouped_layer_norm_forward({.x = {v.x, {2, 30}}, .y = {v.y, {2, 30}}}, {.groups = 0});
            }),
            "[grouped_layer_norm] expected groups to divide 30 channels, got 0");
  EXPECT_EQ(error_of([](Valid& v) {
              group_norm_forward(v.forward(),
                                 {.num_groups = 3, .activation = static_cast<Activation>(9)});
            }),
            "[group_norm] expected activation none, relu or silu, got another value");
}

TEST(FamilyChecks, DegenerateGroups) {
  const auto grouped = [](std::int64_t groups, bool center, bool allow) {
    return error_of([=](Valid& v) {
      grouped_layer_norm_forward({.x = {v.x, {2, 30}}, .y = {v.y, {2, 30}}},
                                 {.groups = groups, .center = center, .allow_degenerate = allow});
    });
  };
  EXPECT_EQ(grouped(15, true, false),
            "[grouped_layer_norm] expected groups of 3 or more channels, got 2; the output of "
            "smaller ones is a constant; set allow_degenerate to take them");
  EXPECT_EQ(grouped(30, false, false),
            "[grouped_layer_norm] expected groups of 2 or more channels, got 1; the output of "
            "smaller ones is a constant; set allow_degenerate to take them");
  EXPECT_EQ(grouped(10, true, false), "no error");
  EXPECT_EQ(grouped(15, false, false), "no error");
  EXPECT_EQ(grouped(15, true, true), "no error");
  EXPECT_EQ(grouped(30, false, true), "no error");
}

TEST(FamilyChecks, Shapes) {
  const auto group = [](const std::function<void(Valid&, NormForwardArgs&)>& spoil) {
    return error_of([&](Valid& v) {
      NormForwardArgs args = v.forward();
      spoil(v, args);
      group_norm_forward(args, {.num_groups = 1});
    });
  };
  EXPECT_EQ(group([](auto& v, auto& a) {
              a.weight = {v.weight, {5}};
            }),
            "[group_norm] expected weight of shape [6], got [5]");
  EXPECT_EQ(group([](auto& v, auto& a) {
              a.bias = {v.bias, {6, 1}};
            }),
            "[group_norm] expected bias of shape [6], got [6, 1]");
  EXPECT_EQ(group([](auto& v, auto& a) {
              a.mean = {v.mean, {2}};
            }),
            "[group_norm] expected mean of shape [2, 1], got [2]");
  EXPECT_EQ(error_of([](Valid& v) {
              NormForwardArgs args = v.forward();
              args.rstd = {v.rstd, {6}};
              instance_norm_forward(args);
            }),
            "[instance_norm] expected rstd of shape [2, 6], got [6]");
  EXPECT_EQ(error_of([](Valid& v) {
              NormForwardArgs args = v.forward();
              args.rstd = {v.rstd, {2, 6}};
              batch_norm_forward(args);
            }),
            "[batch_norm] expected rstd of shape [6], got [2, 6]");
  EXPECT_EQ(error_of([](Valid& v) {
              NormForwardArgs args = v.forward();
              args.rstd = {v.rstd, {2, 2, 5}};
              grouped_layer_norm_forward(args, {.groups = 2, .per_position = true});
            }),
            "[grouped_layer_norm] expected rstd of shape [2, 5, 2], got [2, 2, 5]");
}

TEST(FamilyChecks, RunningStatistics) {
  const auto batch = [](const std::function<void(Valid&, RunningStatistics&)>& spoil,
                        const BatchNormOptions& options = {}) {
    return error_of([&](Valid& v) {
      RunningStatistics running = v.running();
      spoil(v, running);
      batch_norm_forward(v.forward(), running, options);
    });
  };
  EXPECT_EQ(batch([](auto&, auto& r) { r.var = {}; }),
            "[batch_norm] expected running_mean and running_var together, got running_mean alone");
  EXPECT_EQ(batch([](auto&, auto& r) { r.mean = {}; }, {.training = false}),
            "[batch_norm] expected running_mean and running_var together, got running_var alone");
  EXPECT_EQ(batch([](auto&, auto& r) { r = {}; }, {.training = false}),
            "[batch_norm] expected running_mean and running_var in evaluation, got none");
  EXPECT_EQ(batch([](auto& v, auto& r) {
              r.mean = {v.running_mean, {5}};
            }),
            "[batch_norm] expected running_mean of shape [6], got [5]");
  EXPECT_EQ(batch([](auto& v, auto& r) {
              r.var = {v.wide, {6}};
            }),
            "[batch_norm] expected running_var of dtype f32 for x of f32, got f64");
  EXPECT_EQ(batch([](auto&, auto& r) { r.mean.data = nullptr; }),
            "[batch_norm] expected memory for the elements of running_mean, got a null pointer");
  EXPECT_EQ(
      batch([](auto& v, auto& r) {
        r.mean = {v.y, {6}};
      }),
      "[batch_norm] expected running_mean to share no memory with y, got tensors that overlap");
  EXPECT_EQ(batch([](auto& v, auto& r) {
              r.mean = {v.weight, {6}};
            }),
            "[batch_norm] expected running_mean to share no memory with weight, got tensors that "
            "overlap");
  EXPECT_EQ(batch([](auto&, auto&) {}, {.momentum = 1.5}),
            "[batch_norm] expected momentum between 0 and 1, got 1.5");
  EXPECT_EQ(batch([](auto&, auto&) {}, {.momentum = std::nan("")}),
            "[batch_norm] expected momentum between 0 and 1, got nan");
  EXPECT_EQ(
      batch([](auto&, auto& r) { r.num_batches_tracked = nullptr; }, {.momentum = std::nullopt}),
      "[batch_norm] expected num_batches_tracked for a cumulative average, got none; give it, "
      "or a momentum");
  EXPECT_EQ(
      error_of([](Valid& v) { instance_norm_forward(v.forward(), {}, {.use_running = true}); }),
      "[instance_norm] expected running_mean and running_var in evaluation, got none");
  EXPECT_EQ(error_of([](Valid& v) {
              batch_norm_backward(v.backward(), v.running(), {.training = false});
            }),
            "[batch_norm] expected no mean and rstd beside running statistics, got a mean");
}

TEST(FamilyChecks, AnErrorLeavesRunningStatisticsAlone) {
  Valid v;
  NormForwardArgs args = v.forward();
  args.weight = {v.weight, {5}};
  EXPECT_THROW(batch_norm_forward(args, v.running()), Error);
  EXPECT_EQ(v.batches, 0);
  batch_norm_forward(v.forward(), v.running(), {.training = false});
  EXPECT_EQ(v.batches, 0);
  batch_norm_forward(v.forward(), v.running());
  EXPECT_EQ(v.batches, 1);
}

TEST(FamilyChecks, Residual) {
  const auto add = [](const std::function<void(Valid&, AddNormForwardArgs&)>& spoil) {
    return error_of([&](Valid& v) {
      AddNormForwardArgs args = v.add();
      spoil(v, args);
      add_rms_norm_forward(args);
    });
  };
  EXPECT_EQ(add([](auto&, auto& a) { a.residual = {}; }),
            "[add_rms_norm] expected residual to be given, got none");
  EXPECT_EQ(add([](auto&, auto& a) { a.sum = {}; }),
            "[add_rms_norm] expected sum to be given, got none");
  EXPECT_EQ(add([](auto& v, auto& a) {
              a.residual = {v.residual, {5}};
            }),
            "[add_rms_norm] expected residual of the shape of x, [12, 5], got [5]");
  EXPECT_EQ(add([](auto& v, auto& a) {
              a.residual = {v.wide, {12, 5}};
            }),
            "[add_rms_norm] expected residual of dtype f32 for x of f32, got f64");
  EXPECT_EQ(add([](auto& v, auto& a) {
              a.y = {v.sum, {12, 5}};
            }),
            "[add_rms_norm] expected y to share no memory with sum, got tensors that overlap");
  EXPECT_EQ(add([](auto& v, auto& a) {
              a.sum = a.y = {v.x, {12, 5}};
            }),
            "[add_rms_norm] expected y to share no memory with sum, got tensors that overlap");
  EXPECT_EQ(add([](auto& v, auto& a) {
              a.sum = {v.x + 5, {11, 5}};
              a.x = {v.x, {11, 5}};
              a.residual = {v.residual, {11, 5}};
              a.y = {v.y, {11, 5}};
            }),
            "[add_rms_norm] expected sum to share no memory with x, got tensors that overlap");
  EXPECT_EQ(add([](auto& v, auto& a) {
              a.sum = {v.residual, {12, 5}};
              a.y = {v.x, {12, 5}};
            }),
            "no error");
  EXPECT_EQ(error_of([](Valid& v) {
              add_layer_norm_backward({.dy = {v.dy, {12, 5}}});
            }),
            "[add_layer_norm] expected x to be given, got none");
  EXPECT_EQ(error_of([](Valid& v) {
              add_rms_norm_backward({.sum = {v.sum, {12, 5}},
                                     .rstd = {v.rstd, {12}},
                                     .dy = {v.dy, {12, 5}},
                                     .dsum = {v.dsum, {60}},
                                     .dx = {v.dx, {12, 5}}});
            }),
            "[add_rms_norm] expected dsum of the shape of sum, [12, 5], got [60]");
}

TEST(FamilyChecks, BatchInParts) {
  EXPECT_EQ(error_of([](Valid& v) {
              BatchNormMoments moments = v.moments();
              moments.mean = {};
              batch_norm_moments(v.forward().x, moments);
            }),
            "[batch_norm] expected moments.mean to be given, got none");
  EXPECT_EQ(error_of([](Valid& v) {
              BatchNormMoments moments = v.moments();
              moments.m2 = {v.mean, {6}};
              batch_norm_moments(v.forward().x, moments);
            }),
            "[batch_norm] expected moments.m2 of dtype f64, got f32");
  EXPECT_EQ(error_of([](Valid& v) {
              BatchNormMoments moments = v.moments();
              moments.mean = {v.wide, {2, 3}};
              batch_norm_moments(v.forward().x, moments);
            }),
            "[batch_norm] expected moments.mean of shape [C], got 2 dimensions");
  EXPECT_EQ(error_of([](Valid& v) {
              BatchNormMoments moments = v.moments();
              moments.m2 = {v.moment_m2, {5}};
              batch_norm_moments(v.forward().x, moments);
            }),
            "[batch_norm] expected moments.m2 of shape [6], got [5]");
  EXPECT_EQ(error_of([](Valid& v) {
              BatchNormMoments moments = v.moments(), other = moments;
              other.mean = {v.moment_mean, {5}}, other.m2 = {v.moment_m2, {5}};
              merge_moments(moments, other);
            }),
            "[merge_moments] expected moments of 6 channels, got 5");
  EXPECT_EQ(error_of([](Valid& v) {
              BatchNormMoments moments = v.moments(), other = moments;
              other.count = -1;
              merge_moments(moments, other);
            }),
            "[merge_moments] expected other.count of 0 or more, got -1");
  const auto normalize = [](std::int64_t count, const BatchNormOptions& options = {}) {
    return error_of([&](Valid& v) {
      BatchNormMoments moments = v.moments();
      moments.count = count;
      batch_norm_normalize(v.forward(), moments, {}, options);
    });
  };
  EXPECT_EQ(normalize(10), "no error");
  EXPECT_EQ(
      normalize(9),
      "[batch_norm] expected moments.count of at least the 10 values of x per channel, got 9");
  EXPECT_EQ(normalize(10, {.training = false}),
            "[batch_norm] expected training for a batch in parts, got evaluation");
  EXPECT_EQ(error_of([](Valid& v) {
              BatchNormMoments moments = v.moments();
              moments.count = 1;
              batch_norm_normalize({.x = {v.x, {1, 6}}, .y = {v.y, {1, 6}}}, moments);
            }),
            "[batch_norm] expected more than 1 value per channel in training, got moments of 1");
  EXPECT_EQ(error_of([](Valid& v) {
              BatchNormSums sums = v.sums();
              sums.dy = {};
              batch_norm_backward_sums(v.backward(), sums);
            }),
            "[batch_norm] expected sums.dy to be given, got none");
  EXPECT_EQ(error_of([](Valid& v) {
              BatchNormSums sums = v.sums();
              sums.dy = {v.dbias, {6}};
              batch_norm_backward_sums(v.backward(), sums);
            }),
            "[batch_norm] expected sums of dy of dtype f64, got f32");
  EXPECT_EQ(error_of([](Valid& v) {
              BatchNormSums sums = v.sums();
              sums.dy_xhat = {};
              batch_norm_backward_input(v.backward(), sums);
            }),
            "[batch_norm] expected total.dy_xhat to be given, got none");
  EXPECT_EQ(error_of([](Valid& v) {
              BatchNormSums sums = v.sums();
              sums.count = 9;
              batch_norm_backward_input(v.backward(), sums);
            }),
            "[batch_norm] expected total.count of at least the 10 values of x per channel, got 9");
}

TEST(FamilyChecks, WorkspacesThatAreTooSmallNameTheirQuery) {
  std::byte little[8];
  const Context context{.workspace = little};
  EXPECT_EQ(error_of([&](Valid& v) { batch_norm_forward(v.forward(), v.running(), {}, context); }),
            "[batch_norm] expected a workspace of at least " +
                std::to_string(batch_norm_forward_workspace(Valid().forward(), Valid().running())) +
                " bytes, got 8; ask batch_norm_forward_workspace() for the size, or leave the "
                "workspace empty");
  EXPECT_EQ(
      error_of([&](Valid& v) { batch_norm_normalize(v.forward(), v.moments(), {}, {}, context); }),
      "[batch_norm] expected a workspace of at least " +
          std::to_string(batch_norm_normalize_workspace(Valid().forward())) +
          " bytes, got 8; ask batch_norm_normalize_workspace() for the size, or leave the "
          "workspace empty");
}

// Every part with exactly the workspace that its query tells, at an odd address.
TEST(FamilyChecks, PartsRunInTheWorkspaceThatTheyAskFor) {
  EXPECT_EQ(error_of([](Valid& v) {
              std::vector<std::byte> memory(1 << 16);
              const auto context = [&](std::size_t bytes) {
                return Context{.workspace = std::span(memory).subspan(1, bytes)};
              };
              BatchNormMoments moments = v.moments();
              BatchNormSums sums = v.sums();
              batch_norm_moments(v.forward().x, moments,
                                 context(batch_norm_moments_workspace(v.forward().x)));
              batch_norm_normalize(v.forward(), moments, v.running(), {},
                                   context(batch_norm_normalize_workspace(v.forward())));
              batch_norm_backward_sums(v.backward(), sums, {},
                                       context(batch_norm_backward_sums_workspace(v.backward())));
              batch_norm_backward_input(v.backward(), sums, {},
                                        context(batch_norm_backward_input_workspace(v.backward())));
            }),
            "no error");
}

}  // namespace
}  // namespace omninorm
