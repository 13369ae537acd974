// Norms of short rows or groups, C a power of two from 4 to 64, that lie side by side: C vectors
// hold N groups, whose sums come out as the N lanes of one vector after log2(C) levels of adding
// neighbours. One square root and one division then serve N groups, and no sum is taken lane by
// lane. A group's bits do not depend on where it stands or on what stands beside it.
#if defined(OMNINORM_CPU_PACKED_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef OMNINORM_CPU_PACKED_INL_H_
#undef OMNINORM_CPU_PACKED_INL_H_
#else
#define OMNINORM_CPU_PACKED_INL_H_
#endif

#include <cstring>
#include <type_traits>

#include "src/cpu/affine-inl.h"
#include "src/cpu/moments-inl.h"
#include "src/cpu/packed_plan.h"
#include "src/cpu/row_plan.h"

HWY_BEFORE_NAMESPACE();
namespace omninorm::internal::HWY_NAMESPACE {

#if HWY_TARGET != HWY_SCALAR && !HWY_HAVE_SCALABLE

inline constexpr size_t kN = hn::MaxLanes(DF());

// How C vectors of X hold N groups: kSpan of them in a row hold kN / kLanesEach groups, each of
// which has kLanesEach lanes of their sum.
template <class X, size_t C>
struct Packing {
  static constexpr size_t kLeast = kLayout<X> == Layout::even_odd ? 2 : 1;
  static constexpr size_t kSpan = HWY_MAX(kLeast, C / kN);
  static constexpr size_t kLanesEach = C / kSpan;  // as many as there are spans
  static constexpr size_t kElements = kN * C;
};

template <class X, size_t C>
using PackedIndices = decltype(hn::SetTableIndices(DF(), static_cast<const int32_t*>(nullptr)));

// Which group each lane of span i belongs to, and the first lane of a lane's group.
template <class X, size_t C>
class Spread {
 public:
  using P = Packing<X, C>;

  Spread() {
    for (size_t i = 0; i < P::kLanesEach; ++i) {
      for (size_t l = 0; l < kN; ++l) {
        group_[i][l] = static_cast<int32_t>(i * (kN / P::kLanesEach) + l / P::kLanesEach);
      }
    }
    for (size_t l = 0; l < kN; ++l) {
      first_[l] = static_cast<int32_t>(l / P::kLanesEach * P::kLanesEach);
    }
  }

  // Lane l of span i: the value of its group.
  HWY_INLINE VF to_span(VF groups, size_t i) const {
    return hn::TableLookupLanes(groups, hn::SetTableIndices(DF(), group_[i]));
  }
  // The first lane of each group of a span, in all of the group's lanes.
  HWY_INLINE VF first(VF span) const {
    return hn::TableLookupLanes(span, hn::SetTableIndices(DF(), first_));
  }

 private:
  HWY_ALIGN int32_t group_[P::kLanesEach][kN];
  HWY_ALIGN int32_t first_[kN];
};

// Lane q of the result: the sum over group q of what span(i) gives lane by lane.
template <class X, size_t C, class Span>
HWY_INLINE VF sum_groups(const Span& span) {
  return fold_spans<0, Packing<X, C>::kLanesEach>(
      span, [](VF left, VF right) OMNINORM_INLINE_LAMBDA { return add_neighbours(left, right); });
}

// Span i of the N groups at p, and with it the next where spans are single vectors: what a pass
// does, it does span by span, so that sums stay in registers though not all of C vectors do.
template <class T, size_t C>
HWY_INLINE void load_span(const T* p, size_t i, VF (&v)[C]) {
  constexpr size_t kSpan = Packing<T, C>::kSpan;
  if (kSpan == 1 && i % 2 != 0) return;
  OMNINORM_UNROLL
  for (size_t k = 0; k < kSpan; k += 2) {
    const size_t m = kSpan * i + k;
    load_block<kLayout<T>>(p + m * kN, v[m], v[m + 1]);
  }
}

// What lies at p is added to span i; of single vectors the second one adds to both.
template <class T, size_t C>
HWY_INLINE void add_span(const T* p, size_t i, VF (&v)[C]) {
  constexpr size_t kSpan = Packing<T, C>::kSpan;
  if (kSpan == 1 && i % 2 == 0) return;
  OMNINORM_UNROLL
  for (size_t k = 0; k < kSpan; k += 2) {
    const size_t m = kSpan == 1 ? i - 1 : kSpan * i + k;
    VF a, b;
    load_block<kLayout<T>>(p + m * kN, a, b);
    v[m] = hn::Add(v[m], a);
    v[m + 1] = hn::Add(v[m + 1], b);
  }
}

// Span i to p, likewise.
template <class T, size_t C>
HWY_INLINE void store_span(const VF (&v)[C], size_t i, T* p, bool stream) {
  constexpr size_t kSpan = Packing<T, C>::kSpan;
  if (kSpan == 1 && i % 2 == 0) return;
  OMNINORM_UNROLL
  for (size_t k = 0; k < kSpan; k += 2) {
    const size_t m = kSpan == 1 ? i - 1 : kSpan * i + k;
    if (stream) {
      stream_block<kLayout<T>>(v[m], v[m + 1], p + m * kN);
    } else {
      store_block<kLayout<T>>(v[m], v[m + 1], p + m * kN);
    }
  }
}

inline const void* affine_entry(const void* p, DType dtype, std::int64_t index) {
  if (p == nullptr) return nullptr;
  return static_cast<const std::byte*>(p) + index * static_cast<std::int64_t>(size_of(dtype));
}

// The groups among the first `count` for which `good` does not hold, as bits.
inline unsigned bad_groups(hn::Mask<DF> good, size_t count) {
  const DF d;
  HWY_ALIGN float flags[kN];
  hn::Store(hn::IfThenElseZero(good, hn::Set(d, 1.0f)), d, flags);
  unsigned bad = 0;
  for (size_t q = 0; q < count; ++q) bad |= flags[q] == 0 ? 1u << q : 0;
  return bad;
}

// Floats from a span's weights to those of the next.
template <class P>
HWY_INLINE size_t span_step(const PackedShape& shape) {
  return shape.one_group() ? 0 : P::kSpan * kN;
}

// Runs step(first group, groups, where its weights start) over groups begin .. end-1, N at a time.
template <size_t C, class Step>
HWY_INLINE void each_packed(const PackedShape& shape, std::int64_t begin, std::int64_t end,
                            const Step& step) {
  if (shape.one_group()) {
    for (std::int64_t first = begin; first < end; first += kN) {
      step(first, static_cast<size_t>(HWY_MIN(end - first, static_cast<std::int64_t>(kN))), 0);
    }
    return;
  }
  const auto period = static_cast<size_t>(shape.period_floats());
  size_t at = static_cast<size_t>(begin % shape.period) * C;
  for (std::int64_t first = begin; first < end; first += kN) {
    step(first, static_cast<size_t>(HWY_MIN(end - first, static_cast<std::int64_t>(kN))), at);
    at += kN * C;
    if (at == period) at = 0;
  }
}

// The groups of one operand: side by side, or each where its row and number say. Copied, and made
// up to N with zeros, where they have gaps or are fewer. T may be const.
template <class T, size_t C>
class PackedOperand {
 public:
  PackedOperand(T* data, bool side_by_side) : data_(data), side_by_side_(side_by_side) {}

  // Group q of the next block lies `offset` elements on.
  HWY_INLINE void set(size_t q, std::int64_t offset) { groups_[q] = data_ + offset; }

  // Where groups first .. first+count-1 are, or are to be, side by side.
  HWY_INLINE T* place(std::int64_t first, size_t count) {
    T* at = groups_[0];
    bool copied = count < kN;
    if (HWY_LIKELY(side_by_side_)) {
      at = data_ + first * static_cast<std::int64_t>(C);
    } else {
      for (size_t q = 1; q < count; ++q) copied |= groups_[q] != groups_[0] + q * C;
    }
    if (HWY_LIKELY(!copied)) return at;
    if (side_by_side_) {
      for (size_t q = 0; q < count; ++q) groups_[q] = at + q * C;
    }
    return buffer_;
  }
  HWY_INLINE T* gather(std::int64_t first, size_t count) {
    T* at = place(first, count);
    if (HWY_UNLIKELY(at == buffer_)) {
      for (size_t q = 0; q < count; ++q) std::memcpy(buffer_ + q * C, groups_[q], C * sizeof(T));
      const size_t rest = (kN - count) * C * sizeof(T);
      if (rest != 0) std::memset(static_cast<void*>(buffer_ + count * C), 0, rest);
    }
    return at;
  }
  HWY_INLINE void scatter(const T* at, size_t count) {
    if (HWY_LIKELY(at != buffer_)) return;
    for (size_t q = 0; q < count; ++q) std::memcpy(groups_[q], buffer_ + q * C, C * sizeof(T));
  }

 private:
  T* data_;
  bool side_by_side_;
  T* groups_[kN] = {};
  HWY_ALIGN std::remove_const_t<T> buffer_[kN * C];
};

// Walks groups by row and number, where they are not all side by side.
template <int Operands>
class GroupCursor {
 public:
  GroupCursor(const NormView& view, const std::array<const NormStrides*, Operands>& strides,
              std::int64_t group)
      : groups_(view.g),
        g_(group % view.g),
        strides_(strides),
        rows_(view, strides, group / view.g) {}

  std::int64_t offset(size_t operand) const {
    return rows_.offset(operand) + g_ * strides_[operand]->g;
  }
  void next() {
    if (++g_ < groups_) return;
    g_ = 0;
    rows_.next();
  }

 private:
  std::int64_t groups_, g_;
  std::array<const NormStrides*, Operands> strides_;
  RowCursor<Operands> rows_;
};

#endif  // neither SCALAR nor scalable

}  // namespace omninorm::internal::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
