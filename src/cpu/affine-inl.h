// Weight and bias made ready once per call: fp32, offset added, in the element order in which the
// kernels hold x (io-inl.h), zero up to whole blocks. Rows then load them without conversion or
// tail.
#if defined(OMNINORM_CPU_AFFINE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef OMNINORM_CPU_AFFINE_INL_H_
#undef OMNINORM_CPU_AFFINE_INL_H_
#else
#define OMNINORM_CPU_AFFINE_INL_H_
#endif

#include "src/cpu/io-inl.h"

HWY_BEFORE_NAMESPACE();
namespace omninorm::internal::HWY_NAMESPACE {

// to[0..n) = from[0..n) + offset, reordered; zeros up to the end of the last block.
template <Layout L, class T>
void prepare(const T* from, size_t n, float offset, float* to) {
  const DF d;
  const size_t N = hn::Lanes(d);
  const size_t block = block_size();
  const VF shift = hn::Set(d, offset);
  VF a, b;
  size_t i = 0;
  for (; i + block <= n; i += block) {
    load_block<L>(from + i, a, b);
    hn::StoreU(hn::Add(a, shift), d, to + i);
    hn::StoreU(hn::Add(b, shift), d, to + i + N);
  }
  if (i < n) {
    load_block_n<L>(from + i, n - i, a, b);
    hn::StoreU(hn::IfThenElseZero(mask_a<L>(n - i), hn::Add(a, shift)), d, to + i);
    hn::StoreU(hn::IfThenElseZero(mask_b<L>(n - i), hn::Add(b, shift)), d, to + i + N);
  }
}

// The same for one group of c entries of a weight, or of a bias with offset 0; from null: ones.
inline void prepare_affine(DType x, DType dtype, const void* from, size_t c, float offset,
                           float* to) {
  if (from == nullptr) {
    for (size_t i = 0; i < (c + block_size() - 1) / block_size() * block_size(); ++i) to[i] = 1.0f;
    return;
  }
  if (dtype == DType::bf16) {
    prepare<kLayout<bfloat16>>(static_cast<const bfloat16*>(from), c, offset, to);
  } else if (dtype == DType::f16) {
    prepare<kLayout<float16>>(static_cast<const float16*>(from), c, offset, to);
  } else if (x == DType::bf16) {
    prepare<kLayout<bfloat16>>(static_cast<const float*>(from), c, offset, to);
  } else {
    prepare<Layout::natural>(static_cast<const float*>(from), c, offset, to);
  }
}

// Whether c entries of an fp32 weight can serve where they lie, without being prepared.
inline bool affine_in_place(DType x, DType dtype, size_t c, float offset) {
  const bool natural = x != DType::bf16 || kLayout<bfloat16> == Layout::natural;
  return natural && dtype == DType::f32 && offset == 0.0f && c % block_size() == 0;
}

}  // namespace omninorm::internal::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
