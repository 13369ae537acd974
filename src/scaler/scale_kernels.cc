#include "src/scaler/scale_kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "src/scaler/scale_kernels.cc"
#include "hwy/cache_control.h"
#include "hwy/foreach_target.h"
#include "src/scaler/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace omninorm::internal::scaling::HWY_NAMESPACE {

// Two vectors of doubles as Y, side by side.
template <class Y, bool kStreams>
HWY_INLINE void store_two(V a, V b, Y* y) {
#if HWY_TARGET != HWY_SCALAR
  if constexpr (std::is_same_v<Y, float>) {
    const hn::ScalableTag<float> d;
    const auto both = hn::Combine(d, to_float(b), to_float(a));
    if constexpr (kStreams) {
      hn::Stream(both, d, y);
    } else {
      hn::StoreU(both, d, y);
    }
    return;
  } else if constexpr (kStreams) {
    hn::Stream(a, D(), y);
    hn::Stream(b, D(), y + lanes());
    return;
  }
#endif
  store(a, y);
  store(b, y + lanes());
}

template <class X, class Y, ScaleSteps kSteps>
struct Scaling {
  const ScaleRows& rows;

  HWY_INLINE V scaled(V value, size_t i) const {
    const D d;
    const ScaleArrays& p = rows.arrays;
    if constexpr (kSteps != ScaleSteps::add) {
      value = hn::Sub(value, hn::LoadU(d, p.subtract_high + i));
      value = hn::Sub(value, hn::LoadU(d, p.subtract_low + i));
    }
    value = hn::Mul(value, hn::LoadU(d, p.multiply + i));
    if constexpr (kSteps != ScaleSteps::subtract) {
      value = hn::Add(value, hn::LoadU(d, p.add_low + i));
      value = hn::Add(value, hn::LoadU(d, p.add_high + i));
    }
    if constexpr (kSteps == ScaleSteps::clamp) {
      // By comparison: NaN stays NaN.
      const V low = hn::LoadU(d, p.low + i), high = hn::LoadU(d, p.high + i);
      value = hn::IfThenElse(hn::Lt(value, low), low, value);
      value = hn::IfThenElse(hn::Gt(value, high), high, value);
    }
    return value;
  }

  HWY_INLINE void part(const X* x, Y* y, size_t begin, size_t end) const {
    const size_t N = lanes();
    for (size_t i = begin; i < end; i += N) {
      const size_t n = HWY_MIN(N, end - i);
      store_part(scaled(load_part(x + i, n), i), y + i, n);
    }
  }

  template <bool kStreams>
  HWY_INLINE void row(const X* x, Y* y) const {
    const size_t N = lanes();
    const std::int64_t ahead = prefetch_distance<X>(rows.width, rows.x_stride);
    const auto width = static_cast<size_t>(rows.width);
    size_t i = 0;
    if constexpr (kStreams) {
      // To the first whole line of y.
      const size_t beyond = reinterpret_cast<std::uintptr_t>(y) % 64 / sizeof(Y);
      i = HWY_MIN(width, beyond == 0 ? 0 : 64 / sizeof(Y) - beyond);
      part(x, y, 0, i);
    }
    for (; i + 2 * N <= width; i += 2 * N) {
      hwy::Prefetch(x + i + ahead);
      const V a = scaled(load(x + i), i);
      const V b = scaled(load(x + i + N), i + N);
      store_two<Y, kStreams>(a, b, y + i);
    }
    part(x, y, i, width);
  }

  void run() const {
    const auto* x = static_cast<const X*>(rows.x);
    auto* y = static_cast<Y*>(rows.y);
    for (std::int64_t r = 0; r < rows.rows; ++r, x += rows.x_stride, y += rows.y_stride) {
      if (rows.streams) {
        row<true>(x, y);
      } else {
        row<false>(x, y);
      }
    }
    if (rows.streams) hwy::FlushStream();
  }
};

template <class X, class Y>
void scale_steps(const ScaleRows& rows) {
  switch (rows.steps) {
    case ScaleSteps::subtract:
      return Scaling<X, Y, ScaleSteps::subtract>{rows}.run();
    case ScaleSteps::add:
      return Scaling<X, Y, ScaleSteps::add>{rows}.run();
    case ScaleSteps::both:
      return Scaling<X, Y, ScaleSteps::both>{rows}.run();
    case ScaleSteps::clamp:
      return Scaling<X, Y, ScaleSteps::clamp>{rows}.run();
  }
}

inline void scale_rows(const ScaleRows& rows) {
  if (rows.x_f64) {
    return rows.y_f64 ? scale_steps<double, double>(rows) : scale_steps<double, float>(rows);
  }
  rows.y_f64 ? scale_steps<float, double>(rows) : scale_steps<float, float>(rows);
}

}  // namespace omninorm::internal::scaling::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace omninorm::internal::scaling {
namespace {

HWY_EXPORT(scale_rows);

}  // namespace

void scale_rows(const ScaleRows& rows) { HWY_DYNAMIC_DISPATCH(scale_rows)(rows); }

}  // namespace omninorm::internal::scaling
#endif  // HWY_ONCE
