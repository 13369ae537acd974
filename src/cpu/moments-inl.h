// Sums over one row. The order of additions depends on the length and the target only: whole blocks
// go to fixed accumulators in turn, the tail enters as zeros beyond the end, and every kChunk
// elements the fp32 accumulators are added into a double.
//
// Error: an accumulator takes at most kChunk / (4N) = 1024 / N additions and is then reduced over
// log2(4N) levels, so |error| <= (1024/N + log2(4N) + 1) u sum|terms|, u = 2^-24, for rows of every
// length (the double part is below that); for random signs its square root is typical.
#if defined(OMNINORM_CPU_MOMENTS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef OMNINORM_CPU_MOMENTS_INL_H_
#undef OMNINORM_CPU_MOMENTS_INL_H_
#else
#define OMNINORM_CPU_MOMENTS_INL_H_
#endif

#include "src/core/norm_problem.h"
#include "src/cpu/io-inl.h"

HWY_BEFORE_NAMESPACE();
namespace omninorm::internal::HWY_NAMESPACE {

// Bytes from one row to the next along the innermost dimension of n: where to fetch ahead. Right
// but for the last row of that dimension, and a fetch from nowhere does nothing.
template <class T>
std::intptr_t next_row(const NormView& view, const NormStrides& strides) {
  const auto last = static_cast<size_t>(view.n_rank - 1);
  return static_cast<std::intptr_t>(view.g > 1 ? strides.g : strides.n[last]) *
         static_cast<std::intptr_t>(sizeof(T));
}

// Where fetched lines go: what is read next to L1, what is read in another pass to L2. At memory
// speed a fetch outlives the pass that asks, and rows of 16 KB would crowd L1.
enum class Cache { l1, l2 };

// Asks for the cache lines of n elements, `ahead` bytes beyond p. Through an integer: the address
// may lie outside of any object.
template <Cache Into, class T>
HWY_INLINE void fetch(const T* p, size_t n, std::intptr_t ahead) {
  constexpr size_t kLine = 64;
  const std::uintptr_t from =
      reinterpret_cast<std::uintptr_t>(p) + static_cast<std::uintptr_t>(ahead);
  for (size_t i = 0; i < n * sizeof(T); i += kLine) {
    __builtin_prefetch(reinterpret_cast<const void*>(from + i), 0, Into == Cache::l1 ? 3 : 2);
  }
}

// A block's lines, into L2.
template <class T>
HWY_INLINE void fetch_block(const T* p, std::intptr_t ahead) {
  fetch<Cache::l2>(p, block_size(), ahead);
}

inline constexpr size_t kChunk = 4096;  // elements; a multiple of two blocks on every target

// What spans Begin .. Begin+Count-1 come to: span(i), i a constant, and join(left, right) of
// neighbours on every level. Depth first, so that few of the spans' values are there at a time.
template <size_t Begin, size_t Count, class Span, class Join>
HWY_INLINE auto fold_spans(const Span& span, const Join& join) {
  if constexpr (Count == 1) {
    return span(std::integral_constant<size_t, Begin>());
  } else {
    const auto left = fold_spans<Begin, Count / 2>(span, join);
    return join(left, fold_spans<Begin + Count / 2, Count / 2>(span, join));
  }
}

// Sums of neighbouring lanes, those of `left` below those of `right`.
HWY_INLINE VF add_neighbours(VF left, VF right) {
#if HWY_TARGET == HWY_SCALAR
  return hn::Add(left, right);  // never called
#else
  const DF d;
  return hn::Add(hn::ConcatEven(d, right, left), hn::ConcatOdd(d, right, left));
#endif
}

// Sums of the lanes of each of v[0..Rows), Rows a power of two up to N: lane r of the result is
// that of v[r]. One row's sum costs two shuffles here, where reduce_sum takes log2(N) in a chain.
// Neighbours are added first on every level, whatever Rows is, so Rows does not change the bits.
template <size_t Rows>
HWY_INLINE VF reduce_each(const VF* v) {
  VF sums = fold_spans<0, Rows>([&](auto r) OMNINORM_INLINE_LAMBDA { return v[r]; },
                                [](VF left, VF right)
                                    OMNINORM_INLINE_LAMBDA { return add_neighbours(left, right); });
  for (size_t lanes = hn::Lanes(DF()) / Rows; lanes > 1; lanes /= 2) {
    sums = add_neighbours(sums, sums);
  }
  return sums;
}

// The chunk x[0..n), n <= kChunk: sum, lane by lane.
template <class X>
HWY_INLINE VF chunk_sum(const X* x, size_t n) {
  constexpr Layout L = kLayout<X>;
  const DF d;
  const size_t block = block_size();
  VF s0 = hn::Zero(d), s1 = hn::Zero(d);
  VF a, b;
  size_t i = 0;
  for (; i + block <= n; i += block) {
    load_block<L>(x + i, a, b);
    s0 = hn::Add(s0, a);
    s1 = hn::Add(s1, b);
  }
  if (i < n) {
    load_block_n<L>(x + i, n - i, a, b);
    s0 = hn::Add(s0, a);
    s1 = hn::Add(s1, b);
  }
  return hn::Add(s0, s1);
}

// Sum of x[0..n).
template <class X>
HWY_INLINE double sum(const X* x, size_t n) {
  double result = 0;
  for (size_t begin = 0; begin < n; begin += kChunk) {
    result +=
        static_cast<double>(reduce_sum(DF(), chunk_sum(x + begin, HWY_MIN(n - begin, kChunk))));
  }
  return result;
}

// The chunk x[0..n), n <= kChunk: sum of squares, lane by lane.
template <class X>
HWY_INLINE VF chunk_squares(const X* x, size_t n) {
  constexpr Layout L = kLayout<X>;
  const DF d;
  const size_t block = block_size();
  VF s0 = hn::Zero(d), s1 = hn::Zero(d), s2 = hn::Zero(d), s3 = hn::Zero(d);
  VF a, b;
  size_t i = 0;
  for (; i + 2 * block <= n; i += 2 * block) {
    load_block<L>(x + i, a, b);
    s0 = hn::MulAdd(a, a, s0);
    s1 = hn::MulAdd(b, b, s1);
    load_block<L>(x + i + block, a, b);
    s2 = hn::MulAdd(a, a, s2);
    s3 = hn::MulAdd(b, b, s3);
  }
  if (i + block <= n) {
    load_block<L>(x + i, a, b);
    s0 = hn::MulAdd(a, a, s0);
    s1 = hn::MulAdd(b, b, s1);
    i += block;
  }
  if (i < n) {
    load_block_n<L>(x + i, n - i, a, b);
    s2 = hn::MulAdd(a, a, s2);
    s3 = hn::MulAdd(b, b, s3);
  }
  return hn::Add(hn::Add(s0, s1), hn::Add(s2, s3));
}

// Sum of x[0..n)^2.
template <class X>
HWY_INLINE double sum_of_squares(const X* x, size_t n) {
  double result = 0;
  for (size_t begin = 0; begin < n; begin += kChunk) {
    const VF s = chunk_squares(x + begin, HWY_MIN(n - begin, kChunk));
    result += static_cast<double>(reduce_sum(DF(), s));
  }
  return result;
}

// The chunk x[0..n), n <= kChunk: sums of (x - shift) and of its square, lane by lane. FromZero:
// the shift is 0.
template <bool FromZero = false, class X>
HWY_INLINE void chunk_deviations(const X* x, size_t n, VF shift, VF& first, VF& second) {
  constexpr Layout L = kLayout<X>;
  const DF d;
  const size_t block = block_size();
  VF s0 = hn::Zero(d), s1 = hn::Zero(d), s2 = hn::Zero(d), s3 = hn::Zero(d);
  VF q0 = hn::Zero(d), q1 = hn::Zero(d), q2 = hn::Zero(d), q3 = hn::Zero(d);
  const auto deviation = [&](VF v) HWY_ATTR { return FromZero ? v : hn::Sub(v, shift); };
  const auto accumulate = [&](VF a, VF b, VF& sa, VF& sb, VF& qa, VF& qb) HWY_ATTR {
    sa = hn::Add(sa, a);
    sb = hn::Add(sb, b);
    qa = hn::MulAdd(a, a, qa);
    qb = hn::MulAdd(b, b, qb);
  };
  VF a, b;
  size_t i = 0;
  for (; i + 2 * block <= n; i += 2 * block) {
    load_block<L>(x + i, a, b);
    accumulate(deviation(a), deviation(b), s0, s1, q0, q1);
    load_block<L>(x + i + block, a, b);
    accumulate(deviation(a), deviation(b), s2, s3, q2, q3);
  }
  if (i + block <= n) {
    load_block<L>(x + i, a, b);
    accumulate(deviation(a), deviation(b), s0, s1, q0, q1);
    i += block;
  }
  if (i < n) {
    load_block_n<L>(x + i, n - i, a, b);
    if constexpr (!FromZero) {
      a = hn::IfThenElseZero(mask_a<L>(n - i), deviation(a));
      b = hn::IfThenElseZero(mask_b<L>(n - i), deviation(b));
    }
    accumulate(a, b, s2, s3, q2, q3);
  }
  first = hn::Add(hn::Add(s0, s1), hn::Add(s2, s3));
  second = hn::Add(hn::Add(q0, q1), hn::Add(q2, q3));
}

// The same for many x of the same n <= two blocks: one accumulator each, since there is nothing to
// wait for, and what depends on n alone is worked out once.
template <class X>
class ShortDeviations {
 public:
  explicit ShortDeviations(size_t n)
      : whole_(n / block_size()), rest_(n % block_size()), part_(HWY_MAX(rest_, 1)) {}

  HWY_INLINE void operator()(const X* x, VF shift, VF& first, VF& second) const {
    constexpr Layout L = kLayout<X>;
    VF s = hn::Zero(DF()), q = s;
    VF a, b;
    for (size_t i = 0; i < whole_; ++i, x += block_size()) {
      load_block<L>(x, a, b);
      add(hn::Sub(a, shift), hn::Sub(b, shift), s, q);
    }
    if (rest_ > 0) {
      part_.load(x, a, b);
      add(hn::IfThenElseZero(part_.a(), hn::Sub(a, shift)),
          hn::IfThenElseZero(part_.b(), hn::Sub(b, shift)), s, q);
    }
    first = s;
    second = q;
  }

 private:
  HWY_INLINE static void add(VF a, VF b, VF& s, VF& q) {
    s = hn::Add(s, hn::Add(a, b));
    q = hn::MulAdd(b, b, hn::MulAdd(a, a, q));
  }

  size_t whole_, rest_;
  PartOfBlock<kLayout<X>, X> part_;
};

// Sums of (x - shift) and of its square.
template <bool FromZero = false, class X>
HWY_INLINE void sums_of_deviations(const X* x, size_t n, float shift, double& first,
                                   double& second) {
  const DF d;
  first = 0;
  second = 0;
  for (size_t begin = 0; begin < n; begin += kChunk) {
    VF s, q;
    chunk_deviations<FromZero>(x + begin, HWY_MIN(n - begin, kChunk), hn::Set(d, shift), s, q);
    first += static_cast<double>(reduce_sum(d, s));
    second += static_cast<double>(reduce_sum(d, q));
  }
}

// Mean - shift and the variance about the mean, from one pass. The variance's error is that of a
// two-pass one times 1 + 3 * (mean - shift)^2 / variance.
struct Deviations {
  double delta;
  double m2;
};

template <bool FromZero = false, class X>
HWY_INLINE Deviations deviations(const X* x, size_t n, float shift) {
  double first, second;
  sums_of_deviations<FromZero>(x, n, shift, first, second);
  const double delta = first / static_cast<double>(n);
  const double m2 = second / static_cast<double>(n) - delta * delta;
  return {delta, m2 < 0 ? 0 : m2};  // keeps NaN
}

// Entries from which a row's first shift is taken: a thirty-second of the row, so that no single
// entry can pull it more than a standard deviation off in rows past 1024, and at least a block.
HWY_INLINE size_t sample_size(size_t n) {
  const size_t block = block_size();
  return HWY_MIN(n, HWY_MAX(block, n / 32 / block * block));
}

// Rows taken together, so that the latency of one row's reductions is hidden behind the others'.
inline constexpr size_t kLanes = hn::MaxLanes(DF());
inline constexpr size_t kFewRows = HWY_MIN(kLanes, 4);

// The chunk x[0..n), n <= kChunk: sums of g = dy * weight and of g * xhat, xhat = (x - mean) *
// rstd, lane by lane. weight has room for whole blocks, zero beyond n, in x's element order.
template <class X, class Y>
HWY_INLINE void chunk_gradients(const X* x, const Y* dy, const float* weight, size_t n, VF mean,
                                VF rstd, VF& sum_g, VF& sum_gx) {
  constexpr Layout L = kLayout<X>;
  const DF d;
  const size_t block = block_size();
  const size_t N = hn::Lanes(d);
  VF s0 = hn::Zero(d), s1 = hn::Zero(d), s2 = hn::Zero(d), s3 = hn::Zero(d);
  VF q0 = hn::Zero(d), q1 = hn::Zero(d), q2 = hn::Zero(d), q3 = hn::Zero(d);
  const auto accumulate = [&](size_t at, VF a, VF b, VF ga, VF gb, VF& sa, VF& sb, VF& qa, VF& qb)
                              HWY_ATTR {
                                ga = hn::Mul(ga, hn::LoadU(d, weight + at));
                                gb = hn::Mul(gb, hn::LoadU(d, weight + at + N));
                                sa = hn::Add(sa, ga);
                                sb = hn::Add(sb, gb);
                                qa = hn::MulAdd(ga, hn::Mul(hn::Sub(a, mean), rstd), qa);
                                qb = hn::MulAdd(gb, hn::Mul(hn::Sub(b, mean), rstd), qb);
                              };
  VF a, b, ga, gb;
  size_t i = 0;
  for (; i + 2 * block <= n; i += 2 * block) {
    load_block<L>(x + i, a, b);
    load_block<L>(dy + i, ga, gb);
    accumulate(i, a, b, ga, gb, s0, s1, q0, q1);
    load_block<L>(x + i + block, a, b);
    load_block<L>(dy + i + block, ga, gb);
    accumulate(i + block, a, b, ga, gb, s2, s3, q2, q3);
  }
  if (i + block <= n) {
    load_block<L>(x + i, a, b);
    load_block<L>(dy + i, ga, gb);
    accumulate(i, a, b, ga, gb, s0, s1, q0, q1);
    i += block;
  }
  if (i < n) {
    load_block_n<L>(x + i, n - i, a, b);
    load_block_n<L>(dy + i, n - i, ga, gb);
    accumulate(i, a, b, ga, gb, s2, s3, q2, q3);
  }
  sum_g = hn::Add(hn::Add(s0, s1), hn::Add(s2, s3));
  sum_gx = hn::Add(hn::Add(q0, q1), hn::Add(q2, q3));
}

// Sums of g and of g * xhat.
template <class X, class Y>
HWY_INLINE void sums_of_gradients(const X* x, const Y* dy, const float* weight, size_t n,
                                  float mean, float rstd, double& sum_g, double& sum_gx) {
  const DF d;
  sum_g = 0;
  sum_gx = 0;
  for (size_t begin = 0; begin < n; begin += kChunk) {
    VF s, q;
    chunk_gradients(x + begin, dy + begin, weight + begin, HWY_MIN(n - begin, kChunk),
                    hn::Set(d, mean), hn::Set(d, rstd), s, q);
    sum_g += static_cast<double>(reduce_sum(d, s));
    sum_gx += static_cast<double>(reduce_sum(d, q));
  }
}

}  // namespace omninorm::internal::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
