// Statistics over channels at each position, where positions lie side by side (LN-G-Position on
// NCHW): a vector holds the same channel of neighbouring positions, so every sum is lane by lane.
#if defined(OMNINORM_CPU_POSITION_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef OMNINORM_CPU_POSITION_INL_H_
#undef OMNINORM_CPU_POSITION_INL_H_
#else
#define OMNINORM_CPU_POSITION_INL_H_
#endif

#include <cstring>

#include "src/cpu/moments-inl.h"
#include "src/cpu/position_plan.h"

HWY_BEFORE_NAMESPACE();
namespace omninorm::internal::HWY_NAMESPACE {

// Channels whose fp32 sum is one chain of additions; chains are added up in turn.
inline constexpr std::int64_t kChannelsPerSum = 32;

// A block of positions of one group: element pointers of its first channel, and the channel stride.
template <class T>
struct PositionBlock {
  T* data;
  std::int64_t stride;
  size_t n;  // positions, at most a block

  template <Layout L>
  HWY_INLINE void load(std::int64_t c, VF& a, VF& b) const {
    const T* p = data + c * stride;
    if (HWY_LIKELY(n == block_size())) return load_block<L>(p, a, b);
    load_block_n<L>(p, n, a, b);
  }
  template <Layout L>
  HWY_INLINE void store(std::int64_t c, VF a, VF b) const {
    T* p = data + c * stride;
    if (HWY_LIKELY(n == block_size())) return store_block<L>(a, b, p);
    store_block_n<L>(a, b, p, n);
  }
};

struct VectorPair {
  VF a, b;
};

// Sums over channels of step(c), a VectorPair, in chains of kChannelsPerSum.
template <class Step>
HWY_INLINE void sum_channels(std::int64_t channels, VectorPair& first, VectorPair& second,
                             const Step& step) {
  const DF d;
  first = second = {hn::Zero(d), hn::Zero(d)};
  for (std::int64_t from = 0; from < channels; from += kChannelsPerSum) {
    const std::int64_t to = HWY_MIN(channels, from + kChannelsPerSum);
    VectorPair s{hn::Zero(d), hn::Zero(d)}, q{hn::Zero(d), hn::Zero(d)};
    for (std::int64_t c = from; c < to; ++c) step(c, s, q);
    first = {hn::Add(first.a, s.a), hn::Add(first.b, s.b)};
    second = {hn::Add(second.a, q.a), hn::Add(second.b, q.b)};
  }
}

struct PositionStatistics {
  VectorPair shift, correction, mean, rstd;
  bool extreme;  // some position needs more than fp32
};

// One half of a block's statistics from its sums about `shift`. `near` says which lanes' shifts
// were near enough.
template <bool Center>
HWY_INLINE void finish_positions(VF sum, VF square, VF per_channel, VF eps, VF& delta, VF& with_eps,
                                 hn::Mask<DF>& near) {
  const DF d;
  delta = hn::Mul(sum, per_channel);
  VF m2 = hn::Mul(square, per_channel);
  const VF delta2 = hn::Mul(delta, delta);
  if constexpr (Center) {
    m2 = hn::Sub(m2, delta2);
    m2 = hn::IfThenElse(hn::Lt(m2, hn::Zero(d)), hn::Zero(d), m2);  // keeps NaN
  }
  with_eps = hn::Add(m2, eps);
  near = hn::Le(delta2, hn::Add(with_eps, with_eps));
}

template <class X, bool Center>
HWY_INLINE PositionStatistics position_statistics(const PositionBlock<const X>& x,
                                                  std::int64_t channels, float eps) {
  constexpr Layout L = kLayout<X>;
  const DF d;
  const VF per_channel = hn::Set(d, 1.0f / static_cast<float>(channels));
  const VF e = hn::Set(d, eps);
  PositionStatistics result;
  VectorPair s, q, delta, with_eps;
  hn::Mask<DF> near_a, near_b;
  result.shift = {hn::Zero(d), hn::Zero(d)};
  if constexpr (Center) {
    // The shift is the mean of a few channels; where it is over 1.4 standard deviations off, once
    // more about the mean. Lanes whose shift was near keep it, and with it their bits.
    const std::int64_t sample = HWY_MIN(channels, static_cast<std::int64_t>(8));
    VectorPair few{hn::Zero(d), hn::Zero(d)}, a;
    for (std::int64_t c = 0; c < sample; ++c) {
      x.template load<L>(c, a.a, a.b);
      few = {hn::Add(few.a, a.a), hn::Add(few.b, a.b)};
    }
    const VF per_sample = hn::Set(d, 1.0f / static_cast<float>(sample));
    result.shift = {hn::Mul(few.a, per_sample), hn::Mul(few.b, per_sample)};
  }
  for (int attempt = 0; attempt < 2; ++attempt) {
    sum_channels(channels, s, q, [&](std::int64_t c, VectorPair& sum, VectorPair& square) HWY_ATTR {
      VF a, b;
      x.template load<L>(c, a, b);
      if constexpr (Center) {
        a = hn::Sub(a, result.shift.a);
        b = hn::Sub(b, result.shift.b);
        sum = {hn::Add(sum.a, a), hn::Add(sum.b, b)};
      }
      square = {hn::MulAdd(a, a, square.a), hn::MulAdd(b, b, square.b)};
    });
    finish_positions<Center>(s.a, q.a, per_channel, e, delta.a, with_eps.a, near_a);
    finish_positions<Center>(s.b, q.b, per_channel, e, delta.b, with_eps.b, near_b);
    if (!Center || attempt > 0 || (hn::AllTrue(d, near_a) && hn::AllTrue(d, near_b))) break;
    result.shift.a = hn::IfThenElse(near_a, result.shift.a, hn::Add(result.shift.a, delta.a));
    result.shift.b = hn::IfThenElse(near_b, result.shift.b, hn::Add(result.shift.b, delta.b));
  }
  const VF one = hn::Set(d, 1.0f);
  result.rstd = {hn::Div(one, hn::Sqrt(with_eps.a)), hn::Div(one, hn::Sqrt(with_eps.b))};
  result.mean = {hn::Add(result.shift.a, delta.a), hn::Add(result.shift.b, delta.b)};
  result.correction = {hn::Neg(hn::Mul(delta.a, result.rstd.a)),
                       hn::Neg(hn::Mul(delta.b, result.rstd.b))};
  const VF smallest = hn::Set(d, 0x1p-100f), largest = hn::Set(d, 0x1p127f);
  const auto good = [&](VF v, hn::Mask<DF> near) HWY_ATTR {
    return hn::And(near, hn::And(hn::Ge(v, smallest), hn::Le(v, largest)));
  };
  const auto a = hn::Or(good(with_eps.a, near_a), hn::Not(mask_a<L>(x.n)));
  const auto b = hn::Or(good(with_eps.b, near_b), hn::Not(mask_b<L>(x.n)));
  result.extreme = !(hn::AllTrue(d, a) && hn::AllTrue(d, b));
  return result;
}

// Positions of one group: forward. `channel` is the group's first.
template <class X, class Y, bool Center>
struct PositionForward {
  const PositionForwardPlan& plan;
  const NormForward& problem;

  void task(std::int64_t index) const {
    const PositionTask at(plan.shape, index);
    const auto block = static_cast<std::int64_t>(block_size());
    for (std::int64_t p = at.begin; p < at.end; p += block) {
      run(at.image, at.g, p, static_cast<size_t>(HWY_MIN(block, at.end - p)));
    }
  }

  void run(std::int64_t image, std::int64_t g, std::int64_t p, size_t n) const {
    constexpr Layout L = kLayout<X>;
    const DF d;
    const PositionShape& shape = plan.shape;
    const PositionStrides& xs = plan.x;
    const PositionStrides& ys = plan.y;
    const PositionBlock<const X> x{static_cast<const X*>(problem.x.data) + xs.offset(image, g, p),
                                   xs.c, n};
    const PositionBlock<Y> y{static_cast<Y*>(problem.y.data) + ys.offset(image, g, p), ys.c, n};
    const PositionStatistics s = position_statistics<X, Center>(
        x, shape.channels, static_cast<float>(problem.parameters.eps));
    const std::int64_t first = (image * shape.positions + p) * shape.groups + g;
    if (s.extreme) return by_reference(image, g, p, n);
    store_statistic<L>(problem.mean, s.mean, first, n);
    store_statistic<L>(problem.rstd, s.rstd, first, n);
    const std::int64_t channel = g * shape.channels;
    for (std::int64_t c = 0; c < shape.channels; ++c) {
      VF a, b;
      x.template load<L>(c, a, b);
      if constexpr (Center) {
        a = hn::MulAdd(hn::Sub(a, s.shift.a), s.rstd.a, s.correction.a);
        b = hn::MulAdd(hn::Sub(b, s.shift.b), s.rstd.b, s.correction.b);
      } else {
        a = hn::Mul(a, s.rstd.a);
        b = hn::Mul(b, s.rstd.b);
      }
      const VF weight = hn::Set(d, plan.weight[channel + c]);
      const VF bias = hn::Set(d, plan.bias[channel + c]);
      y.template store<L>(c, hn::MulAdd(a, weight, bias), hn::MulAdd(b, weight, bias));
    }
  }

  // Position by position: one that needs double must not change its neighbours.
  void by_reference(std::int64_t image, std::int64_t g, std::int64_t p, size_t n) const {
    for (size_t i = 0; i < n; ++i) {
      reference_position(problem, plan, image, g, p + static_cast<std::int64_t>(i));
    }
  }

  template <Layout L>
  void store_statistic(void* to, const VectorPair& value, std::int64_t first, size_t n) const {
    if (to == nullptr) return;
    HWY_ALIGN float values[2 * kLanes];
    store_block<L>(value.a, value.b, values);
    for (size_t i = 0; i < n; ++i) {
      static_cast<float*>(to)[first + static_cast<std::int64_t>(i) * plan.shape.groups] = values[i];
    }
  }
};

// Backward of the positions of one task and group: dx, and the task's sums for dweight and dbias.
template <class X, class Y, bool Center>
struct PositionBackward {
  const PositionBackwardPlan& plan;
  const NormBackward& problem;

  void task(std::int64_t index) const {
    const PositionTask at(plan.shape, index);
    const DF d;
    const auto block = static_cast<std::int64_t>(block_size());
    const std::int64_t channels = plan.shape.channels;
    float* sums = plan.lanes + index * channels * 2 * PositionBackwardPlan::kLaneFloats;
    std::memset(
        sums, 0,
        static_cast<size_t>(channels * 2 * PositionBackwardPlan::kLaneFloats) * sizeof(float));
    for (std::int64_t p = at.begin; p < at.end; p += block) {
      run(at, p, static_cast<size_t>(HWY_MIN(block, at.end - p)), sums);
    }
    double* parts = plan.parts + index * channels * 2;
    for (std::int64_t c = 0; c < channels * 2; ++c) {
      parts[c] = static_cast<double>(
          reduce_sum(d, hn::LoadU(d, sums + c * PositionBackwardPlan::kLaneFloats)));
    }
  }

  template <Layout L>
  VectorPair load_statistic(const void* from, std::int64_t first, size_t n) const {
    HWY_ALIGN float values[2 * kLanes] = {};
    for (size_t i = 0; i < n; ++i) {
      values[i] =
          static_cast<const float*>(from)[first + static_cast<std::int64_t>(i) * plan.shape.groups];
    }
    VectorPair result;
    load_block<L>(values, result.a, result.b);
    return result;
  }

  void run(const PositionTask& at, std::int64_t p, size_t n, float* sums) const {
    constexpr Layout L = kLayout<X>;
    const DF d;
    const PositionShape& shape = plan.shape;
    const PositionBlock<const X> x{
        static_cast<const X*>(problem.x.data) + plan.x.offset(at.image, at.g, p), plan.x.c, n};
    const PositionBlock<const Y> dy{
        static_cast<const Y*>(problem.dy.data) + plan.dy.offset(at.image, at.g, p), plan.dy.c, n};
    X* to = static_cast<X*>(problem.dx.data);
    if (to) to += plan.dx.offset(at.image, at.g, p);
    const PositionBlock<X> dx{to, plan.dx.c, n};
    const std::int64_t first = (at.image * shape.positions + p) * shape.groups + at.g;
    const VectorPair rstd = load_statistic<L>(problem.rstd, first, n);
    VectorPair mean{hn::Zero(d), hn::Zero(d)};
    if constexpr (Center) mean = load_statistic<L>(problem.mean, first, n);
    const float* weight = plan.weight + at.g * shape.channels;
    const auto load = [&](std::int64_t c, VectorPair& xhat, VectorPair& g) HWY_ATTR {
      x.template load<L>(c, xhat.a, xhat.b);
      dy.template load<L>(c, g.a, g.b);
      xhat.a = hn::Mul(hn::Sub(xhat.a, mean.a), rstd.a);
      xhat.b = hn::Mul(hn::Sub(xhat.b, mean.b), rstd.b);
    };
    VectorPair sum_g, sum_gx;
    sum_channels(shape.channels, sum_g, sum_gx,
                 [&](std::int64_t c, VectorPair& s, VectorPair& q) HWY_ATTR {
                   VectorPair xhat, g;
                   load(c, xhat, g);
                   const VF w = hn::Set(d, weight[c]);
                   g = {hn::Mul(g.a, w), hn::Mul(g.b, w)};
                   s = {hn::Add(s.a, g.a), hn::Add(s.b, g.b)};
                   q = {hn::MulAdd(g.a, xhat.a, q.a), hn::MulAdd(g.b, xhat.b, q.b)};
                 });
    const VF scale = hn::Set(d, -1.0f / static_cast<float>(shape.channels));
    const VectorPair through_x{hn::Mul(hn::Mul(sum_gx.a, scale), rstd.a),
                               hn::Mul(hn::Mul(sum_gx.b, scale), rstd.b)};
    VectorPair through_mean{hn::Zero(d), hn::Zero(d)};
    if constexpr (Center) {
      through_mean = {hn::Mul(hn::Mul(sum_g.a, scale), rstd.a),
                      hn::Mul(hn::Mul(sum_g.b, scale), rstd.b)};
    }
    for (std::int64_t c = 0; c < shape.channels; ++c) {
      VectorPair xhat, g;
      load(c, xhat, g);
      float* to = sums + c * 2 * PositionBackwardPlan::kLaneFloats;
      const VF dweight = hn::MulAdd(g.b, xhat.b, hn::MulAdd(g.a, xhat.a, hn::LoadU(d, to)));
      float* to_bias = to + PositionBackwardPlan::kLaneFloats;
      const VF dbias = hn::Add(hn::LoadU(d, to_bias), hn::Add(g.a, g.b));
      hn::StoreU(dweight, d, to);
      hn::StoreU(dbias, d, to_bias);
      if (problem.dx.data == nullptr) continue;
      const VF w = hn::Set(d, weight[c]);
      dx.template store<L>(
          c, hn::MulAdd(hn::Mul(g.a, w), rstd.a, hn::MulAdd(xhat.a, through_x.a, through_mean.a)),
          hn::MulAdd(hn::Mul(g.b, w), rstd.b, hn::MulAdd(xhat.b, through_x.b, through_mean.b)));
    }
  }
};

}  // namespace omninorm::internal::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
