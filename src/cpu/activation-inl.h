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

// 1 / (1 + e^-z). Beyond 88 the exponential leaves fp32's range one way or the other: z is held
// there, where the result is 0 or 1 to the last bit that the product with z can see.
HWY_INLINE VF sigmoid(VF z) {
  const DF d;
  const VF one = hn::Set(d, 1.0f);
  const VF bound = hn::Set(d, 88.0f);
  const VF held = hn::IfThenElse(hn::Gt(z, bound), bound,
                                 hn::IfThenElse(hn::Lt(z, hn::Neg(bound)), hn::Neg(bound), z));
  return hn::Div(one, hn::Add(one, hn::Exp(d, hn::Neg(held))));
}

template <Activation A>
HWY_INLINE VF activate(VF z) {
  if constexpr (A == Activation::relu) {
    const VF zero = hn::Zero(DF());
    return hn::IfThenElse(hn::Lt(z, zero), zero, z);  // keeps NaN
  }
  if constexpr (A == Activation::silu) return hn::Mul(z, sigmoid(z));
  return z;
}

// dy times the slope at z; relu's is 0 at 0.
template <Activation A>
HWY_INLINE VF through_activation(VF dy, VF z) {
  const DF d;
  if constexpr (A == Activation::relu) return hn::IfThenElseZero(hn::Gt(z, hn::Zero(d)), dy);
  if constexpr (A == Activation::silu) {
    const VF s = sigmoid(z);
    const VF one = hn::Set(d, 1.0f);
    return hn::Mul(dy, hn::Mul(s, hn::MulAdd(z, hn::Sub(one, s), one)));
  }
  return dy;
}

}  // namespace omninorm::internal::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
