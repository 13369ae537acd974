#include "src/core/norm_view.h"

#include <algorithm>

namespace omninorm::internal {
namespace {

struct Collapsed {
  int rank = 0;
  std::array<std::int64_t, kMaxRank> sizes{};
  std::int64_t elements = 1;
};

template <Axis A>
std::array<std::int64_t, kMaxRank>& dims(NormStrides& strides) {
  if constexpr (A == Axis::n) return strides.n;
  if constexpr (A == Axis::c) return strides.c_dims;
  return strides.s_dims;
}

// Can dimension `i` of x join the last one collected, in every operand?
template <Axis A>
bool merges(std::span<const ViewOperand> operands, std::size_t last, std::size_t i,
            std::int64_t size) {
  for (const ViewOperand& operand : operands) {
    if (dims<A>(*operand.out)[last] != operand.strides[i] * size) return false;
  }
  return true;
}

template <Axis A>
Collapsed collapse_axis(std::span<const std::int64_t> sizes, const NormAxes& axes,
                        std::span<const ViewOperand> operands) {
  Collapsed result;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    if (axes.of[i] != A || sizes[i] == 1) continue;  // the stride of a size of 1 means nothing
    result.elements *= sizes[i];
    auto last = static_cast<std::size_t>(result.rank) - 1;
    if (result.rank > 0 && merges<A>(operands, last, i, sizes[i])) {
      result.sizes[last] *= sizes[i];
    } else {
      last = static_cast<std::size_t>(result.rank++);
      result.sizes[last] = sizes[i];
    }
    for (const ViewOperand& operand : operands) dims<A>(*operand.out)[last] = operand.strides[i];
  }
  if (result.rank == 0) {
    // A single element: give it the stride that kernels like best.
    result.rank = 1;
    result.sizes[0] = 1;
    for (const ViewOperand& operand : operands) dims<A>(*operand.out)[0] = A != Axis::n;
  }
  return result;
}

}  // namespace

NormView collapse(std::span<const std::int64_t> sizes, const NormAxes& axes,
                  std::span<const ViewOperand> operands) {
  NormView view;
  if (std::find(sizes.begin(), sizes.end(), 0) != sizes.end()) {
    // Nothing to walk; only how many of each there are matters (the weight's length, say).
    std::array<std::int64_t, 3> counts{1, 1, 1};
    for (std::size_t i = 0; i < sizes.size(); ++i) {
      counts[static_cast<std::size_t>(axes.of[i])] *= sizes[i];
    }
    view.n_sizes[0] = view.n = counts[0];
    view.g = axes.groups;
    view.c_sizes[0] = view.c = axes.groups == 0 ? 1 : counts[1] / axes.groups;
    view.s_sizes[0] = view.s = counts[2];
    return view;
  }
  const Collapsed n = collapse_axis<Axis::n>(sizes, axes, operands);
  Collapsed c = collapse_axis<Axis::c>(sizes, axes, operands);
  const Collapsed s = collapse_axis<Axis::s>(sizes, axes, operands);
  if (axes.groups > 1) c.sizes[0] /= axes.groups;
  view.n_rank = n.rank;
  view.n_sizes = n.sizes;
  view.n = n.elements;
  view.g = axes.groups;
  view.c_rank = c.rank;
  view.c_sizes = c.sizes;
  view.c = c.elements / axes.groups;
  view.s_rank = s.rank;
  view.s_sizes = s.sizes;
  view.s = s.elements;
  for (const ViewOperand& operand : operands) {
    NormStrides& out = *operand.out;
    out.c = c.rank == 1 ? out.c_dims[0] : 0;
    out.s = s.rank == 1 ? out.s_dims[0] : 0;
    out.g = out.c * view.c;
  }
  return view;
}

}  // namespace omninorm::internal
