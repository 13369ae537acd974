// Forward of one row after another: statistics, then y. A row is read from memory once; the later
// passes find it in cache.
#if defined(OMNINORM_CPU_NORM_FORWARD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef OMNINORM_CPU_NORM_FORWARD_INL_H_
#undef OMNINORM_CPU_NORM_FORWARD_INL_H_
#else
#define OMNINORM_CPU_NORM_FORWARD_INL_H_
#endif

#include <cmath>
#include <optional>
#include <type_traits>

#include "src/cpu/affine-inl.h"
#include "src/cpu/extreme_row.h"
#include "src/cpu/moments-inl.h"
#include "src/cpu/row_plan.h"

HWY_BEFORE_NAMESPACE();
namespace omninorm::internal::HWY_NAMESPACE {

// What the last pass needs: xhat = (x - shift) * rstd + correction, or x * rstd where not centred.
struct RowStatistics {
  float shift;       // near the mean: x - shift is exact there, so neither the mean's own rounding
                     // (2^-13 at 2000) nor the shift's distance from it costs anything
  float correction;  // -rstd * (mean - shift)
  float mean;
  float rstd;
};

// Mean squares below this may have lost terms to underflow (squares below 2^-126 are denormal).
inline constexpr double kSmallestMeanSquare = 0x1p-100;
// When mean - shift exceeds 32 standard deviations, the variance lost 10 of its bits in
// m2 - (mean - shift)^2: only (nearly) constant rows far from zero with a tiny eps get there.
inline constexpr double kLargestCorrection = 0x1p10;

// Where a centred row's first pass takes deviations from: the mean of a sample; for 16-bit numbers
// 0, so that neither pass subtracts. Where the mean is over a standard deviation away from that,
// bits are lost (the variance's error is 1 + 3 (mean - shift)^2 / variance times a two-pass one's),
// and then once more, about the mean.
template <class X>
inline constexpr bool kFromZero = sizeof(X) == 2;

// One row by itself, in double after the sums: rows past kChunk, and those that statistics_of_rows
// gives up on. False: fp32 sums were not enough; see extreme_row.h.
template <class X, bool Center>
bool row_statistics(const X* x, size_t n, double eps, RowStatistics& result) {
  double delta = 0;
  double m2 = 0;
  result.shift = 0;
  if constexpr (Center) {
    if constexpr (!kFromZero<X>) {
      const size_t sample = sample_size(n);
      result.shift = static_cast<float>(sum(x, sample) / static_cast<double>(sample));
    }
    Deviations about = deviations<kFromZero<X>>(x, n, result.shift);
    if (HWY_UNLIKELY(!(about.delta * about.delta <= about.m2 + eps))) {
      result.shift = static_cast<float>(result.shift + about.delta);
      about = deviations(x, n, result.shift);
    }
    delta = about.delta;
    m2 = about.m2;
  } else {
    m2 = sum_of_squares(x, n) / static_cast<double>(n);
  }
  const double with_eps = m2 + eps;
  const double rstd = 1 / std::sqrt(with_eps);
  result.rstd = static_cast<float>(rstd);
  result.mean = static_cast<float>(result.shift + delta);
  result.correction = static_cast<float>(-delta * rstd);
  return with_eps >= kSmallestMeanSquare && std::isfinite(m2) &&
         kLargestCorrection * with_eps >= delta * delta;
}

// Where statistics_of_rows takes deviations from: no row is centred; 0; a sample's mean; the mean
// that `results` hold.
enum class From { uncentred, zero, sample, mean };

// `count` rows of n <= kChunk entries, up to Rows: as row_statistics, in fp32 after the sums.
// Returns the set of rows for which that was not good enough.
template <class X, From F, size_t Rows>
HWY_NOINLINE unsigned statistics_of_rows(const X* const* x, size_t count, size_t n, double eps,
                                         RowStatistics* results) {
  const DF d;
  VF first[Rows], second[Rows];
  for (size_t r = 0; r < Rows; ++r) first[r] = second[r] = hn::Zero(d);
  VF shift = hn::Zero(d), delta = hn::Zero(d);
  HWY_ALIGN float shifts[kLanes] = {}, corrections[kLanes], means[kLanes], rstds[kLanes];
  const VF per_entry = hn::Set(d, 1.0f / static_cast<float>(n));
  if constexpr (F == From::sample) {
    const size_t sample = sample_size(n);
    for (size_t r = 0; r < count; ++r) first[r] = chunk_sum(x[r], sample);
    shift = hn::Mul(reduce_each<Rows>(first), hn::Set(d, 1.0f / static_cast<float>(sample)));
    hn::Store(shift, d, shifts);
    for (size_t r = 0; r < Rows; ++r) first[r] = hn::Zero(d);
  } else if constexpr (F == From::mean) {
    for (size_t r = 0; r < count; ++r) shifts[r] = results[r].mean;
    shift = hn::Load(d, shifts);
  }
  if constexpr (F == From::uncentred) {
    for (size_t r = 0; r < count; ++r) second[r] = chunk_squares(x[r], n);
  } else {
    for (size_t r = 0; r < count; ++r) {
      chunk_deviations<F == From::zero>(x[r], n, hn::Set(d, shifts[r]), first[r], second[r]);
    }
    delta = hn::Mul(reduce_each<Rows>(first), per_entry);
  }
  VF m2 = hn::Mul(reduce_each<Rows>(second), per_entry);
  const VF delta2 = hn::Mul(delta, delta);
  if constexpr (F != From::uncentred) {
    m2 = hn::Sub(m2, delta2);
    m2 = hn::IfThenElse(hn::Lt(m2, hn::Zero(d)), hn::Zero(d), m2);  // keeps NaN
  }
  const VF with_eps = hn::Add(m2, hn::Set(d, static_cast<float>(eps)));
  const VF rstd = hn::Div(hn::Set(d, 1.0f), hn::Sqrt(with_eps));
  const VF smallest = hn::Set(d, static_cast<float>(kSmallestMeanSquare));
  const VF largest = hn::Set(d, 0x1p127f);
  const auto good = hn::And(hn::And(hn::Ge(with_eps, smallest), hn::Le(with_eps, largest)),
                            hn::Le(delta2, with_eps));
  hn::Store(hn::Add(shift, delta), d, means);
  hn::Store(hn::Neg(hn::Mul(delta, rstd)), d, corrections);
  hn::Store(rstd, d, rstds);
  for (size_t r = 0; r < count; ++r) results[r] = {shifts[r], corrections[r], means[r], rstds[r]};
  const unsigned wanted = count < 32 ? (1u << count) - 1 : ~0u;
  if (HWY_LIKELY(hn::AllTrue(d, hn::Or(good, hn::Not(hn::FirstN(d, count)))))) return 0;
  HWY_ALIGN float flags[kLanes];
  hn::Store(hn::IfThenElseZero(good, hn::Set(d, 1.0f)), d, flags);
  unsigned bad = 0;
  for (size_t r = 0; r < count; ++r) bad |= flags[r] == 0 ? 1u << r : 0;
  return bad & wanted;
}

// Statistics of a batch; returns the set of rows that need row_statistics.
template <class X, bool Center, size_t Rows>
unsigned batch_statistics(const X* const* x, size_t count, size_t n, double eps,
                          RowStatistics* results) {
  if constexpr (!Center) {
    return statistics_of_rows<X, From::uncentred, Rows>(x, count, n, eps, results);
  } else if constexpr (!kFromZero<X>) {
    return statistics_of_rows<X, From::sample, Rows>(x, count, n, eps, results);
  } else {
    const unsigned far = statistics_of_rows<X, From::zero, Rows>(x, count, n, eps, results);
    if (HWY_LIKELY(far == 0)) return 0;
    // Those alone: a row's bits must not depend on the rows beside it.
    const X* far_x[Rows] = {};
    RowStatistics about[Rows];
    size_t index[Rows], far_count = 0;
    for (size_t r = 0; r < count; ++r) {
      if (!(far >> r & 1)) continue;
      far_x[far_count] = x[r];
      about[far_count] = results[r];
      index[far_count++] = r;
    }
    const unsigned bad = statistics_of_rows<X, From::mean, Rows>(far_x, far_count, n, eps, about);
    unsigned alone = 0;
    for (size_t i = 0; i < far_count; ++i) {
      results[index[i]] = about[i];
      alone |= (bad >> i & 1) << index[i];
    }
    return alone;
  }
}

enum class Affine { none, weight, weight_bias };

template <class X, Affine A, bool Round>
HWY_INLINE VF affine(VF xhat, const float* weight, const float* bias, size_t at) {
  const DF d;
  if constexpr (Round) xhat = round_to<X>(xhat);
  if constexpr (A == Affine::weight) return hn::Mul(xhat, hn::LoadU(d, weight + at));
  if constexpr (A == Affine::weight_bias) {
    return hn::MulAdd(xhat, hn::LoadU(d, weight + at), hn::LoadU(d, bias + at));
  }
  return xhat;
}

// xhat: x * rstd; x * rstd + correction, where the shift is 0; (x - shift) * rstd + correction.
enum class Formula { scaled, moved, shifted };

// y = xhat * weight + bias over one row. y may be x, but not where it streams. The next row,
// `ahead` bytes on, is fetched meanwhile: the passes over a row in cache leave memory idle
// otherwise.
template <class X, class Y, Affine A, bool Round, bool Stream, Formula F>
HWY_INLINE void write_row(const X* x, const float* weight, const float* bias, size_t n,
                          const RowStatistics& row, Y* y, std::intptr_t ahead) {
  constexpr Layout L = kLayout<X>;
  const DF d;
  const size_t N = hn::Lanes(d);
  const size_t block = block_size();
  const VF shift = hn::Set(d, row.shift);
  const VF rstd = hn::Set(d, row.rstd);
  const VF correction = hn::Set(d, row.correction);
  const auto normalize = [&](VF v) HWY_ATTR {
    if constexpr (F == Formula::scaled) return hn::Mul(v, rstd);
    return hn::MulAdd(F == Formula::shifted ? hn::Sub(v, shift) : v, rstd, correction);
  };
  VF a, b;
  size_t i = 0;
  for (; i + block <= n; i += block) {
    fetch_block(x + i, ahead);
    load_block<L>(x + i, a, b);
    a = affine<X, A, Round>(normalize(a), weight, bias, i);
    b = affine<X, A, Round>(normalize(b), weight, bias, i + N);
    if constexpr (Stream && can_stream<X, Y>()) {
      stream_block<L>(a, b, y + i);
    } else {
      store_block<L>(a, b, y + i);
    }
  }
  if (i < n) {
    load_block_n<L>(x + i, n - i, a, b);
    a = affine<X, A, Round>(normalize(a), weight, bias, i);
    b = affine<X, A, Round>(normalize(b), weight, bias, i + N);
    store_block_n<L>(a, b, y + i, n - i);
  }
}

inline const void* element(DType dtype, const void* p, std::int64_t index) {
  if (p == nullptr) return nullptr;
  return static_cast<const std::byte*>(p) + index * static_cast<std::int64_t>(size_of(dtype));
}

// Rows that are taken together: pointers, and which group and statistic each is.
template <class X, class Y>
struct RowBatch {
  const X* x[kLanes];
  Y* y[kLanes];
  std::int64_t g[kLanes];
  std::int64_t index[kLanes];
  size_t count = 0;
};

// Rows that one call works out the statistics of, at most: the length of a row alone decides, since
// the bits hang on it. Many hide the latency of short rows' reductions; longer than 4 KB, a row's
// passes are long against them.
template <class X>
size_t statistics_rows(size_t n) {
  constexpr size_t kShortRow = sizeof(X) == 4 ? 256 : 1024;
  constexpr size_t kLongRow = 4 * 1024;
  if (n * sizeof(X) <= kShortRow) return kLanes;
  return n * sizeof(X) <= kLongRow ? kFewRows : 1;
}

// Rows to a batch, no more than that. Every row of a batch is waited for before the next batch's
// fetch begins, which costs from 512 bytes on in f32 (4096 x 256 layer_norm: 174 us by sixteens,
// 145 by fours) and later in 16 bits, where converting takes longer than fetching. Past 2 KB rows
// go by fours only where the caches hold all of them (layer_norm f32, 64 x 768, one thread: 6.8 us
// by fours, 7.8 one by one; 4096 x 1024: 1236 and 1133).
template <class X>
size_t batch_rows(size_t n, bool in_cache) {
  constexpr size_t kFetchedRow = 2 * 1024;
  return n * sizeof(X) <= kFetchedRow || in_cache ? statistics_rows<X>(n) : 1;
}

template <class X, class Y, Affine A, bool Round, bool Center>
void forward_batch(const ForwardPlan& plan, const RowBatch<X, Y>& batch, std::intptr_t ahead) {
  const NormForward& problem = *plan.problem;
  const auto c = static_cast<size_t>(problem.view.c);
  const auto n = static_cast<size_t>(problem.view.stats_c);
  const double eps = problem.parameters.eps;
  RowStatistics statistics[kLanes];
  unsigned alone = 1;
  const size_t most = statistics_rows<X>(n);
  if (most == kLanes && kLanes > 1) {
    alone = batch_statistics<X, Center, kLanes>(batch.x, batch.count, n, eps, statistics);
  } else if (most > 1) {
    alone = batch_statistics<X, Center, kFewRows>(batch.x, batch.count, n, eps, statistics);
  }
  for (size_t r = 0; r < batch.count; ++r) {
    RowStatistics& row = statistics[r];
    const X* x = batch.x[r];
    Y* y = batch.y[r];
    const std::int64_t g = batch.g[r];
    const std::int64_t at = g * plan.affine_stride;
    if ((alone >> r & 1) && !row_statistics<X, Center>(x, n, eps, row)) {
      const ExtremeStatistics exact = extreme_row_forward(
          problem, {x, element(problem.weight_dtype, problem.weight, g * problem.view.c),
                    element(problem.weight_dtype, problem.bias, g * problem.view.c), y});
      row.mean = static_cast<float>(exact.mean);
      row.rstd = static_cast<float>(exact.rstd);
    } else {
      const bool streams = plan.streams && can_stream<X, Y>() && aligned_for_stream(y);
      const auto write = [&](auto formula) {
        constexpr Formula F = decltype(formula)::value;
        if (streams) {
          write_row<X, Y, A, Round, true, F>(x, plan.weight + at, plan.bias + at, c, row, y, ahead);
        } else {
          write_row<X, Y, A, Round, false, F>(x, plan.weight + at, plan.bias + at, c, row, y,
                                              ahead);
        }
      };
      if constexpr (!Center) {
        write(std::integral_constant<Formula, Formula::scaled>());
      } else if (kFromZero<X> && row.shift == 0) {
        write(std::integral_constant<Formula, Formula::moved>());
      } else {
        write(std::integral_constant<Formula, Formula::shifted>());
      }
    }
    if (problem.mean) static_cast<float*>(problem.mean)[batch.index[r]] = row.mean;
    if (problem.rstd) static_cast<float*>(problem.rstd)[batch.index[r]] = row.rstd;
  }
}

// sum = x + residual, rounded to their dtype. sum may be either.
template <class X>
HWY_NOINLINE void add_row(const X* x, const X* residual, size_t n, X* sum) {
  constexpr Layout L = kLayout<X>;
  const size_t block = block_size();
  VF a, b, ra, rb;
  size_t i = 0;
  for (; i + block <= n; i += block) {
    load_block<L>(x + i, a, b);
    load_block<L>(residual + i, ra, rb);
    store_block<L>(hn::Add(a, ra), hn::Add(b, rb), sum + i);
  }
  if (i < n) {
    load_block_n<L>(x + i, n - i, a, b);
    load_block_n<L>(residual + i, n - i, ra, rb);
    store_block_n<L>(hn::Add(a, ra), hn::Add(b, rb), sum + i, n - i);
  }
}

// add_*: a row's sum is made just before its statistics are taken, and read back from cache.
template <class X>
class SumRows {
 public:
  SumRows(const NormForward& problem, std::int64_t begin)
      : problem_(problem),
        cursor_(problem.view, {&problem.x.strides, &problem.residual.strides, &problem.sum.strides},
                begin) {}

  void add_next() {
    for (std::int64_t g = 0; g < problem_.view.g; ++g) {
      add_row(static_cast<const X*>(problem_.x.data) + cursor_.offset(0) + g * problem_.x.strides.g,
              static_cast<const X*>(problem_.residual.data) + cursor_.offset(1) +
                  g * problem_.residual.strides.g,
              static_cast<size_t>(problem_.view.c),
              static_cast<X*>(problem_.sum.data) + cursor_.offset(2) + g * problem_.sum.strides.g);
    }
    cursor_.next();
  }

 private:
  const NormForward& problem_;
  RowCursor<3> cursor_;
};

template <class X, class Y, Affine A, bool Round, bool Center>
void forward_rows(const ForwardPlan& plan, std::int64_t begin, std::int64_t end) {
  const NormForward& problem = *plan.problem;
  const NormView& view = problem.view;
  std::optional<SumRows<X>> sums;
  if (problem.residual.data) sums.emplace(problem, begin);
  const void* data = sums ? problem.sum.data : problem.x.data;
  const NormStrides& strides = sums ? problem.sum.strides : problem.x.strides;
  RowCursor<2> cursor(view, {&strides, &problem.y.strides}, begin);
  const size_t rows = batch_rows<X>(static_cast<size_t>(view.stats_c), plan.in_cache);
  const std::intptr_t ahead = next_row<X>(view, strides) * static_cast<std::intptr_t>(rows);
  RowBatch<X, Y> batch;
  for (std::int64_t n = begin; n < end; ++n, cursor.next()) {
    if (sums) sums->add_next();
    for (std::int64_t g = 0; g < view.g; ++g) {
      const size_t r = batch.count++;
      batch.x[r] = static_cast<const X*>(data) + cursor.offset(0) + g * strides.g;
      batch.y[r] = static_cast<Y*>(problem.y.data) + cursor.offset(1) + g * problem.y.strides.g;
      batch.g[r] = g;
      batch.index[r] = n * view.g + g;
      if (batch.count < rows && (n + 1 < end || g + 1 < view.g)) continue;
      forward_batch<X, Y, A, Round, Center>(plan, batch, ahead);
      batch.count = 0;
    }
  }
  if (plan.streams) finish_stream();
}

template <class X, class Y, bool Round, bool Center>
void forward_rows_affine(const ForwardPlan& plan, std::int64_t begin, std::int64_t end) {
  if (plan.bias) return forward_rows<X, Y, Affine::weight_bias, Round, Center>(plan, begin, end);
  if (plan.weight) return forward_rows<X, Y, Affine::weight, Round, Center>(plan, begin, end);
  forward_rows<X, Y, Affine::none, Round, Center>(plan, begin, end);
}

template <class X, class Y, bool Round>
void forward_rows_center(const ForwardPlan& plan, std::int64_t begin, std::int64_t end) {
  if (plan.problem->view.center) return forward_rows_affine<X, Y, Round, true>(plan, begin, end);
  forward_rows_affine<X, Y, Round, false>(plan, begin, end);
}

template <class X>
void forward_rows_16(const ForwardPlan& plan, std::int64_t begin, std::int64_t end) {
  const bool round = plan.problem->parameters.cast_policy == CastPolicy::before_weight;
  if (plan.problem->y.dtype == DType::f32) {
    if (round) return forward_rows_center<X, float, true>(plan, begin, end);
    return forward_rows_center<X, float, false>(plan, begin, end);
  }
  if (round) return forward_rows_center<X, X, true>(plan, begin, end);
  forward_rows_center<X, X, false>(plan, begin, end);
}

// Rows begin .. end-1 of n.
inline void forward_task(const ForwardPlan& plan, std::int64_t begin, std::int64_t end) {
  switch (plan.problem->x.dtype) {
    case DType::f32:
      return forward_rows_center<float, float, false>(plan, begin, end);
    case DType::bf16:
      return forward_rows_16<bfloat16>(plan, begin, end);
    case DType::f16:
      return forward_rows_16<float16>(plan, begin, end);
    case DType::f64:
      return;  // declined
  }
}

}  // namespace omninorm::internal::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
