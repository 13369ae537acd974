// Backward of channels whose positions are contiguous (NCHW).
#if defined(OMNINORM_CPU_PLANE_BACKWARD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef OMNINORM_CPU_PLANE_BACKWARD_INL_H_
#undef OMNINORM_CPU_PLANE_BACKWARD_INL_H_
#else
#define OMNINORM_CPU_PLANE_BACKWARD_INL_H_
#endif

#include "src/cpu/plane_gradient_sums-inl.h"

HWY_BEFORE_NAMESPACE();
namespace omninorm::internal::HWY_NAMESPACE {

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
  // Planes of a batch, in whole vectors where there is room for more than one.
  std::int64_t planes_together() const {
    const size_t room = kBatchBytes / (n * (sizeof(X) + sizeof(Y)));
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
    const std::int64_t planes = HWY_MIN(planes_together(), static_cast<std::int64_t>(kFinishTile));
    const std::int64_t together = HWY_MAX(planes / shape.group, 1);
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
      const size_t here = HWY_MIN(static_cast<size_t>(end - channel), kFinishTile);
      sum_some(image, channel, here, {shift, scale, offset, nullptr, nullptr},
               part + channel + static_cast<std::int64_t>(here));
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

  // The sums of `count` planes of an image from `channel` on, into their places. Behind them plane
  // `next` of all images is summed, if there is one.
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
  // Some channels are taken through all images, or all of an image's (run_channels).
  void sums(std::int64_t begin, std::int64_t end) const {
    sums(begin, end, begin + shape.channels);
  }
  // Behind them plane `next` is summed, if there is one.
  void sums(std::int64_t begin, std::int64_t end, std::int64_t next) const {
    for_images(begin, end, [&](std::int64_t image, std::int64_t channel, size_t count) {
      const std::int64_t stop = image * shape.channels + channel + static_cast<std::int64_t>(count);
      sum_some(image, channel, count, parameters(channel), stop < end ? stop : next);
    });
  }
  // Evaluation, where dx does not hang on the sums: both, while x and dy are in cache.
  void sums_and_dx(std::int64_t begin, std::int64_t end) const {
    const std::int64_t together = HWY_MAX(planes_together(), 1);
    for (std::int64_t i = begin; i < end; i += together) {
      const std::int64_t stop = HWY_MIN(end, i + together);
      sums(i, stop, stop);
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
