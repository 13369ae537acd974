// Backward of channels that are contiguous (NHWC, and (N, C)).
#if defined(OMNINORM_CPU_COLUMN_BACKWARD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef OMNINORM_CPU_COLUMN_BACKWARD_INL_H_
#undef OMNINORM_CPU_COLUMN_BACKWARD_INL_H_
#else
#define OMNINORM_CPU_COLUMN_BACKWARD_INL_H_
#endif

#include "src/cpu/activation-inl.h"
#include "src/cpu/channel_finish-inl.h"
#include "src/cpu/column-inl.h"

HWY_BEFORE_NAMESPACE();
namespace omninorm::internal::HWY_NAMESPACE {

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
// channels), whose parameters begin at `parameters`. dx: none where it hangs on the sums; in
// evaluation it does not, and x and dy are read once for both. Fetch: as in forward.
template <int Rows, bool Fetch, class X, class Y, Activation A, Dx D>
HWY_INLINE void add_gradient_rows(const ChannelBackwardPlan& plan, const X* const* x,
                                  const Y* const* dy, X* const* dx, size_t parameters,
                                  size_t channels, std::intptr_t x_ahead, std::intptr_t dy_ahead,
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
      if constexpr (Fetch) {
        fetch<Cache::l1>(x[r] + at, n, x_ahead);
        fetch<Cache::l1>(dy[r] + at, n, dy_ahead);
      }
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
      if constexpr (D != Dx::none) {
        // As write_gradient_rows has it, whose 0 makes -0 a 0.
        const VF zero = hn::Zero(DF());
        store_channels<X, kFull, D == Dx::stream>(hn::MulAdd(ga, p.scale_a, zero),
                                                  hn::MulAdd(gb, p.scale_b, zero), dx[r] + at, n);
      }
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
      store_channels<X, kFull, Stream>(a, b, dx[r] + at, n);
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

  // Units begin .. end-1: a tile of a block each, blocks counted through sets.
  void sums(std::int64_t begin, std::int64_t end) const {
    for (std::int64_t u = begin; u < end; ++u) sums<Dx::none>(u);
  }

  // Evaluation: dx, too.
  void sums_and_dx(std::int64_t begin, std::int64_t end) const {
    const bool stream = streams();
    for (std::int64_t u = begin; u < end; ++u) {
      stream ? sums<Dx::stream>(u) : sums<Dx::store>(u);
    }
  }

  void apply(std::int64_t begin, std::int64_t end) const {
    const bool stream = streams();
    for (std::int64_t u = begin; u < end; ++u) stream ? write<true>(u) : write<false>(u);
  }

 private:
  bool streams() const { return plan.streams && aligned_columns<X>(problem.dx.data, shape, dxs); }

  template <Dx D>
  void sums(std::int64_t unit) const {
    const auto [first, last] = channels_of(shape, unit);
    for (size_t c = first; c < last; c += kChannelTile) {
      sums_of_channels<D>(unit / shape.tiles, c, HWY_MIN(last - c, kChannelTile));
    }
  }

  template <Dx D>
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
      const size_t bytes = hwy::RoundUpTo(channels, block_size()) * sizeof(float);
      std::memset(sums, 0, bytes);
      std::memset(products, 0, bytes);
      const X* rows[kRowsTogether];
      const Y* dys_[kRowsTogether];
      X* dx[kRowsTogether];
      const auto add = [&](auto together, auto fetches, std::int64_t r) HWY_ATTR {
        constexpr int kRows = decltype(together)::value;
        constexpr bool kFetch = decltype(fetches)::value;
        x.template gather<kRows>(r, channel, rows);
        dy.template gather<kRows>(r, channel, dys_);
        for (int i = 0; D != Dx::none && i < kRows; ++i) {
          dx[i] = static_cast<X*>(problem.dx.data) + dxs.row(shape, set, r + i) + channel;
        }
        add_gradient_rows<kRows, kFetch, X, Y, A, D>(plan, rows, dys_, dx, parameters, channels,
                                                     kFetch ? x.ahead(r) : 0,
                                                     kFetch ? dy.ahead(r) : 0, sums, products);
      };
      for_rows(from, to, x.fetches(from) && dy.fetches(from), add);
      for (size_t c = 0; c < channels; ++c) dy_sums[c] += static_cast<double>(sums[c]);
      for (size_t c = 0; c < channels; ++c) dy_x_sums[c] += static_cast<double>(products[c]);
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
