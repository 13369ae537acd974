// Mean and rstd of rows: of one by itself, and of a few together, so that one row's reductions hide
// behind another's.
#if defined(OMNINORM_CPU_ROW_STATISTICS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef OMNINORM_CPU_ROW_STATISTICS_INL_H_
#undef OMNINORM_CPU_ROW_STATISTICS_INL_H_
#else
#define OMNINORM_CPU_ROW_STATISTICS_INL_H_
#endif

#include <cmath>

#include "src/cpu/moments-inl.h"

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

// RowStatistics of rows that are taken together, as arrays: a batch's statistics are few vector
// stores then. Stores queue up behind the rows that were just written.
struct BatchStatistics {
  HWY_ALIGN float shift[kLanes];
  HWY_ALIGN float correction[kLanes];
  HWY_ALIGN float mean[kLanes];
  HWY_ALIGN float rstd[kLanes];

  RowStatistics row(size_t r) const { return {shift[r], correction[r], mean[r], rstd[r]}; }
  void set(size_t r, const RowStatistics& row) {
    shift[r] = row.shift;
    correction[r] = row.correction;
    mean[r] = row.mean;
    rstd[r] = row.rstd;
  }
};

// Where a centred row's first pass takes deviations from: the mean of a sample; for 16-bit numbers
// 0, so that neither pass subtracts. Where the mean is over a standard deviation away from that,
// bits are lost (the variance's error is 1 + 3 (mean - shift)^2 / variance times a two-pass one's),
// and then once more, about the mean. (0 for f32 too: 4 to 8 % faster in cache, and 15 % slower
// for rows far from 0.)
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
                                         BatchStatistics& results) {
  const DF d;
  VF first[Rows], second[Rows];
  // Only where there are others: GCC 12 makes this "rep stos", which waits for all stores before
  // it, so for the rows that were just written.
  const auto empty_others = [&]() HWY_ATTR {
    if (HWY_LIKELY(count == Rows)) return;
    for (size_t r = 0; r < Rows; ++r) first[r] = second[r] = hn::Zero(d);
  };
  empty_others();
  VF delta = hn::Zero(d), shift = hn::Zero(d);
  if constexpr (F == From::mean) shift = hn::Load(d, results.mean);
  if constexpr (F == From::sample) {
    const size_t sample = sample_size(n);
    for (size_t r = 0; r < count; ++r) first[r] = chunk_sum(x[r], sample);
    shift = hn::Mul(reduce_each<Rows>(first), hn::Set(d, 1.0f / static_cast<float>(sample)));
    empty_others();
  }
  hn::Store(shift, d, results.shift);
  const VF per_entry = hn::Set(d, 1.0f / static_cast<float>(n));
  if constexpr (F == From::uncentred) {
    for (size_t r = 0; r < count; ++r) second[r] = chunk_squares(x[r], n);
  } else {
    for (size_t r = 0; r < count; ++r) {
      chunk_deviations<F == From::zero>(x[r], n, hn::Set(d, results.shift[r]), first[r], second[r]);
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
  hn::Store(hn::Add(shift, delta), d, results.mean);
  hn::Store(hn::Neg(hn::Mul(delta, rstd)), d, results.correction);
  hn::Store(rstd, d, results.rstd);
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
                          BatchStatistics& results) {
  if constexpr (!Center) {
    return statistics_of_rows<X, From::uncentred, Rows>(x, count, n, eps, results);
  } else if constexpr (!kFromZero<X>) {
    return statistics_of_rows<X, From::sample, Rows>(x, count, n, eps, results);
  } else {
    const unsigned far = statistics_of_rows<X, From::zero, Rows>(x, count, n, eps, results);
    if (HWY_LIKELY(far == 0)) return 0;
    // Those alone: a row's bits must not depend on the rows beside it.
    const X* far_x[Rows] = {};
    BatchStatistics about;
    hn::Store(hn::Zero(DF()), DF(), about.mean);  // the others' lanes
    size_t index[Rows], far_count = 0;
    for (size_t r = 0; r < count; ++r) {
      if (!(far >> r & 1)) continue;
      far_x[far_count] = x[r];
      about.set(far_count, results.row(r));
      index[far_count++] = r;
    }
    const unsigned bad = statistics_of_rows<X, From::mean, Rows>(far_x, far_count, n, eps, about);
    unsigned alone = 0;
    for (size_t i = 0; i < far_count; ++i) {
      results.set(index[i], about.row(i));
      alone |= (bad >> i & 1) << index[i];
    }
    return alone;
  }
}

}  // namespace omninorm::internal::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
