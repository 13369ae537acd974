// Backward of norms over channels at each position.
#if defined(OMNINORM_CPU_POSITION_BACKWARD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef OMNINORM_CPU_POSITION_BACKWARD_INL_H_
#undef OMNINORM_CPU_POSITION_BACKWARD_INL_H_
#else
#define OMNINORM_CPU_POSITION_BACKWARD_INL_H_
#endif

#include "src/cpu/position-inl.h"

HWY_BEFORE_NAMESPACE();
namespace omninorm::internal::HWY_NAMESPACE {

// Backward of a tile: dx, and its sums for dweight and dbias.
template <class X, class Y, bool Center>
struct PositionBackward {
  const PositionBackwardPlan& plan;
  const NormBackward& problem;

  void operator()(std::int64_t index) const {
    const PositionShape& shape = plan.shape;
    const PositionTile at(shape, index);
    const std::int64_t first = shape.statistic(at.image, at.begin, at.group);
    const auto* mean = Center ? static_cast<const float*>(problem.mean) + first : nullptr;
    const auto* rstd = static_cast<const float*>(problem.rstd) + first;
    if (at.groups == 1) {
      return group(at, at.group, {mean, shape.groups}, {rstd, shape.groups});
    }
    GroupStatistics means, rstds;
    const StatisticsOrder order{static_cast<size_t>(at.groups), at.positions(), shape.groups};
    if constexpr (Center) order.load(mean, means);
    order.load(rstd, rstds);
    for (std::int64_t i = 0; i < at.groups; ++i) {
      group(at, at.group + i, {means.of(i), 1, true}, {rstds.of(i), 1, true});
    }
  }

 private:
  static constexpr Layout kL = kLayout<X>;
  using Run = StatisticRun<const float>;

  struct Operands {
    TileRows<const X> x;
    TileRows<const Y> dy;
    TileRows<X> dx;
    size_t n;
    Run mean, rstd;
    const float* weight;
    double* parts;
  };

  // Positions of one group; those of channel c in the operands' rows c, their statistics as given.
  void group(const PositionTile& at, std::int64_t g, Run mean, Run rstd) const {
    const PositionShape& shape = plan.shape;
    Operands tile;
    tile.x = {static_cast<const X*>(problem.x.data) + plan.x.offset(at.image, g, at.begin),
              plan.x.c};
    tile.dy = {static_cast<const Y*>(problem.dy.data) + plan.dy.offset(at.image, g, at.begin),
               plan.dy.c};
    tile.n = at.positions();
    tile.mean = mean;
    tile.rstd = rstd;
    tile.weight = plan.weight + g * shape.channels;
    tile.parts = plan.parts + (at.part * shape.groups + g) * shape.channels * 2;
    if (problem.dx.data == nullptr) return run<Dx::none>(tile);
    tile.dx = {static_cast<X*>(problem.dx.data) + plan.dx.offset(at.image, g, at.begin), plan.dx.c};
    if (plan.streams && aligned_for_stream(tile.dx(0))) return run<Dx::stream>(tile);
    run<Dx::store>(tile);
  }

  template <Dx D>
  void run(const Operands& tile) const {
    if (plan.shape.narrow) return narrow<D>(tile);
    wide<D>(tile);
  }

  // ---- A block

  // What a block's channels share.
  struct Numbers {
    VectorPair mean, rstd, through_x, through_mean;
  };

  HWY_INLINE Numbers statistics(const Operands& tile, size_t at, size_t n) const {
    const VF zero = hn::Zero(DF());
    Numbers numbers{{zero, zero}, tile.rstd.template load<kL>(at, n), {zero, zero}, {zero, zero}};
    if constexpr (Center) numbers.mean = tile.mean.template load<kL>(at, n);
    return numbers;
  }

  template <bool Full>
  HWY_INLINE void load(const Operands& tile, std::int64_t c, size_t at, size_t n,
                       const Numbers& numbers, VectorPair& xhat, VectorPair& g) const {
    load_channels<kL, Full>(tile.x(c) + at, n, xhat.a, xhat.b);
    load_channels<kL, Full>(tile.dy(c) + at, n, g.a, g.b);
    xhat.a = hn::Mul(hn::Sub(xhat.a, numbers.mean.a), numbers.rstd.a);
    xhat.b = hn::Mul(hn::Sub(xhat.b, numbers.mean.b), numbers.rstd.b);
  }

  // The sums of g * weight and of g * weight * xhat, one channel more.
  template <bool Full>
  HWY_INLINE void add(const Operands& tile, std::int64_t c, size_t at, size_t n,
                      const Numbers& numbers, VectorPair& s, VectorPair& q) const {
    VectorPair xhat, g;
    load<Full>(tile, c, at, n, numbers, xhat, g);
    const VF w = hn::Set(DF(), tile.weight[c]);
    g = {hn::Mul(g.a, w), hn::Mul(g.b, w)};
    s = {hn::Add(s.a, g.a), hn::Add(s.b, g.b)};
    q = {hn::MulAdd(g.a, xhat.a, q.a), hn::MulAdd(g.b, xhat.b, q.b)};
  }

  // What dx takes from them.
  HWY_INLINE void finish(const VectorPair& s, const VectorPair& q, Numbers& numbers) const {
    const VF scale = hn::Set(DF(), -1.0f / static_cast<float>(plan.shape.channels));
    const VectorPair& rstd = numbers.rstd;
    numbers.through_x = {hn::Mul(hn::Mul(q.a, scale), rstd.a),
                         hn::Mul(hn::Mul(q.b, scale), rstd.b)};
    if constexpr (!Center) return;
    numbers.through_mean = {hn::Mul(hn::Mul(s.a, scale), rstd.a),
                            hn::Mul(hn::Mul(s.b, scale), rstd.b)};
  }

  // dx of one channel, which adds to the lanes' sums for dweight and dbias.
  template <bool Full, Dx D>
  HWY_INLINE void write(const Operands& tile, std::int64_t c, size_t at, size_t n,
                        const Numbers& numbers, VF& dweight, VF& dbias) const {
    VectorPair xhat, g;
    load<Full>(tile, c, at, n, numbers, xhat, g);
    dweight = hn::MulAdd(g.b, xhat.b, hn::MulAdd(g.a, xhat.a, dweight));
    dbias = hn::Add(dbias, hn::Add(g.a, g.b));
    if constexpr (D == Dx::none) return;
    const VF w = hn::Set(DF(), tile.weight[c]);
    const VF a = hn::MulAdd(xhat.a, numbers.through_x.a, numbers.through_mean.a);
    const VF b = hn::MulAdd(xhat.b, numbers.through_x.b, numbers.through_mean.b);
    store_channels<X, Full, D == Dx::stream>(hn::MulAdd(hn::Mul(g.a, w), numbers.rstd.a, a),
                                             hn::MulAdd(hn::Mul(g.b, w), numbers.rstd.b, b),
                                             tile.dx(c) + at, n);
  }

  // ---- Wide: a tile at a time

  // Numbers of all blocks of a tile.
  struct TileShared {
    TileNumbers mean, rstd, through_x, through_mean;

    HWY_INLINE Numbers of(size_t at) const {
      const VF zero = hn::Zero(DF());
      Numbers numbers{{zero, zero}, load_pair(rstd, at), {zero, zero}, {zero, zero}};
      if constexpr (Center) numbers.mean = load_pair(mean, at);
      return numbers;
    }
  };

  template <Dx D>
  HWY_NOINLINE void wide(const Operands& tile) const {
    const std::int64_t channels = plan.shape.channels;
    TileShared shared;
    for_each_block(tile.n, [&](size_t at, size_t n, auto) HWY_ATTR {
      const Numbers numbers = statistics(tile, at, n);
      store_pair(numbers.rstd, at, shared.rstd);
      if constexpr (Center) store_pair(numbers.mean, at, shared.mean);
    });
    if constexpr (D != Dx::none) {
      sum_channels(
          tile.n, channels,
          [&](std::int64_t c, size_t at, size_t n, auto full, VectorPair& s, VectorPair& q)
              HWY_ATTR { add<decltype(full)::value>(tile, c, at, n, shared.of(at), s, q); },
          [&](size_t at, size_t, const VectorPair& s, const VectorPair& q) HWY_ATTR {
            Numbers numbers = shared.of(at);
            finish(s, q, numbers);
            store_pair(numbers.through_x, at, shared.through_x);
            if constexpr (Center) store_pair(numbers.through_mean, at, shared.through_mean);
          });
    }
    constexpr auto kTogether = static_cast<std::int64_t>(kFewRows);
    std::int64_t c = 0;
    for (; c + kTogether <= channels; c += kTogether) {
      write_channels<kFewRows, D>(tile, shared, c);
    }
    for (; c < channels; ++c) write_channels<1, D>(tile, shared, c);
  }

  template <size_t Channels, Dx D>
  HWY_INLINE void write_channels(const Operands& tile, const TileShared& shared,
                                 std::int64_t first) const {
    VF dweight[Channels], dbias[Channels];
    for (size_t i = 0; i < Channels; ++i) dweight[i] = dbias[i] = hn::Zero(DF());
    for_each_block(tile.n, [&](size_t at, size_t n, auto full) HWY_ATTR {
      Numbers numbers = shared.of(at);
      if constexpr (D != Dx::none) {
        numbers.through_x = load_pair(shared.through_x, at);
        if constexpr (Center) numbers.through_mean = load_pair(shared.through_mean, at);
      }
      for (size_t i = 0; i < Channels; ++i) {
        write<decltype(full)::value, D>(tile, first + static_cast<std::int64_t>(i), at, n, numbers,
                                        dweight[i], dbias[i]);
      }
    });
    finish_parts<Channels>(dweight, dbias, tile.parts + first * 2);
  }

  template <size_t Channels>
  HWY_INLINE void finish_parts(VF* dweight, VF* dbias, double* to) const {
    const DF d;
    HWY_ALIGN float sums[2][kLanes];
    hn::Store(reduce_each<Channels>(dweight), d, sums[0]);
    hn::Store(reduce_each<Channels>(dbias), d, sums[1]);
    for (size_t i = 0; i < Channels; ++i) {
      to[2 * i] = static_cast<double>(sums[0][i]);
      to[2 * i + 1] = static_cast<double>(sums[1][i]);
    }
  }

  // ---- Narrow: a block at a time, whose channels the nearest cache holds

  template <Dx D>
  HWY_NOINLINE void narrow(const Operands& tile) const {
    const VF zero = hn::Zero(DF());
    const std::int64_t channels = plan.shape.channels;
    VF dweight[kFewChannels], dbias[kFewChannels];
    for (std::int64_t c = 0; c < channels; ++c) dweight[c] = dbias[c] = zero;
    for_each_block(tile.n, [&](size_t at, size_t n, auto full) HWY_ATTR {
      constexpr bool kFull = decltype(full)::value;
      Numbers numbers = statistics(tile, at, n);
      if constexpr (D != Dx::none) {
        VectorPair s, q;
        sum_block(channels, s, q,
                  [&](std::int64_t c, VectorPair& first, VectorPair& second)
                      HWY_ATTR { add<kFull>(tile, c, at, n, numbers, first, second); });
        finish(s, q, numbers);
      }
      for (std::int64_t c = 0; c < channels; ++c) {
        write<kFull, D>(tile, c, at, n, numbers, dweight[c], dbias[c]);
      }
    });
    constexpr auto kTogether = static_cast<std::int64_t>(kFewRows);
    for (std::int64_t c = 0; c < channels; c += kTogether) {
      double parts[kFewRows * 2];
      for (std::int64_t i = channels - c; i < kTogether; ++i) dweight[c + i] = dbias[c + i] = zero;
      finish_parts<kFewRows>(dweight + c, dbias + c, parts);
      std::copy_n(parts, 2 * HWY_MIN(kTogether, channels - c), tile.parts + 2 * c);
    }
  }
};

}  // namespace omninorm::internal::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
