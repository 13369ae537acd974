// From a problem's dtypes and activation to the types that the channel kernels are compiled for.
#if defined(OMNINORM_CPU_CHANNEL_TYPES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef OMNINORM_CPU_CHANNEL_TYPES_INL_H_
#undef OMNINORM_CPU_CHANNEL_TYPES_INL_H_
#else
#define OMNINORM_CPU_CHANNEL_TYPES_INL_H_
#endif

#include <type_traits>

#include "omninorm/norm.h"
#include "src/cpu/hwy_compat-inl.h"

HWY_BEFORE_NAMESPACE();
namespace omninorm::internal::HWY_NAMESPACE {

template <class X, class Y, class Step>
void with_activation(Activation activation, const Step& step) {
  switch (activation) {
    case Activation::none:
      return step(X(), Y(), std::integral_constant<Activation, Activation::none>());
    case Activation::relu:
      return step(X(), Y(), std::integral_constant<Activation, Activation::relu>());
    case Activation::silu:
      return step(X(), Y(), std::integral_constant<Activation, Activation::silu>());
  }
}

template <class X, class Step>
void with_y(DType y, Activation activation, const Step& step) {
  if (y == DType::f32) return with_activation<X, float>(activation, step);
  with_activation<X, X>(activation, step);
}

// Calls step(X(), Y(), activation) with the types of x and of y (or dy).
template <class Step>
void with_types(DType x, DType y, Activation activation, const Step& step) {
  switch (x) {
    case DType::f32:
      return with_activation<float, float>(activation, step);
    case DType::bf16:
      return with_y<bfloat16>(y, activation, step);
    case DType::f16:
      return with_y<float16>(y, activation, step);
    case DType::f64:
      return;  // declined
  }
}

}  // namespace omninorm::internal::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
