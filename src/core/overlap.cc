#include "src/core/overlap.h"

#include <algorithm>
#include <array>
#include <cstdlib>

namespace omninorm::internal {
namespace {

struct Dim {
  std::int64_t size;
  std::int64_t stride;  // in bytes, positive
};

// The bytes that a tensor touches: `begin` plus any multiple of each stride, each followed by `run`
// bytes without a gap.
struct Footprint {
  std::int64_t begin = 0;
  std::int64_t end = 0;
  std::int64_t run = 0;
  std::size_t rank = 0;
  std::array<Dim, kMaxRank> dims{};  // largest stride first
  bool nested = true;                // every stride steps over all that lies inside it
};

MemoryRange range(const ConstTensor& tensor) {
  const auto element = static_cast<std::int64_t>(size_of(tensor.dtype));
  MemoryRange result{reinterpret_cast<std::intptr_t>(tensor.data), 0};
  result.end = result.begin + element;
  for (std::size_t i = 0; i < static_cast<std::size_t>(tensor.rank); ++i) {
    const std::int64_t reach = tensor.strides[i] * (tensor.sizes[i] - 1) * element;
    (reach < 0 ? result.begin : result.end) += reach;
  }
  return result;
}

Footprint footprint(const ConstTensor& tensor) {
  Footprint result;
  const auto element = static_cast<std::int64_t>(size_of(tensor.dtype));
  result.begin = range(tensor).begin;
  result.run = element;
  for (std::size_t i = 0; i < static_cast<std::size_t>(tensor.rank); ++i) {
    const std::int64_t stride = std::abs(tensor.strides[i]) * element;
    if (tensor.sizes[i] > 1 && stride != 0) result.dims[result.rank++] = {tensor.sizes[i], stride};
  }
  std::sort(result.dims.begin(), result.dims.begin() + result.rank,
            [](const Dim& a, const Dim& b) { return a.stride > b.stride; });
  while (result.rank > 0 && result.dims[result.rank - 1].stride == result.run) {
    result.run *= result.dims[--result.rank].size;
  }
  std::int64_t extent = result.run;
  for (std::size_t i = result.rank; i-- > 0;) {
    result.nested = result.nested && result.dims[i].stride >= extent;
    extent += result.dims[i].stride * (result.dims[i].size - 1);
  }
  result.end = result.begin + extent;
  return result;
}

// Does any byte of the nested footprint's dimensions `level` and inwards, from `begin` on, lie in
// [low, high)?
bool meets_block(const Footprint& set, std::size_t level, std::int64_t begin, std::int64_t low,
                 std::int64_t high) {
  if (level == set.rank) return begin < high && begin + set.run > low;
  const Dim& dim = set.dims[level];
  // The last step that starts at or before `low`, and the first after it; later ones meet the block
  // only if that one does.
  const std::int64_t before = std::clamp<std::int64_t>((low - begin) / dim.stride, 0, dim.size - 1);
  for (std::int64_t step = before; step <= std::min(before + 1, dim.size - 1); ++step) {
    if (meets_block(set, level + 1, begin + step * dim.stride, low, high)) return true;
  }
  return false;
}

// Two copies of one nested footprint, the second `shift` bytes further on.
bool meets_shifted(const Footprint& set, std::size_t level, std::int64_t shift) {
  if (level == set.rank) return shift > -set.run && shift < set.run;
  const Dim& dim = set.dims[level];
  const std::int64_t nearest = shift / dim.stride;
  for (std::int64_t step = nearest - 1; step <= nearest + 1; ++step) {
    if (step > -dim.size && step < dim.size &&
        meets_shifted(set, level + 1, shift - step * dim.stride)) {
      return true;
    }
  }
  return false;
}

std::int64_t runs(const Footprint& set) {
  std::int64_t count = 1;
  for (std::size_t i = 0; i < set.rank; ++i) count *= set.dims[i].size;
  return count;
}

// Does any run of `walked`, in its dimensions `level` and inwards from `begin` on, meet `nested`?
bool any_run_meets(const Footprint& walked, std::size_t level, std::int64_t begin,
                   const Footprint& nested) {
  if (level == walked.rank) {
    return meets_block(nested, 0, nested.begin, begin, begin + walked.run);
  }
  const Dim& dim = walked.dims[level];
  for (std::int64_t step = 0; step < dim.size; ++step) {
    if (any_run_meets(walked, level + 1, begin + step * dim.stride, nested)) return true;
  }
  return false;
}

bool same_dims(const Footprint& a, const Footprint& b) {
  return a.run == b.run && a.rank == b.rank &&
         std::equal(
             a.dims.begin(), a.dims.begin() + a.rank, b.dims.begin(),
             [](const Dim& p, const Dim& q) { return p.size == q.size && p.stride == q.stride; });
}

}  // namespace

MemoryRange memory_range(const ConstTensor& tensor) {
  return tensor.elements() == 0 ? MemoryRange{} : range(tensor);
}

bool same_memory(const ConstTensor& a, const ConstTensor& b) {
  if (a.data != b.data || size_of(a.dtype) != size_of(b.dtype) || a.rank != b.rank) return false;
  for (std::size_t i = 0; i < static_cast<std::size_t>(a.rank); ++i) {
    if (a.sizes[i] != b.sizes[i]) return false;
    if (a.sizes[i] > 1 && a.strides[i] != b.strides[i]) return false;
  }
  return true;
}

bool may_overlap_itself(const ConstTensor& tensor) {
  for (std::size_t i = 0; i < static_cast<std::size_t>(tensor.rank); ++i) {
    if (tensor.sizes[i] > 1 && tensor.strides[i] == 0) return true;
  }
  return !footprint(tensor).nested;
}

bool overlap(const ConstTensor& a, const ConstTensor& b) {
  if (a.elements() == 0 || b.elements() == 0) return false;
  const MemoryRange range_a = range(a);
  const MemoryRange range_b = range(b);
  if (range_a.begin >= range_b.end || range_b.begin >= range_a.end) return false;
  const Footprint first = footprint(a);
  const Footprint second = footprint(b);
  if (first.begin == second.begin) return true;
  if (first.nested && same_dims(first, second)) {
    return meets_shifted(first, 0, second.begin - first.begin);
  }
  // Strides of two kinds in one stretch of memory: seldom, so run by run, but not for ever. Beyond
  // that it is taken for an overlap, since a wrong result would be worse.
  constexpr std::int64_t kMostRuns = 1 << 20;
  const bool walk_first = second.nested && (!first.nested || runs(first) <= runs(second));
  const Footprint& walked = walk_first ? first : second;
  const Footprint& other = walk_first ? second : first;
  return other.nested &&
         (runs(walked) > kMostRuns || any_run_meets(walked, 0, walked.begin, other));
}

}  // namespace omninorm::internal
