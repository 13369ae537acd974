#include "src/reference/reference.h"

#include <cmath>
#include <limits>

namespace omninorm::internal {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

// Row-major index into dimensions, as an offset.
std::int64_t walk(std::int64_t index, int rank, const std::int64_t* sizes,
                  const std::int64_t* strides) {
  std::int64_t result = 0;
  for (int i = rank - 1; i > 0; --i) {
    result += index % sizes[i] * strides[i];
    index /= sizes[i];
  }
  return result + index * strides[0];
}

}  // namespace

std::int64_t offset(const NormView& view, const NormStrides& strides, const Position& at) {
  return walk(at.n, view.n_rank, view.n_sizes.data(), strides.n.data()) + at.g * strides.g +
         walk(at.c, view.c_rank, view.c_sizes.data(), strides.c_dims.data()) +
         walk(at.s, view.s_rank, view.s_sizes.data(), strides.s_dims.data());
}

Statistics given_statistics(const void* mean, const void* variance, DType x, double eps,
                            std::int64_t index) {
  const DType dtype = x == DType::f64 ? DType::f64 : DType::f32;
  const double v = load(variance, dtype, index);
  return {load(mean, dtype, index), v, 1 / std::sqrt(v + eps)};
}

double activate(Activation activation, double z) {
  switch (activation) {
    case Activation::none:
      return z;
    case Activation::relu:
      return z < 0 ? 0.0 : z;  // a NaN stays
    case Activation::silu:
      return z == -kInf ? 0.0 : z / (1 + std::exp(-z));
  }
  return z;
}

double activation_slope(Activation activation, double z) {
  if (activation == Activation::none) return 1.0;
  if (activation == Activation::relu) return z <= 0 ? 0.0 : 1.0;
  if (std::isinf(z)) return z > 0 ? 1.0 : 0.0;
  const double s = 1 / (1 + std::exp(-z));
  return s * (1 + z * (1 - s));
}

}  // namespace omninorm::internal
