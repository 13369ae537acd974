#include "src/scaler/block_kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "src/scaler/block_kernels.cc"
#include "hwy/foreach_target.h"
#include "src/scaler/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace omninorm::internal::scaling::HWY_NAMESPACE {

// ---- Sums over rows

enum class Weights { none, of_rows, of_elements };

// G vectors of columns from column i on, or, where kPartial, the `part` columns that are left: the
// results behind them may be other columns', and stay as they are. The
// columns' results stay in registers; G of them hide the additions' latency.
template <class T, Weights kWeights, bool kMasked>
struct Sums {
  const BlockRows& block;
  const double* pivot;
  double* sum;
  double* squares;
  double* count;

  template <int G, bool kPartial>
  HWY_INLINE void columns(size_t i, size_t part) const {
    const D d;
    const size_t N = lanes();
    const V limit = hn::Set(d, block.limit);
    V p[G], s[G], q[G], c[G];
    for (int g = 0; g < G; ++g) {
      const size_t at = i + static_cast<size_t>(g) * N;
      p[g] = hn::LoadU(d, pivot + at);
      s[g] = hn::LoadU(d, sum + at);
      q[g] = hn::LoadU(d, squares + at);
      if constexpr (kMasked) c[g] = hn::LoadU(d, count + at);
    }
    const auto* x = static_cast<const T*>(block.x) + i;
    const std::int64_t ahead = block.ahead;
    const double* weights = block.weights;
    if constexpr (kWeights == Weights::of_elements) weights += i;
    for (std::int64_t row = 0; row < block.rows; ++row, x += block.stride) {
      for (int g = 0; g < G; ++g) {
        const size_t at = static_cast<size_t>(g) * N;
        if (at * sizeof(T) % 64 == 0) hwy::Prefetch(x + at + ahead);
        const V value = kPartial ? load_part(x, part) : load(x + at);
        V deviation = hn::Sub(value, p[g]);
        if constexpr (!kMasked) {
          if constexpr (kPartial) deviation = hn::IfThenElseZero(hn::FirstN(d, part), deviation);
          s[g] = hn::Add(s[g], deviation);
          q[g] = hn::MulAdd(deviation, deviation, q[g]);
          continue;
        }
        M valid = hn::Le(hn::Abs(value), limit);
        if constexpr (kPartial) valid = hn::And(valid, hn::FirstN(d, part));
        V weight = hn::Set(d, 1);
        if constexpr (kWeights == Weights::of_rows) weight = hn::Set(d, *weights);
        if constexpr (kWeights == Weights::of_elements) {
          weight = kPartial ? load_part(weights, part) : hn::LoadU(d, weights + at);
        }
        if constexpr (kWeights != Weights::none) {
          valid = hn::And(valid, hn::Gt(weight, hn::Zero(d)));
        }
        deviation = hn::IfThenElseZero(valid, deviation);
        const V weighted = kWeights == Weights::none ? deviation : hn::Mul(weight, deviation);
        s[g] = hn::Add(s[g], weighted);
        q[g] = hn::MulAdd(weighted, deviation, q[g]);
        c[g] = hn::Add(c[g], hn::IfThenElseZero(valid, weight));
      }
      if constexpr (kWeights == Weights::of_rows) ++weights;
      if constexpr (kWeights == Weights::of_elements) weights += block.stride;
    }
    for (int g = 0; g < G; ++g) {
      const size_t at = i + static_cast<size_t>(g) * N;
      hn::StoreU(s[g], d, sum + at);
      hn::StoreU(q[g], d, squares + at);
      if constexpr (kMasked) hn::StoreU(c[g], d, count + at);
    }
  }
};

template <class T, bool kMasked>
struct Extremes {
  using Lane = std::conditional_t<kMasked, double, T>;
  using DL = hn::ScalableTag<Lane>;
  using VL = hn::VFromD<DL>;
  const BlockRows& block;
  Lane* low;
  Lane* high;
  Lane* rest;  // poison, or count

  static VL read(const T* p) {
    if constexpr (kMasked)
      return load(p);
    else
      return hn::LoadU(DL(), p);
  }
  static VL read_part(const T* p, size_t n) {
    if constexpr (kMasked)
      return load_part(p, n);
    else
      return load_n(DL(), p, n);
  }

  template <int G, bool kPartial>
  HWY_INLINE void columns(size_t i, size_t part) const {
    const DL d;
    const size_t N = hn::Lanes(d);
    VL l[G], h[G], r[G];
    for (int g = 0; g < G; ++g) {
      const size_t at = i + static_cast<size_t>(g) * N;
      l[g] = hn::LoadU(d, low + at);
      h[g] = hn::LoadU(d, high + at);
      r[g] = hn::LoadU(d, rest + at);
    }
    const auto* x = static_cast<const T*>(block.x) + i;
    const std::int64_t ahead = block.ahead;
    const double* weights = block.weights;
    if (weights && block.weight_each) weights += i;
    for (std::int64_t row = 0; row < block.rows; ++row, x += block.stride) {
      for (int g = 0; g < G; ++g) {
        const size_t at = static_cast<size_t>(g) * N;
        if (at * sizeof(T) % 64 == 0) hwy::Prefetch(x + at + ahead);
        const VL value = kPartial ? read_part(x, part) : read(x + at);
        auto below = hn::Lt(value, l[g]);
        auto above = hn::Gt(value, h[g]);
        if constexpr (kPartial && !kMasked) {
          below = hn::And(below, hn::FirstN(d, part));
          above = hn::And(above, hn::FirstN(d, part));
        }
        if constexpr (kMasked) {
          auto valid = hn::Le(hn::Abs(value), hn::Set(d, block.limit));
          if constexpr (kPartial) valid = hn::And(valid, hn::FirstN(d, part));
          VL weight = hn::Set(d, 1);
          if (weights) {
            weight = !block.weight_each ? hn::Set(d, *weights)
                     : kPartial         ? load_part(weights, part)
                                        : hn::LoadU(d, weights + at);
            valid = hn::And(valid, hn::Gt(weight, hn::Zero(d)));
          }
          below = hn::And(below, valid);
          above = hn::And(above, valid);
          r[g] = hn::Add(r[g], hn::IfThenElseZero(valid, weight));
        } else {
          r[g] = hn::MulAdd(value, hn::Zero(d), r[g]);
        }
        l[g] = hn::IfThenElse(below, value, l[g]);
        h[g] = hn::IfThenElse(above, value, h[g]);
      }
      if (weights) weights += block.weight_each ? block.stride : 1;
    }
    for (int g = 0; g < G; ++g) {
      const size_t at = i + static_cast<size_t>(g) * N;
      hn::StoreU(l[g], d, low + at);
      hn::StoreU(h[g], d, high + at);
      hn::StoreU(r[g], d, rest + at);
    }
  }
};

// All columns of the block, `lanes` to a vector.
template <class Loop>
HWY_INLINE void over_columns(const Loop& loop, size_t lanes) {
  const auto width = static_cast<size_t>(loop.block.width);
  size_t i = 0;
  for (; i + 4 * lanes <= width; i += 4 * lanes) loop.template columns<4, false>(i, 0);
  for (; i + 2 * lanes <= width; i += 2 * lanes) loop.template columns<2, false>(i, 0);
  for (; i + lanes <= width; i += lanes) loop.template columns<1, false>(i, 0);
  if (i < width) loop.template columns<1, true>(i, width - i);
}

template <class T>
void sum_rows(const BlockRows& block, const double* pivot, double* sum, double* squares,
              double* count) {
  if (!block.masked) {
    return over_columns(Sums<T, Weights::none, false>{block, pivot, sum, squares, count}, lanes());
  }
  if (!block.weights) {
    return over_columns(Sums<T, Weights::none, true>{block, pivot, sum, squares, count}, lanes());
  }
  if (!block.weight_each) {
    return over_columns(Sums<T, Weights::of_rows, true>{block, pivot, sum, squares, count},
                        lanes());
  }
  over_columns(Sums<T, Weights::of_elements, true>{block, pivot, sum, squares, count}, lanes());
}

inline void sum_deviations(const BlockRows& block, const double* pivot, double* sum,
                           double* squares, double* count) {
  if (block.f64) return sum_rows<double>(block, pivot, sum, squares, count);
  sum_rows<float>(block, pivot, sum, squares, count);
}

template <class T>
void extremes_of_rows(const BlockRows& block, void* low, void* high, void* rest) {
  if (block.masked) {
    const Extremes<T, true> loop = {block, static_cast<double*>(low), static_cast<double*>(high),
                                    static_cast<double*>(rest)};
    over_columns(loop, lanes());
  } else {
    const Extremes<T, false> loop = {block, static_cast<T*>(low), static_cast<T*>(high),
                                     static_cast<T*>(rest)};
    over_columns(loop, hn::Lanes(hn::ScalableTag<T>()));
  }
}

inline void find_extremes(const BlockRows& block, void* low, void* high, void* rest) {
  if (block.f64) return extremes_of_rows<double>(block, low, high, rest);
  extremes_of_rows<float>(block, low, high, rest);
}

// ---- Merges, a vector of columns at a time

struct MomentLanes {
  Pair count, mean, m2;
};

HWY_INLINE MomentLanes load_moments(const MomentTable& table, std::int64_t j) {
  const auto at = [&](int field)
                      HWY_ATTR { return hn::LoadU(D(), table.data + field * table.stride + j); };
  return {{at(0), at(1)}, {at(2), at(3)}, {at(4), at(5)}};
}

HWY_INLINE void store_moments(const MomentLanes& m, const MomentTable& table, std::int64_t j) {
  const V fields[6] = {m.count.high, m.count.low, m.mean.high, m.mean.low, m.m2.high, m.m2.low};
  for (int f = 0; f < 6; ++f) hn::StoreU(fields[f], D(), table.data + f * table.stride + j);
}

HWY_INLINE MomentLanes merge_lanes(const MomentLanes& a, const MomentLanes& b) {
  const Pair count = add(a.count, b.count);
  const Pair share = divide(b.count, count);
  const Pair delta = add(b.mean, negate(a.mean));
  const Pair mean = add(a.mean, multiply(delta, share));
  const Pair between = multiply(multiply(delta, delta), multiply(a.count, share));
  const Pair m2 = add(add(a.m2, b.m2), between);
  const M no_a = hn::Eq(a.count.high, hn::Zero(D()));
  const M no_b = hn::Eq(b.count.high, hn::Zero(D()));
  return {choose(no_b, a.count, choose(no_a, b.count, count)),
          choose(no_b, a.mean, choose(no_a, b.mean, mean)),
          choose(no_b, a.m2, choose(no_a, b.m2, m2))};
}

inline void merge_block(std::int64_t columns, const double* pivot, const double* sum,
                        const double* squares, const double* count, MomentTable table) {
  const D d;
  for (std::int64_t j = 0; j < columns; j += static_cast<std::int64_t>(lanes())) {
    const V n = hn::LoadU(d, count + j);
    const V s = hn::LoadU(d, sum + j);
    const V shift = hn::Div(s, n);
    const V m2 = hn::NegMulAdd(s, shift, hn::LoadU(d, squares + j));
    const MomentLanes part = {widen(n), two_sum(hn::LoadU(d, pivot + j), shift),
                              widen(hn::Max(m2, hn::Zero(d)))};
    store_moments(merge_lanes(load_moments(table, j), part), table, j);
  }
}

inline void merge_table(std::int64_t columns, MomentTable part, MomentTable table) {
  for (std::int64_t j = 0; j < columns; j += static_cast<std::int64_t>(lanes())) {
    store_moments(merge_lanes(load_moments(table, j), load_moments(part, j)), table, j);
  }
}

// ---- Forgetting

inline void run_rows(const double* x, std::int64_t rows, std::int64_t width, std::int64_t stride,
                     const double* weights, double limit, double keep, RunningTable table) {
  const D d;
  const V kept_share = hn::Set(d, keep), kept_squares = hn::Set(d, keep * keep);
  const V most = hn::Set(d, limit);
  for (std::int64_t j = 0; j < width; j += static_cast<std::int64_t>(lanes())) {
    V weight = hn::LoadU(d, table.weight + j), squares = hn::LoadU(d, table.weight_squares + j);
    V mean = hn::LoadU(d, table.mean + j), m2 = hn::LoadU(d, table.m2 + j);
    for (std::int64_t row = 0; row < rows; ++row) {
      if (weights && weights[row] == 0) continue;
      const V w = hn::Set(d, weights ? weights[row] : 1);
      const V value = hn::LoadU(d, x + row * stride + j);
      const M valid = hn::Le(hn::Abs(value), most);
      const V kept = hn::Mul(kept_share, weight);
      const V total = hn::Add(kept, w);
      const V deviation = hn::Sub(value, mean);
      const V step = hn::Mul(deviation, hn::Div(w, total));
      const V spread = hn::Mul(hn::Mul(kept, deviation), step);
      m2 = hn::IfThenElse(valid, hn::Add(hn::Mul(kept_share, m2), spread), m2);
      mean = hn::IfThenElse(valid, hn::Add(mean, step), mean);
      weight = hn::IfThenElse(valid, total, weight);
      const V more = hn::Add(hn::Mul(kept_squares, squares), hn::Mul(w, w));
      squares = hn::IfThenElse(valid, more, squares);
    }
    hn::StoreU(weight, d, table.weight + j);
    hn::StoreU(squares, d, table.weight_squares + j);
    hn::StoreU(mean, d, table.mean + j);
    hn::StoreU(m2, d, table.m2 + j);
  }
}

}  // namespace omninorm::internal::scaling::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace omninorm::internal::scaling {
namespace {

HWY_EXPORT(sum_deviations);
HWY_EXPORT(find_extremes);
HWY_EXPORT(merge_block);
HWY_EXPORT(merge_table);
HWY_EXPORT(run_rows);

}  // namespace

void sum_deviations(const BlockRows& block, const double* pivot, double* sum, double* squares,
                    double* count) {
  HWY_DYNAMIC_DISPATCH(sum_deviations)(block, pivot, sum, squares, count);
}

void find_extremes(const BlockRows& block, void* low, void* high, void* rest) {
  HWY_DYNAMIC_DISPATCH(find_extremes)(block, low, high, rest);
}

void merge_block(std::int64_t columns, const double* pivot, const double* sum,
                 const double* squares, const double* count, MomentTable table) {
  HWY_DYNAMIC_DISPATCH(merge_block)(columns, pivot, sum, squares, count, table);
}

void merge_table(std::int64_t columns, MomentTable part, MomentTable table) {
  HWY_DYNAMIC_DISPATCH(merge_table)(columns, part, table);
}

void run_rows(const double* x, std::int64_t rows, std::int64_t width, std::int64_t stride,
              const double* weights, double limit, double keep, RunningTable table) {
  HWY_DYNAMIC_DISPATCH(run_rows)(x, rows, width, stride, weights, limit, keep, table);
}

}  // namespace omninorm::internal::scaling
#endif  // HWY_ONCE
