// The arithmetic between the passes over data, in double, over arrays of sets and of channels: a
// late layer of a ResNet has as many channels as positions, and there this is half of the work.
// The loops are left to the compiler's vectoriser.
#if defined(OMNINORM_CPU_CHANNEL_FINISH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef OMNINORM_CPU_CHANNEL_FINISH_INL_H_
#undef OMNINORM_CPU_CHANNEL_FINISH_INL_H_
#else
#define OMNINORM_CPU_CHANNEL_FINISH_INL_H_
#endif

#include <cmath>

#include "src/cpu/arrays-inl.h"
#include "src/cpu/channel_plan.h"
#include "src/cpu/row_plan.h"

HWY_BEFORE_NAMESPACE();
namespace omninorm::internal::HWY_NAMESPACE {

// Variances below this may have lost terms to underflow, and rstd above its inverse square root
// overflows in products.
inline constexpr double kSmallestVariance = 0x1p-100;
inline constexpr double kLargestVariance = 0x1p100;

// Sets or channels whose numbers are kept on the stack.
inline constexpr size_t kFinishTile = 128;

// ---- Weights

// Weights + offset of `count` channels; ones where there is no weight.
template <class Problem>
void load_weights(const Problem& problem, std::int64_t channel, size_t count, double* to) {
  if (problem.weight == nullptr) {
    for (size_t i = 0; i < count; ++i) to[i] = 1;
    return;
  }
  load_array(problem.weight, problem.weight_dtype, channel, count, to);
  const double offset = problem.parameters.weight_offset;
  for (size_t i = 0; i < count; ++i) to[i] += offset;
}

// ---- Moments

// term(0) + ... + term(count - 1), in eight sums that do not wait for each other.
template <class Term>
HWY_INLINE double sum_of(size_t count, const Term& term) {
  constexpr size_t kSums = 8;
  double sums[kSums] = {};
  size_t i = 0;
  for (; i + kSums <= count; i += kSums) {
    for (size_t k = 0; k < kSums; ++k) sums[k] += term(i + k);
  }
  for (size_t k = 0; i < count; ++i, ++k) sums[k] += term(i);
  return ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
}

// Of parts that have as many entries each: Chan, Golub and LeVeque (1979), with the mean first, so
// that nothing is divided along the way.
struct MomentSum {
  double count = 0;
  double mean = 0;
  double m2 = 0;

  void add(const double* means, const double* m2s, size_t parts, double entries) {
    const double center =
        sum_of(parts, [&](size_t i) { return means[i]; }) / static_cast<double>(parts);
    const double squares =
        sum_of(parts, [&](size_t i) { return (means[i] - center) * (means[i] - center); });
    const double within = sum_of(parts, [&](size_t i) { return m2s[i]; });
    const double more = static_cast<double>(parts) * entries;
    const double delta = center - mean;
    const double total = count + more;
    m2 += within + entries * squares + (count == 0 ? 0 : delta * delta * count * more / total);
    mean = count == 0 ? center : mean + delta * more / total;
    count = total;
  }
};

// Moments of channels begin .. end-1 over all parts of a set (an image, or the batch), into the
// place of the first part.
HWY_NOINLINE inline void merge_parts(const ChannelForwardPlan& plan, std::int64_t image,
                                     std::int64_t begin, std::int64_t end) {
  const ChannelShape& shape = plan.shape;
  const std::int64_t parts = shape.parts_per_set();
  if (parts == 1) return;
  const std::int64_t base = image * parts * shape.channels;
  const auto entries = static_cast<double>(shape.rows_per_set());
  for (std::int64_t first = begin; first < end; first += kFinishTile) {
    const auto count = HWY_MIN(static_cast<size_t>(end - first), kFinishTile);
    double mean[kFinishTile] = {}, m2[kFinishTile] = {};
    for (std::int64_t part = 0; part < parts; ++part) {
      const double* from = plan.part_mean + base + part * shape.channels + first;
      const auto rows = static_cast<double>(shape.rows_of_part(part));
      for (size_t c = 0; c < count; ++c) mean[c] += rows * from[c];
    }
    for (size_t c = 0; c < count; ++c) mean[c] /= entries;
    for (std::int64_t part = 0; part < parts; ++part) {
      const std::int64_t at = base + part * shape.channels + first;
      const double* means = plan.part_mean + at;
      const double* m2s = plan.part_m2 + at;
      const auto rows = static_cast<double>(shape.rows_of_part(part));
      for (size_t c = 0; c < count; ++c) {
        const double delta = means[c] - mean[c];
        m2[c] += m2s[c] + rows * delta * delta;
      }
    }
    for (size_t c = 0; c < count; ++c)
      plan.part_mean[base + first + static_cast<std::int64_t>(c)] = mean[c];
    for (size_t c = 0; c < count; ++c)
      plan.part_m2[base + first + static_cast<std::int64_t>(c)] = m2[c];
  }
}

// ---- Statistics of sets

// 1 / sqrt(v). fp32's root and quotient, which are faster than double's, and a Newton step: within
// 2^-44. Where fp32 does not reach, double's own.
template <class V>
HWY_INLINE V inverse_root(V v) {
  const hn::ScalableTag<double> d;
  const auto one = hn::Set(d, 1.0);
  // Nothing to gain; and the half of a vector of floats that is not used would be divided by.
  if (hn::MaxLanes(d) < 4) return hn::Div(one, hn::Sqrt(v));
  const hn::Rebind<float, decltype(d)> half;
  const auto near = hn::PromoteTo(d, hn::Div(hn::Set(half, 1.0f), hn::Sqrt(hn::DemoteTo(half, v))));
  const auto error = hn::NegMulAdd(hn::Mul(v, near), near, one);
  const auto better = hn::MulAdd(hn::Mul(near, error), hn::Set(d, 0.5), near);
  const auto reached =
      hn::And(hn::Ge(v, hn::Set(d, kSmallestVariance)), hn::Le(v, hn::Set(d, kLargestVariance)));
  if (HWY_LIKELY(hn::AllTrue(d, reached))) return better;
  return hn::IfThenElse(reached, better, hn::Div(one, hn::Sqrt(v)));
}

// 1 / sqrt(variance + eps).
inline void inverse_roots(const double* variance, double eps, size_t count, double* rstd) {
  const hn::ScalableTag<double> d;
  const size_t N = hn::Lanes(d);
  size_t i = 0;
  for (; i + N <= count; i += N) {
    const auto v = hn::LoadU(d, variance + i);
    hn::StoreU(inverse_root(hn::Add(v, hn::Set(d, eps))), d, rstd + i);
  }
  if (i < count) {
    const auto v = hn::Add(load_n(d, variance + i, count - i), hn::Set(d, eps));
    const auto some = hn::IfThenElse(hn::FirstN(d, count - i), v, hn::Set(d, 1.0));
    store_n(inverse_root(some), d, rstd + i, count - i);
  }
}

// Statistics of `count` <= kFinishTile sets from their moments over `entries` elements, written to
// the outputs that are wanted. extreme: fp32 is not enough for a set, or it holds NaN or Inf:
// reference_set must do it. Returns whether there is one.
HWY_NOINLINE inline bool finish_statistics(const NormForward& problem, std::int64_t index,
                                           size_t count, double entries, const double* mean,
                                           const double* m2, double* rstd, unsigned char* extreme) {
  double variance[kFinishTile] = {};
  const double eps = problem.parameters.eps;
  const double per_entry = 1 / entries;
  for (size_t i = 0; i < count; ++i) variance[i] = m2[i] * per_entry;
  inverse_roots(variance, eps, count, rstd);
  const DType dtype = problem.statistics_dtype;
  store_array(problem.mean, dtype, index, count, mean);
  store_array(problem.rstd, dtype, index, count, rstd);
  store_array(problem.variance, dtype, index, count, variance);
  // NaN and Inf fail one of the comparisons.
  int far = 0;
  for (size_t i = 0; i < count; ++i) {
    const double with_eps = variance[i] + eps;
    const bool good = with_eps >= kSmallestVariance && with_eps <= kLargestVariance;
    extreme[i] = !good;
    far += !good;
  }
  return far != 0;
}

// Evaluation: from the running statistics that were given.
template <class Problem>
void given_statistics(const Problem& problem, std::int64_t index, size_t count, double* mean,
                      double* variance, double* rstd) {
  load_array(problem.given_mean, DType::f32, index, count, mean);
  load_array(problem.given_variance, DType::f32, index, count, variance);
  inverse_roots(variance, problem.parameters.eps, count, rstd);
}

// Mean (null: not wanted) and rstd of `count` <= kFinishTile sets as backward was given them.
HWY_NOINLINE inline void saved_statistics(const NormBackward& problem, std::int64_t index,
                                          size_t count, double* mean, double* rstd) {
  if (problem.given_mean != nullptr) {
    double given[kFinishTile], variance[kFinishTile];
    return given_statistics(problem, index, count, mean ? mean : given, variance, rstd);
  }
  load_array(problem.rstd, problem.statistics_dtype, index, count, rstd);
  if (mean == nullptr) return;
  if (problem.mean) return load_array(problem.mean, problem.statistics_dtype, index, count, mean);
  for (size_t i = 0; i < count; ++i) mean[i] = 0;
}

// ---- Parameters of channels: (x - shift) * scale + offset

// `count` <= kFinishTile channels, whose sets' statistics lie channel by channel.
template <class Problem>
HWY_NOINLINE void channel_parameters(const Problem& problem, std::int64_t channel, size_t count,
                                     const double* mean, const double* rstd, float* shift,
                                     float* scale, float* offset) {
  double weight[kFinishTile], bias[kFinishTile];
  load_weights(problem, channel, count, weight);
  if (problem.bias) {
    load_array(problem.bias, problem.weight_dtype, channel, count, bias);
  } else {
    for (size_t i = 0; i < count; ++i) bias[i] = 0;
  }
  for (size_t i = 0; i < count; ++i) {
    const double product = rstd[i] * weight[i];
    const auto near = static_cast<float>(mean[i]);
    const double correction = static_cast<double>(near) - mean[i];
    const double moved = correction * product;
    shift[i] = near;
    scale[i] = static_cast<float>(product);
    offset[i] = static_cast<float>((correction == 0 ? 0 : moved) + bias[i]);  // 0 * Inf is not 0
  }
}

// The sets' numbers channel by channel, for channels [channel, channel + count); they begin with
// that of the set that `channel` belongs to.
inline void by_channels(std::int64_t channel, size_t count, std::int64_t group, const double* sets,
                        double* to) {
  auto left = static_cast<size_t>(group - channel % group);
  for (size_t i = 0; i < count; left = static_cast<size_t>(group)) {
    const size_t stop = HWY_MIN(count, i + left);
    while (i < stop) to[i++] = *sets;
    ++sets;
  }
}

// Channels [channel, channel + count), count <= kFinishTile, of sets of `group` channels, whose
// statistics begin with those of the set that `channel` belongs to.
template <class Problem>
void parameters_of_sets(const Problem& problem, std::int64_t channel, size_t count,
                        std::int64_t group, const double* mean, const double* rstd, float* shift,
                        float* scale, float* offset) {
  if (group == 1) {
    return channel_parameters(problem, channel, count, mean, rstd, shift, scale, offset);
  }
  double means[kFinishTile], rstds[kFinishTile];
  by_channels(channel, count, group, mean, means);
  by_channels(channel, count, group, rstd, rstds);
  channel_parameters(problem, channel, count, means, rstds, shift, scale, offset);
}

// Statistics of the sets of one image, groups begin .. end-1, and their channels' parameters.
HWY_NOINLINE inline void finish_sets(const ChannelForwardPlan& plan, std::int64_t image,
                                     std::int64_t begin, std::int64_t end) {
  const NormForward& problem = *plan.problem;
  const ChannelShape& shape = plan.shape;
  const std::int64_t group = shape.group;
  const std::int64_t parts = image * shape.parts_per_set() * shape.channels;
  const std::int64_t parameters = image * padded(shape.channels);
  if (problem.given_mean == nullptr) merge_parts(plan, image, begin * group, end * group);
  for (std::int64_t g = begin; g < end; g += kFinishTile) {
    const auto count = HWY_MIN(static_cast<size_t>(end - g), kFinishTile);
    const std::int64_t index = image * shape.sets_per_image() + g;
    double mean[kFinishTile], m2[kFinishTile], rstd[kFinishTile];
    if (problem.given_mean) {
      given_statistics(problem, index, count, mean, m2, rstd);
      store_array(problem.mean, problem.statistics_dtype, index, count, mean);
      store_array(problem.rstd, problem.statistics_dtype, index, count, rstd);
      store_array(problem.variance, problem.statistics_dtype, index, count, m2);
      for (size_t i = 0; i < count; ++i) plan.extreme[index + static_cast<std::int64_t>(i)] = 0;
    } else {
      const double* means = plan.part_mean + parts + g * group;
      const double* m2s = plan.part_m2 + parts + g * group;
      for (size_t i = 0; i < count; ++i) {
        MomentSum set{static_cast<double>(shape.rows_per_set()), means[i], m2s[i]};
        if (group > 1) {
          set = {};
          set.add(means + i * static_cast<size_t>(group), m2s + i * static_cast<size_t>(group),
                  static_cast<size_t>(group), static_cast<double>(shape.rows_per_set()));
        }
        mean[i] = set.mean;
        m2[i] = set.m2;
      }
      finish_statistics(problem, index, count, static_cast<double>(group * shape.rows_per_set()),
                        mean, m2, rstd, plan.extreme + index);
    }
    const std::int64_t last = (g + static_cast<std::int64_t>(count)) * group;
    for (std::int64_t channel = g * group; channel < last; channel += kFinishTile) {
      const auto here = HWY_MIN(static_cast<size_t>(last - channel), kFinishTile);
      const std::int64_t set = channel / group - g, to = parameters + channel;
      parameters_of_sets(problem, channel, here, group, mean + set, rstd + set, plan.shift + to,
                         plan.scale + to, plan.offset + to);
    }
  }
}

// ---- Gradients

// The arguments of the activation of groups begin .. end-1, before the sums.
inline void prepare_arguments(const ChannelBackwardPlan& plan, std::int64_t image,
                              std::int64_t begin, std::int64_t end) {
  const ChannelShape& shape = plan.shape;
  const std::int64_t parameters = image * padded(shape.channels);
  for (std::int64_t first = begin * shape.group; first < end * shape.group; first += kFinishTile) {
    const auto count = HWY_MIN(static_cast<size_t>(end * shape.group - first), kFinishTile);
    const std::int64_t set = first / shape.group;
    const std::int64_t last = (first + static_cast<std::int64_t>(count) - 1) / shape.group;
    double mean[kFinishTile], rstd[kFinishTile];
    saved_statistics(*plan.problem, image * shape.sets_per_image() + set,
                     static_cast<size_t>(last - set + 1), mean, rstd);
    const std::int64_t to = parameters + first;
    parameters_of_sets(*plan.problem, first, count, shape.group, mean, rstd, plan.mean + to,
                       plan.scale + to, plan.offset + to);
    for (size_t i = 0; i < count; ++i) {
      plan.x_scale[to + static_cast<std::int64_t>(i)] = 0;
      plan.constant[to + static_cast<std::int64_t>(i)] = 0;
    }
  }
}

// What is added to all channels of a set, x_scale and constant of their ChannelGradients, for
// `count` sets from g of an image on, from the sums of their channels over `entries` elements.
HWY_NOINLINE inline void set_gradients(const NormBackward& problem, std::int64_t g, size_t count,
                                       double entries, const double* rstd, const double* dy,
                                       const double* dy_x, float* x_scale, float* constant) {
  if (problem.given_mean != nullptr) {
    for (size_t i = 0; i < count; ++i) x_scale[i] = constant[i] = 0;
    return;
  }
  double through_mean[kFinishTile], through_x[kFinishTile], weight[kFinishTile];
  const auto group = static_cast<size_t>(problem.view.c);
  if (problem.given_sum_dy != nullptr) {
    // Of the whole batch, by channel; dy_xhat is in units of xhat already.
    entries = problem.given_count;
    load_weights(problem, g, count, weight);
    load_array(problem.given_sum_dy, DType::f64, g, count, through_mean);
    load_array(problem.given_sum_dy_xhat, DType::f64, g, count, through_x);
    for (size_t i = 0; i < count; ++i) through_mean[i] *= weight[i];
    for (size_t i = 0; i < count; ++i) through_x[i] *= weight[i];
  } else if (group == 1) {
    load_weights(problem, g, count, weight);
    for (size_t i = 0; i < count; ++i) through_mean[i] = weight[i] * dy[i];
    for (size_t i = 0; i < count; ++i) through_x[i] = weight[i] * dy_x[i] * rstd[i];
  } else {
    for (size_t i = 0; i < count; ++i) {
      double sum = 0, sum_x = 0;
      const std::int64_t channel = (g + static_cast<std::int64_t>(i)) * problem.view.c;
      for (size_t c = 0; c < group; c += kFinishTile) {
        const size_t here = HWY_MIN(group - c, kFinishTile);
        load_weights(problem, channel + static_cast<std::int64_t>(c), here, weight);
        for (size_t k = 0; k < here; ++k) {
          sum += weight[k] * dy[i * group + c + k];
          sum_x += weight[k] * dy_x[i * group + c + k];
        }
      }
      through_mean[i] = sum;
      through_x[i] = sum_x * rstd[i];
    }
  }
  const double per_entry = 1 / entries;
  for (size_t i = 0; i < count; ++i) {
    const double scale = -rstd[i] * per_entry;
    x_scale[i] = static_cast<float>(scale * rstd[i] * through_x[i]);
    constant[i] = static_cast<float>(scale * through_mean[i]);
  }
}

// Each channel's sums over its set, in the place of its first part; then what dx takes from them.
inline void finish_sums(const ChannelBackwardPlan& plan, std::int64_t image, std::int64_t begin,
                        std::int64_t end) {
  const NormBackward& problem = *plan.problem;
  const ChannelShape& shape = plan.shape;
  const std::int64_t group = shape.group, parts = shape.parts_per_set();
  double* dy = plan.part_dy + image * parts * shape.channels;
  double* dy_x = plan.part_dy_x + image * parts * shape.channels;
  for (std::int64_t part = 1; plan.wants_sums && part < parts; ++part) {
    const std::int64_t from = part * shape.channels;
    for (std::int64_t c = begin * group; c < end * group; ++c) dy[c] += dy[from + c];
    for (std::int64_t c = begin * group; c < end * group; ++c) dy_x[c] += dy_x[from + c];
  }
  const auto entries = static_cast<double>(group * shape.rows_per_set());
  for (std::int64_t g = begin; g < end; g += kFinishTile) {
    const auto count = HWY_MIN(static_cast<size_t>(end - g), kFinishTile);
    double rstd[kFinishTile];
    float x_scale[kFinishTile], constant[kFinishTile];
    saved_statistics(problem, image * shape.sets_per_image() + g, count, nullptr, rstd);
    set_gradients(problem, g, count, entries, rstd, dy + g * group, dy_x + g * group, x_scale,
                  constant);
    float* to = plan.x_scale + image * padded(shape.channels) + g * group;
    float* constants = plan.constant + image * padded(shape.channels) + g * group;
    for (size_t i = 0; i < count; ++i) {
      for (std::int64_t c = 0; c < group; ++c) *to++ = x_scale[i];
      for (std::int64_t c = 0; c < group; ++c) *constants++ = constant[i];
    }
  }
}

// dweight and dbias of channels begin .. end-1, at most kParameterChannels, from the sums of all
// images.
inline void write_affine_gradients(const ChannelBackwardPlan& plan, std::int64_t begin,
                                   std::int64_t end) {
  static_assert(kParameterChannels <= static_cast<std::int64_t>(kFinishTile));
  const NormBackward& problem = *plan.problem;
  const ChannelShape& shape = plan.shape;
  const std::int64_t stride = shape.parts_per_set() * shape.channels;
  const auto count = static_cast<size_t>(end - begin);
  const std::int64_t set = begin / shape.group, last = (end - 1) / shape.group;
  double dweight[kFinishTile] = {}, dbias[kFinishTile] = {};
  double rstd[kFinishTile], by_channel[kFinishTile];
  for (std::int64_t image = 0; image < shape.block_sets(); ++image) {
    saved_statistics(problem, image * shape.sets_per_image() + set,
                     static_cast<size_t>(last - set + 1), nullptr, rstd);
    const double* rstds = rstd;
    if (shape.group > 1) {
      by_channels(begin, count, shape.group, rstd, by_channel);
      rstds = by_channel;
    }
    const double* dy = plan.part_dy + image * stride + begin;
    const double* dy_x = plan.part_dy_x + image * stride + begin;
    for (size_t i = 0; i < count; ++i) dbias[i] += dy[i];
    for (size_t i = 0; i < count; ++i) dweight[i] += dy_x[i] * rstds[i];
  }
  store_array(problem.dweight, problem.dweight_dtype, begin, count, dweight);
  store_array(problem.dbias, problem.dweight_dtype, begin, count, dbias);
}

}  // namespace omninorm::internal::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
