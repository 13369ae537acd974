// Forward of one row after another: statistics, then y. A row is read from memory once; the later
// passes find it in cache.
#if defined(OMNINORM_CPU_NORM_FORWARD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef OMNINORM_CPU_NORM_FORWARD_INL_H_
#undef OMNINORM_CPU_NORM_FORWARD_INL_H_
#else
#define OMNINORM_CPU_NORM_FORWARD_INL_H_
#endif

#include <cmath>

#include "src/cpu/affine-inl.h"
#include "src/cpu/extreme_row.h"
#include "src/cpu/moments-inl.h"
#include "src/cpu/row_plan.h"

HWY_BEFORE_NAMESPACE();
namespace omninorm::internal::HWY_NAMESPACE {

// What the last pass needs: xhat = (x - shift) * rstd + correction.
struct RowStatistics {
  float shift;       // near the mean: x - shift is exact there, so neither the mean's own rounding
                     // (2^-13 at 2000) nor the shift's distance from it costs anything
  float correction;  // -rstd * (mean - shift)
  float mean;
  float rstd;
  bool extreme;  // fp32 was not enough; see extreme_row.h
};

// Mean squares below this may have lost terms to underflow (squares below 2^-126 are denormal).
inline constexpr double kSmallestMeanSquare = 0x1p-100;
// When mean - shift exceeds 32 standard deviations, the variance lost 10 of its bits in
// m2 - (mean - shift)^2: only (nearly) constant rows far from zero with a tiny eps get there.
inline constexpr double kLargestCorrection = 0x1p10;

// Mean - shift and the variance about the mean, from one pass. The variance's error is that of a
// two-pass one times 1 + 3 * (mean - shift)^2 / variance.
struct Deviations {
  double delta;
  double m2;
};

template <class X>
HWY_INLINE Deviations deviations(const X* x, size_t n, float shift) {
  double first, second;
  sums_of_deviations(x, n, shift, first, second);
  const double delta = first / static_cast<double>(n);
  const double m2 = second / static_cast<double>(n) - delta * delta;
  return {delta, m2 < 0 ? 0 : m2};  // keeps NaN
}

// Entries from which a row's first shift is taken: a thirty-second of the row, so that no single
// entry can pull it more than a standard deviation off in rows past 1024, and at least a block.
HWY_INLINE size_t sample_size(size_t n) {
  const size_t block = block_size();
  return HWY_MIN(n, HWY_MAX(block, n / 32 / block * block));
}

template <class X>
HWY_INLINE RowStatistics row_statistics(const X* x, size_t n, bool center, double eps) {
  double delta = 0;
  double m2 = 0;
  RowStatistics result{};
  if (center) {
    // One pass about the mean of a sample. Rarely that is over a standard deviation away from the
    // row's mean: then a second pass, about what the first found.
    const size_t sample = sample_size(n);
    result.shift = static_cast<float>(sum(x, sample) / static_cast<double>(sample));
    Deviations about = deviations(x, n, result.shift);
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
  // -0 when not centred: x * rstd + -0 keeps the sign of a zero.
  result.correction = center ? static_cast<float>(-delta * rstd) : -0.0f;
  result.extreme = !(with_eps >= kSmallestMeanSquare && std::isfinite(m2) &&
                     kLargestCorrection * with_eps >= delta * delta);
  return result;
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

// y = xhat * weight + bias over one row. y may be x, but not where it streams. The next row, `ahead`
// bytes on, is fetched meanwhile: the passes over a row in cache leave memory idle otherwise.
template <class X, class Y, Affine A, bool Round, bool Stream>
HWY_INLINE void write_row(const X* x, const float* weight, const float* bias, size_t n,
                          const RowStatistics& row, Y* y, std::intptr_t ahead) {
  constexpr Layout L = kLayout<X>;
  const DF d;
  const size_t N = hn::Lanes(d);
  const size_t block = block_size();
  const VF shift = hn::Set(d, row.shift);
  const VF rstd = hn::Set(d, row.rstd);
  const VF correction = hn::Set(d, row.correction);
  VF a, b;
  size_t i = 0;
  for (; i + block <= n; i += block) {
    fetch_block(x + i, ahead);
    load_block<L>(x + i, a, b);
    a = hn::MulAdd(hn::Sub(a, shift), rstd, correction);
    b = hn::MulAdd(hn::Sub(b, shift), rstd, correction);
    a = affine<X, A, Round>(a, weight, bias, i);
    b = affine<X, A, Round>(b, weight, bias, i + N);
    if constexpr (Stream && can_stream<X, Y>()) {
      stream_block<L>(a, b, y + i);
    } else {
      store_block<L>(a, b, y + i);
    }
  }
  if (i < n) {
    load_block_n<L>(x + i, n - i, a, b);
    a = hn::MulAdd(hn::Sub(a, shift), rstd, correction);
    b = hn::MulAdd(hn::Sub(b, shift), rstd, correction);
    a = affine<X, A, Round>(a, weight, bias, i);
    b = affine<X, A, Round>(b, weight, bias, i + N);
    store_block_n<L>(a, b, y + i, n - i);
  }
}

inline const void* element(DType dtype, const void* p, std::int64_t index) {
  if (p == nullptr) return nullptr;
  return static_cast<const std::byte*>(p) + index * static_cast<std::int64_t>(size_of(dtype));
}

template <class X, class Y, Affine A, bool Round>
void forward_rows(const ForwardPlan& plan, std::int64_t begin, std::int64_t end) {
  const NormForward& problem = *plan.problem;
  const NormView& view = problem.view;
  const auto c = static_cast<size_t>(view.c);
  const auto stats_c = static_cast<size_t>(view.stats_c);
  RowCursor<2> cursor(view, {&problem.x.strides, &problem.y.strides}, begin);
  const std::intptr_t ahead = next_row<X>(view, problem.x.strides);
  const bool streams = plan.streams && can_stream<X, Y>();
  for (std::int64_t n = begin; n < end; ++n, cursor.next()) {
    for (std::int64_t g = 0; g < view.g; ++g) {
      const X* x =
          static_cast<const X*>(problem.x.data) + cursor.offset(0) + g * problem.x.strides.g;
      Y* y = static_cast<Y*>(problem.y.data) + cursor.offset(1) + g * problem.y.strides.g;
      RowStatistics row = row_statistics(x, stats_c, view.center, problem.parameters.eps);
      if (HWY_UNLIKELY(row.extreme)) {
        const ExtremeStatistics exact = extreme_row_forward(
            problem, {x, element(problem.weight_dtype, problem.weight, g * view.c),
                      element(problem.weight_dtype, problem.bias, g * view.c), y});
        row.mean = static_cast<float>(exact.mean);
        row.rstd = static_cast<float>(exact.rstd);
      } else {
        const std::int64_t at = g * plan.affine_stride;
        if (streams && aligned_for_stream(y)) {
          write_row<X, Y, A, Round, true>(x, plan.weight + at, plan.bias + at, c, row, y, ahead);
        } else {
          write_row<X, Y, A, Round, false>(x, plan.weight + at, plan.bias + at, c, row, y, ahead);
        }
      }
      const std::int64_t index = n * view.g + g;
      if (problem.mean) static_cast<float*>(problem.mean)[index] = row.mean;
      if (problem.rstd) static_cast<float*>(problem.rstd)[index] = row.rstd;
    }
  }
  if (streams) finish_stream();
}

template <class X, class Y, bool Round>
void forward_rows_affine(const ForwardPlan& plan, std::int64_t begin, std::int64_t end) {
  if (plan.bias) return forward_rows<X, Y, Affine::weight_bias, Round>(plan, begin, end);
  if (plan.weight) return forward_rows<X, Y, Affine::weight, Round>(plan, begin, end);
  forward_rows<X, Y, Affine::none, Round>(plan, begin, end);
}

template <class X>
void forward_rows_16(const ForwardPlan& plan, std::int64_t begin, std::int64_t end) {
  const bool round = plan.problem->parameters.cast_policy == CastPolicy::before_weight;
  if (plan.problem->y.dtype == DType::f32) {
    if (round) return forward_rows_affine<X, float, true>(plan, begin, end);
    return forward_rows_affine<X, float, false>(plan, begin, end);
  }
  if (round) return forward_rows_affine<X, X, true>(plan, begin, end);
  forward_rows_affine<X, X, false>(plan, begin, end);
}

// Rows begin .. end-1 of n.
inline void forward_task(const ForwardPlan& plan, std::int64_t begin, std::int64_t end) {
  switch (plan.problem->x.dtype) {
    case DType::f32:
      return forward_rows_affine<float, float, false>(plan, begin, end);
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
