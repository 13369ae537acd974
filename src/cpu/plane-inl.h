// Channels whose positions are contiguous (NCHW).
#if defined(OMNINORM_CPU_PLANE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef OMNINORM_CPU_PLANE_INL_H_
#undef OMNINORM_CPU_PLANE_INL_H_
#else
#define OMNINORM_CPU_PLANE_INL_H_
#endif

#include "src/cpu/activation-inl.h"
#include "src/cpu/channel_plan.h"
#include "src/cpu/moments-inl.h"

HWY_BEFORE_NAMESPACE();
namespace omninorm::internal::HWY_NAMESPACE {

// ---- Forward

// Moments of `count` runs of n entries, up to kFewRows.
template <class X>
HWY_NOINLINE void moments_of_runs(const X* const* x, size_t count, size_t n, double eps,
                                  Moments* out) {
  const DF d;
  const auto entries = static_cast<double>(n);
  bool alone[kFewRows];
  for (bool& a : alone) a = true;
  if (n <= kChunk) {
    const size_t sample = sample_size(n);
    VF first[kFewRows], second[kFewRows];
    HWY_ALIGN float shifts[kLanes], sums[kLanes], squares[kLanes];
    for (size_t r = 0; r < kFewRows; ++r) first[r] = second[r] = hn::Zero(d);
    for (size_t r = 0; r < count; ++r) first[r] = chunk_sum(x[r], sample);
    const VF shift =
        hn::Mul(reduce_each<kFewRows>(first), hn::Set(d, 1.0f / static_cast<float>(sample)));
    hn::Store(shift, d, shifts);
    for (size_t r = 0; r < kFewRows; ++r) first[r] = hn::Zero(d);
    for (size_t r = 0; r < count; ++r) {
      chunk_deviations(x[r], n, hn::Set(d, shifts[r]), first[r], second[r]);
    }
    hn::Store(reduce_each<kFewRows>(first), d, sums);
    hn::Store(reduce_each<kFewRows>(second), d, squares);
    for (size_t r = 0; r < count; ++r) {
      const double delta = static_cast<double>(sums[r]) / entries;
      const double m2 = static_cast<double>(squares[r]) - static_cast<double>(sums[r]) * delta;
      out[r] = {entries, static_cast<double>(shifts[r]) + delta, m2 < 0 ? 0 : m2};
      alone[r] = !(delta * delta * entries <= m2 + eps * entries);
    }
  }
  for (size_t r = 0; r < count; ++r) {
    if (!alone[r]) continue;
    const size_t sample = sample_size(n);
    auto shift = static_cast<float>(sum(x[r], sample) / static_cast<double>(sample));
    Deviations about = deviations(x[r], n, shift);
    if (!(about.delta * about.delta <= about.m2 + eps)) {
      shift = static_cast<float>(shift + about.delta);
      about = deviations(x[r], n, shift);
    }
    out[r] = {entries, shift + about.delta, about.m2 * entries};
  }
}

// y may be x, but not where it streams. What lies `ahead` bytes on is fetched meanwhile.
template <class X, class Y, Activation A, bool Stream>
HWY_INLINE void write_plane(const X* x, Y* y, size_t n, const ChannelAffine& channel,
                            std::intptr_t ahead) {
  constexpr Layout L = kLayout<X>;
  const DF d;
  const size_t block = block_size();
  const VF shift = hn::Set(d, channel.shift);
  const VF scale = hn::Set(d, channel.scale);
  const VF offset = hn::Set(d, channel.offset);
  const auto value = [&](VF v) HWY_ATTR {
    return activate<A>(hn::MulAdd(hn::Sub(v, shift), scale, offset));
  };
  VF a, b;
  size_t i = 0;
  for (; i + block <= n; i += block) {
    fetch_block(x + i, ahead);
    load_block<L>(x + i, a, b);
    if constexpr (Stream && can_stream<X, Y>()) {
      stream_block<L>(value(a), value(b), y + i);
    } else {
      store_block<L>(value(a), value(b), y + i);
    }
  }
  if (i < n) {
    load_block_n<L>(x + i, n - i, a, b);
    store_block_n<L>(value(a), value(b), y + i, n - i);
  }
}

template <class X, class Y, Activation A>
struct PlaneForward {
  const ChannelForwardPlan& plan;
  const NormForward& problem;
  const ChannelShape& shape;
  ChannelStrides xs, ys;
  size_t n;

  explicit PlaneForward(const ChannelForwardPlan& p)
      : plan(p),
        problem(*p.problem),
        shape(p.shape),
        xs(problem.x.strides, shape),
        ys(problem.y.strides, shape),
        n(static_cast<size_t>(shape.positions)) {}

  const X* x(std::int64_t image, std::int64_t channel) const {
    return static_cast<const X*>(problem.x.data) + xs.plane(shape, image, channel);
  }

  void write(std::int64_t image, std::int64_t channel, const ChannelAffine& affine) const {
    Y* y = static_cast<Y*>(problem.y.data) + ys.plane(shape, image, channel);
    const auto ahead = static_cast<std::intptr_t>(plan.ahead * sizeof(X));
    if (plan.streams && aligned_for_stream(y)) {
      write_plane<X, Y, A, true>(x(image, channel), y, n, affine, ahead);
    } else {
      write_plane<X, Y, A, false>(x(image, channel), y, n, affine, ahead);
    }
  }

  // The sets of one image: statistics and y, while x is in cache.
  void whole_sets(std::int64_t begin, std::int64_t end) const {
    const std::int64_t sets = shape.sets_per_image();
    const bool one_run = shape.group == 1 || xs.c == shape.positions;
    const size_t run = one_run ? n * static_cast<size_t>(shape.group) : n;
    const auto together = static_cast<std::int64_t>(kFewRows);
    for (std::int64_t i = begin; i < end;) {
      const X* runs[kFewRows];
      Moments moments[kFewRows];
      const std::int64_t count = one_run ? HWY_MIN(end - i, together) : 1;
      if (one_run) {
        for (std::int64_t r = 0; r < count; ++r) {
          runs[r] = x((i + r) / sets, (i + r) % sets * shape.group);
        }
        moments_of_runs(runs, static_cast<size_t>(count), run, problem.parameters.eps, moments);
      } else {
        moments[0] = moments_of_group(i / sets, i % sets);
      }
      for (std::int64_t r = 0; r < count; ++r)
        write_set((i + r) / sets, (i + r) % sets, moments[r]);
      i += count;
    }
  }

  Moments moments_of_group(std::int64_t image, std::int64_t g) const {
    Moments total;
    const auto together = static_cast<std::int64_t>(kFewRows);
    for (std::int64_t c = 0; c < shape.group; c += together) {
      const X* runs[kFewRows];
      Moments parts[kFewRows + 1];
      const std::int64_t count = HWY_MIN(shape.group - c, together);
      for (std::int64_t r = 0; r < count; ++r) runs[r] = x(image, g * shape.group + c + r);
      moments_of_runs(runs, static_cast<size_t>(count), n, problem.parameters.eps, parts + 1);
      parts[0] = total;
      total = c == 0 ? merged(parts + 1, count, 1) : merged(parts, count + 1, 1);
    }
    return total;
  }

  void write_set(std::int64_t image, std::int64_t g, const Moments& moments) const {
    SetStatistics statistics;
    if (!finish_statistics(problem, image * shape.sets_per_image() + g, moments, statistics)) {
      return reference_set(problem, image, g);
    }
    if (problem.y.data == nullptr) return;
    for (std::int64_t c = 0; c < shape.group; ++c) {
      const std::int64_t channel = g * shape.group + c;
      write(image, channel, channel_affine(problem, channel, statistics));
    }
  }

  // Planes begin .. end-1, counted through images: their moments alone, or y alone.
  void moments(std::int64_t begin, std::int64_t end) const {
    const auto together = static_cast<std::int64_t>(kFewRows);
    for (std::int64_t i = begin; i < end; i += together) {
      const X* runs[kFewRows];
      const std::int64_t count = HWY_MIN(end - i, together);
      for (std::int64_t r = 0; r < count; ++r) {
        runs[r] = x((i + r) / shape.channels, (i + r) % shape.channels);
      }
      moments_of_runs(runs, static_cast<size_t>(count), n, problem.parameters.eps, plan.parts + i);
    }
  }
  void apply(std::int64_t begin, std::int64_t end) const {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t image = i / shape.channels, channel = i % shape.channels;
      write(image, channel, {plan.shift[channel], plan.scale[channel], plan.offset[channel]});
    }
  }
};

// ---- Backward

template <class X, class Y, Activation A>
HWY_INLINE void plane_values(VF x, VF& dy, VF mean, VF scale, VF offset, VF& from_mean) {
  from_mean = hn::Sub(x, mean);
  dy = through_activation<A>(dy, hn::MulAdd(from_mean, scale, offset));
}

template <class X, class Y, Activation A>
HWY_NOINLINE GradientSums plane_gradient_sums(const X* x, const Y* dy, size_t n,
                                              const ChannelGradient& channel) {
  constexpr Layout L = kLayout<X>;
  const DF d;
  const size_t block = block_size();
  const VF mean = hn::Set(d, channel.mean);
  const VF scale = hn::Set(d, channel.scale);
  const VF offset = hn::Set(d, channel.offset);
  GradientSums result;
  for (size_t begin = 0; begin < n; begin += kChunk) {
    const size_t end = HWY_MIN(n, begin + kChunk);
    VF s0 = hn::Zero(d), s1 = hn::Zero(d), s2 = hn::Zero(d), s3 = hn::Zero(d);
    VF q0 = hn::Zero(d), q1 = hn::Zero(d), q2 = hn::Zero(d), q3 = hn::Zero(d);
    const auto accumulate = [&](VF v, VF g, VF& s, VF& q) HWY_ATTR {
      VF from_mean;
      plane_values<X, Y, A>(v, g, mean, scale, offset, from_mean);
      s = hn::Add(s, g);
      q = hn::MulAdd(g, from_mean, q);
    };
    VF a, b, ga, gb;
    size_t i = begin;
    for (; i + 2 * block <= end; i += 2 * block) {
      load_block<L>(x + i, a, b);
      load_block<L>(dy + i, ga, gb);
      accumulate(a, ga, s0, q0);
      accumulate(b, gb, s1, q1);
      load_block<L>(x + i + block, a, b);
      load_block<L>(dy + i + block, ga, gb);
      accumulate(a, ga, s2, q2);
      accumulate(b, gb, s3, q3);
    }
    for (; i < end; i += block) {
      // Beyond the end dy is 0, and what the activation makes of it.
      load_block_n<L>(x + i, HWY_MIN(end - i, block), a, b);
      load_block_n<L>(dy + i, HWY_MIN(end - i, block), ga, gb);
      accumulate(a, ga, s0, q0);
      accumulate(b, gb, s1, q1);
    }
    result.dy += static_cast<double>(reduce_sum(d, hn::Add(hn::Add(s0, s1), hn::Add(s2, s3))));
    result.dy_x += static_cast<double>(reduce_sum(d, hn::Add(hn::Add(q0, q1), hn::Add(q2, q3))));
  }
  return result;
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

template <class X, class Y, Activation A>
struct PlaneBackward {
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

  // The sets of one image: sums and dx, while x and dy are in cache.
  void whole_sets(std::int64_t begin, std::int64_t end) const {
    const std::int64_t sets = shape.sets_per_image();
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t image = i / sets, g = i % sets;
      const SetStatistics statistics = saved_statistics(problem, i);
      GradientSums* sums = plan.parts + image * shape.channels + g * shape.group;
      ChannelGradient gradient;
      for (std::int64_t c = 0; c < shape.group; ++c) {
        const std::int64_t channel = g * shape.group + c;
        channel_argument(problem, channel, statistics, gradient);
        sums[c] = plane_gradient_sums<X, Y, A>(x(image, channel), dy(image, channel), n, gradient);
      }
      if (problem.dx.data == nullptr) continue;
      const SetGradient set = set_gradient(problem, g, statistics, sums,
                                           static_cast<double>(shape.group * shape.positions));
      for (std::int64_t c = 0; c < shape.group; ++c) {
        const std::int64_t channel = g * shape.group + c;
        channel_argument(problem, channel, statistics, gradient);
        gradient.x_scale = set.x_scale;
        gradient.constant = set.constant;
        write(image, channel, gradient);
      }
    }
  }

  ChannelGradient parameters(std::int64_t channel) const {
    return {plan.mean[channel], plan.scale[channel], plan.offset[channel], plan.x_scale[channel],
            plan.constant[channel]};
  }
  void sums(std::int64_t begin, std::int64_t end) const {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t image = i / shape.channels, channel = i % shape.channels;
      plan.parts[i] = plane_gradient_sums<X, Y, A>(x(image, channel), dy(image, channel), n,
                                                   parameters(channel));
    }
  }
  void apply(std::int64_t begin, std::int64_t end) const {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t image = i / shape.channels, channel = i % shape.channels;
      write(image, channel, parameters(channel));
    }
  }
};

}  // namespace omninorm::internal::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
