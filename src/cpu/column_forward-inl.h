// Forward of channels that are contiguous (NHWC, and (N, C)): lane by lane, over blocks of rows.
#if defined(OMNINORM_CPU_COLUMN_FORWARD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef OMNINORM_CPU_COLUMN_FORWARD_INL_H_
#undef OMNINORM_CPU_COLUMN_FORWARD_INL_H_
#else
#define OMNINORM_CPU_COLUMN_FORWARD_INL_H_
#endif

#include "src/cpu/activation-inl.h"
#include "src/cpu/channel_finish-inl.h"
#include "src/cpu/column-inl.h"
#include "src/cpu/row_plan.h"

HWY_BEFORE_NAMESPACE();
namespace omninorm::internal::HWY_NAMESPACE {

// Adds `Rows` rows to the sums of (x - shift) and of its square, channel by channel; `Fresh`: to 0.
// The arrays have room for whole blocks. Fetch: what lies `ahead` bytes on comes into L1 meanwhile.
template <int Rows, bool Fresh, bool Fetch, class X>
HWY_INLINE void add_rows(const X* const* rows, size_t channels, std::intptr_t ahead,
                         const float* shift, float* sums, float* squares) {
  constexpr Layout L = kLayout<X>;
  for_each_block(channels, [&](size_t at, size_t n, auto full) HWY_ATTR {
    VF ma, mb;
    load_block<L>(shift + at, ma, mb);
    VF sa = hn::Zero(DF()), sb = sa, qa = sa, qb = sa;
    for (int r = 0; r < Rows; ++r) {
      VF a, b;
      if constexpr (Fetch) fetch<Cache::l1>(rows[r] + at, n, ahead);
      load_channels<L, decltype(full)::value>(rows[r] + at, n, a, b);
      a = hn::Sub(a, ma);
      b = hn::Sub(b, mb);
      sa = hn::Add(sa, a);
      sb = hn::Add(sb, b);
      qa = hn::MulAdd(a, a, qa);
      qb = hn::MulAdd(b, b, qb);
    }
    // The rows' own sums first: of 64 rows, chains of 8 and 8 additions instead of one of 64.
    if constexpr (!Fresh) {
      VF a, b;
      load_block<L>(sums + at, a, b);
      sa = hn::Add(sa, a);
      sb = hn::Add(sb, b);
      load_block<L>(squares + at, a, b);
      qa = hn::Add(qa, a);
      qb = hn::Add(qb, b);
    }
    store_block<L>(sa, sb, sums + at);
    store_block<L>(qa, qb, squares + at);
  });
}

// The mean of `count` rows, at least 1.
template <class X>
HWY_INLINE void mean_of_rows(const X* const* rows, size_t count, size_t channels, float* means) {
  constexpr Layout L = kLayout<X>;
  const VF share = hn::Set(DF(), 1 / static_cast<float>(count));
  for_each_block(channels, [&](size_t at, size_t n, auto full) HWY_ATTR {
    VF sa = hn::Zero(DF()), sb = sa;
    for (size_t r = 0; r < count; ++r) {
      VF a, b;
      load_channels<L, decltype(full)::value>(rows[r] + at, n, a, b);
      sa = hn::Add(sa, a);
      sb = hn::Add(sb, b);
    }
    store_block<L>(hn::Mul(sa, share), hn::Mul(sb, share), means + at);
  });
}

// Moments of channels [channel, channel + channels), at most kChannelTile, over rows begin ..
// end-1.
template <class X>
void column_moments(const ColumnRows<X>& rows, std::int64_t begin, std::int64_t end, size_t channel,
                    size_t channels, double eps, double* means, double* m2s) {
  HWY_ALIGN float shift[kChannelTile], sums[kChannelTile], squares[kChannelTile];
  double first[kChannelTile], second[kChannelTile];
  const auto count = static_cast<double>(end - begin);
  const X* row[kRowsTogether];
  // The mean of 4 rows is half a standard deviation off the mean of all.
  constexpr std::int64_t kSample = 4;
  const std::int64_t sample = HWY_MIN(end - begin, kSample);
  for (std::int64_t r = 0; r < sample; ++r) rows.template gather<1>(begin + r, channel, row + r);
  mean_of_rows(row, static_cast<size_t>(sample), channels, shift);
  for (int attempt = 0; attempt < 2; ++attempt) {
    for (std::int64_t from = begin; from < end; from += kRowsPerSum) {
      const std::int64_t to = HWY_MIN(end, from + kRowsPerSum);
      const auto add = [&](auto together, auto fetches, std::int64_t r) HWY_ATTR {
        constexpr int kRows = decltype(together)::value;
        constexpr bool kFetch = decltype(fetches)::value;
        rows.template gather<kRows>(r, channel, row);
        const std::intptr_t ahead = kFetch ? rows.ahead(r) : 0;
        if (r == from) {
          add_rows<kRows, true, kFetch>(row, channels, ahead, shift, sums, squares);
        } else {
          add_rows<kRows, false, kFetch>(row, channels, ahead, shift, sums, squares);
        }
      };
      for_rows(from, to, rows.fetches(from), add);
      const bool fresh = from == begin;
      for (size_t c = 0; c < channels; ++c) {
        first[c] = (fresh ? 0 : first[c]) + static_cast<double>(sums[c]);
        second[c] = (fresh ? 0 : second[c]) + static_cast<double>(squares[c]);
      }
    }
    // As for rows: a shift far off costs bits, then once more about the mean. Two standard
    // deviations, not one: of some hundred channels together one is beyond that too often.
    struct Moment {
      double mean, m2;
      bool far;
    };
    const double per_row = 1 / count;
    const auto moment = [&](size_t c) HWY_ATTR {
      const double delta = first[c] * per_row;
      const double m2 = second[c] - first[c] * delta;
      return Moment{static_cast<double>(shift[c]) + delta, m2 < 0 ? 0 : m2,
                    !(delta * first[c] <= 4 * m2 + eps * count)};
    };
    int far = 0;
    for (size_t c = 0; c < channels; ++c) {
      const Moment result = moment(c);
      means[c] = result.mean;
      m2s[c] = result.m2;
      far += result.far;
    }
    if (far == 0 || attempt == 1) break;
    for (size_t c = 0; c < channels; ++c) {
      // Only its own shift: a channel's bits must not depend on its neighbours.
      if (moment(c).far) shift[c] = static_cast<float>(means[c]);
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
      store_channels<X, kFull, Stream>(a, b, y[r] + at, n);
    }
  });
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
    if (plan.streams && aligned_columns<Y>(problem.y.data, shape, ys)) {
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

}  // namespace omninorm::internal::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
