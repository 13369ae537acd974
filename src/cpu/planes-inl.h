// Short planes side by side (NCHW, 7 x 7 and 14 x 14): blocks that run across their borders.
#if defined(OMNINORM_CPU_PLANES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef OMNINORM_CPU_PLANES_INL_H_
#undef OMNINORM_CPU_PLANES_INL_H_
#else
#define OMNINORM_CPU_PLANES_INL_H_
#endif

#include <cstdint>

#include "src/cpu/channel_plan.h"
#include "src/cpu/moments-inl.h"

HWY_BEFORE_NAMESPACE();
namespace omninorm::internal::HWY_NAMESPACE {

// Runs whose sums are taken together: as many as there are lanes where their reductions take
// longer than their entries do.
template <class X>
size_t runs_together(size_t n) {
  constexpr size_t kShortRun = 256;
  return n * sizeof(X) <= kShortRun ? kLanes : kFewRows;
}

// Planes of n entries that lie one after the other in both operands, and are worth taking together:
// longer than a block, and not so long that the border between them does not matter.
HWY_INLINE bool side_by_side(size_t n, const ChannelStrides& a, const ChannelStrides& b) {
  constexpr size_t kShortPlane = 512;
  const auto next = static_cast<std::int64_t>(n);
  return n > block_size() && n <= kShortPlane && a.even && b.even && a.next_channel == next &&
         b.next_channel == next;
}

// From one plane to another; there need be no object that holds both.
template <class T>
HWY_INLINE std::intptr_t bytes_between(const T* from, const T* to) {
  return static_cast<std::intptr_t>(reinterpret_cast<std::uintptr_t>(to) -
                                    reinterpret_cast<std::uintptr_t>(from));
}

// Entries of `total` from p that come before whole blocks, which then begin at cache lines (or at
// multiples of their own size, if that is less); a block if they begin there at once.
template <class T>
HWY_INLINE size_t first_piece(const T* p, size_t total) {
  const size_t line = HWY_MIN(size_t{64}, block_size() * sizeof(T));
  const size_t head = (line - reinterpret_cast<std::uintptr_t>(p) % line) % line / sizeof(T);
  return HWY_MIN(head > 0 ? head : block_size(), total);
}

// Whether blocks from there on can be streamed: p itself may lie at any byte.
template <class T>
HWY_INLINE bool whole_entries(const T* p) {
  return reinterpret_cast<std::uintptr_t>(p) % sizeof(T) == 0;
}

// Walks planes of n entries, side by side, by pieces of up to n entries.
class SideBySide {
 public:
  SideBySide(size_t n, size_t count) : n_(n), last_(count - 1), left_(n) {}

  // What is left of the plane that the next piece begins in: 1 .. n.
  HWY_INLINE size_t left() const { return left_; }
  // Takes the next piece if it lies within one plane and does not end it.
  HWY_INLINE bool within(size_t length) {
    if (length >= left_) return false;
    left_ -= length;
    return true;
  }
  // Takes a piece that reaches the border; the plane behind it, or the last one again.
  HWY_INLINE size_t cross(size_t length) {
    left_ += n_ - length;
    plane_ = HWY_MIN(plane_ + 1, last_);
    return plane_;
  }

 private:
  size_t n_, last_, left_, plane_ = 0;
};

}  // namespace omninorm::internal::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
