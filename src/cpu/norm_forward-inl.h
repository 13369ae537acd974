// Forward of one row after another: statistics, then y. A row is read from memory once; the later
// passes find it in cache.
#if defined(OMNINORM_CPU_NORM_FORWARD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef OMNINORM_CPU_NORM_FORWARD_INL_H_
#undef OMNINORM_CPU_NORM_FORWARD_INL_H_
#else
#define OMNINORM_CPU_NORM_FORWARD_INL_H_
#endif

#include <cstring>
#include <optional>
#include <type_traits>

#include "src/cpu/affine-inl.h"
#include "src/cpu/extreme_row.h"
#include "src/cpu/row_plan.h"
#include "src/cpu/row_statistics-inl.h"

HWY_BEFORE_NAMESPACE();
namespace omninorm::internal::HWY_NAMESPACE {

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

// What the last pass does about memory. in_cache: nothing, x and y fit the core's own.
// fetch: the next row is asked for meanwhile, since the passes over a row in cache leave memory
// idle otherwise. stream: that, and y goes past the cache.
enum class Memory { in_cache, fetch, stream };

// y = xhat * weight + bias over one row. y may be x, but not where it streams. The next row is
// `ahead` bytes on.
template <class X, class Y, Affine A, bool Round, Memory M, Formula F>
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
    if constexpr (M != Memory::in_cache) fetch_block(x + i, ahead);
    load_block<L>(x + i, a, b);
    a = affine<X, A, Round>(normalize(a), weight, bias, i);
    b = affine<X, A, Round>(normalize(b), weight, bias, i + N);
    if constexpr (M == Memory::stream && can_stream<X, Y>()) {
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

// Consecutive rows that are taken together, `first` the index of the first one's statistics.
template <class X, class Y>
struct RowBatch {
  const X* x[kLanes];
  Y* y[kLanes];
  std::int64_t first = 0;
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
  BatchStatistics statistics;
  unsigned alone = 1;
  const size_t most = statistics_rows<X>(n);
  if (most > 1 && batch.count == 1) {  // the same bits, see reduce_each
    alone = batch_statistics<X, Center, 1>(batch.x, 1, n, eps, statistics);
  } else if (most == kLanes && kLanes > 1) {
    alone = batch_statistics<X, Center, kLanes>(batch.x, batch.count, n, eps, statistics);
  } else if (most > 1) {
    alone = batch_statistics<X, Center, kFewRows>(batch.x, batch.count, n, eps, statistics);
  }
  std::int64_t g = problem.view.g > 1 ? batch.first % problem.view.g : 0;
  for (size_t r = 0; r < batch.count; ++r) {
    const X* x = batch.x[r];
    Y* y = batch.y[r];
    const std::int64_t at = g * plan.affine_stride;
    bool extreme = false;
    if (HWY_UNLIKELY(alone >> r & 1)) {
      RowStatistics by_itself;
      extreme = !row_statistics<X, Center>(x, n, eps, by_itself);
      statistics.set(r, by_itself);
    }
    const RowStatistics row = statistics.row(r);
    if (HWY_UNLIKELY(extreme)) {
      const ExtremeStatistics exact = extreme_row_forward(
          problem, {x, element(problem.weight_dtype, problem.weight, g * problem.view.c),
                    element(problem.weight_dtype, problem.bias, g * problem.view.c), y});
      statistics.mean[r] = static_cast<float>(exact.mean);
      statistics.rstd[r] = static_cast<float>(exact.rstd);
    } else {
      const bool streams = plan.streams && can_stream<X, Y>() && aligned_for_stream(y);
      const auto write = [&](auto formula) {
        constexpr Formula F = decltype(formula)::value;
        const float* weight = plan.weight + at;
        const float* bias = plan.bias + at;
        if (streams) {
          write_row<X, Y, A, Round, Memory::stream, F>(x, weight, bias, c, row, y, ahead);
        } else if (plan.in_cache) {
          write_row<X, Y, A, Round, Memory::in_cache, F>(x, weight, bias, c, row, y, ahead);
        } else {
          write_row<X, Y, A, Round, Memory::fetch, F>(x, weight, bias, c, row, y, ahead);
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
    if (++g == problem.view.g) g = 0;
  }
  const size_t bytes = batch.count * sizeof(float);
  if (problem.mean) {
    std::memcpy(static_cast<float*>(problem.mean) + batch.first, statistics.mean, bytes);
  }
  if (problem.rstd) {
    std::memcpy(static_cast<float*>(problem.rstd) + batch.first, statistics.rstd, bytes);
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
  batch.first = begin * view.g;
  for (std::int64_t n = begin; n < end; ++n, cursor.next()) {
    if (sums) sums->add_next();
    for (std::int64_t g = 0; g < view.g; ++g) {
      const size_t r = batch.count++;
      batch.x[r] = static_cast<const X*>(data) + cursor.offset(0) + g * strides.g;
      batch.y[r] = static_cast<Y*>(problem.y.data) + cursor.offset(1) + g * problem.y.strides.g;
      if (batch.count < rows && (n + 1 < end || g + 1 < view.g)) continue;
      forward_batch<X, Y, A, Round, Center>(plan, batch, ahead);
      batch.first += static_cast<std::int64_t>(batch.count);
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
