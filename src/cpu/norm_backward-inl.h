// Backward of one block of rows: dx, and the block's sums for dweight and dbias.
//
//   g = dy * (weight + offset), xhat = (x - mean) * rstd, over c entries of which p = stats_c give
//   the statistics (p = c but for partial RMSNorm):
//   dx = rstd * (g - [i < p] (sum(g) / p, centred norms only, + xhat * sum(g * xhat) / p))
//   dweight += dy * xhat (rounded to x's dtype in before_weight),  dbias += dy
//
// Two passes over kRows rows at a time, so that a column's weight and its sums for dweight and
// dbias are loaded and stored once for kRows rows. Each row is added to the sums after the one
// before it, so the bits do not depend on how rows are grouped.
#if defined(OMNINORM_CPU_NORM_BACKWARD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef OMNINORM_CPU_NORM_BACKWARD_INL_H_
#undef OMNINORM_CPU_NORM_BACKWARD_INL_H_
#else
#define OMNINORM_CPU_NORM_BACKWARD_INL_H_
#endif

#include <cmath>
#include <cstring>

#include "src/cpu/affine-inl.h"
#include "src/cpu/extreme_row.h"
#include "src/cpu/moments-inl.h"
#include "src/cpu/row_plan.h"

HWY_BEFORE_NAMESPACE();
namespace omninorm::internal::HWY_NAMESPACE {

inline constexpr int kRows = 4;

// Bytes to the row kRows on, in x and dy: fetched where dx streams. Where it does not, the loads of
// four rows keep memory busy, and asking for more slows them (measured).
struct RowsAhead {
  std::intptr_t x;
  std::intptr_t dy;
};

// One row in the second pass: dx = rstd * g + [i < p] (through_x * xhat + through_mean).
template <class X, class Y>
struct BackwardRow {
  const X* x;
  const Y* dy;
  X* dx;
  float mean;
  float rstd;
  float through_mean;
  float through_x;
  bool extreme;
};

// through_mean, through_x and extreme of `count` rows, up to kRows.
template <class X, class Y>
HWY_NOINLINE void gradient_statistics(const NormView& view, const float* weight,
                                      BackwardRow<X, Y>* rows, int count) {
  const DF d;
  const auto c = static_cast<size_t>(view.c);
  const auto n = static_cast<double>(view.stats_c);
  double sum_g[kRows] = {}, sum_gx[kRows] = {};
  if (c <= kChunk) {
    // The rows' lanes are added up together: one latency for all. A row's bits do not depend on
    // which rows are beside it.
    constexpr size_t kEach = HWY_MIN(kRows, hn::MaxLanes(DF()));
    HWY_ALIGN float g[hn::MaxLanes(DF())], gx[hn::MaxLanes(DF())];
    for (int first = 0; first < count; first += static_cast<int>(kEach)) {
      VF s[kEach], q[kEach];
      for (size_t r = 0; r < kEach; ++r) s[r] = q[r] = hn::Zero(d);
      const auto here = HWY_MIN(static_cast<size_t>(count - first), kEach);
      for (size_t r = 0; r < here; ++r) {
        const BackwardRow<X, Y>& row = rows[static_cast<size_t>(first) + r];
        chunk_gradients(row.x, row.dy, weight, c, hn::Set(d, row.mean), hn::Set(d, row.rstd), s[r],
                        q[r]);
      }
      hn::Store(reduce_each<kEach>(s), d, g);
      hn::Store(reduce_each<kEach>(q), d, gx);
      for (size_t r = 0; r < here; ++r) {
        sum_g[static_cast<size_t>(first) + r] = static_cast<double>(g[r]);
        sum_gx[static_cast<size_t>(first) + r] = static_cast<double>(gx[r]);
      }
    }
  } else {
    for (int r = 0; r < count; ++r) {
      sums_of_gradients(rows[r].x, rows[r].dy, weight, c, rows[r].mean, rows[r].rstd, sum_g[r],
                        sum_gx[r]);
    }
  }
  for (int r = 0; r < count; ++r) {
    BackwardRow<X, Y>& row = rows[r];
    const double scale = -static_cast<double>(row.rstd) / n;
    row.through_mean = view.center ? static_cast<float>(scale * sum_g[r]) : 0.0f;
    row.through_x = static_cast<float>(scale * sum_gx[r]);
    // Outside these bounds on rstd, the terms of dx underflow or overflow though dx itself need
    // not.
    row.extreme = !(std::isfinite(row.through_mean) && std::isfinite(row.through_x) &&
                    row.rstd >= 0x1p-110f && row.rstd <= 0x1p110f);
  }
}

// What the second pass writes: dx, and sums for dweight, or for dweight and dbias. Stream: dx goes
// past the cache.
template <bool Dx, int Arrays, bool Round, bool Stream = false>
struct Wanted {
  static constexpr bool kStream = Stream;
  static constexpr bool kDx = Dx;
  static constexpr int kArrays = Arrays;
  static constexpr bool kRound = Round;
};

// One block of columns, the same in `Rows` rows. Full: all of its elements exist, and lie within
// the first stats_c; else `n` exist, of which `in_statistics` do.
template <class W, bool Full, int Rows, class X, class Y>
HWY_INLINE void backward_block(const BackwardRow<X, Y>* rows, const float* weight, float* dweight,
                               float* dbias, size_t at, size_t n, size_t in_statistics,
                               const RowsAhead& ahead) {
  constexpr Layout L = kLayout<X>;
  const DF d;
  const size_t N = hn::Lanes(d);
  const VF wa = hn::LoadU(d, weight + at);
  const VF wb = hn::LoadU(d, weight + at + N);
  VF dwa = hn::Zero(d), dwb = hn::Zero(d), dba = hn::Zero(d), dbb = hn::Zero(d);
  if constexpr (W::kArrays >= 1) {
    dwa = hn::LoadU(d, dweight + at);
    dwb = hn::LoadU(d, dweight + at + N);
  }
  if constexpr (W::kArrays >= 2) {
    dba = hn::LoadU(d, dbias + at);
    dbb = hn::LoadU(d, dbias + at + N);
  }
  for (int r = 0; r < Rows; ++r) {
    const BackwardRow<X, Y>& row = rows[r];
    VF xa, xb, ga, gb;
    if constexpr (Full && W::kStream) {
      fetch_block(row.x + at, ahead.x);
      fetch_block(row.dy + at, ahead.dy);
    }
    if constexpr (Full) {
      load_block<L>(row.x + at, xa, xb);
      load_block<L>(row.dy + at, ga, gb);
    } else {
      load_block_n<L>(row.x + at, n, xa, xb);
      load_block_n<L>(row.dy + at, n, ga, gb);
    }
    const VF mean = hn::Set(d, row.mean);
    const VF rstd = hn::Set(d, row.rstd);
    xa = hn::Mul(hn::Sub(xa, mean), rstd);
    xb = hn::Mul(hn::Sub(xb, mean), rstd);
    if constexpr (W::kArrays >= 1) {
      dwa = hn::MulAdd(ga, W::kRound ? round_to<X>(xa) : xa, dwa);
      dwb = hn::MulAdd(gb, W::kRound ? round_to<X>(xb) : xb, dwb);
    }
    if constexpr (W::kArrays >= 2) {
      dba = hn::Add(dba, ga);
      dbb = hn::Add(dbb, gb);
    }
    if constexpr (W::kDx) {
      const VF through_x = hn::Set(d, row.through_x);
      const VF through_mean = hn::Set(d, row.through_mean);
      VF ta = hn::MulAdd(xa, through_x, through_mean);
      VF tb = hn::MulAdd(xb, through_x, through_mean);
      if constexpr (!Full) {
        ta = hn::IfThenElseZero(mask_a<L>(in_statistics), ta);
        tb = hn::IfThenElseZero(mask_b<L>(in_statistics), tb);
      }
      ga = hn::MulAdd(hn::Mul(ga, wa), rstd, ta);
      gb = hn::MulAdd(hn::Mul(gb, wb), rstd, tb);
      if constexpr (Full && W::kStream && can_stream<X, X>()) {
        stream_block<L>(ga, gb, row.dx + at);
      } else if constexpr (Full) {
        store_block<L>(ga, gb, row.dx + at);
      } else {
        store_block_n<L>(ga, gb, row.dx + at, n);
      }
    }
  }
  if constexpr (W::kArrays >= 1) {
    hn::StoreU(dwa, d, dweight + at);
    hn::StoreU(dwb, d, dweight + at + N);
  }
  if constexpr (W::kArrays >= 2) {
    hn::StoreU(dba, d, dbias + at);
    hn::StoreU(dbb, d, dbias + at + N);
  }
}

template <class W, int Rows, class X, class Y>
HWY_INLINE void backward_columns(const NormView& view, const BackwardRow<X, Y>* rows,
                                 const float* weight, float* dweight, float* dbias,
                                 const RowsAhead& ahead) {
  const auto c = static_cast<size_t>(view.c);
  const auto stats_c = static_cast<size_t>(view.stats_c);
  const size_t block = block_size();
  size_t i = 0;
  for (; i + block <= stats_c; i += block) {
    backward_block<W, true, Rows>(rows, weight, dweight, dbias, i, block, block, ahead);
  }
  for (; i < c; i += block) {
    const size_t in_statistics = stats_c > i ? HWY_MIN(stats_c - i, block) : 0;
    backward_block<W, false, Rows>(rows, weight, dweight, dbias, i, HWY_MIN(c - i, block),
                                   in_statistics, ahead);
  }
}

// Where a block of rows adds up group g, and the row pointers that belong to it.
struct BackwardGroup {
  std::int64_t g;
  const float* weight;  // prepared
  float* dweight;
  float* dbias;
};

template <class W, class X, class Y>
void backward_extreme(const NormBackward& problem, const BackwardGroup& group,
                      const BackwardRow<X, Y>& row) {
  const void* weight = nullptr;
  if (problem.weight) {
    weight = static_cast<const std::byte*>(problem.weight) +
             static_cast<size_t>(group.g * problem.view.c) * size_of(problem.weight_dtype);
  }
  extreme_row_backward(
      problem, {row.x, weight, row.mean, row.rstd, row.dy, W::kDx ? row.dx : nullptr,
                W::kArrays >= 1 ? group.dweight : nullptr, W::kArrays >= 2 ? group.dbias : nullptr,
                kLayout<X> == Layout::even_odd ? hn::Lanes(DF()) : 0});
}

template <class W, class X, class Y>
HWY_INLINE void backward_row_group(const NormBackward& problem, const BackwardGroup& group,
                                   BackwardRow<X, Y>* rows, int count, const RowsAhead& ahead) {
  bool one_by_one = count < kRows;
  gradient_statistics(problem.view, group.weight, rows, count);
  for (int r = 0; r < count; ++r) one_by_one |= rows[r].extreme;
  if (HWY_LIKELY(!one_by_one)) {
    backward_columns<W, kRows>(problem.view, rows, group.weight, group.dweight, group.dbias, ahead);
    return;
  }
  for (int r = 0; r < count; ++r) {
    if (rows[r].extreme) {
      backward_extreme<W>(problem, group, rows[r]);
    } else {
      backward_columns<W, 1>(problem.view, rows + r, group.weight, group.dweight, group.dbias,
                             ahead);
    }
  }
}

// Adds fine[0..count) to coarse and empties fine.
inline void move_sums(float* fine, float* coarse, size_t count) {
  const DF d;
  for (size_t i = 0; i < count; i += hn::Lanes(d)) {
    hn::StoreU(hn::Add(hn::LoadU(d, coarse + i), hn::LoadU(d, fine + i)), d, coarse + i);
    hn::StoreU(hn::Zero(d), d, fine + i);
  }
}

// Whether all rows of dx can be streamed: each begins on a cache line.
template <class X>
bool aligned_rows(const NormBackward& problem) {
  const auto lines = [](std::int64_t stride) {
    return stride * static_cast<std::int64_t>(sizeof(X)) % 64 == 0;
  };
  if (!aligned_for_stream(problem.dx.data) || !lines(problem.dx.strides.g)) return false;
  for (size_t k = 0; k < static_cast<size_t>(problem.view.n_rank); ++k) {
    if (problem.view.n_sizes[k] > 1 && !lines(problem.dx.strides.n[k])) return false;
  }
  return true;
}

template <class W, class X, class Y>
void backward_rows(const BackwardPlan& plan, std::int64_t block, std::int64_t begin,
                   std::int64_t end) {
  const NormBackward& problem = *plan.problem;
  const NormView& view = problem.view;
  const std::int64_t array = view.g * padded(view.c);
  const std::int64_t floats = plan.arrays * array;
  float* fine = plan.partial ? plan.partial + block * floats : nullptr;
  float* coarse = plan.coarse ? plan.coarse + block * floats : nullptr;
  if (fine) std::memset(fine, 0, static_cast<size_t>(floats) * sizeof(float));
  if (coarse) std::memset(coarse, 0, static_cast<size_t>(floats) * sizeof(float));

  RowCursor<3> cursor(view, {&problem.x.strides, &problem.dy.strides, &problem.dx.strides}, begin);
  const RowsAhead ahead{next_row<X>(view, problem.x.strides) * kRows,
                        next_row<Y>(view, problem.dy.strides) * kRows};
  const auto* mean = static_cast<const float*>(problem.mean);
  const auto* rstd = static_cast<const float*>(problem.rstd);
  for (std::int64_t n = begin; n < end;) {
    const int count = static_cast<int>(HWY_MIN(end - n, static_cast<std::int64_t>(kRows)));
    BackwardRow<X, Y> rows[kRows] = {};
    std::int64_t offsets[kRows][3] = {};
    for (int r = 0; r < count; ++r, cursor.next()) {
      for (size_t k = 0; k < 3; ++k) offsets[r][k] = cursor.offset(k);
    }
    for (std::int64_t g = 0; g < view.g; ++g) {
      for (int r = 0; r < count; ++r) {
        const std::int64_t index = (n + r) * view.g + g;
        rows[r].x = static_cast<const X*>(problem.x.data) + offsets[r][0] + g * problem.x.strides.g;
        rows[r].dy =
            static_cast<const Y*>(problem.dy.data) + offsets[r][1] + g * problem.dy.strides.g;
        if constexpr (W::kDx) {
          rows[r].dx = static_cast<X*>(problem.dx.data) + offsets[r][2] + g * problem.dx.strides.g;
        }
        rows[r].mean = view.center ? mean[index] : 0.0f;
        rows[r].rstd = rstd[index];
      }
      float* dweight = W::kArrays >= 1 ? fine + g * padded(view.c) : nullptr;
      float* dbias = W::kArrays >= 2 ? dweight + array : nullptr;
      const BackwardGroup group{g, plan.weight + g * plan.affine_stride, dweight, dbias};
      backward_row_group<W>(problem, group, rows, count, ahead);
    }
    n += count;
    if (coarse && ((n - begin) % kRowsPerFine == 0 || n == end)) {
      move_sums(fine, coarse, static_cast<size_t>(floats));
    }
  }
  if constexpr (W::kStream) finish_stream();
}

template <bool Round, class X, class Y>
void backward_rows_wanted(const BackwardPlan& plan, std::int64_t block, std::int64_t begin,
                          std::int64_t end) {
  if (plan.problem->dx.data == nullptr) {
    return backward_rows<Wanted<false, 2, Round>, X, Y>(plan, block, begin, end);
  }
  const bool streams = plan.streams && can_stream<X, X>() && aligned_rows<X>(*plan.problem);
  if (plan.arrays == 0) {
    return backward_rows<Wanted<true, 0, false>, X, Y>(plan, block, begin, end);
  }
  if (plan.arrays == 1) {
    if (streams) return backward_rows<Wanted<true, 1, Round, true>, X, Y>(plan, block, begin, end);
    return backward_rows<Wanted<true, 1, Round>, X, Y>(plan, block, begin, end);
  }
  if (streams) return backward_rows<Wanted<true, 2, Round, true>, X, Y>(plan, block, begin, end);
  backward_rows<Wanted<true, 2, Round>, X, Y>(plan, block, begin, end);
}

template <class X>
void backward_rows_16(const BackwardPlan& plan, std::int64_t block, std::int64_t begin,
                      std::int64_t end) {
  const bool round = plan.problem->parameters.cast_policy == CastPolicy::before_weight;
  if (plan.problem->dy.dtype == DType::f32) {
    if (round) return backward_rows_wanted<true, X, float>(plan, block, begin, end);
    return backward_rows_wanted<false, X, float>(plan, block, begin, end);
  }
  if (round) return backward_rows_wanted<true, X, X>(plan, block, begin, end);
  backward_rows_wanted<false, X, X>(plan, block, begin, end);
}

inline void backward_task(const BackwardPlan& plan, std::int64_t block) {
  const std::int64_t begin = block * plan.rows_per_block;
  const std::int64_t end = HWY_MIN(begin + plan.rows_per_block, plan.problem->view.n);
  switch (plan.problem->x.dtype) {
    case DType::f32:
      return backward_rows_wanted<false, float, float>(plan, block, begin, end);
    case DType::bf16:
      return backward_rows_16<bfloat16>(plan, block, begin, end);
    case DType::f16:
      return backward_rows_16<float16>(plan, block, begin, end);
    case DType::f64:
      return;  // declined
  }
}

// Columns [begin, end) of group g: the blocks' sums, added in order in double, rounded to `to`.
// begin is a multiple of a block. L is the order in which the sums lie.
template <Layout L, class T>
void add_blocks(const BackwardPlan& plan, int which, std::int64_t g, size_t begin, size_t end,
                T* to) {
  constexpr size_t kTile = 128;
  static_assert(kTile == kColumnPad);
  const NormView& view = plan.problem->view;
  const std::int64_t array = view.g * padded(view.c);
  const float* sums = plan.coarse ? plan.coarse : plan.partial;
  sums += which * array + g * padded(view.c);
  const DF d;
  const size_t N = hn::Lanes(d);
  for (size_t tile = begin; tile < end; tile += kTile) {
    double total[kTile] = {};
    for (std::int64_t k = 0; k < plan.blocks; ++k) {
      const float* from = sums + k * plan.arrays * array + static_cast<std::int64_t>(tile);
      for (size_t i = 0; i < kTile; ++i) total[i] += static_cast<double>(from[i]);
    }
    float rounded[kTile];
    for (size_t i = 0; i < kTile; ++i) rounded[i] = static_cast<float>(total[i]);
    const size_t n = HWY_MIN(end - tile, kTile);
    for (size_t i = 0; i < n; i += 2 * N) {
      const VF a = hn::LoadU(d, rounded + i);
      const VF b = hn::LoadU(d, rounded + i + N);
      if (i + 2 * N <= n) {
        store_block<L>(a, b, to + tile + i);
      } else {
        store_block_n<L>(a, b, to + tile + i, n - i);
      }
    }
  }
}

inline void add_blocks_task(const BackwardPlan& plan, int which, std::int64_t g, size_t begin,
                            size_t end, void* to) {
  const DType x = plan.problem->x.dtype;
  const std::int64_t at = g * plan.problem->view.c;
  switch (plan.problem->dweight_dtype) {
    case DType::f32:
      if (x == DType::bf16) {
        return add_blocks<kLayout<bfloat16>>(plan, which, g, begin, end,
                                             static_cast<float*>(to) + at);
      }
      return add_blocks<Layout::natural>(plan, which, g, begin, end, static_cast<float*>(to) + at);
    case DType::bf16:
      return add_blocks<kLayout<bfloat16>>(plan, which, g, begin, end,
                                           static_cast<bfloat16*>(to) + at);
    case DType::f16:
      return add_blocks<kLayout<float16>>(plan, which, g, begin, end,
                                          static_cast<float16*>(to) + at);
    case DType::f64:
      return;  // declined
  }
}

}  // namespace omninorm::internal::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
