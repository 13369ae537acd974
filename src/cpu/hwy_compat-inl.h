// What Highway 1.0.3 (Debian 12) lacks and newer releases have. Delete this file, and call
// hn::LoadN, hn::StoreN and hn::ReduceSum instead, once the oldest Highway we build with is 1.2.
#if defined(OMNINORM_CPU_HWY_COMPAT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef OMNINORM_CPU_HWY_COMPAT_INL_H_
#undef OMNINORM_CPU_HWY_COMPAT_INL_H_
#else
#define OMNINORM_CPU_HWY_COMPAT_INL_H_
#endif

#include <cstddef>
#include <cstring>

#include "hwy/highway.h"
#undef OMNINORM_NATIVE_BF16

// Instructions that round fp32 to bf16. Newer Highways have a target with them, AVX3_ZEN4; here
// AVX3_DL is compiled as if it had (its functions may use less than ours), and targets.cc takes it
// only where the CPU has them.
#if defined(HWY_AVX3_ZEN4)
#define OMNINORM_NATIVE_BF16 (HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3_ZEN4)
#elif HWY_TARGET == HWY_AVX3_DL
#undef HWY_TARGET_STR
#define HWY_TARGET_STR                                            \
  HWY_TARGET_STR_AVX3                                             \
  ",vpclmulqdq,avx512vbmi,avx512vbmi2,vaes,avxvnni,avx512bitalg," \
  "avx512vpopcntdq,avx512bf16"
#define OMNINORM_NATIVE_BF16 1
#else
#define OMNINORM_NATIVE_BF16 0
#endif

HWY_BEFORE_NAMESPACE();
namespace omninorm::internal::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_MAJOR == 1 && HWY_MINOR < 2

// The first n lanes from memory, n <= Lanes(d); the others are zero and their memory is not read.
// Highway 1.0.3's MaskedLoad reads a whole vector where memory operations might fault (16-bit lanes
// on AVX2, all lanes below that), hence the buffer.
template <class D, typename T = hn::TFromD<D>>
HWY_INLINE hn::VFromD<D> load_n(D d, const T* p, size_t n) {
#if HWY_MEM_OPS_MIGHT_FAULT
  HWY_ALIGN T buffer[hn::MaxLanes(D())] = {};
  std::memcpy(buffer, p, n * sizeof(T));
  return hn::Load(d, buffer);
#else
  return hn::MaskedLoad(hn::FirstN(d, n), d, p);
#endif
}

// Writes the first n lanes, n <= Lanes(d), and no other byte.
template <class D, typename T = hn::TFromD<D>>
HWY_INLINE void store_n(hn::VFromD<D> v, D d, T* p, size_t n) {
#if HWY_MEM_OPS_MIGHT_FAULT
  HWY_ALIGN T buffer[hn::MaxLanes(D())];
  hn::Store(v, d, buffer);
  std::memcpy(p, buffer, n * sizeof(T));
#else
  hn::BlendedStore(v, hn::FirstN(d, n), d, p);
#endif
}

template <class D>
HWY_INLINE hn::TFromD<D> reduce_sum(D d, hn::VFromD<D> v) {
  return hn::GetLane(hn::SumOfLanes(d, v));
}

#else

template <class D, typename T = hn::TFromD<D>>
HWY_INLINE hn::VFromD<D> load_n(D d, const T* p, size_t n) {
  return hn::LoadN(d, p, n);
}
template <class D, typename T = hn::TFromD<D>>
HWY_INLINE void store_n(hn::VFromD<D> v, D d, T* p, size_t n) {
  hn::StoreN(v, d, p, n);
}
template <class D>
HWY_INLINE hn::TFromD<D> reduce_sum(D d, hn::VFromD<D> v) {
  return hn::ReduceSum(d, v);
}

#endif

}  // namespace omninorm::internal::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
