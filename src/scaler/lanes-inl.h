// What the scalers' kernels share: data as vectors of doubles, and sums of two doubles in them.
#if defined(OMNINORM_SCALER_LANES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef OMNINORM_SCALER_LANES_INL_H_
#undef OMNINORM_SCALER_LANES_INL_H_
#else
#define OMNINORM_SCALER_LANES_INL_H_
#endif

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "hwy/cache_control.h"
#include "src/cpu/hwy_compat-inl.h"

HWY_BEFORE_NAMESPACE();
namespace omninorm::internal::scaling::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;
using omninorm::internal::HWY_NAMESPACE::load_n;
using omninorm::internal::HWY_NAMESPACE::store_n;

using D = hn::ScalableTag<double>;
using V = hn::VFromD<D>;
using M = hn::Mask<D>;
template <class T>
using Narrow = hn::Rebind<T, D>;  // as many lanes of T

HWY_INLINE size_t lanes() { return hn::Lanes(D()); }

template <class T>
HWY_INLINE V load(const T* p) {
  if constexpr (std::is_same_v<T, double>) {
    return hn::LoadU(D(), p);
  } else {
    return hn::PromoteTo(D(), hn::LoadU(Narrow<T>(), p));
  }
}

// The first n lanes; the others are zero.
template <class T>
HWY_INLINE V load_part(const T* p, size_t n) {
  if constexpr (std::is_same_v<T, double>) {
    return load_n(D(), p, n);
  } else {
    return hn::PromoteTo(D(), load_n(Narrow<T>(), p, n));
  }
}

HWY_INLINE hn::VFromD<Narrow<float>> to_float(V v) {
#if HWY_TARGET == HWY_SCALAR
  // Highway's takes what is too large to the largest float instead of infinity.
  return hn::Set(Narrow<float>(), static_cast<float>(hn::GetLane(v)));
#else
  return hn::DemoteTo(Narrow<float>(), v);
#endif
}

template <class T>
HWY_INLINE void store(V v, T* p) {
  if constexpr (std::is_same_v<T, double>) {
    hn::StoreU(v, D(), p);
  } else {
    hn::StoreU(to_float(v), Narrow<T>(), p);
  }
}

template <class T>
HWY_INLINE void store_part(V v, T* p, size_t n) {
  if constexpr (std::is_same_v<T, double>) {
    store_n(v, D(), p, n);
  } else {
    store_n(to_float(v), Narrow<T>(), p, n);
  }
}

// How many elements further on to fetch, in a walk over rows of `width`: a quarter to a half more
// speed than the CPU's own prefetching, which ends with each page.
template <class T>
HWY_INLINE std::int64_t prefetch_distance(std::int64_t width, std::int64_t stride) {
  constexpr std::int64_t kElements = 2048 / sizeof(T);
  return width >= kElements ? kElements : kElements / width * stride;
}

// ---- Unevaluated sums of two doubles, as in src/scaler/double_double.h

struct Pair {
  V high, low;
};

HWY_INLINE Pair two_sum(V a, V b) {
  const V sum = hn::Add(a, b);
  const V b_part = hn::Sub(sum, a);
  return {sum, hn::Add(hn::Sub(a, hn::Sub(sum, b_part)), hn::Sub(b, b_part))};
}

HWY_INLINE Pair quick_two_sum(V a, V b) {
  const V sum = hn::Add(a, b);
  return {sum, hn::Sub(b, hn::Sub(sum, a))};
}

#if HWY_NATIVE_FMA
HWY_INLINE Pair two_product(V a, V b) {
  const V product = hn::Mul(a, b);
  return {product, hn::MulSub(a, b, product)};
}
#else
// Without a fused multiply-add (Highway's then rounds twice): Dekker's. Overflows above 2^996,
// whose squares overflow anyway.
HWY_INLINE Pair split(V a) {
  const V scaled = hn::Mul(a, hn::Set(D(), 0x1p27 + 1));
  const V high = hn::Sub(scaled, hn::Sub(scaled, a));
  return {high, hn::Sub(a, high)};
}
HWY_INLINE Pair two_product(V a, V b) {
  const V product = hn::Mul(a, b);
  const Pair x = split(a), y = split(b);
  const V rest = hn::Sub(hn::Mul(x.high, y.high), product);
  const V middle = hn::Add(hn::Add(rest, hn::Mul(x.high, y.low)), hn::Mul(x.low, y.high));
  return {product, hn::Add(middle, hn::Mul(x.low, y.low))};
}
#endif

HWY_INLINE Pair negate(Pair a) { return {hn::Neg(a.high), hn::Neg(a.low)}; }

HWY_INLINE Pair add(Pair a, Pair b) {
  const Pair high = two_sum(a.high, b.high);
  const Pair low = two_sum(a.low, b.low);
  const Pair sum = quick_two_sum(high.high, hn::Add(high.low, low.high));
  return quick_two_sum(sum.high, hn::Add(sum.low, low.low));
}

HWY_INLINE Pair multiply(Pair a, Pair b) {
  const Pair product = two_product(a.high, b.high);
  const V crossed = hn::Add(hn::Mul(a.high, b.low), hn::Mul(a.low, b.high));
  return quick_two_sum(product.high, hn::Add(product.low, crossed));
}

HWY_INLINE Pair widen(V a) { return {a, hn::Zero(D())}; }

HWY_INLINE Pair divide(Pair a, Pair b) {
  const V quotient = hn::Div(a.high, b.high);
  const Pair rest = add(a, negate(multiply(widen(quotient), b)));
  const V second = hn::Div(rest.high, b.high);
  const Pair left = add(rest, negate(multiply(widen(second), b)));
  return add(quick_two_sum(quotient, second), widen(hn::Div(left.high, b.high)));
}

HWY_INLINE Pair choose(M mask, Pair yes, Pair no) {
  return {hn::IfThenElse(mask, yes.high, no.high), hn::IfThenElse(mask, yes.low, no.low)};
}

}  // namespace omninorm::internal::scaling::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
