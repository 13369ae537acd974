// What the backward of planes sums: dy and dy * (x - mean), plane by plane (NCHW).
#if defined(OMNINORM_CPU_PLANE_GRADIENT_SUMS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef OMNINORM_CPU_PLANE_GRADIENT_SUMS_INL_H_
#undef OMNINORM_CPU_PLANE_GRADIENT_SUMS_INL_H_
#else
#define OMNINORM_CPU_PLANE_GRADIENT_SUMS_INL_H_
#endif

#include "src/cpu/activation-inl.h"
#include "src/cpu/channel_finish-inl.h"
#include "src/cpu/moments-inl.h"
#include "src/cpu/planes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace omninorm::internal::HWY_NAMESPACE {

template <class X, class Y, Activation A>
HWY_INLINE void plane_values(VF x, VF& dy, VF mean, VF scale, VF offset, VF& from_mean) {
  from_mean = hn::Sub(x, mean);
  dy = through_activation<A>(dy, hn::MulAdd(from_mean, scale, offset));
}

// The chunk x[0..n), n <= kChunk: sums of dy and of dy * (x - mean), lane by lane.
template <class X, class Y, Activation A>
HWY_INLINE void chunk_of_plane(const X* x, const Y* dy, size_t n, const ChannelGradient& channel,
                               VF& sum_dy, VF& sum_dy_x) {
  constexpr Layout L = kLayout<X>;
  const DF d;
  const size_t block = block_size();
  const VF mean = hn::Set(d, channel.mean);
  const VF scale = hn::Set(d, channel.scale);
  const VF offset = hn::Set(d, channel.offset);
  VF s0 = hn::Zero(d), s1 = hn::Zero(d), s2 = hn::Zero(d), s3 = hn::Zero(d);
  VF q0 = hn::Zero(d), q1 = hn::Zero(d), q2 = hn::Zero(d), q3 = hn::Zero(d);
  const auto accumulate = [&](VF v, VF g, VF& s, VF& q) HWY_ATTR {
    VF from_mean;
    plane_values<X, Y, A>(v, g, mean, scale, offset, from_mean);
    s = hn::Add(s, g);
    q = hn::MulAdd(g, from_mean, q);
  };
  VF a, b, ga, gb;
  size_t i = 0;
  for (; i + 2 * block <= n; i += 2 * block) {
    load_block<L>(x + i, a, b);
    load_block<L>(dy + i, ga, gb);
    accumulate(a, ga, s0, q0);
    accumulate(b, gb, s1, q1);
    load_block<L>(x + i + block, a, b);
    load_block<L>(dy + i + block, ga, gb);
    accumulate(a, ga, s2, q2);
    accumulate(b, gb, s3, q3);
  }
  if (i + block <= n) {
    load_block<L>(x + i, a, b);
    load_block<L>(dy + i, ga, gb);
    accumulate(a, ga, s0, q0);
    accumulate(b, gb, s1, q1);
    i += block;
  }
  // Beyond the end dy is 0, and what the activation makes of it.
  const size_t rest = n % block;
  if (rest > 0) {
    load_block_n<L>(x + i, rest, a, b);
    load_block_n<L>(dy + i, rest, ga, gb);
    accumulate(a, ga, s0, q0);
    accumulate(b, gb, s1, q1);
  }
  sum_dy = hn::Add(hn::Add(s0, s1), hn::Add(s2, s3));
  sum_dy_x = hn::Add(hn::Add(q0, q1), hn::Add(q2, q3));
}

// The same for many planes of the same n <= two blocks: one accumulator each, and what depends on n
// alone is worked out once (see ShortDeviations).
template <class X, class Y, Activation A>
class ShortGradients {
 public:
  explicit ShortGradients(size_t n)
      : whole_(n / block_size()),
        rest_(n % block_size()),
        part_x_(HWY_MAX(rest_, 1)),
        part_dy_(HWY_MAX(rest_, 1)) {}

  HWY_INLINE void operator()(const X* x, const Y* dy, const ChannelGradient& channel, VF& sum_dy,
                             VF& sum_dy_x) const {
    const DF d;
    const VF mean = hn::Set(d, channel.mean);
    const VF scale = hn::Set(d, channel.scale);
    const VF offset = hn::Set(d, channel.offset);
    VF s = hn::Zero(d), q = s;
    const auto add = [&](VF a, VF b, VF ga, VF gb) HWY_ATTR {
      plane_values<X, Y, A>(a, ga, mean, scale, offset, a);
      plane_values<X, Y, A>(b, gb, mean, scale, offset, b);
      s = hn::Add(s, hn::Add(ga, gb));
      q = hn::MulAdd(gb, b, hn::MulAdd(ga, a, q));
    };
    VF a, b, ga, gb;
    for (size_t i = 0; i < whole_; ++i, x += block_size(), dy += block_size()) {
      load_block<L>(x, a, b);
      load_block<L>(dy, ga, gb);
      add(a, b, ga, gb);
    }
    if (rest_ > 0) {
      // Beyond the end dy is 0, and what the activation makes of it.
      part_x_.load(x, a, b);
      part_dy_.load(dy, ga, gb);
      add(a, b, ga, gb);
    }
    sum_dy = s;
    sum_dy_x = q;
  }

 private:
  static constexpr Layout L = kLayout<X>;

  size_t whole_, rest_;
  PartOfBlock<L, X> part_x_;
  PartOfBlock<L, Y> part_dy_;
};

// What ChannelGradient has for one channel, for several.
struct ChannelGradients {
  const float* mean;
  const float* scale;
  const float* offset;
  const float* x_scale;
  const float* constant;

  ChannelGradient operator[](size_t k) const {
    return {mean[k], scale[k], offset[k], x_scale[k], constant[k]};
  }
  // What the sums take of it.
  ChannelGradient argument(size_t k) const { return {mean[k], scale[k], offset[k], 0.0f, 0.0f}; }
};

// Sums of dy and of dy * (x - mean) of `count` planes of n entries, up to Planes; those of channels
// [first, first + count). The bits do not depend on Planes. The planes to be summed next lie that
// many bytes on, and are fetched meanwhile where Planes is kLanes; 0: not known.
template <size_t Planes, class X, class Y, Activation A>
HWY_NOINLINE void plane_gradient_sums(const X* const* x, const Y* const* dy, size_t count, size_t n,
                                      const ChannelGradients& channels, size_t first,
                                      std::intptr_t x_ahead, std::intptr_t dy_ahead,
                                      double* sums_dy, double* sums_dy_x) {
  const DF d;
  if (n > kChunk) {
    for (size_t r = 0; r < count; ++r) {
      sums_dy[r] = sums_dy_x[r] = 0;
      for (size_t at = 0; at < n; at += kChunk) {
        VF s, q;
        chunk_of_plane<X, Y, A>(x[r] + at, dy[r] + at, HWY_MIN(n - at, kChunk),
                                channels.argument(first + r), s, q);
        sums_dy[r] += static_cast<double>(reduce_sum(d, s));
        sums_dy_x[r] += static_cast<double>(reduce_sum(d, q));
      }
    }
    return;
  }
  VF s[Planes], q[Planes];
  HWY_ALIGN float sums[kLanes], products[kLanes];
  // Of a full batch every vector is written (see statistics_of_rows).
  if (count < Planes) {
    for (size_t r = 0; r < Planes; ++r) s[r] = q[r] = hn::Zero(d);
  }
  const auto fetch_next = [&](size_t r) HWY_ATTR {
    if (Planes == kFewRows || x_ahead == 0) return;
    fetch<Cache::l1>(x[r], n, x_ahead);
    fetch<Cache::l1>(dy[r], n, dy_ahead);
  };
  if (n <= 2 * block_size()) {
    const ShortGradients<X, Y, A> short_gradients(n);
    for (size_t r = 0; r < count; ++r) {
      fetch_next(r);
      short_gradients(x[r], dy[r], channels.argument(first + r), s[r], q[r]);
    }
  } else {
    for (size_t r = 0; r < count; ++r) {
      fetch_next(r);
      chunk_of_plane<X, Y, A>(x[r], dy[r], n, channels.argument(first + r), s[r], q[r]);
    }
  }
  hn::Store(reduce_each<Planes>(s), d, sums);
  hn::Store(reduce_each<Planes>(q), d, products);
  for (size_t r = 0; r < count; ++r) {
    sums_dy[r] = static_cast<double>(sums[r]);
    sums_dy_x[r] = static_cast<double>(products[r]);
  }
}

}  // namespace omninorm::internal::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
