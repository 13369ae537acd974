// Arrays of any dtype as doubles: weights, biases, statistics and what becomes of them.
#if defined(OMNINORM_CPU_ARRAYS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef OMNINORM_CPU_ARRAYS_INL_H_
#undef OMNINORM_CPU_ARRAYS_INL_H_
#else
#define OMNINORM_CPU_ARRAYS_INL_H_
#endif

#include "src/core/element.h"
#include "src/cpu/io-inl.h"

HWY_BEFORE_NAMESPACE();
namespace omninorm::internal::HWY_NAMESPACE {

// 16-bit numbers by blocks, through fp32, which holds them all.
template <class T>
HWY_INLINE void load_16_bits(const T* from, size_t count, double* to) {
  constexpr Layout L = kLayout<T>;
  HWY_ALIGN float block[2 * hn::MaxLanes(DF())];
  VF a, b;
  for (size_t at = 0; at < count; at += block_size()) {
    const size_t here = HWY_MIN(count - at, block_size());
    if (here == block_size()) {
      load_block<L>(from + at, a, b);
    } else {
      load_block_n<L>(from + at, here, a, b);
    }
    store_block<L>(a, b, block);
    for (size_t i = 0; i < here; ++i) to[at + i] = static_cast<double>(block[i]);
  }
}

HWY_NOINLINE inline void load_array(const void* from, DType dtype, std::int64_t at, size_t count,
                                    double* to) {
  if (dtype == DType::f32) {
    const float* p = static_cast<const float*>(from) + at;
    for (size_t i = 0; i < count; ++i) to[i] = static_cast<double>(p[i]);
    return;
  }
  if (dtype == DType::bf16) return load_16_bits(static_cast<const bfloat16*>(from) + at, count, to);
  if (dtype == DType::f16) return load_16_bits(static_cast<const float16*>(from) + at, count, to);
  for (size_t i = 0; i < count; ++i) to[i] = load(from, dtype, at + static_cast<std::int64_t>(i));
}

// To null: nothing.
HWY_NOINLINE inline void store_array(void* to, DType dtype, std::int64_t at, size_t count,
                                     const double* from) {
  if (to == nullptr) return;
  if (dtype == DType::f32) {
    float* p = static_cast<float*>(to) + at;
    for (size_t i = 0; i < count; ++i) p[i] = static_cast<float>(from[i]);
    return;
  }
  for (size_t i = 0; i < count; ++i) store(to, dtype, at + static_cast<std::int64_t>(i), from[i]);
}

}  // namespace omninorm::internal::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
