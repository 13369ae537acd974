// Loads and stores: f32, bf16 and f16 in memory, pairs of fp32 vectors in registers. All arithmetic
// between is fp32; a 16-bit store rounds to nearest even and keeps NaN (quiet). Addresses need no
// alignment.
//
// The unit is a block of 2N elements (N = fp32 lanes of the target), held as two vectors a, b:
//   Layout::natural   a = elements 0..N-1, b = elements N..2N-1
//   Layout::even_odd  a = elements 0, 2, 4.., b = elements 1, 3, 5..
// bf16 uses even_odd: one shift and one mask widen a whole vector of bf16, and a shift, a mask and
// an OR pack it again, where the natural order needs cross-lane shuffles. What meets such data
// (fp32 weights, partial sums) is kept in the same order, see affine-inl.h.
#if defined(OMNINORM_CPU_IO_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef OMNINORM_CPU_IO_INL_H_
#undef OMNINORM_CPU_IO_INL_H_
#else
#define OMNINORM_CPU_IO_INL_H_
#endif

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "hwy/cache_control.h"
#include "omninorm/dtype.h"
#include "src/cpu/hwy_compat-inl.h"

// Arrays of vectors are registers, as far as those go, once the loops over them are unrolled. Not
// under AddressSanitizer, where each access is checked: GCC was not done with packed.cc in 9
// minutes.
#if defined(__SANITIZE_ADDRESS__)
#define OMNINORM_UNROLL
#elif defined(__clang__)
#define OMNINORM_UNROLL _Pragma("clang loop unroll(full)")
#else
#define OMNINORM_UNROLL _Pragma("GCC unroll 64")
#endif
// For what is done to vectors in such a loop or a fold: called, it would pass them through memory.
#if defined(__SANITIZE_ADDRESS__)
#define OMNINORM_INLINE_LAMBDA HWY_ATTR
#else
#define OMNINORM_INLINE_LAMBDA HWY_ATTR __attribute__((always_inline))
#endif

HWY_BEFORE_NAMESPACE();
namespace omninorm::internal::HWY_NAMESPACE {

enum class Layout { natural, even_odd };

using DF = hn::ScalableTag<float>;
using VF = hn::VFromD<DF>;

// SCALAR has one lane and no 16-bit pairs in a vector: natural order for all.
template <class X>
inline constexpr Layout kLayout =
    std::is_same_v<X, bfloat16>&& HWY_TARGET != HWY_SCALAR ? Layout::even_odd : Layout::natural;

HWY_INLINE size_t block_size() { return 2 * hn::Lanes(DF()); }

// How many of the first n elements of a block are in a; the rest are in b.
template <Layout L>
HWY_INLINE size_t count_a(size_t n) {
  if constexpr (L == Layout::even_odd) return (n + 1) / 2;
  return HWY_MIN(n, hn::Lanes(DF()));
}

// Masks of the lanes that hold the first n elements of a block.
template <Layout L>
HWY_INLINE hn::Mask<DF> mask_a(size_t n) {
  return hn::FirstN(DF(), count_a<L>(n));
}
template <Layout L>
HWY_INLINE hn::Mask<DF> mask_b(size_t n) {
  return hn::FirstN(DF(), n - count_a<L>(n));
}

// ---- 16-bit conversions on vectors

#if HWY_TARGET != HWY_SCALAR
using DU32 = hn::RebindToUnsigned<DF>;
using DU16 = hn::Repartition<uint16_t, DF>;  // 2N lanes
using DU16Half = hn::Rebind<uint16_t, DF>;   // N lanes
using VU32 = hn::VFromD<DU32>;
using VU16Half = hn::VFromD<DU16Half>;

// The upper 16 bits of each lane are v as bf16, rounded; the lower ones are not zero.
HWY_INLINE VU32 bf16_in_upper_bits(VF v) {
  const DU32 du;
  const VU32 bits = hn::BitCast(du, v);
  const VU32 odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(du, 1));
  const VU32 rounded = hn::Add(bits, hn::Add(odd, hn::Set(du, 0x7FFF)));
  // A NaN whose payload is all ones would carry into the sign or become infinite.
  const VU32 quiet = hn::Or(bits, hn::Set(du, 0x400000));
  return hn::IfThenElse(hn::RebindMask(du, hn::IsNaN(v)), quiet, rounded);
}

#if OMNINORM_NATIVE_BF16
// As the portable one below, but for numbers under 2^-126, which the instructions take for 0.
HWY_INLINE VF round_to_bf16(VF v) {
  const __m512i upper = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(v.raw));
  return VF{_mm512_castsi512_ps(_mm512_slli_epi32(upper, 16))};
}
HWY_INLINE hn::VFromD<DU16> pack_bf16(VF a, VF b) {
  // The instruction leaves a below b; a's elements are the even ones.
  alignas(64) static constexpr uint16_t kEvenOdd[32] = {0,  16, 1,  17, 2,  18, 3,  19, 4,  20, 5,
                                                        21, 6,  22, 7,  23, 8,  24, 9,  25, 10, 26,
                                                        11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
  const auto a_b = (__m512i)_mm512_cvtne2ps_pbh(b.raw, a.raw);
  return hn::VFromD<DU16>{_mm512_permutexvar_epi16(_mm512_load_si512(kEvenOdd), a_b)};
}
#else
HWY_INLINE VF round_to_bf16(VF v) {
  return hn::BitCast(DF(), hn::And(bf16_in_upper_bits(v), hn::Set(DU32(), 0xFFFF0000u)));
}
HWY_INLINE hn::VFromD<DU16> pack_bf16(VF a, VF b) {
  const DU32 du;
  const VU32 even = hn::ShiftRight<16>(bf16_in_upper_bits(a));
  const VU32 odd = hn::And(bf16_in_upper_bits(b), hn::Set(du, 0xFFFF0000u));
  return hn::BitCast(DU16(), hn::Or(even, odd));
}
#endif

#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX2
HWY_INLINE VF promote_f16(VU16Half bits) {
  return hn::PromoteTo(DF(), hn::BitCast(hn::Rebind<hwy::float16_t, DF>(), bits));
}
HWY_INLINE VU16Half demote_f16(VF v) {
  return hn::BitCast(DU16Half(), hn::DemoteTo(hn::Rebind<hwy::float16_t, DF>(), v));
}
#else
// Without F16C. Highway 1.0.3's own code here truncates, and reads Inf and NaN as finite numbers.
HWY_INLINE VF promote_f16(VU16Half bits) {
  const DF d;
  const DU32 du;
  const hn::RebindToSigned<DF> di;
  const VU32 h = hn::PromoteTo(du, bits);
  const VU32 magnitude = hn::And(h, hn::Set(du, 0x7FFF));
  const VU32 sign = hn::ShiftLeft<16>(hn::And(h, hn::Set(du, 0x8000)));
  const VU32 shifted = hn::ShiftLeft<13>(magnitude);
  const VU32 normal = hn::Add(shifted, hn::Set(du, (127 - 15) << 23));
  // Not by scaling `shifted` as a denormal float: the caller's thread may flush denormals to zero.
  const VU32 subnormal = hn::BitCast(
      du, hn::Mul(hn::ConvertTo(d, hn::BitCast(di, magnitude)), hn::Set(d, 1.0f / (1 << 24))));
  const VU32 special = hn::Or(shifted, hn::Set(du, 0x7F800000));  // Inf and NaN
  const auto m = hn::BitCast(di, magnitude);
  const auto is_subnormal = hn::RebindMask(du, hn::Lt(m, hn::Set(di, 0x0400)));
  const auto is_special = hn::RebindMask(du, hn::Gt(m, hn::Set(di, 0x7BFF)));
  const VU32 finite = hn::IfThenElse(is_subnormal, subnormal, normal);
  return hn::BitCast(d, hn::Or(sign, hn::IfThenElse(is_special, special, finite)));
}
// After Giesen, "float->half variants", round to nearest even.
HWY_INLINE VU16Half demote_f16(VF v) {
  const DF d;
  const DU32 du;
  const hn::RebindToSigned<DF> di;
  const VU32 bits = hn::BitCast(du, v);
  const VU32 sign = hn::And(bits, hn::Set(du, 0x80000000u));
  const VU32 magnitude = hn::Xor(bits, sign);
  const auto m = hn::BitCast(di, magnitude);
  // Below 2^-14: adding 0.5 moves the result's bits to the bottom, and the addition rounds.
  const VU32 half = hn::Set(du, 126 << 23);
  const VU32 subnormal =
      hn::Sub(hn::BitCast(du, hn::Add(hn::BitCast(d, magnitude), hn::BitCast(d, half))), half);
  const VU32 odd = hn::And(hn::ShiftRight<13>(magnitude), hn::Set(du, 1));
  const VU32 rebias = hn::Set(du, 0u - ((127u - 15u) << 23) + 0xFFFu);
  const VU32 normal = hn::ShiftRight<13>(hn::Add(hn::Add(magnitude, rebias), odd));
  const auto is_nan = hn::RebindMask(du, hn::Gt(m, hn::Set(di, 0x7F800000)));
  const VU32 special = hn::IfThenElse(is_nan, hn::Set(du, 0x7E00), hn::Set(du, 0x7C00));
  const auto is_subnormal = hn::RebindMask(du, hn::Lt(m, hn::Set(di, (127 - 14) << 23)));
  const auto is_special = hn::RebindMask(du, hn::Gt(m, hn::Set(di, ((127 + 16) << 23) - 1)));
  const VU32 finite = hn::IfThenElse(is_subnormal, subnormal, normal);
  const VU32 h = hn::Or(hn::ShiftRight<16>(sign), hn::IfThenElse(is_special, special, finite));
  return hn::DemoteTo(DU16Half(), hn::BitCast(di, h));
}
#endif  // F16C
#endif  // not SCALAR

// v rounded to T and back, lane by lane.
template <class T>
HWY_INLINE VF round_to(VF v) {
#if HWY_TARGET == HWY_SCALAR
  const float x = hn::GetLane(v);
  if constexpr (std::is_same_v<T, bfloat16>) return hn::Set(DF(), to_float(to_bfloat16(x)));
  if constexpr (std::is_same_v<T, float16>) return hn::Set(DF(), to_float(to_float16(x)));
#else
  if constexpr (std::is_same_v<T, bfloat16>) return round_to_bf16(v);
  if constexpr (std::is_same_v<T, float16>) return promote_f16(demote_f16(v));
#endif
  return v;
}

// ---- Blocks

#if HWY_TARGET == HWY_SCALAR

template <class T>
HWY_INLINE VF load_one(const T* p) {
  if constexpr (std::is_same_v<T, float>)
    return hn::Set(DF(), *p);
  else
    return hn::Set(DF(), to_float(*p));
}
template <class T>
HWY_INLINE void store_one(VF v, T* p) {
  const float x = hn::GetLane(v);
  if constexpr (std::is_same_v<T, float>) *p = x;
  if constexpr (std::is_same_v<T, bfloat16>) *p = to_bfloat16(x);
  if constexpr (std::is_same_v<T, float16>) *p = to_float16(x);
}
template <Layout L, class T>
HWY_INLINE void load_block(const T* p, VF& a, VF& b) {
  a = load_one(p);
  b = load_one(p + 1);
}
template <Layout L, class T>
HWY_INLINE void load_block_n(const T* p, size_t n, VF& a, VF& b) {
  a = load_one(p);
  b = n > 1 ? load_one(p + 1) : hn::Zero(DF());
}
template <Layout L, class T>
HWY_INLINE void store_block(VF a, VF b, T* p) {
  store_one(a, p);
  store_one(b, p + 1);
}
template <Layout L, class T>
HWY_INLINE void store_block_n(VF a, VF b, T* p, size_t n) {
  store_one(a, p);
  if (n > 1) store_one(b, p + 1);
}
template <Layout L, class T>
HWY_INLINE void stream_block(VF a, VF b, T* p) {
  store_block<L>(a, b, p);
}

#else

HWY_INLINE void widen_bf16(hn::VFromD<DU16> bits, VF& a, VF& b) {
  const DU32 du;
  const VU32 v = hn::BitCast(du, bits);
  a = hn::BitCast(DF(), hn::ShiftLeft<16>(v));
  b = hn::BitCast(DF(), hn::And(v, hn::Set(du, 0xFFFF0000u)));
}

template <class T>
HWY_INLINE const uint16_t* bits_of(const T* p) {
  return reinterpret_cast<const uint16_t*>(p);
}
template <class T>
HWY_INLINE uint16_t* bits_of(T* p) {
  return reinterpret_cast<uint16_t*>(p);
}

// A whole block: 2N elements at p.
template <Layout L, class T>
HWY_INLINE void load_block(const T* p, VF& a, VF& b) {
  static_assert(L == Layout::natural ? !std::is_same_v<T, bfloat16> : !std::is_same_v<T, float16>);
  const DF d;
  const size_t N = hn::Lanes(d);
  if constexpr (std::is_same_v<T, bfloat16>) {
    widen_bf16(hn::LoadU(DU16(), bits_of(p)), a, b);
  } else if constexpr (std::is_same_v<T, float16>) {
    a = promote_f16(hn::LoadU(DU16Half(), bits_of(p)));
    b = promote_f16(hn::LoadU(DU16Half(), bits_of(p) + N));
  } else if constexpr (L == Layout::even_odd) {
    hn::LoadInterleaved2(d, p, a, b);
  } else {
    a = hn::LoadU(d, p);
    b = hn::LoadU(d, p + N);
  }
}

template <Layout L, class T>
HWY_INLINE void store_block(VF a, VF b, T* p) {
  const DF d;
  const size_t N = hn::Lanes(d);
  if constexpr (std::is_same_v<T, bfloat16>) {
    hn::StoreU(pack_bf16(a, b), DU16(), bits_of(p));
  } else if constexpr (std::is_same_v<T, float16>) {
    hn::StoreU(demote_f16(a), DU16Half(), bits_of(p));
    hn::StoreU(demote_f16(b), DU16Half(), bits_of(p) + N);
  } else if constexpr (L == Layout::even_odd) {
    hn::StoreInterleaved2(a, b, d, p);
  } else {
    hn::StoreU(a, d, p);
    hn::StoreU(b, d, p + N);
  }
}

// Past the cache, for p aligned to a block or to 64 bytes: the line is written without being read
// first. Only for what can_stream says; finish_stream() before another thread reads.
template <Layout L, class T>
HWY_INLINE void stream_block(VF a, VF b, T* p) {
  const DF d;
  const size_t N = hn::Lanes(d);
  if constexpr (std::is_same_v<T, bfloat16>) {
    hn::Stream(pack_bf16(a, b), DU16(), bits_of(p));
  } else if constexpr (std::is_same_v<T, float16>) {
    // Whole: what is less than 16 bytes, as half a block of SSE4's is, Stream would round up.
    hn::Stream(hn::Combine(DU16(), demote_f16(b), demote_f16(a)), DU16(), bits_of(p));
  } else {
    hn::Stream(a, d, p);
    hn::Stream(b, d, p + N);
  }
}

// The first n elements of a block, 1 <= n <= 2N; the rest are zero, and are neither read nor
// written.
template <Layout L, class T>
HWY_INLINE void load_block_n(const T* p, size_t n, VF& a, VF& b) {
  const DF d;
  const size_t N = hn::Lanes(d);
  if constexpr (std::is_same_v<T, bfloat16>) {
    widen_bf16(load_n(DU16(), bits_of(p), n), a, b);
  } else if constexpr (std::is_same_v<T, float16>) {
    a = promote_f16(load_n(DU16Half(), bits_of(p), HWY_MIN(n, N)));
    b = n > N ? promote_f16(load_n(DU16Half(), bits_of(p) + N, n - N)) : hn::Zero(d);
  } else if constexpr (L == Layout::even_odd) {
    HWY_ALIGN float buffer[2 * hn::MaxLanes(DF())] = {};
    std::memcpy(buffer, p, n * sizeof(float));
    hn::LoadInterleaved2(d, buffer, a, b);
  } else {
    a = load_n(d, p, HWY_MIN(n, N));
    b = n > N ? load_n(d, p + N, n - N) : hn::Zero(d);
  }
}

template <Layout L, class T>
HWY_INLINE void store_block_n(VF a, VF b, T* p, size_t n) {
  const DF d;
  const size_t N = hn::Lanes(d);
  if constexpr (std::is_same_v<T, bfloat16>) {
    store_n(pack_bf16(a, b), DU16(), bits_of(p), n);
  } else if constexpr (std::is_same_v<T, float16>) {
    store_n(demote_f16(a), DU16Half(), bits_of(p), HWY_MIN(n, N));
    if (n > N) store_n(demote_f16(b), DU16Half(), bits_of(p) + N, n - N);
  } else if constexpr (L == Layout::even_odd) {
    HWY_ALIGN float buffer[2 * hn::MaxLanes(DF())];
    hn::StoreInterleaved2(a, b, d, buffer);
    std::memcpy(p, buffer, n * sizeof(float));
  } else {
    store_n(a, d, p, HWY_MIN(n, N));
    if (n > N) store_n(b, d, p + N, n - N);
  }
}

#endif  // SCALAR

// load_block_n of the same n, 1 <= n <= 2N, again and again: where masked loads cannot fault
// (AVX3), f32's masks are made once.
template <Layout L, class T>
class PartOfBlock {
 public:
  HWY_INLINE explicit PartOfBlock(size_t n) : n_(n), a_(mask_a<L>(n)), b_(mask_b<L>(n)) {}

  HWY_INLINE hn::Mask<DF> a() const { return a_; }
  HWY_INLINE hn::Mask<DF> b() const { return b_; }
  HWY_INLINE void load(const T* p, VF& a, VF& b) const {
#if HWY_TARGET != HWY_SCALAR && !HWY_MEM_OPS_MIGHT_FAULT
    if constexpr (std::is_same_v<T, float> && L == Layout::natural) {
      a = hn::MaskedLoad(a_, DF(), p);
      b = hn::MaskedLoad(b_, DF(), p + hn::Lanes(DF()));
      return;
    } else if constexpr (std::is_same_v<T, bfloat16>) {
      return widen_bf16(hn::MaskedLoad(hn::FirstN(DU16(), n_), DU16(), bits_of(p)), a, b);
    }
#endif
    load_block_n<L>(p, n_, a, b);
  }

 private:
  size_t n_;
  hn::Mask<DF> a_, b_;
};

// Whether blocks of x's layout can be streamed to Y.
template <class X, class Y>
constexpr bool can_stream() {
  return HWY_TARGET != HWY_SCALAR && (std::is_same_v<X, Y> || kLayout<X> == Layout::natural);
}

HWY_INLINE bool aligned_for_stream(const void* p) {
  return reinterpret_cast<std::uintptr_t>(p) % 64 == 0;
}

HWY_INLINE void finish_stream() { hwy::FlushStream(); }

}  // namespace omninorm::internal::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
