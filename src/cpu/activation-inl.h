// Activations behind the affine part, and their slopes.
#if defined(OMNINORM_CPU_ACTIVATION_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef OMNINORM_CPU_ACTIVATION_INL_H_
#undef OMNINORM_CPU_ACTIVATION_INL_H_
#else
#define OMNINORM_CPU_ACTIVATION_INL_H_
#endif

#include "hwy/contrib/math/math-inl.h"
#include "omninorm/norm.h"
#include "src/cpu/io-inl.h"

HWY_BEFORE_NAMESPACE();
namespace omninorm::internal::HWY_NAMESPACE {

// z, or the bound that it is beyond; NaN stays. Past 88 the exponential leaves fp32's range.
HWY_INLINE VF held(VF z) {
  const VF high = hn::Set(DF(), 88.0f), low = hn::Set(DF(), -88.0f);
  return hn::IfThenElse(hn::Gt(z, high), high, hn::IfThenElse(hn::Lt(z, low), low, z));
}

// 1 / (1 + e^-z) of a held z.
HWY_INLINE VF sigmoid(VF z) {
  const DF d;
  const VF one = hn::Set(d, 1.0f);
  return hn::Div(one, hn::Add(one, hn::Exp(d, hn::Neg(z))));
}

template <Activation A>
HWY_INLINE VF activate(VF z) {
  const DF d;
  if constexpr (A == Activation::relu) {
    const VF zero = hn::Zero(d);
    return hn::IfThenElse(hn::Lt(z, zero), zero, z);  // keeps NaN
  }
  if constexpr (A == Activation::silu) {
    // Far below 0 the product is held too: it is 0 to within 1e-36 there.
    const VF h = held(z);
    return hn::Mul(hn::IfThenElse(hn::Lt(z, h), h, z), sigmoid(h));
  }
  return z;
}

// dy times the slope at z; relu's is 0 at 0, and dy goes through where z is NaN.
template <Activation A>
HWY_INLINE VF through_activation(VF dy, VF z) {
  const DF d;
  if constexpr (A == Activation::relu) {
    const VF zero = hn::Zero(d);
    return hn::IfThenElse(hn::Le(z, zero), zero, dy);
  }
  if constexpr (A == Activation::silu) {
    const VF h = held(z);
    const VF s = sigmoid(h);
    const VF one = hn::Set(d, 1.0f);
    return hn::Mul(dy, hn::Mul(s, hn::MulAdd(h, hn::Sub(one, s), one)));
  }
  return dy;
}

}  // namespace omninorm::internal::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
