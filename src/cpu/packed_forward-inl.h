// Forward of short groups, see packed-inl.h: one pass over memory.
#if defined(OMNINORM_CPU_PACKED_FORWARD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef OMNINORM_CPU_PACKED_FORWARD_INL_H_
#undef OMNINORM_CPU_PACKED_FORWARD_INL_H_
#else
#define OMNINORM_CPU_PACKED_FORWARD_INL_H_
#endif

#include "src/cpu/extreme_row.h"
#include "src/cpu/packed-inl.h"

HWY_BEFORE_NAMESPACE();
namespace omninorm::internal::HWY_NAMESPACE {

#if HWY_TARGET != HWY_SCALAR && !HWY_HAVE_SCALABLE

// Groups first .. first+count-1, count <= N, which lie side by side at x and y, N of them.
template <class X, size_t C, bool Center>
HWY_INLINE void packed_forward(const PackedForwardPlan& plan, const Spread<X, C>& spread,
                               std::int64_t first, size_t count, size_t at, const X* x, X* y,
                               bool stream) {
  using P = Packing<X, C>;
  const NormForward& problem = *plan.problem;
  const DF d;
  const VF per_entry = hn::Set(d, 1.0f / static_cast<float>(C));
  VF v[C];
  VF mean = hn::Zero(d), delta = hn::Zero(d);
  if constexpr (Center) {
    // About the group's first entry: near, so that taking it off is (nearly) exact, and for a
    // constant group exactly 0. 16-bit numbers do without: where they are large beside their
    // deviation they lie within few powers of two, and the sum of 64, and so the mean, is exact.
    constexpr bool kShift = std::is_same_v<X, float>;
    if (kShift && problem.mean) {
      const auto first_vector = [&](auto i) OMNINORM_INLINE_LAMBDA {
        load_span(x, i, v);
        return v[P::kSpan * i];
      };
      mean =
          fold_spans<0, P::kLanesEach>(first_vector, [](VF left, VF right) OMNINORM_INLINE_LAMBDA {
            return hn::ConcatEven(DF(), right, left);
          });
    }
    delta = sum_groups<X, C>([&](auto i) OMNINORM_INLINE_LAMBDA {
      load_span(x, i, v);
      const VF shift = kShift ? spread.first(v[P::kSpan * i]) : hn::Zero(DF());
      VF sum = hn::Zero(DF());
      OMNINORM_UNROLL
      for (size_t k = 0; k < P::kSpan; ++k) {
        VF& entry = v[P::kSpan * i + k];
        if (kShift) entry = hn::Sub(entry, shift);
        sum = k == 0 ? entry : hn::Add(sum, entry);
      }
      return sum;
    });
    delta = hn::Mul(delta, per_entry);
    if (problem.mean) mean = kShift ? hn::Add(mean, delta) : delta;
  }
  // About what is left of the mean: two passes' variance.
  const VF squares = sum_groups<X, C>([&](auto i) OMNINORM_INLINE_LAMBDA {
    if (!Center) load_span(x, i, v);
    const VF rest = Center ? spread.to_span(delta, i) : hn::Zero(DF());
    VF sum = hn::Zero(DF());
    OMNINORM_UNROLL
    for (size_t k = 0; k < P::kSpan; ++k) {
      VF& entry = v[P::kSpan * i + k];
      if (Center) entry = hn::Sub(entry, rest);
      sum = k == 0 ? hn::Mul(entry, entry) : hn::MulAdd(entry, entry, sum);
    }
    return sum;
  });
  const VF with_eps =
      hn::MulAdd(squares, per_entry, hn::Set(d, static_cast<float>(problem.parameters.eps)));
  const VF rstd = hn::Div(hn::Set(d, 1.0f), hn::Sqrt(with_eps));
  // As in row_statistics-inl.h: below, squares may have lost terms to underflow; above, and for
  // NaN, fp32 is not enough.
  const auto good =
      hn::And(hn::Ge(with_eps, hn::Set(d, 0x1p-100f)), hn::Le(with_eps, hn::Set(d, 0x1p127f)));
  unsigned bad = 0;
  X kept[P::kElements];
  if (HWY_UNLIKELY(!hn::AllTrue(d, hn::Or(good, hn::Not(hn::FirstN(d, count)))))) {
    bad = bad_groups(good, count);
    std::memcpy(kept, x, count * C * sizeof(X));  // y may be x
  }
  const float* weight = plan.weight + at;
  const float* bias = plan.bias + at;
  const size_t step = span_step<P>(plan.shape);
  OMNINORM_UNROLL
  for (size_t i = 0; i < P::kLanesEach; ++i, weight += step, bias += step) {
    const VF r = spread.to_span(rstd, i);
    OMNINORM_UNROLL
    for (size_t k = 0; k < P::kSpan; ++k) {
      const size_t m = P::kSpan * i + k;
      v[m] =
          hn::MulAdd(hn::Mul(v[m], r), hn::LoadU(d, weight + k * kN), hn::LoadU(d, bias + k * kN));
    }
    store_span(v, i, y, stream);
  }
  auto* means = static_cast<float*>(problem.mean);
  auto* rstds = static_cast<float*>(problem.rstd);
  if (means) store_n(mean, d, means + first, count);
  if (rstds) store_n(rstd, d, rstds + first, count);
  for (size_t q = 0; HWY_UNLIKELY(bad != 0) && q < count; ++q) {
    if (!(bad >> q & 1)) continue;
    const std::int64_t index = first + static_cast<std::int64_t>(q);
    const std::int64_t entry = index % plan.shape.affine_groups * static_cast<std::int64_t>(C);
    const ExtremeStatistics exact = extreme_row_forward(
        problem, {kept + q * C, affine_entry(problem.weight, problem.weight_dtype, entry),
                  affine_entry(problem.bias, problem.weight_dtype, entry), y + q * C});
    if (means) means[index] = static_cast<float>(exact.mean);
    if (rstds) rstds[index] = static_cast<float>(exact.rstd);
  }
}

// add_*: sum = x + residual, rounded to their dtype, of N groups; sum may be either.
template <class X, size_t C>
HWY_INLINE void add_groups(const X* x, const X* residual, X* sum) {
  constexpr Layout L = kLayout<X>;
  VF a, b, ra, rb;
  for (size_t i = 0; i < kN * C; i += 2 * kN) {
    load_block<L>(x + i, a, b);
    load_block<L>(residual + i, ra, rb);
    store_block<L>(hn::Add(a, ra), hn::Add(b, rb), sum + i);
  }
}

template <class X, size_t C, bool Center>
void packed_forward_groups(const PackedForwardPlan& plan, std::int64_t begin, std::int64_t end) {
  const NormForward& problem = *plan.problem;
  const Spread<X, C> spread;
  PackedOperand<const X, C> x(static_cast<const X*>(problem.x.data), plan.side_by_side);
  PackedOperand<X, C> y(static_cast<X*>(problem.y.data), plan.side_by_side);
  PackedOperand<const X, C> residual(static_cast<const X*>(problem.residual.data),
                                     plan.side_by_side);
  PackedOperand<X, C> sum(static_cast<X*>(problem.sum.data), plan.side_by_side);
  const bool adds = problem.residual.data != nullptr;
  GroupCursor<4> cursor(
      problem.view,
      {&problem.x.strides, &problem.y.strides, &problem.residual.strides, &problem.sum.strides},
      begin);
  each_packed<C>(plan.shape, begin, end, [&](std::int64_t first, size_t count, size_t at) HWY_ATTR {
    for (size_t q = 0; HWY_UNLIKELY(!plan.side_by_side) && q < count; ++q, cursor.next()) {
      x.set(q, cursor.offset(0));
      y.set(q, cursor.offset(1));
      if (!adds) continue;
      residual.set(q, cursor.offset(2));
      sum.set(q, cursor.offset(3));
    }
    const X* from = x.gather(first, count);
    if (adds) {
      X* total = sum.place(first, count);
      add_groups<X, C>(from, residual.gather(first, count), total);
      sum.scatter(total, count);
      from = total;
    }
    X* to = y.place(first, count);
    packed_forward<X, C, Center>(plan, spread, first, count, at, from, to,
                                 plan.streams && count == kN);
    y.scatter(to, count);
  });
  if (plan.streams) finish_stream();
}

#endif  // neither SCALAR nor scalable

}  // namespace omninorm::internal::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
