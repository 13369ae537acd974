// Every check of the arguments and its exact words, through the public calls.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "omninorm/omninorm.h"
#include "tests/core/expect_error.h"

namespace omninorm {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

// A valid call on x [4, 3, 8], for each test to spoil.
struct Valid {
  float x[96] = {}, weight[8] = {}, bias[8] = {}, y[96] = {}, mean[12] = {}, rstd[12] = {};
  float dy[96] = {}, dx[96] = {}, dweight[8] = {}, dbias[8] = {};
  std::uint16_t x16[96] = {}, weight16[8] = {}, y16[96] = {};
  double x64[96] = {}, weight64[8] = {}, y64[96] = {};

  NormForwardArgs forward() {
    return {.x = {x, {4, 3, 8}},
            .weight = {weight, {8}},
            .bias = {bias, {8}},
            .y = {y, {4, 3, 8}},
            .rstd = {rstd, {4, 3}}};
  }
  NormForwardArgs layer_forward() {
    NormForwardArgs args = forward();
    args.mean = {mean, {4, 3}};
    return args;
  }
  NormBackwardArgs backward() {
    return {.x = {x, {4, 3, 8}},
            .weight = {weight, {8}},
            .rstd = {rstd, {4, 3}},
            .dy = {dy, {4, 3, 8}},
            .dx = {dx, {4, 3, 8}},
            .dweight = {dweight, {8}},
            .dbias = {dbias, {8}}};
  }
  NormBackwardArgs layer_backward() {
    NormBackwardArgs args = backward();
    args.mean = {mean, {4, 3}};
    return args;
  }
};

Tensor like(void* data, DType dtype, std::vector<std::int64_t> sizes,
            std::vector<std::int64_t> strides = {}) {
  return {data, dtype, sizes, strides};
}

using Spoil = std::function<void(NormForwardArgs&, Valid&)>;

std::string forward_error(const Spoil& spoil, const RmsNormOptions& options = {}) {
  Valid valid;
  NormForwardArgs args = valid.forward();
  spoil(args, valid);
  try {
    rms_norm_forward(args, options);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

std::string backward_error(const std::function<void(NormBackwardArgs&, Valid&)>& spoil) {
  Valid valid;
  NormBackwardArgs args = valid.layer_backward();
  spoil(args, valid);
  try {
    layer_norm_backward(args);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(Checks, ValidCallsPass) {
  Valid valid;
  rms_norm_forward(valid.forward());
  layer_norm_forward(valid.layer_forward());
  rms_norm_backward(valid.backward());
  layer_norm_backward(valid.layer_backward());
}

TEST(Checks, Options) {
  const Spoil nothing = [](NormForwardArgs&, Valid&) {};
  EXPECT_EQ(forward_error(nothing, {.eps = -1e-5}),
            "[rms_norm] expected eps to be finite and 0 or more, got -1e-05");
  EXPECT_EQ(forward_error(nothing, {.eps = kNaN}),
            "[rms_norm] expected eps to be finite and 0 or more, got nan");
  EXPECT_EQ(forward_error(nothing, {.eps = kInf}),
            "[rms_norm] expected eps to be finite and 0 or more, got inf");
  EXPECT_EQ(forward_error(nothing, {.weight_offset = kNaN}),
            "[rms_norm] expected a finite weight_offset, got nan");
  EXPECT_EQ(forward_error(nothing, {.partial = 0}),
            "[rms_norm] expected partial above 0 and at most 1, got 0");
  EXPECT_EQ(forward_error(nothing, {.partial = -0.5}),
            "[rms_norm] expected partial above 0 and at most 1, got -0.5");
  EXPECT_EQ(forward_error(nothing, {.partial = 1.5}),
            "[rms_norm] expected partial above 0 and at most 1, got 1.5");
  EXPECT_EQ(forward_error(nothing, {.partial = kNaN}),
            "[rms_norm] expected partial above 0 and at most 1, got nan");
  EXPECT_EQ(
      forward_error(nothing, {.partial = 0.12}),
      "[rms_norm] expected int(width * partial) to be at least 1, got width 8 and partial 0.12");
  EXPECT_EQ(forward_error(nothing, {.partial = 0.125}), "no error");
  EXPECT_EQ(forward_error(nothing, {.normalized_dims = 0}),
            "[rms_norm] expected normalized_dims between 1 and the 3 dimensions of x, got 0");
  EXPECT_EQ(forward_error(nothing, {.normalized_dims = 4}),
            "[rms_norm] expected normalized_dims between 1 and the 3 dimensions of x, got 4");
  EXPECT_EQ(forward_error(nothing, {.cast_policy = static_cast<CastPolicy>(7)}),
            "[rms_norm] expected cast_policy after_weight or before_weight, got another value");
}

TEST(Checks, WhatMustBeGiven) {
  EXPECT_EQ(forward_error([](auto& a, auto&) { a.x = {}; }),
            "[rms_norm] expected x to be given, got none");
  EXPECT_EQ(forward_error([](auto& a, auto&) { a.y = {}; }),
            "[rms_norm] expected y to be given, got none");
  EXPECT_EQ(backward_error([](auto& a, auto&) { a.x = {}; }),
            "[layer_norm] expected x to be given, got none");
  EXPECT_EQ(backward_error([](auto& a, auto&) { a.dy = {}; }),
            "[layer_norm] expected dy to be given, got none");
  EXPECT_EQ(backward_error([](auto& a, auto&) { a.rstd = {}; }),
            "[layer_norm] expected rstd to be given, got none");
  EXPECT_EQ(backward_error([](auto& a, auto&) { a.mean = {}; }),
            "[layer_norm] expected mean to be given, got none");
  EXPECT_EQ(backward_error([](auto& a, auto&) { a.weight = {}; }),
            "[layer_norm] expected a weight where dweight is asked for, got none");
  EXPECT_EQ(forward_error([](auto& a, auto& v) {
              a.mean = {v.mean, {4, 3}};
            }),
            "[rms_norm] expected no mean, since this norm does not centre, got a mean");
  Valid valid;
  EXPECT_ERROR(rms_norm_backward(valid.layer_backward()),
               "[rms_norm] expected no mean, since this norm does not centre, got a mean");
}

TEST(Checks, Shapes) {
  EXPECT_EQ(forward_error([](auto& a, auto& v) {
              a.x = {v.x, {}};
            }),
            "[rms_norm] expected x with at least 1 dimension, got a scalar");
  EXPECT_EQ(forward_error([](auto& a, auto& v) {
              a.y = {v.y, {4, 3, 7}};
            }),
            "[rms_norm] expected y of the shape of x, [4, 3, 8], got [4, 3, 7]");
  EXPECT_EQ(forward_error([](auto& a, auto& v) {
              a.y = {v.y, {12, 8}};
            }),
            "[rms_norm] expected y of the shape of x, [4, 3, 8], got [12, 8]");
  EXPECT_EQ(forward_error([](auto& a, auto& v) {
              a.weight = {v.weight, {7}};
            }),
            "[rms_norm] expected weight of the normalised shape [8], got [7]");
  EXPECT_EQ(forward_error([](auto& a, auto& v) {
              a.bias = {v.bias, {1, 8}};
            }),
            "[rms_norm] expected bias of the normalised shape [8], got [1, 8]");
  EXPECT_EQ(forward_error([](auto&, auto&) {}, {.normalized_dims = 2}),
            "[rms_norm] expected weight of the normalised shape [3, 8], got [8]");
  EXPECT_EQ(forward_error([](auto& a, auto& v) {
              a.rstd = {v.rstd, {3, 4}};
            }),
            "[rms_norm] expected rstd of shape [4, 3], got [3, 4]");
  EXPECT_EQ(forward_error([](auto& a, auto& v) {
              a.rstd = {v.rstd, {12}};
            }),
            "[rms_norm] expected rstd of shape [4, 3], got [12]");
  EXPECT_EQ(forward_error([](auto& a, auto& v) { a.rstd = {v.rstd, {4, 3, 1}}; }), "no error");
  EXPECT_EQ(backward_error([](auto& a, auto& v) {
              a.mean = {v.mean, {4}};
            }),
            "[layer_norm] expected mean of shape [4, 3], got [4]");
  EXPECT_EQ(backward_error([](auto& a, auto& v) {
              a.dy = {v.dy, {3, 8}};
            }),
            "[layer_norm] expected dy of the shape of x, [4, 3, 8], got [3, 8]");
  EXPECT_EQ(backward_error([](auto& a, auto& v) {
              a.dx = {v.dx, {8}};
            }),
            "[layer_norm] expected dx of the shape of x, [4, 3, 8], got [8]");
  EXPECT_EQ(backward_error([](auto& a, auto& v) {
              a.dweight = {v.dweight, {4}};
            }),
            "[layer_norm] expected dweight of the normalised shape [8], got [4]");
  EXPECT_EQ(backward_error([](auto& a, auto& v) {
              a.dbias = {v.dbias, {4}};
            }),
            "[layer_norm] expected dbias of the normalised shape [8], got [4]");
}

TEST(Checks, BrokenSizesAndDevices) {
  EXPECT_EQ(forward_error([](auto& a, auto&) { a.x.rank = 9; }),
            "[rms_norm] expected x with at most 8 dimensions, got 9");
  EXPECT_EQ(forward_error([](auto& a, auto&) { a.x.sizes[1] = -3; }),
            "[rms_norm] expected x with sizes of 0 or more, got [4, -3, 8]");
  EXPECT_EQ(
      forward_error([](auto& a, auto&) { a.x.sizes[0] = a.x.sizes[1] = std::int64_t{1} << 31; }),
      "[rms_norm] expected x that fits in 2^63 bytes, got shape [2147483648, 2147483648, 8]");
  EXPECT_EQ(forward_error([](auto& a, auto&) { a.y.strides[0] = std::int64_t{1} << 60; }),
            "[rms_norm] expected y that fits in 2^63 bytes, got shape [4, 3, 8]");
  EXPECT_EQ(forward_error(
                [](auto& a, auto&) { a.x.strides[0] = std::numeric_limits<std::int64_t>::min(); }),
            "[rms_norm] expected x that fits in 2^63 bytes, got shape [4, 3, 8]");
  EXPECT_EQ(forward_error([](auto& a, auto&) { a.x.dtype = static_cast<DType>(9); }),
            "[rms_norm] expected x of dtype f32, bf16, f16 or f64, got an unknown dtype");
  EXPECT_EQ(forward_error([](auto& a, auto&) { a.x.device = Device::cuda; }),
            "[rms_norm] expected a CPU tensor, got cuda; copy x to the CPU: this build has no CUDA "
            "kernels");
  EXPECT_EQ(backward_error([](auto& a, auto&) { a.dweight.device = Device::cuda; }),
            "[layer_norm] expected a CPU tensor, got cuda; copy dweight to the CPU: this build has "
            "no CUDA kernels");
}

TEST(Checks, DTypes) {
  const auto with_x = [](DType x, DType weight, DType bias, DType y) {
    return forward_error([=](NormForwardArgs& a, Valid& v) {
      a.x = like(v.x64, x, {4, 3, 8});
      a.weight = like(v.weight64, weight, {8});
      a.bias = like(v.bias, bias, {8});
      a.y = like(v.y64, y, {4, 3, 8});
      if (x == DType::f64) a.bias = a.rstd = {};
    });
  };
  using enum DType;
  EXPECT_EQ(with_x(f32, bf16, bf16, f32),
            "[rms_norm] expected weight of dtype f32 for x of f32, got bf16");
  EXPECT_EQ(with_x(bf16, f16, f16, bf16),
            "[rms_norm] expected weight of dtype f32 or bf16 for x of bf16, got f16");
  EXPECT_EQ(with_x(f64, f32, f32, f64),
            "[rms_norm] expected weight of dtype f64 for x of f64, got f32");
  EXPECT_EQ(with_x(f16, f32, f16, f16),
            "[rms_norm] expected bias of the dtype of weight, f32, got f16");
  EXPECT_EQ(with_x(bf16, bf16, bf16, f32),
            "[rms_norm] expected y of dtype bf16 for x of bf16, got f32");
  EXPECT_EQ(with_x(bf16, f32, f32, f16),
            "[rms_norm] expected y of dtype bf16 or f32 for x of bf16, got f16");
  EXPECT_EQ(with_x(f32, f32, f32, f64), "[rms_norm] expected y of dtype f32 for x of f32, got f64");
  EXPECT_EQ(with_x(bf16, f32, f32, f32), "no error");
  EXPECT_EQ(with_x(f16, f16, f16, f16), "no error");
  EXPECT_EQ(with_x(f64, f64, f64, f64), "no error");
  EXPECT_EQ(forward_error([](auto& a, auto& v) {
              a.rstd = like(v.x64, f64, {4, 3});
            }),
            "[rms_norm] expected rstd of dtype f32 for x of f32, got f64");
  EXPECT_EQ(backward_error([](auto& a, auto& v) {
              a.mean = like(v.x64, bf16, {4, 3});
            }),
            "[layer_norm] expected mean of dtype f32 for x of f32, got bf16");
  EXPECT_EQ(backward_error([](auto& a, auto& v) {
              a.dy = like(v.x64, f64, {4, 3, 8});
            }),
            "[layer_norm] expected dy of dtype f32 for x of f32, got f64");
  EXPECT_EQ(backward_error([](auto& a, auto& v) {
              a.dx = like(v.x64, bf16, {4, 3, 8});
            }),
            "[layer_norm] expected dx of dtype f32 for x of f32, got bf16");
  EXPECT_EQ(backward_error([](auto& a, auto& v) { a.dweight = like(v.x64, f64, {8}); }),
            "[layer_norm] expected dweight of dtype f32 for weight of f32, got f64");
}

TEST(Checks, BackwardDTypesOf16BitInput) {
  const auto with = [](DType weight, DType dy, DType dweight, DType dbias) {
    return backward_error([=](NormBackwardArgs& a, Valid& v) {
      a.x = like(v.x16, DType::bf16, {4, 3, 8});
      a.weight = like(v.weight64, weight, {8});
      a.dy = like(v.x64, dy, {4, 3, 8});
      a.dx = like(v.y16, DType::bf16, {4, 3, 8});
      a.dweight = like(v.dweight, dweight, {8});
      a.dbias = like(v.dbias, dbias, {8});
    });
  };
  using enum DType;
  EXPECT_EQ(with(f32, f32, f32, f32), "no error");
  EXPECT_EQ(with(f32, bf16, f32, f32), "no error");
  EXPECT_EQ(with(bf16, bf16, f32, f32), "no error");
  EXPECT_EQ(with(bf16, bf16, bf16, bf16), "no error");
  EXPECT_EQ(with(bf16, f32, bf16, bf16),
            "[layer_norm] expected dy of dtype bf16 for x of bf16, got f32");
  EXPECT_EQ(with(f32, f16, f32, f32),
            "[layer_norm] expected dy of dtype bf16 or f32 for x of bf16, got f16");
  EXPECT_EQ(with(f32, f32, bf16, bf16),
            "[layer_norm] expected dweight of dtype f32 for weight of f32, got bf16");
  EXPECT_EQ(with(bf16, bf16, f16, f16),
            "[layer_norm] expected dweight of dtype f32 or bf16 for weight of bf16, got f16");
  EXPECT_EQ(with(bf16, bf16, f32, bf16),
            "[layer_norm] expected dbias of the dtype of dweight, f32, got bf16");
}

TEST(Checks, Memory) {
  EXPECT_EQ(forward_error([](auto& a, auto&) { a.x.data = nullptr; }),
            "[rms_norm] expected memory for the elements of x, got a null pointer");
  EXPECT_EQ(forward_error([](auto& a, auto&) { a.bias.data = nullptr; }),
            "[rms_norm] expected memory for the elements of bias, got a null pointer");
  EXPECT_EQ(backward_error([](auto& a, auto&) { a.dx.data = nullptr; }),
            "[layer_norm] expected memory for the elements of dx, got a null pointer");
  EXPECT_EQ(forward_error(
                [](auto& a, auto& v) { a.x.data = reinterpret_cast<const std::byte*>(v.x) + 2; }),
            "[rms_norm] expected x aligned to its 4-byte elements, got a pointer that is not");
  EXPECT_EQ(forward_error([](auto& a, auto& v) { a.weight = like(v.x, DType::f32, {8}, {2}); }),
            "[rms_norm] expected contiguous weight, got strides [2]; copy it first");
  EXPECT_EQ(backward_error([](auto& a, auto& v) { a.dweight = like(v.dx, DType::f32, {8}, {2}); }),
            "[layer_norm] expected contiguous dweight, got strides [2]; copy it first");
  EXPECT_EQ(forward_error([](auto& a, auto& v) {
              a.rstd = like(v.rstd, DType::f32, {4, 3}, {1, 4});
            }),
            "[rms_norm] expected contiguous rstd, got strides [1, 4]; copy it first");
}

TEST(Checks, OverlappingMemory) {
  EXPECT_EQ(forward_error([](auto& a, auto& v) {
              a.y = like(v.y, DType::f32, {4, 3, 8}, {0, 8, 1});
            }),
            "[rms_norm] expected y with memory of its own for each element, got strides [0, 8, 1]");
  EXPECT_EQ(forward_error([](auto& a, auto& v) { a.y = {v.x, {4, 3, 8}}; }), "no error");
  EXPECT_EQ(forward_error([](auto& a, auto& v) {
              a.y = like(v.x, DType::f32, {4, 3, 8}, {8, 32, 1});
            }),
            "[rms_norm] expected y to share no memory with x, got tensors that overlap");
  EXPECT_EQ(forward_error([](auto& a, auto& v) {
              a.weight = {v.y + 5, {8}};
            }),
            "[rms_norm] expected y to share no memory with weight, got tensors that overlap");
  EXPECT_EQ(forward_error([](auto& a, auto& v) {
              a.rstd = {v.x + 80, {4, 3}};
            }),
            "[rms_norm] expected rstd to share no memory with x, got tensors that overlap");
  EXPECT_EQ(forward_error([](auto& a, auto& v) {
              a.rstd = {v.y, {4, 3}};
            }),
            "[rms_norm] expected rstd to share no memory with y, got tensors that overlap");
  EXPECT_EQ(backward_error([](auto& a, auto& v) { a.dx = {v.dy, {4, 3, 8}}; }), "no error");
  EXPECT_EQ(backward_error([](auto& a, auto& v) {
              a.dx = {v.x, {4, 3, 8}};
            }),
            "[layer_norm] expected dx to share no memory with x, got tensors that overlap");
  EXPECT_EQ(
      backward_error([](auto& a, auto& v) {
        a.dbias = {v.dweight, {8}};
      }),
      "[layer_norm] expected dbias to share no memory with dweight, got tensors that overlap");
  EXPECT_EQ(
      backward_error([](auto& a, auto& v) {
        a.dweight = {v.weight, {8}};
      }),
      "[layer_norm] expected dweight to share no memory with weight, got tensors that overlap");
}

TEST(Checks, NothingIsWrittenBeforeAnError) {
  Valid valid;
  valid.y[0] = 42;
  NormForwardArgs args = valid.forward();
  args.rstd = {valid.rstd, {12, 2}};
  EXPECT_THROW(rms_norm_forward(args), Error);
  EXPECT_EQ(valid.y[0], 42);
}

TEST(Checks, LayerNormNamesItself) {
  Valid valid;
  NormForwardArgs args = valid.layer_forward();
  args.weight = {valid.weight, {7}};
  EXPECT_ERROR(layer_norm_forward(args),
               "[layer_norm] expected weight of the normalised shape [8], got [7]");
  EXPECT_ERROR(layer_norm_forward_workspace(args),
               "[layer_norm] expected weight of the normalised shape [8], got [7]");
}

}  // namespace
}  // namespace omninorm
