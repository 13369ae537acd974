// Backward of short groups, see packed-inl.h and norm_backward-inl.h, which has the formula.
#if defined(OMNINORM_CPU_PACKED_BACKWARD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef OMNINORM_CPU_PACKED_BACKWARD_INL_H_
#undef OMNINORM_CPU_PACKED_BACKWARD_INL_H_
#else
#define OMNINORM_CPU_PACKED_BACKWARD_INL_H_
#endif

#include "src/cpu/extreme_row.h"
#include "src/cpu/packed-inl.h"

HWY_BEFORE_NAMESPACE();
namespace omninorm::internal::HWY_NAMESPACE {

#if HWY_TARGET != HWY_SCALAR && !HWY_HAVE_SCALABLE

// What the second pass of backward needs.
template <class X, size_t C>
struct PackedGradients {
  VF xhat[C], dy[C];
  VF rstd, through_mean, through_x;
};

template <class X, size_t C, bool Center>
HWY_INLINE hn::Mask<DF> packed_sums(const X* x, const X* dy, const float* weight, size_t step,
                                    const Spread<X, C>& spread, VF mean, PackedGradients<X, C>& p) {
  using P = Packing<X, C>;
  const DF d;
  struct Sums {
    VF g, gx;  // of g = dy * weight, alone (centred only) and times xhat
  };
  const auto of_span = [&](auto i) OMNINORM_INLINE_LAMBDA {
    load_span(x, i, p.xhat);
    load_span(dy, i, p.dy);
    const VF r = spread.to_span(p.rstd, i);
    const VF m = Center ? spread.to_span(mean, i) : hn::Zero(DF());
    Sums sums = {hn::Zero(DF()), hn::Zero(DF())};
    OMNINORM_UNROLL
    for (size_t k = 0; k < P::kSpan; ++k) {
      VF& xhat = p.xhat[P::kSpan * i + k];
      xhat = hn::Mul(Center ? hn::Sub(xhat, m) : xhat, r);
      const VF g = hn::Mul(p.dy[P::kSpan * i + k], hn::LoadU(DF(), weight + i * step + k * kN));
      if (Center) sums.g = k == 0 ? g : hn::Add(sums.g, g);
      sums.gx = k == 0 ? hn::Mul(g, xhat) : hn::MulAdd(g, xhat, sums.gx);
    }
    return sums;
  };
  const auto sums =
      fold_spans<0, P::kLanesEach>(of_span, [](Sums left, Sums right) OMNINORM_INLINE_LAMBDA {
        return Sums{Center ? add_neighbours(left.g, right.g) : left.g,
                    add_neighbours(left.gx, right.gx)};
      });
  const VF scale = hn::Mul(p.rstd, hn::Set(d, -1.0f / static_cast<float>(C)));
  p.through_mean = Center ? hn::Mul(scale, sums.g) : hn::Zero(d);
  p.through_x = hn::Mul(scale, sums.gx);
  // As in norm_backward-inl.h.
  const VF largest = hn::Set(d, 0x1.fffffep127f);
  return hn::And(
      hn::And(hn::Le(hn::Abs(p.through_mean), largest), hn::Le(hn::Abs(p.through_x), largest)),
      hn::And(hn::Ge(p.rstd, hn::Set(d, 0x1p-110f)), hn::Le(p.rstd, hn::Set(d, 0x1p110f))));
}

// dx plus dsum (null: none) to `dx` (null: not wanted; may be dsum), and the sums for dweight and
// dbias, where wanted, added to `dweight` and `dbias`: for each of N groups, or in registers for
// all of them and then once.
template <class X, size_t C, bool OneGroup>
HWY_INLINE void packed_gradients_of(const PackedGradients<X, C>& p, const float* weight,
                                    size_t step, const Spread<X, C>& spread, const X* dsum, X* dx,
                                    bool stream, float* dweight, float* dbias) {
  using P = Packing<X, C>;
  const DF d;
  VF t[C], w[P::kSpan], b[P::kSpan];
  OMNINORM_UNROLL
  for (size_t i = 0; i < P::kLanesEach; ++i, weight += step) {
    const VF r = spread.to_span(p.rstd, i);
    const VF through_mean = spread.to_span(p.through_mean, i);
    const VF through_x = spread.to_span(p.through_x, i);
    OMNINORM_UNROLL
    for (size_t k = 0; k < P::kSpan; ++k) {
      const size_t m = P::kSpan * i + k;
      t[m] = hn::MulAdd(hn::Mul(p.dy[m], hn::LoadU(d, weight + k * kN)), r,
                        hn::MulAdd(p.xhat[m], through_x, through_mean));
      if constexpr (OneGroup) {
        w[k] = i == 0 ? hn::Mul(p.dy[m], p.xhat[m]) : hn::MulAdd(p.dy[m], p.xhat[m], w[k]);
        b[k] = i == 0 ? p.dy[m] : hn::Add(b[k], p.dy[m]);
      } else {
        float* to_w = dweight + m * kN;
        float* to_b = dbias + m * kN;
        hn::StoreU(hn::MulAdd(p.dy[m], p.xhat[m], hn::LoadU(d, to_w)), d, to_w);
        hn::StoreU(hn::Add(p.dy[m], hn::LoadU(d, to_b)), d, to_b);
      }
    }
    if (dsum != nullptr) add_span(dsum, i, t);
    if (dx != nullptr) store_span(t, i, dx, stream);
  }
  if (!OneGroup || dweight == nullptr) return;
  OMNINORM_UNROLL
  for (size_t k = 0; k < P::kSpan; ++k) {
    hn::StoreU(hn::Add(w[k], hn::LoadU(d, dweight + k * kN)), d, dweight + k * kN);
    hn::StoreU(hn::Add(b[k], hn::LoadU(d, dbias + k * kN)), d, dbias + k * kN);
  }
}

template <class X, size_t C>
HWY_INLINE void packed_gradients(const PackedGradients<X, C>& p, const float* weight, size_t step,
                                 const Spread<X, C>& spread, const X* dsum, X* dx, bool stream,
                                 float* dweight, float* dbias) {
  if (step == 0 || dweight == nullptr) {
    packed_gradients_of<X, C, true>(p, weight, step, spread, dsum, dx, stream, dweight, dbias);
  } else {
    packed_gradients_of<X, C, false>(p, weight, step, spread, dsum, dx, stream, dweight, dbias);
  }
}

// Where element e of a period lies in the sums for dweight and dbias.
template <class X>
HWY_INLINE size_t place(size_t e) {
  if constexpr (kLayout<X> == Layout::natural) return e;
  const size_t in_block = e % (2 * kN);
  return e - in_block + in_block % 2 * kN + in_block / 2;
}

// A block some of whose groups need double: those by themselves, the others without them.
template <class X, size_t C, bool Center>
HWY_NOINLINE void packed_backward_extreme(const PackedBackwardPlan& plan,
                                          const Spread<X, C>& spread, std::int64_t first,
                                          size_t count, size_t at, unsigned bad, const X* from,
                                          const X* dy_from, const X* dsum, X* to, float* dweight,
                                          float* dbias) {
  const NormBackward& problem = *plan.problem;
  const DF d;
  const auto floats = static_cast<size_t>(plan.shape.period_floats());
  const size_t step = span_step<Packing<X, C>>(plan.shape);
  X x[kN * C] = {}, dy[kN * C] = {}, dx[kN * C];
  HWY_ALIGN float mean[kN] = {};
  HWY_ALIGN float rstd[kN] = {};
  std::memcpy(x, from, count * C * sizeof(X));
  std::memcpy(dy, dy_from, count * C * sizeof(X));
  if (Center)
    std::memcpy(mean, static_cast<const float*>(problem.mean) + first, count * sizeof(float));
  std::memcpy(rstd, static_cast<const float*>(problem.rstd) + first, count * sizeof(float));
  for (size_t q = 0; q < count; ++q) {
    if (!(bad >> q & 1)) continue;
    const std::int64_t entry = (first + static_cast<std::int64_t>(q)) % plan.shape.affine_groups *
                               static_cast<std::int64_t>(C);
    float dw[C] = {}, db[C] = {};
    extreme_row_backward(
        problem,
        {x + q * C, affine_entry(problem.weight, problem.weight_dtype, entry), mean[q], rstd[q],
         dy + q * C, dsum ? dsum + q * C : nullptr, to ? to + q * C : nullptr, dw, db, 0});
    for (size_t i = 0; dweight != nullptr && i < C; ++i) {
      const size_t entry_of_sums = place<X>((q * C + i) % floats);
      dweight[entry_of_sums] += dw[i];
      dbias[entry_of_sums] += db[i];
    }
    std::memset(x + q * C, 0, C * sizeof(X));
    std::memset(dy + q * C, 0, C * sizeof(X));
    mean[q] = rstd[q] = 0;
  }
  PackedGradients<X, C> p;
  p.rstd = hn::Load(d, rstd);
  const float* weight = plan.weight + at;
  packed_sums<X, C, Center>(x, dy, weight, step, spread, hn::Load(d, mean), p);
  packed_gradients<X, C>(p, weight, step, spread, dsum, dx, false, dweight, dbias);
  for (size_t q = 0; to != nullptr && q < count; ++q) {
    if (!(bad >> q & 1)) std::memcpy(to + q * C, dx + q * C, C * sizeof(X));
  }
}

inline void move_packed_sums(float* fine, float* coarse, size_t count) {
  const DF d;
  for (size_t i = 0; i < count; i += kN) {
    hn::StoreU(hn::Add(hn::LoadU(d, coarse + i), hn::LoadU(d, fine + i)), d, coarse + i);
    hn::StoreU(hn::Zero(d), d, fine + i);
  }
}

template <class X, size_t C, bool Center>
void packed_backward_groups(const PackedBackwardPlan& plan, std::int64_t task, std::int64_t begin,
                            std::int64_t end) {
  const NormBackward& problem = *plan.problem;
  const DF d;
  const Spread<X, C> spread;
  const std::int64_t floats = plan.shape.period_floats();
  const size_t stride = span_step<Packing<X, C>>(plan.shape);
  float* dweight = plan.partial ? plan.partial + task * 2 * floats : nullptr;
  float* coarse = plan.coarse ? plan.coarse + task * 2 * floats : nullptr;
  const size_t bytes = static_cast<size_t>(2 * floats) * sizeof(float);
  if (dweight) std::memset(dweight, 0, bytes);
  if (coarse) std::memset(coarse, 0, bytes);
  const auto* means = static_cast<const float*>(problem.mean);
  const auto* rstds = static_cast<const float*>(problem.rstd);
  // Additions to a lane before its sum is moved: kRowsPerFine.
  const std::int64_t fine =
      (plan.shape.one_group() ? static_cast<std::int64_t>(kN) : plan.shape.period) * kRowsPerFine;
  PackedOperand<const X, C> xs(static_cast<const X*>(problem.x.data), plan.side_by_side);
  PackedOperand<const X, C> dys(static_cast<const X*>(problem.dy.data), plan.side_by_side);
  PackedOperand<X, C> dxs(static_cast<X*>(problem.dx.data), plan.side_by_side);
  PackedOperand<const X, C> dsums(static_cast<const X*>(problem.dsum.data), plan.side_by_side);
  const bool wants_dx = problem.dx.data != nullptr;
  const bool adds = wants_dx && problem.dsum.data != nullptr;
  GroupCursor<4> cursor(
      problem.view,
      {&problem.x.strides, &problem.dy.strides, &problem.dx.strides, &problem.dsum.strides}, begin);
  const auto step = [&](std::int64_t first, size_t count, size_t at) HWY_ATTR {
    for (size_t q = 0; HWY_UNLIKELY(!plan.side_by_side) && q < count; ++q, cursor.next()) {
      xs.set(q, cursor.offset(0));
      dys.set(q, cursor.offset(1));
      if (wants_dx) dxs.set(q, cursor.offset(2));
      if (adds) dsums.set(q, cursor.offset(3));
    }
    const X* x = xs.gather(first, count);
    const X* dy = dys.gather(first, count);
    const X* dsum = adds ? dsums.gather(first, count) : nullptr;
    X* dx = wants_dx ? dxs.place(first, count) : nullptr;
    float* dw = dweight ? dweight + at : nullptr;
    float* db = dweight ? dweight + floats + at : nullptr;
    PackedGradients<X, C> p;
    VF mean = hn::Zero(d);
    if (HWY_LIKELY(count == kN)) {
      p.rstd = hn::LoadU(d, rstds + first);
      if (Center) mean = hn::LoadU(d, means + first);
    } else {
      p.rstd = load_n(d, rstds + first, count);
      if (Center) mean = load_n(d, means + first, count);
    }
    const auto good = packed_sums<X, C, Center>(x, dy, plan.weight + at, stride, spread, mean, p);
    if (HWY_LIKELY(hn::AllTrue(d, hn::Or(good, hn::Not(hn::FirstN(d, count)))))) {
      packed_gradients<X, C>(p, plan.weight + at, stride, spread, dsum, dx,
                             plan.streams && count == kN, dw, db);
    } else {
      packed_backward_extreme<X, C, Center>(plan, spread, first, count, at, bad_groups(good, count),
                                            x, dy, dsum, dx, dw, db);
    }
    if (wants_dx) dxs.scatter(dx, count);
  };
  for (std::int64_t from = begin; from < end; from += fine) {
    each_packed<C>(plan.shape, from, HWY_MIN(end, from + fine), step);
    if (coarse) move_packed_sums(dweight, coarse, static_cast<size_t>(2 * floats));
  }
  if (plan.streams) finish_stream();
}

#endif  // neither SCALAR nor scalable

}  // namespace omninorm::internal::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
