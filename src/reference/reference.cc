#include "src/reference/reference.h"

namespace omninorm::internal {
namespace {

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

}  // namespace omninorm::internal
