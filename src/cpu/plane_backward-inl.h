// Backward of channels whose positions are contiguous (NCHW).
#if defined(OMNINORM_CPU_PLANE_BACKWARD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef OMNINORM_CPU_PLANE_BACKWARD_INL_H_
#undef OMNINORM_CPU_PLANE_BACKWARD_INL_H_
#else
#define OMNINORM_CPU_PLANE_BACKWARD_INL_H_
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
// many bytes on; 0: not known.
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
  if (n <= 2 * block_size()) {
    const ShortGradients<X, Y, A> short_gradients(n);
    for (size_t r = 0; r < count; ++r) {
      if (Planes > kFewRows && x_ahead != 0) {
        fetch<Cache::l1>(x[r], n, x_ahead);
        fetch<Cache::l1>(dy[r], n, dy_ahead);
      }
      short_gradients(x[r], dy[r], channels.argument(first + r), s[r], q[r]);
    }
  } else {
    for (size_t r = 0; r < count; ++r) {
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

template <class X, class Y, Activation A, bool Stream>
HWY_INLINE void plane_gradient(const X* x, const Y* dy, X* dx, size_t n,
                               const ChannelGradient& channel) {
  constexpr Layout L = kLayout<X>;
  const DF d;
  const size_t block = block_size();
  const VF mean = hn::Set(d, channel.mean);
  const VF scale = hn::Set(d, channel.scale);
  const VF offset = hn::Set(d, channel.offset);
  const VF x_scale = hn::Set(d, channel.x_scale);
  const VF constant = hn::Set(d, channel.constant);
  const auto reads_x = hn::Ne(x_scale, hn::Zero(d));  // evaluation does not, and x may be Inf
  const auto value = [&](VF v, VF g) HWY_ATTR {
    VF from_mean;
    plane_values<X, Y, A>(v, g, mean, scale, offset, from_mean);
    from_mean = hn::IfThenElseZero(reads_x, from_mean);
    return hn::MulAdd(g, scale, hn::MulAdd(from_mean, x_scale, constant));
  };
  VF a, b, ga, gb;
  size_t i = 0;
  for (; i + block <= n; i += block) {
    load_block<L>(x + i, a, b);
    load_block<L>(dy + i, ga, gb);
    if constexpr (Stream && can_stream<X, X>()) {
      stream_block<L>(value(a, ga), value(b, gb), dx + i);
    } else {
      store_block<L>(value(a, ga), value(b, gb), dx + i);
    }
  }
  if (i < n) {
    load_block_n<L>(x + i, n - i, a, b);
    load_block_n<L>(dy + i, n - i, ga, gb);
    store_block_n<L>(value(a, ga), value(b, gb), dx + i, n - i);
  }
}

// plane_gradient for `count` planes side by side, as write_planes in plane_forward-inl.h.
template <class X, class Y, Activation A, bool Stream>
HWY_NOINLINE void plane_gradients_of(const X* x, const Y* dy, X* dx, size_t n, size_t count,
                                     const ChannelGradients& channels) {
  constexpr Layout L = kLayout<X>;
  const DF d;
  const size_t block = block_size(), total = n * count;
  SideBySide planes(n, count);
  struct Numbers {
    VF mean, scale, offset, x_scale, constant;
  };
  const auto numbers = [&](size_t k) HWY_ATTR {
    return Numbers{hn::Set(d, channels.mean[k]), hn::Set(d, channels.scale[k]),
                   hn::Set(d, channels.offset[k]), hn::Set(d, channels.x_scale[k]),
                   hn::Set(d, channels.constant[k])};
  };
  const auto value = [&](VF v, VF g, const Numbers& of) HWY_ATTR {
    const auto reads_x = hn::Ne(of.x_scale, hn::Zero(d));  // as in plane_gradient
    VF from_mean;
    plane_values<X, Y, A>(v, g, of.mean, of.scale, of.offset, from_mean);
    from_mean = hn::IfThenElseZero(reads_x, from_mean);
    return hn::MulAdd(g, of.scale, hn::MulAdd(from_mean, of.x_scale, of.constant));
  };
  const auto either = [&](hn::Mask<DF> own, const Numbers& one, const Numbers& two) HWY_ATTR {
    return Numbers{
        hn::IfThenElse(own, one.mean, two.mean), hn::IfThenElse(own, one.scale, two.scale),
        hn::IfThenElse(own, one.offset, two.offset), hn::IfThenElse(own, one.x_scale, two.x_scale),
        hn::IfThenElse(own, one.constant, two.constant)};
  };
  Numbers one = numbers(0);
  VF a, b, ga, gb;
  size_t length = first_piece(dx, total);
  for (size_t i = 0; i < total; i += length, length = HWY_MIN(block, total - i)) {
    if (HWY_LIKELY(length == block)) {
      load_block<L>(x + i, a, b);
      load_block<L>(dy + i, ga, gb);
    } else {
      load_block_n<L>(x + i, length, a, b);
      load_block_n<L>(dy + i, length, ga, gb);
    }
    if (HWY_LIKELY(planes.within(length))) {
      a = value(a, ga, one);
      b = value(b, gb, one);
    } else {
      const auto own_a = mask_a<L>(planes.left()), own_b = mask_b<L>(planes.left());
      const Numbers two = numbers(planes.cross(length));
      a = value(a, ga, either(own_a, one, two));
      b = value(b, gb, either(own_b, one, two));
      one = two;
    }
    if (HWY_UNLIKELY(length < block)) {
      store_block_n<L>(a, b, dx + i, length);
    } else if constexpr (Stream && can_stream<X, X>()) {
      stream_block<L>(a, b, dx + i);
    } else {
      store_block<L>(a, b, dx + i);
    }
  }
}

template <class X, class Y, Activation A>
struct PlaneBackward {
  // What x and dy have of the planes that are taken through both passes together, where they are
  // small: half of the nearest cache.
  static constexpr size_t kBatchBytes = 16 * 1024;
  // In whole vectors of planes, where there is room for more than one.
  static std::int64_t planes_in(size_t room) {
    return static_cast<std::int64_t>(room > kLanes ? room / kLanes * kLanes : room);
  }

  const ChannelBackwardPlan& plan;
  const NormBackward& problem;
  const ChannelShape& shape;
  ChannelStrides xs, dys, dxs;
  size_t n;

  explicit PlaneBackward(const ChannelBackwardPlan& p)
      : plan(p),
        problem(*p.problem),
        shape(p.shape),
        xs(problem.x.strides, shape),
        dys(problem.dy.strides, shape),
        dxs(problem.dx.strides, shape),
        n(static_cast<size_t>(shape.positions)) {}

  const X* x(std::int64_t image, std::int64_t channel) const {
    return static_cast<const X*>(problem.x.data) + xs.plane(shape, image, channel);
  }
  const Y* dy(std::int64_t image, std::int64_t channel) const {
    return static_cast<const Y*>(problem.dy.data) + dys.plane(shape, image, channel);
  }
  void write(std::int64_t image, std::int64_t channel, const ChannelGradient& gradient) const {
    X* dx = static_cast<X*>(problem.dx.data) + dxs.plane(shape, image, channel);
    if (plan.streams && aligned_for_stream(dx)) {
      plane_gradient<X, Y, A, true>(x(image, channel), dy(image, channel), dx, n, gradient);
    } else {
      plane_gradient<X, Y, A, false>(x(image, channel), dy(image, channel), dx, n, gradient);
    }
  }

  // `count` planes of an image from `channel` on.
  void write_some(std::int64_t image, std::int64_t channel, size_t count,
                  const ChannelGradients& gradients) const {
    if (side_by_side(n, xs, dys) && side_by_side(n, xs, dxs)) {
      X* dx = static_cast<X*>(problem.dx.data) + dxs.plane(shape, image, channel);
      const auto write = plan.streams && whole_entries(dx) ? plane_gradients_of<X, Y, A, true>
                                                           : plane_gradients_of<X, Y, A, false>;
      write(x(image, channel), dy(image, channel), dx, n, count, gradients);
      return;
    }
    for (size_t k = 0; k < count; ++k) {
      write(image, channel + static_cast<std::int64_t>(k), gradients[k]);
    }
  }

  // Sets begin .. end-1, counted through images: sums and dx, while x and dy are in cache; several
  // at a time where they are small.
  void whole_sets(std::int64_t begin, std::int64_t end) const {
    const std::int64_t sets = shape.sets_per_image();
    const size_t bytes = static_cast<size_t>(shape.group) * n * (sizeof(X) + sizeof(Y));
    const auto channels = static_cast<std::int64_t>(kFinishTile) / shape.group;
    const auto together = HWY_MAX(HWY_MIN(planes_in(kBatchBytes / bytes), channels), 1);
    for (std::int64_t i = begin; i < end;) {
      const std::int64_t image = i / sets, g = i % sets;
      const std::int64_t count = HWY_MIN(HWY_MIN(end - i, together), sets - g);
      some_sets(image, g, static_cast<size_t>(count));
      i += count;
    }
  }

  // `count` <= kFinishTile sets of an image from g on: one, or all of their channels in one tile.
  void some_sets(std::int64_t image, std::int64_t g, size_t count) const {
    const std::int64_t set = image * shape.sets_per_image() + g;
    const std::int64_t first = g * shape.group;
    const std::int64_t end = first + static_cast<std::int64_t>(count) * shape.group;
    double mean[kFinishTile], rstd[kFinishTile];
    saved_statistics(problem, set, count, mean, rstd);
    float shift[kFinishTile], scale[kFinishTile], offset[kFinishTile];
    const auto prepare = [&](std::int64_t channel) {
      parameters_of_sets(problem, channel, HWY_MIN(static_cast<size_t>(end - channel), kFinishTile),
                         shape.group, mean, rstd, shift, scale, offset);
    };
    const bool one_tile = end - first <= static_cast<std::int64_t>(kFinishTile);
    const std::int64_t part = image * shape.channels;
    for (std::int64_t channel = first; channel < end; channel += kFinishTile) {
      prepare(channel);
      sum_some(image, channel, HWY_MIN(static_cast<size_t>(end - channel), kFinishTile),
               {shift, scale, offset, nullptr, nullptr}, part + end);
    }
    if (problem.dx.data == nullptr) return;
    float x_scale[kFinishTile], constant[kFinishTile];
    set_gradients(problem, g, count, static_cast<double>(shape.group * shape.positions), rstd,
                  plan.part_dy + part + first, plan.part_dy_x + part + first, x_scale, constant);
    float x_scales[kFinishTile], constants[kFinishTile];
    std::int64_t left = shape.group;
    size_t s = 0;
    for (std::int64_t channel = first; channel < end; channel += kFinishTile) {
      if (!one_tile) prepare(channel);
      const size_t here = HWY_MIN(static_cast<size_t>(end - channel), kFinishTile);
      for (size_t k = 0; k < here; ++k) {
        x_scales[k] = x_scale[s];
        constants[k] = constant[s];
        if (--left > 0) continue;
        left = shape.group;
        ++s;
      }
      write_some(image, channel, here, {shift, scale, offset, x_scales, constants});
    }
  }

  // The sums of `count` planes of an image from `channel` on, into their places. Plane `next` of
  // all images is then summed, if there is one.
  void sum_some(std::int64_t image, std::int64_t channel, size_t count,
                const ChannelGradients& gradients, std::int64_t next) const {
    const size_t together = runs_together<X>(n);
    const auto add = together > kFewRows ? plane_gradient_sums<kLanes, X, Y, A>
                                         : plane_gradient_sums<kFewRows, X, Y, A>;
    const std::int64_t part = image * shape.channels + channel;
    for (size_t k = 0; k < count; k += together) {
      const size_t few = HWY_MIN(count - k, together);
      const X* xs_of[kLanes];
      const Y* dys_of[kLanes];
      for (size_t r = 0; r < few; ++r) {
        xs_of[r] = x(image, channel + static_cast<std::int64_t>(k + r));
        dys_of[r] = dy(image, channel + static_cast<std::int64_t>(k + r));
      }
      const std::int64_t then = k + few < count ? part + static_cast<std::int64_t>(k + few) : next;
      const bool more = then < shape.images * shape.channels;
      const std::int64_t there = then / shape.channels, at = then % shape.channels;
      add(xs_of, dys_of, few, n, gradients, k, more ? bytes_between(xs_of[0], x(there, at)) : 0,
          more ? bytes_between(dys_of[0], dy(there, at)) : 0, plan.part_dy + part + k,
          plan.part_dy_x + part + k);
    }
  }

  ChannelGradients parameters(std::int64_t channel) const {
    return {plan.mean + channel, plan.scale + channel, plan.offset + channel,
            plan.x_scale + channel, plan.constant + channel};
  }
  // Calls step(image, channel, count) for runs of planes begin .. end-1, counted through images.
  template <class Step>
  void for_images(std::int64_t begin, std::int64_t end, const Step& step) const {
    for (std::int64_t i = begin; i < end;) {
      const std::int64_t image = i / shape.channels, channel = i % shape.channels;
      const std::int64_t count = HWY_MIN(end - i, shape.channels - channel);
      step(image, channel, static_cast<size_t>(count));
      i += count;
    }
  }
  void sums(std::int64_t begin, std::int64_t end) const {
    for_images(begin, end, [&](std::int64_t image, std::int64_t channel, size_t count) {
      // Of the next image where some channels are taken through all steps (run_channels).
      const std::int64_t stop = image * shape.channels + channel + static_cast<std::int64_t>(count);
      sum_some(image, channel, count, parameters(channel),
               stop < end ? stop : begin + shape.channels);
    });
  }
  // Evaluation, where dx does not hang on the sums: both, while x and dy are in cache.
  void sums_and_dx(std::int64_t begin, std::int64_t end) const {
    const size_t bytes = n * (sizeof(X) + sizeof(Y));
    const std::int64_t together = HWY_MAX(planes_in(kBatchBytes / bytes), 1);
    for (std::int64_t i = begin; i < end; i += together) {
      const std::int64_t stop = HWY_MIN(end, i + together);
      sums(i, stop);
      apply(i, stop);
    }
  }
  void apply(std::int64_t begin, std::int64_t end) const {
    for_images(begin, end, [&](std::int64_t image, std::int64_t channel, size_t count) {
      write_some(image, channel, count, parameters(channel));
    });
  }
};

}  // namespace omninorm::internal::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
