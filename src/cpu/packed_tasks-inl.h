// The packed kernels' tasks by dtype and size, weights made ready for a period, and the sums of a
// period brought down to those of a row.
#if defined(OMNINORM_CPU_PACKED_TASKS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef OMNINORM_CPU_PACKED_TASKS_INL_H_
#undef OMNINORM_CPU_PACKED_TASKS_INL_H_
#else
#define OMNINORM_CPU_PACKED_TASKS_INL_H_
#endif

#include "src/cpu/packed_backward-inl.h"
#include "src/cpu/packed_forward-inl.h"

HWY_BEFORE_NAMESPACE();
namespace omninorm::internal::HWY_NAMESPACE {

inline bool packs() { return HWY_TARGET != HWY_SCALAR && !HWY_HAVE_SCALABLE; }

#if HWY_TARGET != HWY_SCALAR && !HWY_HAVE_SCALABLE

inline float affine_value(DType dtype, const void* p, size_t i) {
  switch (dtype) {
    case DType::f32:
      return static_cast<const float*>(p)[i];
    case DType::bf16:
      return to_float(static_cast<const bfloat16*>(p)[i]);
    case DType::f16:
      return to_float(static_cast<const float16*>(p)[i]);
    case DType::f64:
      break;
  }
  return static_cast<float>(static_cast<const double*>(p)[i]);
}

// One row's entries (`none` each where `from` is null) plus offset, again and again over a period.
inline void prepare_period(const PackedShape& shape, DType x, DType dtype, const void* from,
                           float offset, float none, float* to) {
  const auto row = static_cast<size_t>(shape.affine_floats());
  const auto period = static_cast<size_t>(shape.period_floats());
  if (from == nullptr) {
    for (size_t i = 0; i < period; ++i) to[i] = none;
  } else if (row % (2 * kN) == 0) {
    prepare_affine(x, dtype, from, row, offset, to);
    for (size_t i = row; i < period; i += row) std::memcpy(to + i, to, row * sizeof(float));
  } else {
    for (size_t i = 0; i < period; ++i) {
      const float value = affine_value(dtype, from, i % row) + offset;
      to[x == DType::bf16 ? place<bfloat16>(i) : i] = value;
    }
  }
}

template <class T>
void store_sum(double sum, T* to) {
  if constexpr (std::is_same_v<T, float>) *to = static_cast<float>(sum);
  if constexpr (std::is_same_v<T, bfloat16>) *to = to_bfloat16(static_cast<float>(sum));
  if constexpr (std::is_same_v<T, float16>) *to = to_float16(static_cast<float>(sum));
}

// to[0 .. a row): the tasks' sums, and those of a period's rows, added in order in double.
template <class X, class T>
void add_periods(const PackedBackwardPlan& plan, int which, T* to) {
  const auto row = static_cast<size_t>(plan.shape.affine_floats());
  const auto period = static_cast<size_t>(plan.shape.period_floats());
  const float* sums =
      (plan.coarse ? plan.coarse : plan.partial) + static_cast<size_t>(which) * period;
  const auto tasks = static_cast<size_t>(plan.shape.tasks);
  constexpr size_t kTile = 2 * kN;
  if (row % kTile == 0) {
    for (size_t tile = 0; tile < row; tile += kTile) {
      double total[kTile] = {};
      for (size_t task = 0; task < tasks; ++task) {
        for (size_t at = tile; at < period; at += row) {
          const float* from = sums + task * 2 * period + at;
          for (size_t i = 0; i < kTile; ++i) total[i] += static_cast<double>(from[i]);
        }
      }
      for (size_t i = 0; i < kTile; ++i) store_sum(total[place<X>(i)], to + tile + i);
    }
    return;
  }
  for (size_t e = 0; e < row; ++e) {
    double total = 0;
    for (size_t task = 0; task < tasks; ++task) {
      for (size_t at = e; at < period; at += row) {
        total += static_cast<double>(sums[task * 2 * period + place<X>(at)]);
      }
    }
    store_sum(total, to + e);
  }
}

template <class X>
void add_periods_to(const PackedBackwardPlan& plan, int which, void* to) {
  switch (plan.problem->dweight_dtype) {
    case DType::f32:
      return add_periods<X>(plan, which, static_cast<float*>(to));
    case DType::bf16:
      return add_periods<X>(plan, which, static_cast<bfloat16*>(to));
    case DType::f16:
      return add_periods<X>(plan, which, static_cast<float16*>(to));
    case DType::f64:
      return;  // declined
  }
}

// function(size, whether centred), both as constants.
template <class Function>
HWY_INLINE void for_packed(const PackedShape& shape, bool center, const Function& function) {
  const auto sized = [&](auto size) HWY_ATTR {
    if (center) return function(size, std::true_type());
    function(size, std::false_type());
  };
  switch (shape.c) {
    case 4:
      return sized(std::integral_constant<size_t, 4>());
    case 8:
      return sized(std::integral_constant<size_t, 8>());
    case 16:
      return sized(std::integral_constant<size_t, 16>());
    case 32:
      return sized(std::integral_constant<size_t, 32>());
    default:
      return sized(std::integral_constant<size_t, 64>());
  }
}

template <class Function>
HWY_INLINE void for_dtype(DType dtype, const Function& function) {
  if (dtype == DType::f32) return function(float());
  if (dtype == DType::bf16) return function(bfloat16());
  function(float16());
}

inline void packed_forward_task(const PackedForwardPlan& plan, std::int64_t task) {
  const std::int64_t begin = task * plan.shape.groups_per_task;
  const std::int64_t end = HWY_MIN(begin + plan.shape.groups_per_task, plan.shape.groups);
  for_dtype(plan.problem->x.dtype, [&](auto x) HWY_ATTR {
    for_packed(plan.shape, plan.problem->view.center, [&](auto size, auto center) HWY_ATTR {
      packed_forward_groups<decltype(x), decltype(size)::value, decltype(center)::value>(
          plan, begin, end);
    });
  });
}

inline void packed_backward_task(const PackedBackwardPlan& plan, std::int64_t task) {
  const std::int64_t begin = task * plan.shape.groups_per_task;
  const std::int64_t end = HWY_MIN(begin + plan.shape.groups_per_task, plan.shape.groups);
  for_dtype(plan.problem->x.dtype, [&](auto x) HWY_ATTR {
    for_packed(plan.shape, plan.problem->view.center, [&](auto size, auto center) HWY_ATTR {
      packed_backward_groups<decltype(x), decltype(size)::value, decltype(center)::value>(
          plan, task, begin, end);
    });
  });
}

inline void packed_add(const PackedBackwardPlan& plan, int which, void* to) {
  for_dtype(plan.problem->x.dtype,
            [&](auto x) HWY_ATTR { add_periods_to<decltype(x)>(plan, which, to); });
}

#else  // never called: packs() is false

inline void prepare_period(const PackedShape&, DType, DType, const void*, float, float, float*) {}
inline void packed_forward_task(const PackedForwardPlan&, std::int64_t) {}
inline void packed_backward_task(const PackedBackwardPlan&, std::int64_t) {}
inline void packed_add(const PackedBackwardPlan&, int, void*) {}

#endif

}  // namespace omninorm::internal::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
