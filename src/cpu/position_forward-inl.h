// Forward of norms over channels at each position.
#if defined(OMNINORM_CPU_POSITION_FORWARD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef OMNINORM_CPU_POSITION_FORWARD_INL_H_
#undef OMNINORM_CPU_POSITION_FORWARD_INL_H_
#else
#define OMNINORM_CPU_POSITION_FORWARD_INL_H_
#endif

#include "src/cpu/position-inl.h"

HWY_BEFORE_NAMESPACE();
namespace omninorm::internal::HWY_NAMESPACE {

// Forward of a tile.
template <class X, class Y, bool Center>
struct PositionForward {
  static constexpr Layout kL = kLayout<X>;

  const PositionForwardPlan& plan;
  const NormForward& problem;

  void operator()(std::int64_t index) const {
    const PositionShape& shape = plan.shape;
    const PositionTile tile(shape, index);
    const std::int64_t first = shape.statistic(tile.image, tile.begin, tile.group);
    float* mean = Center && problem.mean ? static_cast<float*>(problem.mean) + first : nullptr;
    float* rstd = problem.rstd ? static_cast<float*>(problem.rstd) + first : nullptr;
    if (tile.groups == 1) {
      return group(tile, tile.group, {mean, shape.groups}, {rstd, shape.groups});
    }
    GroupStatistics means, rstds;
    for (std::int64_t g = 0; g < tile.groups; ++g) {
      group(tile, tile.group + g, {mean ? means.of(g) : nullptr, 1, true},
            {rstd ? rstds.of(g) : nullptr, 1, true});
    }
    const StatisticsOrder order{static_cast<size_t>(tile.groups), tile.positions(), shape.groups};
    if (mean) order.store(means, mean);
    if (rstd) order.store(rstds, rstd);
  }

 private:
  using Run = StatisticRun<float>;

  void group(const PositionTile& tile, std::int64_t g, Run mean, Run rstd) const {
    if (plan.shape.narrow) return narrow(tile, g, mean, rstd);
    wide(tile.image, g, tile.begin, tile.positions(), mean, rstd);
  }

  TileRows<const X> x_rows(std::int64_t image, std::int64_t g, std::int64_t p) const {
    return {static_cast<const X*>(problem.x.data) + plan.x.offset(image, g, p), plan.x.c};
  }
  TileRows<Y> y_rows(std::int64_t image, std::int64_t g, std::int64_t p) const {
    return {static_cast<Y*>(problem.y.data) + plan.y.offset(image, g, p), plan.y.c};
  }

  // ---- Wide: a tile at a time

  // Positions p .. p + n - 1 of one group. One that needs double must not change its neighbours:
  // where there is such a one, each block by itself, and in its block each position.
  HWY_NOINLINE void wide(std::int64_t image, std::int64_t g, std::int64_t p, size_t n, Run mean,
                         Run rstd) const {
    const TileRows<const X> x = x_rows(image, g, p);
    const TileRows<Y> y = y_rows(image, g, p);
    TileStatistics statistics;
    const auto eps = static_cast<float>(problem.parameters.eps);
    const std::int64_t channel = g * plan.shape.channels;
    if (HWY_LIKELY((tile_statistics<X, Center>(x, n, plan.shape.channels, eps, statistics)))) {
      for_each_block(n, [&](size_t at, size_t count, auto) HWY_ATTR {
        if constexpr (Center) mean.template store<kL>(load_pair(statistics.mean, at), at, count);
        rstd.template store<kL>(load_pair(statistics.rstd, at), at, count);
      });
      if (plan.streams && aligned_for_stream(y(0))) {
        return write<true>(x, y, channel, n, statistics);
      }
      return write<false>(x, y, channel, n, statistics);
    }
    if (n == 1) {
      reference_position(problem, plan, image, g, p);
      const std::int64_t at = plan.shape.statistic(image, p, g);
      if (mean.first) *mean.first = static_cast<const float*>(problem.mean)[at];
      if (rstd.first) *rstd.first = static_cast<const float*>(problem.rstd)[at];
      return;
    }
    const size_t part = n > block_size() ? block_size() : 1;
    for (size_t i = 0; i < n; i += part) {
      wide(image, g, p + static_cast<std::int64_t>(i), HWY_MIN(part, n - i), mean.from(i),
           rstd.from(i));
    }
  }

  template <bool Stream>
  HWY_NOINLINE void write(const TileRows<const X>& x, const TileRows<Y>& y, std::int64_t channel,
                          size_t n, const TileStatistics& statistics) const {
    const std::int64_t channels = plan.shape.channels;
    std::int64_t c = 0;
    for (; c + kChannelsWritten <= channels; c += kChannelsWritten) {
      write_channels<kChannelsWritten, Stream>(x, y, c, channel, n, statistics);
    }
    for (; c < channels; ++c) write_channels<1, Stream>(x, y, c, channel, n, statistics);
  }

  template <int Channels, bool Stream>
  HWY_INLINE void write_channels(const TileRows<const X>& x, const TileRows<Y>& y, std::int64_t c,
                                 std::int64_t channel, size_t n,
                                 const TileStatistics& statistics) const {
    for_each_block(n, [&](size_t at, size_t count, auto full) HWY_ATTR {
      constexpr bool kFull = decltype(full)::value;
      BlockNumbers numbers;
      numbers.rstd = load_pair(statistics.rstd, at);
      if constexpr (Center) {
        numbers.shift = load_pair(statistics.shift, at);
        numbers.correction = load_pair(statistics.correction, at);
      }
      for (int i = 0; i < Channels; ++i) {
        write_block<kFull, Stream>(x(c + i) + at, y(c + i) + at, count, channel + c + i, numbers);
      }
    });
  }

  template <bool Full, bool Stream>
  HWY_INLINE void write_block(const X* x, Y* y, size_t n, std::int64_t channel,
                              const BlockNumbers& numbers) const {
    const DF d;
    VF a, b;
    load_channels<kL, Full>(x, n, a, b);
    if constexpr (Center) {
      a = hn::MulAdd(hn::Sub(a, numbers.shift.a), numbers.rstd.a, numbers.correction.a);
      b = hn::MulAdd(hn::Sub(b, numbers.shift.b), numbers.rstd.b, numbers.correction.b);
    } else {
      a = hn::Mul(a, numbers.rstd.a);
      b = hn::Mul(b, numbers.rstd.b);
    }
    const VF weight = hn::Set(d, plan.weight[channel]), bias = hn::Set(d, plan.bias[channel]);
    store_channels<X, Full, Stream>(hn::MulAdd(a, weight, bias), hn::MulAdd(b, weight, bias), y, n);
  }

  // ---- Narrow: a block at a time, whose channels the nearest cache holds

  HWY_NOINLINE void narrow(const PositionTile& tile, std::int64_t g, Run mean, Run rstd) const {
    const TileRows<const X> x = x_rows(tile.image, g, tile.begin);
    const TileRows<Y> y = y_rows(tile.image, g, tile.begin);
    const bool stream = plan.streams && aligned_for_stream(y(0));
    for_each_block(tile.positions(), [&](size_t at, size_t n, auto full) HWY_ATTR {
      constexpr bool kFull = decltype(full)::value;
      BlockNumbers numbers;
      if (HWY_UNLIKELY(!block_statistics<kFull>(x, at, n, numbers))) {
        return wide(tile.image, g, tile.begin + static_cast<std::int64_t>(at), n, mean.from(at),
                    rstd.from(at));
      }
      if constexpr (Center) mean.template store<kL>(numbers.mean, at, n);
      rstd.template store<kL>(numbers.rstd, at, n);
      const std::int64_t channel = g * plan.shape.channels;
      const auto write = [&](auto streams) HWY_ATTR {
        for (std::int64_t c = 0; c < plan.shape.channels; ++c) {
          write_block<kFull, decltype(streams)::value>(x(c) + at, y(c) + at, n, channel + c,
                                                       numbers);
        }
      };
      if (stream) return write(std::true_type());
      write(std::false_type());
    });
  }

  // As tile_statistics, and the same bits, in one go; false also where that takes a second one.
  template <bool Full>
  HWY_INLINE bool block_statistics(const TileRows<const X>& x, size_t at, size_t n,
                                   BlockNumbers& numbers) const {
    const DF d;
    const std::int64_t channels = plan.shape.channels;
    const VF zero = hn::Zero(d);
    const VF per_channel = hn::Set(d, 1.0f / static_cast<float>(channels));
    const VF eps = hn::Set(d, static_cast<float>(problem.parameters.eps));
    VectorPair shift{zero, zero}, s, q;
    if constexpr (Center) shift = block_shift<X, Full>(x(0) + at, x.stride, n, channels);
    sum_block(channels, s, q, [&](std::int64_t c, VectorPair& first, VectorPair& second) HWY_ATTR {
      VectorPair v;
      load_channels<kL, Full>(x(c) + at, n, v.a, v.b);
      if constexpr (Center) {
        v = {hn::Sub(v.a, shift.a), hn::Sub(v.b, shift.b)};
        first = {hn::Add(first.a, v.a), hn::Add(first.b, v.b)};
      }
      second = {hn::MulAdd(v.a, v.a, second.a), hn::MulAdd(v.b, v.b, second.b)};
    });
    VectorPair delta, with_eps;
    hn::Mask<DF> near_a, near_b;
    finish_positions<Center>(s.a, q.a, per_channel, eps, delta.a, with_eps.a, near_a);
    finish_positions<Center>(s.b, q.b, per_channel, eps, delta.b, with_eps.b, near_b);
    if (HWY_UNLIKELY(!all_in_range<kL>(with_eps, near_a, near_b, n))) return false;
    numbers = block_numbers<Center>(shift, delta, with_eps);
    return true;
  }
};

}  // namespace omninorm::internal::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
