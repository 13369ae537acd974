// Statistics over channels at each position, where positions lie side by side (LN-G-Position on
// NCHW): a vector holds the same channel of neighbouring positions, so every sum is lane by lane. A
// tile of positions goes through all channels, a few at a time, since a channel's positions are one
// run in memory and the next channel's are far away: read a vector from each in turn, every load
// waits for memory. Where PositionShape::narrow says so, a block goes through all of them.
#if defined(OMNINORM_CPU_POSITION_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef OMNINORM_CPU_POSITION_INL_H_
#undef OMNINORM_CPU_POSITION_INL_H_
#else
#define OMNINORM_CPU_POSITION_INL_H_
#endif

#include "src/cpu/column-inl.h"
#include "src/cpu/moments-inl.h"
#include "src/cpu/position_plan.h"

HWY_BEFORE_NAMESPACE();
namespace omninorm::internal::HWY_NAMESPACE {

// Channels whose fp32 sum is one chain of additions; chains are added up in turn.
inline constexpr std::int64_t kChannelsPerSum = 32;
// Channels that are summed together, so that a position's sums are loaded and stored once for them.
inline constexpr std::int64_t kChannelsTogether = 8;
static_assert(kChannelsPerSum % kChannelsTogether == 0);
// Channels that are written together. Fewer, since their lines, an output's too, may all want the
// same places in the nearest cache.
inline constexpr std::int64_t kChannelsWritten = 4;

// A number for each position of a tile, by blocks in x's layout: a vector, then its fellow.
struct TileNumbers {
  HWY_ALIGN float values[kMostTilePositions];
};

struct VectorPair {
  VF a, b;
};

HWY_INLINE VectorPair load_pair(const TileNumbers& from, size_t at) {
  const DF d;
  return {hn::Load(d, from.values + at), hn::Load(d, from.values + at + hn::Lanes(d))};
}
HWY_INLINE void store_pair(const VectorPair& value, size_t at, TileNumbers& to) {
  const DF d;
  hn::Store(value.a, d, to.values + at);
  hn::Store(value.b, d, to.values + at + hn::Lanes(d));
}

// The positions of a tile in one operand: those of channel c from data + c * stride on.
template <class T>
struct TileRows {
  T* data;
  std::int64_t stride;

  T* operator()(std::int64_t c) const { return data + c * stride; }
};

// Sums over channels of step(c, at, n, full, first, second), which adds to two VectorPairs what
// channel c has in the block of n positions from `at` on; done(at, n, first, second) takes the
// sums. In chains of kChannelsPerSum.
template <class Step, class Done>
HWY_INLINE void sum_channels(size_t positions, std::int64_t channels, const Step& step,
                             const Done& done) {
  const VF zero = hn::Zero(DF());
  TileNumbers chain[2], total[2];
  for (std::int64_t from = 0; from < channels; from += kChannelsTogether) {
    const std::int64_t to = HWY_MIN(channels, from + kChannelsTogether);
    const bool begins = from % kChannelsPerSum == 0, first_chain = from < kChannelsPerSum;
    const bool last = to == channels, ends = last || to % kChannelsPerSum == 0;
    for_each_block(positions, [&](size_t at, size_t n, auto full) HWY_ATTR {
      VectorPair s{zero, zero}, q{zero, zero};
      if (!begins) {
        s = load_pair(chain[0], at);
        q = load_pair(chain[1], at);
      }
      if (HWY_LIKELY(to - from == kChannelsTogether)) {
        for (int i = 0; i < kChannelsTogether; ++i) step(from + i, at, n, full, s, q);
      } else {
        for (std::int64_t c = from; c < to; ++c) step(c, at, n, full, s, q);
      }
      if (!ends) {
        store_pair(s, at, chain[0]);
        store_pair(q, at, chain[1]);
        return;
      }
      if (!first_chain) {
        const VectorPair so_far = load_pair(total[0], at), squares = load_pair(total[1], at);
        s = {hn::Add(so_far.a, s.a), hn::Add(so_far.b, s.b)};
        q = {hn::Add(squares.a, q.a), hn::Add(squares.b, q.b)};
      }
      if (last) return done(at, n, s, q);
      store_pair(s, at, total[0]);
      store_pair(q, at, total[1]);
    });
  }
}

struct TileStatistics {
  TileNumbers shift, correction, mean, rstd;
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

// Whether fp32 is enough for a block's first n positions.
template <Layout L>
HWY_INLINE bool all_in_range(const VectorPair& with_eps, hn::Mask<DF> near_a, hn::Mask<DF> near_b,
                             size_t n) {
  const DF d;
  const VF smallest = hn::Set(d, 0x1p-100f), largest = hn::Set(d, 0x1p127f);
  const auto good = [&](VF v, hn::Mask<DF> near) HWY_ATTR {
    return hn::And(near, hn::And(hn::Ge(v, smallest), hn::Le(v, largest)));
  };
  const auto a = hn::Or(good(with_eps.a, near_a), hn::Not(mask_a<L>(n)));
  const auto b = hn::Or(good(with_eps.b, near_b), hn::Not(mask_b<L>(n)));
  return hn::AllTrue(d, a) && hn::AllTrue(d, b);
}

// As sum_channels, and the same bits, for one block in registers: step(c, first, second).
template <class Step>
HWY_INLINE void sum_block(std::int64_t channels, VectorPair& first, VectorPair& second,
                          const Step& step) {
  const VF zero = hn::Zero(DF());
  first = second = {zero, zero};
  for (std::int64_t from = 0; from < channels; from += kChannelsPerSum) {
    const std::int64_t to = HWY_MIN(channels, from + kChannelsPerSum);
    VectorPair s{zero, zero}, q{zero, zero};
    for (std::int64_t c = from; c < to; ++c) step(c, s, q);
    first = from == 0 ? s : VectorPair{hn::Add(first.a, s.a), hn::Add(first.b, s.b)};
    second = from == 0 ? q : VectorPair{hn::Add(second.a, q.a), hn::Add(second.b, q.b)};
  }
}

// What y takes of a block's statistics: (x - shift) * rstd + correction; and the mean.
struct BlockNumbers {
  VectorPair shift, correction, mean, rstd;
};

template <bool Center>
HWY_INLINE BlockNumbers block_numbers(const VectorPair& shift, const VectorPair& delta,
                                      const VectorPair& with_eps) {
  const VF one = hn::Set(DF(), 1.0f);
  BlockNumbers to;
  to.rstd = {hn::Div(one, hn::Sqrt(with_eps.a)), hn::Div(one, hn::Sqrt(with_eps.b))};
  if constexpr (Center) {
    to.shift = shift;
    to.mean = {hn::Add(shift.a, delta.a), hn::Add(shift.b, delta.b)};
    to.correction = {hn::Neg(hn::Mul(delta.a, to.rstd.a)), hn::Neg(hn::Mul(delta.b, to.rstd.b))};
  }
  return to;
}

// The shift of a block: the mean of a few channels, of few channels that of all. x holds the first
// channel's positions.
template <class X, bool Full>
HWY_INLINE VectorPair block_shift(const X* x, std::int64_t stride, size_t n,
                                  std::int64_t channels) {
  const DF d;
  const std::int64_t sample =
      channels <= kFewChannels ? channels : HWY_MIN(channels, kChannelsTogether);
  const VF per_sample = hn::Set(d, 1.0f / static_cast<float>(sample));
  VectorPair few{hn::Zero(d), hn::Zero(d)}, v;
  for (std::int64_t c = 0; c < sample; ++c) {
    load_channels<kLayout<X>, Full>(x + c * stride, n, v.a, v.b);
    few = {hn::Add(few.a, v.a), hn::Add(few.b, v.b)};
  }
  return {hn::Mul(few.a, per_sample), hn::Mul(few.b, per_sample)};
}

// Statistics of a tile of n positions. False: some position needs more than fp32.
template <class X, bool Center>
HWY_INLINE bool tile_statistics(const TileRows<const X>& x, size_t n, std::int64_t channels,
                                float eps, TileStatistics& to) {
  constexpr Layout L = kLayout<X>;
  const DF d;
  const VF per_channel = hn::Set(d, 1.0f / static_cast<float>(channels));
  const VF e = hn::Set(d, eps), zero = hn::Zero(d);
  if constexpr (Center) {
    // Where the shift is over 1.4 standard deviations off the mean, once more about the mean. Lanes
    // whose shift was near keep it, and with it their bits.
    for_each_block(n, [&](size_t at, size_t count, auto full) HWY_ATTR {
      store_pair(block_shift<X, decltype(full)::value>(x(0) + at, x.stride, count, channels), at,
                 to.shift);
    });
  }
  bool again = false, in_range = true;
  for (const bool last : {!Center, true}) {
    again = false;
    in_range = true;
    sum_channels(
        n, channels,
        [&](std::int64_t c, size_t at, size_t count, auto full, VectorPair& sum, VectorPair& square)
            HWY_ATTR {
              VF a, b;
              load_channels<L, decltype(full)::value>(x(c) + at, count, a, b);
              if constexpr (Center) {
                const VectorPair shift = load_pair(to.shift, at);
                a = hn::Sub(a, shift.a);
                b = hn::Sub(b, shift.b);
                sum = {hn::Add(sum.a, a), hn::Add(sum.b, b)};
              }
              square = {hn::MulAdd(a, a, square.a), hn::MulAdd(b, b, square.b)};
            },
        [&](size_t at, size_t count, const VectorPair& s, const VectorPair& q) HWY_ATTR {
          VectorPair delta, with_eps, shift{zero, zero};
          hn::Mask<DF> near_a, near_b;
          finish_positions<Center>(s.a, q.a, per_channel, e, delta.a, with_eps.a, near_a);
          finish_positions<Center>(s.b, q.b, per_channel, e, delta.b, with_eps.b, near_b);
          if constexpr (Center) shift = load_pair(to.shift, at);
          if (Center && !last && !(hn::AllTrue(d, near_a) && hn::AllTrue(d, near_b))) {
            again = true;
            shift.a = hn::IfThenElse(near_a, shift.a, hn::Add(shift.a, delta.a));
            shift.b = hn::IfThenElse(near_b, shift.b, hn::Add(shift.b, delta.b));
            return store_pair(shift, at, to.shift);
          }
          const BlockNumbers block = block_numbers<Center>(shift, delta, with_eps);
          store_pair(block.rstd, at, to.rstd);
          if constexpr (Center) {
            store_pair(block.mean, at, to.mean);
            store_pair(block.correction, at, to.correction);
          }
          if (HWY_UNLIKELY(!all_in_range<L>(with_eps, near_a, near_b, count))) in_range = false;
        });
    if (!again) break;
  }
  return in_range;
}

// ---- Statistics as the caller has them: position by position, a position's groups side by side

// N vectors of N lanes, rows and columns exchanged. Each level takes the lowest bit of the lane to
// the top of the row, and the lowest bit of the row to the top of the lane.
HWY_INLINE void transpose([[maybe_unused]] VF (&v)[kLanes]) {
#if HWY_TARGET != HWY_SCALAR
  const DF d;
  for (size_t level = 1; level < kLanes; level *= 2) {
    VF even[kLanes / 2], odd[kLanes / 2];
    for (size_t i = 0; i < kLanes / 2; ++i) {
      even[i] = hn::ConcatEven(d, v[2 * i + 1], v[2 * i]);
      odd[i] = hn::ConcatOdd(d, v[2 * i + 1], v[2 * i]);
    }
    for (size_t i = 0; i < kLanes / 2; ++i) {
      v[i] = even[i];
      v[i + kLanes / 2] = odd[i];
    }
  }
#endif
}

// One group's statistic of neighbouring positions, `stride` apart. first may be null: nothing is
// stored. padded: what is behind the last position, up to a block, may be read and written.
template <class T>
struct StatisticRun {
  T* first;
  std::int64_t stride;
  bool padded = false;

  StatisticRun from(size_t at) const { return {first ? place(at) : nullptr, stride, false}; }

  template <Layout L>
  HWY_INLINE void store(const VectorPair& value, size_t at, size_t n) const {
    if (first == nullptr) return;
    if (padded || (stride == 1 && n == block_size())) {
      return store_block<L>(value.a, value.b, place(at));
    }
    HWY_ALIGN float values[2 * kLanes];
    store_block<L>(value.a, value.b, values);
    for (size_t i = 0; i < n; ++i) *place(at + i) = values[i];
  }
  template <Layout L>
  HWY_INLINE VectorPair load(size_t at, size_t n) const {
    VectorPair value;
    if (padded || (stride == 1 && n == block_size())) {
      load_block<L>(place(at), value.a, value.b);
    } else {
      HWY_ALIGN float values[2 * kLanes] = {};
      for (size_t i = 0; i < n; ++i) values[i] = *place(at + i);
      load_block<L>(values, value.a, value.b);
    }
    return value;
  }

 private:
  T* place(size_t at) const { return first + static_cast<std::int64_t>(at) * stride; }
};

// A statistic of a tile, group by group.
struct GroupStatistics {
  HWY_ALIGN float values[kMostTileStatistics];

  float* of(std::int64_t g) { return values + g * kSmallPlane; }
};

// The two orders of a statistic of `groups` groups and n positions: group by group here, a
// position's groups side by side with the caller, whose next position is `stride` on.
struct StatisticsOrder {
  size_t groups, n;
  std::int64_t stride;

  HWY_NOINLINE void store(const GroupStatistics& from, float* there) const {
    const DF d;
    squares(n, [&](size_t g, size_t p, size_t some_groups, size_t some, VF(&v)[kLanes]) HWY_ATTR {
      for (size_t i = 0; i < some_groups; ++i) v[i] = hn::Load(d, here(from.values, g + i, p));
      transpose(v);
      for (size_t i = 0; i < some; ++i) store_n(v[i], d, place(there, g, p + i), some_groups);
    });
  }
  // With zeros up to the end of the last block.
  HWY_NOINLINE void load(const float* there, GroupStatistics& to) const {
    const DF d;
    squares(hwy::RoundUpTo(n, block_size()),
            [&](size_t g, size_t p, size_t some_groups, size_t some, VF(&v)[kLanes]) HWY_ATTR {
              for (size_t i = 0; i < some; ++i)
                v[i] = load_n(d, place(there, g, p + i), some_groups);
              transpose(v);
              for (size_t i = 0; i < some_groups; ++i)
                hn::Store(v[i], d, here(to.values, g + i, p));
            });
  }

 private:
  template <class T>
  T* here(T* values, size_t g, size_t p) const {
    return values + g * static_cast<size_t>(kSmallPlane) + p;
  }
  template <class T>
  T* place(T* there, size_t g, size_t p) const {
    return there + static_cast<std::int64_t>(p) * stride + static_cast<std::int64_t>(g);
  }
  // Squares of up to N groups and N positions. The rest of v is zero.
  template <class Square>
  HWY_INLINE void squares(size_t end, const Square& square) const {
    for (size_t p = 0; p < end; p += kLanes) {
      for (size_t g = 0; g < groups; g += kLanes) {
        VF v[kLanes];
        for (size_t i = 0; i < kLanes; ++i) v[i] = hn::Zero(DF());
        square(g, p, HWY_MIN(kLanes, groups - g), p < n ? HWY_MIN(kLanes, n - p) : 0, v);
      }
    }
  }
};

}  // namespace omninorm::internal::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
