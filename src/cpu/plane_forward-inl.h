// Forward of channels whose positions are contiguous (NCHW).
#if defined(OMNINORM_CPU_PLANE_FORWARD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef OMNINORM_CPU_PLANE_FORWARD_INL_H_
#undef OMNINORM_CPU_PLANE_FORWARD_INL_H_
#else
#define OMNINORM_CPU_PLANE_FORWARD_INL_H_
#endif

#include <cstring>

#include "src/cpu/activation-inl.h"
#include "src/cpu/channel_finish-inl.h"
#include "src/cpu/moments-inl.h"
#include "src/cpu/planes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace omninorm::internal::HWY_NAMESPACE {

// Means and sums of squared deviations of Runs runs of n entries from the sums, in double. `far`: 1
// for runs whose shift was too far off their mean, else 0. Returns whether there are any.
template <size_t Runs>
HWY_INLINE bool moments_from_sums(const float* shifts, const float* sums, const float* squares,
                                  size_t n, double eps, double* mean, double* m2, double* far) {
  const hn::ScalableTag<double> d;
  const hn::Rebind<float, decltype(d)> half;
  const auto per_entry = hn::Set(d, 1 / static_cast<double>(n));
  const auto all_eps = hn::Set(d, eps * static_cast<double>(n));
  bool any = false;
  for (size_t r = 0; r < Runs; r += hn::Lanes(d)) {
    const auto sum = hn::PromoteTo(d, hn::Load(half, sums + r));
    const auto delta = hn::Mul(sum, per_entry);
    const auto off = hn::Mul(sum, delta);
    const auto about = hn::Sub(hn::PromoteTo(d, hn::Load(half, squares + r)), off);
    // NaN fails, and stays.
    const auto positive = hn::IfThenElse(hn::Lt(about, hn::Zero(d)), hn::Zero(d), about);
    const auto near = hn::Le(off, hn::Add(about, all_eps));
    any |= !hn::AllTrue(d, near);
    hn::Store(hn::IfThenElse(near, hn::Zero(d), hn::Set(d, 1.0)), d, far + r);
    hn::Store(hn::Add(hn::PromoteTo(d, hn::Load(half, shifts + r)), delta), d, mean + r);
    hn::Store(positive, d, m2 + r);
  }
  return any;
}

// One run by itself: of any length, with any shift.
template <class X>
HWY_NOINLINE void moments_of_run(const X* x, size_t n, double eps, double& mean, double& m2) {
  const size_t sample = sample_size(n);
  auto shift = static_cast<float>(sum(x, sample) / static_cast<double>(sample));
  Deviations about = deviations(x, n, shift);
  if (!(about.delta * about.delta <= about.m2 + eps)) {
    shift = static_cast<float>(shift + about.delta);
    about = deviations(x, n, shift);
  }
  mean = shift + about.delta;
  m2 = about.m2 * static_cast<double>(n);
}

// The first `count` of Runs numbers; nearly always that is all of them.
template <size_t Runs>
HWY_INLINE void copy_some(const double* from, size_t count, double* to) {
  if (HWY_LIKELY(count == Runs)) {
    std::memcpy(to, from, Runs * sizeof(double));
  } else {
    for (size_t r = 0; r < count; ++r) to[r] = from[r];
  }
}

// Means of `count` runs of n entries, up to Runs, and sums of squared deviations from them. The
// bits do not depend on Runs. The runs to be summed next lie `ahead` bytes on; 0: not known.
template <size_t Runs, class X>
HWY_NOINLINE void moments_of_some_runs(const X* const* x, size_t count, size_t n, double eps,
                                       double* mean, double* m2, std::intptr_t ahead) {
  const DF d;
  if (n > kChunk) {
    for (size_t r = 0; r < count; ++r) moments_of_run(x[r], n, eps, mean[r], m2[r]);
    return;
  }
  const size_t sample = sample_size(n);
  VF first[Runs], second[Runs];
  HWY_ALIGN float shifts[kLanes], sums[kLanes], squares[kLanes];
  HWY_ALIGN double means[kLanes], m2s[kLanes], far[kLanes];
  // Of a full batch every vector is written (see statistics_of_rows).
  if (count < Runs) {
    for (size_t r = 0; r < Runs; ++r) first[r] = second[r] = hn::Zero(d);
  }
  for (size_t r = 0; r < count; ++r) {
    if (Runs > kFewRows && ahead != 0) fetch<Cache::l1>(x[r], n, ahead);
    first[r] = chunk_sum(x[r], sample);
  }
  const VF shift = hn::Mul(reduce_each<Runs>(first), hn::Set(d, 1.0f / static_cast<float>(sample)));
  hn::Store(shift, d, shifts);
  if (n <= 2 * block_size()) {
    const ShortDeviations<X> short_deviations(n);
    for (size_t r = 0; r < count; ++r) {
      short_deviations(x[r], hn::Set(d, shifts[r]), first[r], second[r]);
    }
  } else {
    for (size_t r = 0; r < count; ++r) {
      chunk_deviations(x[r], n, hn::Set(d, shifts[r]), first[r], second[r]);
    }
  }
  hn::Store(reduce_each<Runs>(first), d, sums);
  hn::Store(reduce_each<Runs>(second), d, squares);
  const bool any_far = moments_from_sums<Runs>(shifts, sums, squares, n, eps, means, m2s, far);
  copy_some<Runs>(means, count, mean);
  copy_some<Runs>(m2s, count, m2);
  for (size_t r = 0; HWY_UNLIKELY(any_far) && r < count; ++r) {
    if (far[r] != 0) moments_of_run(x[r], n, eps, mean[r], m2[r]);
  }
}

template <class X>
void moments_of_runs(const X* const* x, size_t count, size_t n, double eps, double* mean,
                     double* m2, std::intptr_t ahead = 0) {
  if (count > kFewRows) return moments_of_some_runs<kLanes>(x, count, n, eps, mean, m2, ahead);
  moments_of_some_runs<kFewRows>(x, count, n, eps, mean, m2, ahead);
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

// The same for `count` planes that lie side by side in x and in y, n >= a block entries each, with
// a shift, scale and offset each. A block runs on into the next plane, with either plane's numbers
// in the lanes that are its own: planes of 7 x 7 fill whole vectors so, and stores are aligned.
template <class X, class Y, Activation A, bool Stream>
HWY_NOINLINE void write_planes(const X* x, Y* y, size_t n, size_t count, const float* shifts,
                               const float* scales, const float* offsets) {
  constexpr Layout L = kLayout<X>;
  const DF d;
  const size_t block = block_size(), total = n * count;
  SideBySide planes(n, count);
  const auto value = [&](VF v, VF shift, VF scale, VF offset) HWY_ATTR {
    return activate<A>(hn::MulAdd(hn::Sub(v, shift), scale, offset));
  };
  VF shift = hn::Set(d, *shifts), scale = hn::Set(d, *scales), offset = hn::Set(d, *offsets);
  VF a, b;
  size_t length = first_piece(y, total);
  for (size_t i = 0; i < total; i += length, length = HWY_MIN(block, total - i)) {
    if (HWY_LIKELY(length == block)) {
      load_block<L>(x + i, a, b);
    } else {
      load_block_n<L>(x + i, length, a, b);
    }
    if (HWY_LIKELY(planes.within(length))) {
      a = value(a, shift, scale, offset);
      b = value(b, shift, scale, offset);
    } else {
      const auto own_a = mask_a<L>(planes.left()), own_b = mask_b<L>(planes.left());
      const size_t other = planes.cross(length);
      const VF shift2 = hn::Set(d, shifts[other]), scale2 = hn::Set(d, scales[other]),
               offset2 = hn::Set(d, offsets[other]);
      a = value(a, hn::IfThenElse(own_a, shift, shift2), hn::IfThenElse(own_a, scale, scale2),
                hn::IfThenElse(own_a, offset, offset2));
      b = value(b, hn::IfThenElse(own_b, shift, shift2), hn::IfThenElse(own_b, scale, scale2),
                hn::IfThenElse(own_b, offset, offset2));
      shift = shift2;
      scale = scale2;
      offset = offset2;
    }
    if (HWY_UNLIKELY(length < block)) {
      store_block_n<L>(a, b, y + i, length);
    } else if constexpr (Stream && can_stream<X, Y>()) {
      stream_block<L>(a, b, y + i);
    } else {
      store_block<L>(a, b, y + i);
    }
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

  // `count` planes of an image from `channel` on, with the numbers in these arrays.
  void write_some(std::int64_t image, std::int64_t channel, size_t count, const float* shift,
                  const float* scale, const float* offset) const {
    if (side_by_side(n, xs, ys)) {
      Y* y = static_cast<Y*>(problem.y.data) + ys.plane(shape, image, channel);
      const auto write = plan.streams && whole_entries(y) ? write_planes<X, Y, A, true>
                                                          : write_planes<X, Y, A, false>;
      write(x(image, channel), y, n, count, shift, scale, offset);
      return;
    }
    for (size_t k = 0; k < count; ++k) {
      write(image, channel + static_cast<std::int64_t>(k), {shift[k], scale[k], offset[k]});
    }
  }

  // Sets begin .. end-1, counted through images: statistics and y, while x is in cache.
  void whole_sets(std::int64_t begin, std::int64_t end) const {
    const std::int64_t sets = shape.sets_per_image();
    const bool one_run = shape.group == 1 || xs.c == shape.positions;
    const size_t run = one_run ? n * static_cast<size_t>(shape.group) : n;
    const auto together = one_run ? static_cast<std::int64_t>(runs_together<X>(run)) : 1;
    for (std::int64_t i = begin; i < end;) {
      const std::int64_t stop = HWY_MIN(end, i + together);
      double mean[kLanes], m2[kLanes];
      if (one_run) {
        const X* runs[kLanes];
        gather(i, stop, sets, shape.group, runs);
        moments_of_runs(runs, static_cast<size_t>(stop - i), run, problem.parameters.eps, mean, m2,
                        stop < shape.images * sets
                            ? bytes_between(runs[0], x(stop / sets, stop % sets * shape.group))
                            : 0);
      } else {
        moments_of_group(i / sets, i % sets, mean[0], m2[0]);
      }
      for (std::int64_t from = i; from < stop;) {
        const std::int64_t g = from % sets;
        const std::int64_t count = HWY_MIN(stop - from, sets - g);
        finish(from / sets, g, static_cast<size_t>(count), mean + (from - i), m2 + (from - i));
        from += count;
      }
      i = stop;
    }
  }

  // Where runs begin .. end-1 begin, of `each` an image and `channels` channels a run.
  void gather(std::int64_t begin, std::int64_t end, std::int64_t each, std::int64_t channels,
              const X** runs) const {
    std::int64_t image = begin / each, index = begin % each;
    for (std::int64_t i = begin; i < end; ++i) {
      *runs++ = x(image, index * channels);
      if (++index == each) {
        index = 0;
        ++image;
      }
    }
  }

  void moments_of_group(std::int64_t image, std::int64_t g, double& mean, double& m2) const {
    double means[kFinishTile], m2s[kFinishTile];
    MomentSum total;
    for (std::int64_t c = 0; c < shape.group; c += kFinishTile) {
      const std::int64_t end = HWY_MIN(shape.group, c + static_cast<std::int64_t>(kFinishTile));
      for_runs(image, g * shape.group + c, g * shape.group + end, means, m2s);
      total.add(means, m2s, static_cast<size_t>(end - c), static_cast<double>(n));
    }
    mean = total.mean;
    m2 = total.m2;
  }

  // Moments of channels begin .. end-1 of an image.
  void for_runs(std::int64_t image, std::int64_t begin, std::int64_t end, double* mean,
                double* m2) const {
    const auto together = static_cast<std::int64_t>(runs_together<X>(n));
    for (std::int64_t c = begin; c < end; c += together) {
      const X* runs[kLanes];
      const std::int64_t count = HWY_MIN(end - c, together);
      for (std::int64_t r = 0; r < count; ++r) runs[r] = x(image, c + r);
      moments_of_runs(runs, static_cast<size_t>(count), n, problem.parameters.eps,
                      mean + (c - begin), m2 + (c - begin));
    }
  }

  // Statistics and y of `count` sets of an image from g on.
  void finish(std::int64_t image, std::int64_t g, size_t count, const double* mean,
              const double* m2) const {
    double rstd[kLanes];
    unsigned char extreme[kLanes];
    const auto entries = static_cast<double>(shape.group * shape.positions);
    const bool far = finish_statistics(problem, image * shape.sets_per_image() + g, count, entries,
                                       mean, m2, rstd, extreme);
    for (size_t r = 0; far && r < count; ++r) {
      if (extreme[r]) reference_set(problem, image, g + static_cast<std::int64_t>(r));
    }
    if (problem.y.data == nullptr) return;
    float shift[kFinishTile], scale[kFinishTile], offset[kFinishTile];
    const std::int64_t end = (g + static_cast<std::int64_t>(count)) * shape.group;
    std::int64_t set = 0, left = shape.group;
    for (std::int64_t first = g * shape.group; first < end; first += kFinishTile) {
      const auto here = HWY_MIN(static_cast<size_t>(end - first), kFinishTile);
      parameters_of_sets(problem, first, here, shape.group, mean + set, rstd + set, shift, scale,
                         offset);
      if (!far) {
        write_some(image, first, here, shift, scale, offset);
        const std::int64_t done = first + static_cast<std::int64_t>(here) - g * shape.group;
        set = done / shape.group;
        left = shape.group - done % shape.group;
        continue;
      }
      for (size_t k = 0; k < here; ++k) {
        if (!extreme[set]) {
          write(image, first + static_cast<std::int64_t>(k), {shift[k], scale[k], offset[k]});
        }
        if (--left == 0) {
          left = shape.group;
          ++set;
        }
      }
    }
  }

  // Planes begin .. end-1, counted through images: their moments alone, or y alone.
  void moments(std::int64_t begin, std::int64_t end) const {
    const auto together = static_cast<std::int64_t>(runs_together<X>(n));
    for (std::int64_t i = begin; i < end; i += together) {
      const std::int64_t stop = HWY_MIN(end, i + together);
      const X* runs[kLanes];
      gather(i, stop, shape.channels, 1, runs);
      // Of the next image where some channels are taken through all steps (run_channels).
      const std::int64_t next = stop < end ? stop : begin + shape.channels;
      moments_of_runs(runs, static_cast<size_t>(stop - i), n, problem.parameters.eps,
                      plan.part_mean + i, plan.part_m2 + i,
                      next < shape.images * shape.channels
                          ? bytes_between(runs[0], x(next / shape.channels, next % shape.channels))
                          : 0);
    }
  }
  void apply(std::int64_t begin, std::int64_t end) const {
    for (std::int64_t i = begin; i < end;) {
      const std::int64_t image = i / shape.channels, channel = i % shape.channels;
      const std::int64_t count = HWY_MIN(end - i, shape.channels - channel);
      write_some(image, channel, static_cast<size_t>(count), plan.shift + channel,
                 plan.scale + channel, plan.offset + channel);
      i += count;
    }
  }
};

}  // namespace omninorm::internal::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
