// Channels that lie side by side (NHWC, and (N, C)): a row holds one position's channels. Sums are
// kept for each channel, over blocks of rows.
#if defined(OMNINORM_CPU_COLUMN_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef OMNINORM_CPU_COLUMN_INL_H_
#undef OMNINORM_CPU_COLUMN_INL_H_
#else
#define OMNINORM_CPU_COLUMN_INL_H_
#endif

#include "src/cpu/activation-inl.h"
#include "src/cpu/channel_finish-inl.h"
#include "src/cpu/moments-inl.h"
#include "src/cpu/row_plan.h"

HWY_BEFORE_NAMESPACE();
namespace omninorm::internal::HWY_NAMESPACE {

// Rows that are taken together, so that a channel's sums and parameters are loaded once for them.
inline constexpr int kRowsTogether = 8;
// Channels whose sums are kept on the stack; wider rows are walked once for each tile.
inline constexpr size_t kChannelTile = 512;
// Rows after which fp32 sums are added into doubles. Not more: 16-bit data lie on a grid, and
// against it the roundings of a long chain of additions all go one way.
inline constexpr std::int64_t kRowsPerSum = 64;

// Elements [at, at + n) of a block's channels; all = the block is whole.
template <Layout L, bool Full, class T>
HWY_INLINE void load_channels(const T* p, size_t n, VF& a, VF& b) {
  if constexpr (Full) {
    load_block<L>(p, a, b);
  } else {
    load_block_n<L>(p, n, a, b);
  }
}

// Calls step(at, n, full) for each block of channels.
template <class Step>
HWY_INLINE void for_each_block(size_t channels, const Step& step) {
  const size_t block = block_size();
  size_t at = 0;
  for (; at + block <= channels; at += block) step(at, block, std::true_type());
  if (at < channels) step(at, channels - at, std::false_type());
}

struct ChannelRange {
  size_t first, last;
};

// Channels of a tile of a block.
HWY_INLINE ChannelRange channels_of(const ChannelShape& shape, std::int64_t unit) {
  const std::int64_t first = unit % shape.tiles * shape.tile;
  return {static_cast<size_t>(first),
          static_cast<size_t>(HWY_MIN(first + shape.tile, shape.channels))};
}

// ---- Forward

// Adds `Rows` rows to the sums of (x - shift) and of its square, channel by channel. The arrays
// have room for whole blocks.
template <int Rows, class X>
HWY_INLINE void add_rows(const X* const* rows, size_t channels, const float* shift, float* sums,
                         float* squares) {
  constexpr Layout L = kLayout<X>;
  for_each_block(channels, [&](size_t at, size_t n, auto full) HWY_ATTR {
    VF ma, mb, sa, sb, qa, qb;
    load_block<L>(shift + at, ma, mb);
    load_block<L>(sums + at, sa, sb);
    load_block<L>(squares + at, qa, qb);
    for (int r = 0; r < Rows; ++r) {
      VF a, b;
      load_channels<L, decltype(full)::value>(rows[r] + at, n, a, b);
      a = hn::Sub(a, ma);
      b = hn::Sub(b, mb);
      sa = hn::Add(sa, a);
      sb = hn::Add(sb, b);
      qa = hn::MulAdd(a, a, qa);
      qb = hn::MulAdd(b, b, qb);
    }
    store_block<L>(sa, sb, sums + at);
    store_block<L>(qa, qb, squares + at);
  });
}

template <class X>
struct ColumnRows {
  const X* base;
  const ChannelShape& shape;
  ChannelStrides strides;
  std::int64_t set;

  const X* operator()(std::int64_t r) const { return base + strides.row(shape, set, r); }
  template <int Rows>
  void gather(std::int64_t r, size_t channel, const X** out) const {
    for (int i = 0; i < Rows; ++i) out[i] = (*this)(r + i) + channel;
  }
};

// Moments of channels [channel, channel + channels), at most kChannelTile, over rows begin ..
// end-1.
template <class X>
void column_moments(const ColumnRows<X>& rows, std::int64_t begin, std::int64_t end, size_t channel,
                    size_t channels, double eps, double* means, double* m2s) {
  HWY_ALIGN float shift[kChannelTile], sums[kChannelTile], squares[kChannelTile];
  double first[kChannelTile], second[kChannelTile];
  const auto count = static_cast<double>(end - begin);
  // The shift is the mean of a few rows: sums about 0.
  const std::int64_t sample = HWY_MIN(end - begin, static_cast<std::int64_t>(kRowsTogether));
  std::memset(shift, 0, sizeof shift);
  std::memset(sums, 0, sizeof sums);
  std::memset(squares, 0, sizeof squares);
  for (std::int64_t r = begin; r < begin + sample; ++r) {
    const X* row[1];
    rows.template gather<1>(r, channel, row);
    add_rows<1>(row, channels, shift, sums, squares);
  }
  for (size_t c = 0; c < channels; ++c) shift[c] = sums[c] / static_cast<float>(sample);
  for (int attempt = 0; attempt < 2; ++attempt) {
    for (size_t c = 0; c < channels; ++c) first[c] = second[c] = 0;
    for (std::int64_t from = begin; from < end; from += kRowsPerSum) {
      const std::int64_t to = HWY_MIN(end, from + kRowsPerSum);
      std::memset(sums, 0, sizeof sums);
      std::memset(squares, 0, sizeof squares);
      const X* row[kRowsTogether];
      std::int64_t r = from;
      for (; r + kRowsTogether <= to; r += kRowsTogether) {
        rows.template gather<kRowsTogether>(r, channel, row);
        add_rows<kRowsTogether>(row, channels, shift, sums, squares);
      }
      for (; r < to; ++r) {
        rows.template gather<1>(r, channel, row);
        add_rows<1>(row, channels, shift, sums, squares);
      }
      for (size_t c = 0; c < channels; ++c) {
        first[c] += static_cast<double>(sums[c]);
        second[c] += static_cast<double>(squares[c]);
      }
    }
    // As for rows: a shift over a standard deviation off costs bits, then once more about the mean.
    int far = 0;
    const double per_row = 1 / count;
    for (size_t c = 0; c < channels; ++c) {
      const double delta = first[c] * per_row;
      const double m2 = second[c] - first[c] * delta;
      const double mean = static_cast<double>(shift[c]) + delta;
      means[c] = mean;
      m2s[c] = m2 < 0 ? 0 : m2;
      far += !(delta * first[c] <= m2 + eps * count);
    }
    if (far == 0 || attempt == 1) break;
    for (size_t c = 0; c < channels; ++c) {
      // Only its own shift: a channel's bits must not depend on its neighbours.
      const double delta = first[c] * per_row;
      const double m2 = second[c] - first[c] * delta;
      if (!(delta * first[c] <= m2 + eps * count)) shift[c] = static_cast<float>(means[c]);
    }
  }
}

// y of `Rows` rows.
template <int Rows, class X, class Y, Activation A, bool Stream>
HWY_INLINE void write_rows(const X* const* x, Y* const* y, size_t channels, const float* shift,
                           const float* scale, const float* offset) {
  constexpr Layout L = kLayout<X>;
  for_each_block(channels, [&](size_t at, size_t n, auto full) HWY_ATTR {
    constexpr bool kFull = decltype(full)::value;
    VF ma, mb, wa, wb, oa, ob;
    load_block<L>(shift + at, ma, mb);
    load_block<L>(scale + at, wa, wb);
    load_block<L>(offset + at, oa, ob);
    for (int r = 0; r < Rows; ++r) {
      VF a, b;
      load_channels<L, kFull>(x[r] + at, n, a, b);
      a = activate<A>(hn::MulAdd(hn::Sub(a, ma), wa, oa));
      b = activate<A>(hn::MulAdd(hn::Sub(b, mb), wb, ob));
      if constexpr (kFull && Stream && can_stream<X, Y>()) {
        stream_block<L>(a, b, y[r] + at);
      } else if constexpr (kFull) {
        store_block<L>(a, b, y[r] + at);
      } else {
        store_block_n<L>(a, b, y[r] + at, n);
      }
    }
  });
}

// Whether all rows of an output begin on a cache line.
template <class T>
bool aligned_columns(const void* data, const ChannelStrides& strides) {
  const auto lines = [](std::int64_t stride) {
    return stride * static_cast<std::int64_t>(sizeof(T)) % 64 == 0;
  };
  return aligned_for_stream(data) && lines(strides.n) && lines(strides.s);
}

template <class X, class Y, Activation A>
struct ColumnForward {
  const ChannelForwardPlan& plan;
  const NormForward& problem;
  const ChannelShape& shape;
  ChannelStrides xs, ys;

  explicit ColumnForward(const ChannelForwardPlan& p)
      : plan(p),
        problem(*p.problem),
        shape(p.shape),
        xs(problem.x.strides, shape),
        ys(problem.y.strides, shape) {}

  // A tile of a block, blocks counted through sets.
  void moments(std::int64_t unit) const {
    const std::int64_t b = unit / shape.tiles;
    const std::int64_t set = b / shape.blocks;
    const std::int64_t begin = b % shape.blocks * shape.rows_per_block;
    const std::int64_t end = HWY_MIN(begin + shape.rows_per_block, shape.rows_per_set());
    const ColumnRows<X> rows{static_cast<const X*>(problem.x.data), shape, xs, set};
    const auto [first, last] = channels_of(shape, unit);
    for (size_t c = first; c < last; c += kChannelTile) {
      column_moments(rows, begin, end, c, HWY_MIN(last - c, kChannelTile), problem.parameters.eps,
                     plan.part_mean + b * shape.channels + static_cast<std::int64_t>(c),
                     plan.part_m2 + b * shape.channels + static_cast<std::int64_t>(c));
    }
  }

  void apply(std::int64_t unit) const {
    if (plan.streams && aligned_columns<Y>(problem.y.data, ys)) {
      write<true>(unit);
    } else {
      write<false>(unit);
    }
  }

  template <bool Stream>
  void write(std::int64_t unit) const {
    const std::int64_t b = unit / shape.tiles;
    const std::int64_t set = b / shape.blocks;
    const std::int64_t begin = b % shape.blocks * shape.rows_per_block;
    const std::int64_t end = HWY_MIN(begin + shape.rows_per_block, shape.rows_per_set());
    const auto [first, last] = channels_of(shape, unit);
    const auto* x = static_cast<const X*>(problem.x.data) + first;
    auto* y = static_cast<Y*>(problem.y.data) + first;
    const size_t channels = last - first;
    const size_t at = static_cast<size_t>(set * padded(shape.channels)) + first;
    const X* from[kRowsTogether];
    Y* to[kRowsTogether];
    std::int64_t r = begin;
    for (; r + kRowsTogether <= end; r += kRowsTogether) {
      for (int i = 0; i < kRowsTogether; ++i) {
        from[i] = x + xs.row(shape, set, r + i);
        to[i] = y + ys.row(shape, set, r + i);
      }
      write_rows<kRowsTogether, X, Y, A, Stream>(from, to, channels, plan.shift + at,
                                                 plan.scale + at, plan.offset + at);
    }
    for (; r < end; ++r) {
      from[0] = x + xs.row(shape, set, r);
      to[0] = y + ys.row(shape, set, r);
      write_rows<1, X, Y, A, false>(from, to, channels, plan.shift + at, plan.scale + at,
                                    plan.offset + at);
    }
  }
};

// ---- Backward

// Parameters of a block of channels, loaded once for several rows.
template <Layout L>
struct ColumnParameters {
  VF mean_a, mean_b, scale_a, scale_b, offset_a, offset_b;

  HWY_INLINE ColumnParameters(const ChannelBackwardPlan& plan, size_t at) {
    load_block<L>(plan.mean + at, mean_a, mean_b);
    load_block<L>(plan.scale + at, scale_a, scale_b);
    load_block<L>(plan.offset + at, offset_a, offset_b);
  }
};

// Adds `Rows` rows to the sums of dy and of dy * (x - mean) of channels [channel, channel +
// channels), whose parameters begin at `parameters`.
template <int Rows, class X, class Y, Activation A>
HWY_INLINE void add_gradient_rows(const ChannelBackwardPlan& plan, const X* const* x,
                                  const Y* const* dy, size_t parameters, size_t channels,
                                  float* sums, float* products) {
  constexpr Layout L = kLayout<X>;
  for_each_block(channels, [&](size_t at, size_t n, auto full) HWY_ATTR {
    constexpr bool kFull = decltype(full)::value;
    const ColumnParameters<L> p(plan, parameters + at);
    VF sa, sb, qa, qb;
    load_block<L>(sums + at, sa, sb);
    load_block<L>(products + at, qa, qb);
    for (int r = 0; r < Rows; ++r) {
      VF a, b, ga, gb;
      load_channels<L, kFull>(x[r] + at, n, a, b);
      load_channels<L, kFull>(dy[r] + at, n, ga, gb);
      a = hn::Sub(a, p.mean_a);
      b = hn::Sub(b, p.mean_b);
      ga = through_activation<A>(ga, hn::MulAdd(a, p.scale_a, p.offset_a));
      gb = through_activation<A>(gb, hn::MulAdd(b, p.scale_b, p.offset_b));
      sa = hn::Add(sa, ga);
      sb = hn::Add(sb, gb);
      qa = hn::MulAdd(ga, a, qa);
      qb = hn::MulAdd(gb, b, qb);
    }
    store_block<L>(sa, sb, sums + at);
    store_block<L>(qa, qb, products + at);
  });
}

template <int Rows, class X, class Y, Activation A, bool Stream>
HWY_INLINE void write_gradient_rows(const ChannelBackwardPlan& plan, const X* const* x,
                                    const Y* const* dy, X* const* dx, size_t parameters,
                                    size_t channels) {
  constexpr Layout L = kLayout<X>;
  for_each_block(channels, [&](size_t at, size_t n, auto full) HWY_ATTR {
    constexpr bool kFull = decltype(full)::value;
    const ColumnParameters<L> p(plan, parameters + at);
    VF xa, xb, ca, cb;
    load_block<L>(plan.x_scale + parameters + at, xa, xb);
    load_block<L>(plan.constant + parameters + at, ca, cb);
    // Evaluation does not read x, which may be Inf.
    const auto a_reads_x = hn::Ne(xa, hn::Zero(DF())), b_reads_x = hn::Ne(xb, hn::Zero(DF()));
    for (int r = 0; r < Rows; ++r) {
      VF a, b, ga, gb;
      load_channels<L, kFull>(x[r] + at, n, a, b);
      load_channels<L, kFull>(dy[r] + at, n, ga, gb);
      a = hn::Sub(a, p.mean_a);
      b = hn::Sub(b, p.mean_b);
      ga = through_activation<A>(ga, hn::MulAdd(a, p.scale_a, p.offset_a));
      gb = through_activation<A>(gb, hn::MulAdd(b, p.scale_b, p.offset_b));
      a = hn::MulAdd(hn::IfThenElseZero(a_reads_x, a), xa, ca);
      b = hn::MulAdd(hn::IfThenElseZero(b_reads_x, b), xb, cb);
      a = hn::MulAdd(ga, p.scale_a, a);
      b = hn::MulAdd(gb, p.scale_b, b);
      if constexpr (kFull && Stream && can_stream<X, X>()) {
        stream_block<L>(a, b, dx[r] + at);
      } else if constexpr (kFull) {
        store_block<L>(a, b, dx[r] + at);
      } else {
        store_block_n<L>(a, b, dx[r] + at, n);
      }
    }
  });
}

template <class X, class Y, Activation A>
struct ColumnBackward {
  const ChannelBackwardPlan& plan;
  const NormBackward& problem;
  const ChannelShape& shape;
  ChannelStrides xs, dys, dxs;

  explicit ColumnBackward(const ChannelBackwardPlan& p)
      : plan(p),
        problem(*p.problem),
        shape(p.shape),
        xs(problem.x.strides, shape),
        dys(problem.dy.strides, shape),
        dxs(problem.dx.strides, shape) {}

  void sums(std::int64_t unit) const {
    const auto [first, last] = channels_of(shape, unit);
    for (size_t c = first; c < last; c += kChannelTile) {
      sums_of_channels(unit / shape.tiles, c, HWY_MIN(last - c, kChannelTile));
    }
  }

  void sums_of_channels(std::int64_t b, size_t channel, size_t channels) const {
    const std::int64_t set = b / shape.blocks;
    const std::int64_t begin = b % shape.blocks * shape.rows_per_block;
    const std::int64_t end = HWY_MIN(begin + shape.rows_per_block, shape.rows_per_set());
    const ColumnRows<X> x{static_cast<const X*>(problem.x.data), shape, xs, set};
    const ColumnRows<Y> dy{static_cast<const Y*>(problem.dy.data), shape, dys, set};
    const size_t parameters = static_cast<size_t>(set * padded(shape.channels)) + channel;
    const std::int64_t part = b * shape.channels + static_cast<std::int64_t>(channel);
    double* dy_sums = plan.part_dy + part;
    double* dy_x_sums = plan.part_dy_x + part;
    for (size_t c = 0; c < channels; ++c) dy_sums[c] = dy_x_sums[c] = 0;
    HWY_ALIGN float sums[kChannelTile], products[kChannelTile];
    for (std::int64_t from = begin; from < end; from += kRowsPerSum) {
      const std::int64_t to = HWY_MIN(end, from + kRowsPerSum);
      std::memset(sums, 0, sizeof sums);
      std::memset(products, 0, sizeof products);
      const X* rows[kRowsTogether];
      const Y* dys_[kRowsTogether];
      std::int64_t r = from;
      for (; r + kRowsTogether <= to; r += kRowsTogether) {
        x.template gather<kRowsTogether>(r, channel, rows);
        dy.template gather<kRowsTogether>(r, channel, dys_);
        add_gradient_rows<kRowsTogether, X, Y, A>(plan, rows, dys_, parameters, channels, sums,
                                                  products);
      }
      for (; r < to; ++r) {
        x.template gather<1>(r, channel, rows);
        dy.template gather<1>(r, channel, dys_);
        add_gradient_rows<1, X, Y, A>(plan, rows, dys_, parameters, channels, sums, products);
      }
      for (size_t c = 0; c < channels; ++c) dy_sums[c] += static_cast<double>(sums[c]);
      for (size_t c = 0; c < channels; ++c) dy_x_sums[c] += static_cast<double>(products[c]);
    }
  }

  void apply(std::int64_t unit) const {
    if (plan.streams && aligned_columns<X>(problem.dx.data, dxs)) {
      write<true>(unit);
    } else {
      write<false>(unit);
    }
  }

  template <bool Stream>
  void write(std::int64_t unit) const {
    const std::int64_t b = unit / shape.tiles;
    const std::int64_t set = b / shape.blocks;
    const std::int64_t begin = b % shape.blocks * shape.rows_per_block;
    const std::int64_t end = HWY_MIN(begin + shape.rows_per_block, shape.rows_per_set());
    const ColumnRows<X> x{static_cast<const X*>(problem.x.data), shape, xs, set};
    const ColumnRows<Y> dy{static_cast<const Y*>(problem.dy.data), shape, dys, set};
    const auto [first, last] = channels_of(shape, unit);
    auto* dx = static_cast<X*>(problem.dx.data) + first;
    const size_t channels = last - first;
    const size_t parameters = static_cast<size_t>(set * padded(shape.channels)) + first;
    const X* rows[kRowsTogether];
    const Y* dy_rows[kRowsTogether];
    X* to[kRowsTogether];
    std::int64_t r = begin;
    for (; r + kRowsTogether <= end; r += kRowsTogether) {
      x.template gather<kRowsTogether>(r, first, rows);
      dy.template gather<kRowsTogether>(r, first, dy_rows);
      for (int i = 0; i < kRowsTogether; ++i) to[i] = dx + dxs.row(shape, set, r + i);
      write_gradient_rows<kRowsTogether, X, Y, A, Stream>(plan, rows, dy_rows, to, parameters,
                                                          channels);
    }
    for (; r < end; ++r) {
      x.template gather<1>(r, first, rows);
      dy.template gather<1>(r, first, dy_rows);
      to[0] = dx + dxs.row(shape, set, r);
      write_gradient_rows<1, X, Y, A, false>(plan, rows, dy_rows, to, parameters, channels);
    }
  }
};

}  // namespace omninorm::internal::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
