#include "src/core/moments.h"

#include <algorithm>
#include <limits>
#include <string>

#include "src/core/argument.h"
#include "src/core/check.h"
#include "src/core/element.h"
#include "src/core/kernel_list.h"
#include "src/core/workspace.h"

namespace omninorm::internal {
namespace {

std::size_t doubles(std::int64_t count) { return static_cast<std::size_t>(count) * sizeof(double); }

// What a call takes with `scratch` bytes in front of what the kernel takes.
template <class Problem>
std::size_t bytes_with(std::size_t scratch, const Problem& problem) {
  return aligned(scratch) + kernel_bytes(problem);
}

template <class Problem>
Context behind(std::size_t scratch, const Workspace& workspace, const Problem& problem,
               const Context& context) {
  const std::size_t bytes = kernel_bytes(problem);
  if (bytes == 0) return {context.executor, {}};
  return {context.executor, {workspace.memory() + aligned(scratch), bytes}};
}

// The problem with its statistics as f64 in scratch memory: means, then variances, then rstds.
NormForward with_scratch(const NormForward& problem, std::byte* scratch) {
  const std::size_t bytes = doubles(problem.view.statistics());
  NormForward inner = problem;
  inner.statistics_dtype = DType::f64;
  inner.mean = scratch;
  inner.variance = scratch + bytes;
  if (problem.rstd != nullptr) inner.rstd = scratch + 2 * bytes;
  return inner;
}

std::size_t training_scratch(const NormForward& problem) {
  return 3 * doubles(problem.view.statistics());
}

// Statistics at an address that nobody reads: kernels are chosen by which are there.
std::size_t training_bytes(const NormForward& problem) {
  static std::byte nowhere[kAlignment];
  NormForward inner = problem;
  inner.statistics_dtype = DType::f64;
  inner.mean = inner.variance = nowhere;
  return bytes_with(training_scratch(problem), inner);
}

void store_all(void* to, DType dtype, const void* from, std::int64_t count) {
  if (to == nullptr) return;
  for (std::int64_t i = 0; i < count; ++i) store(to, dtype, i, load(from, DType::f64, i));
}

// Moments of `instances` x channels; their average is what counts (instance_norm), with variances
// made unbiased for `count` values each.
void update(const Running& running, std::int64_t instances, std::int64_t count, const double* mean,
            const double* variance) {
  if (!running.mean.given() || instances == 0 || count < 2) return;
  const std::int64_t channels = running.mean.elements();
  const double unbiased = static_cast<double>(count) / static_cast<double>(count - 1);
  const auto blend = [&](const Tensor& to, std::int64_t c, const double* values, double factor) {
    double average = 0;
    for (std::int64_t i = 0; i < instances; ++i) average += values[i * channels + c];
    average *= factor / static_cast<double>(instances);
    const double before = load(to.data, to.dtype, c);
    store(to.data, to.dtype, c, before + running.momentum * (average - before));
  };
  for (std::int64_t c = 0; c < channels; ++c) {
    blend(running.mean, c, mean, 1.0);
    blend(running.var, c, variance, unbiased);
  }
}

DType wide(DType x) { return x == DType::f64 ? DType::f64 : DType::f32; }

std::size_t normalize_scratch(const NormForward& problem) {
  return 3 * doubles(problem.view.statistics());
}

// Mean, then variance, in the dtype that given statistics have.
NormForward with_given(const NormForward& problem, std::byte* scratch) {
  NormForward inner = problem;
  inner.given_mean = scratch;
  inner.given_variance = scratch + doubles(problem.view.statistics());
  return inner;
}

std::size_t normalize_bytes(const NormForward& problem) {
  static std::byte nowhere[kAlignment];
  NormForward inner = problem;
  inner.given_mean = inner.given_variance = nowhere;
  return bytes_with(normalize_scratch(problem), inner);
}

double* doubles_of(const Tensor& tensor) { return static_cast<double*>(tensor.data); }

}  // namespace

std::int64_t pooled_elements(const NormView& view) {
  return (view.pool_n ? view.n : 1) * view.c * view.s;
}

Running running_to_update(const char* op, const RunningStatistics& running,
                          const std::optional<double>& momentum) {
  if (momentum && !(*momentum >= 0 && *momentum <= 1)) {
    fail(op, "momentum between 0 and 1", number_text(*momentum));
  }
  const std::int64_t* batches = running.num_batches_tracked;
  if (batches != nullptr &&
      (*batches < 0 || *batches == std::numeric_limits<std::int64_t>::max())) {
    fail(op, "num_batches_tracked of 0 or more that can be counted up", std::to_string(*batches));
  }
  if (!running.mean.given()) return {};
  if (momentum) return {running.mean, running.var, *momentum};
  if (running.num_batches_tracked == nullptr) {
    fail(op, "num_batches_tracked for a cumulative average", "none", "give it, or a momentum");
  }
  return {running.mean, running.var, 1.0 / static_cast<double>(*running.num_batches_tracked + 1)};
}

void launch_training(const NormForward& problem, const Running& running, const Context& context) {
  if (!running.mean.given()) return launch(problem, context);
  const std::size_t scratch = training_scratch(problem);
  const Workspace workspace(problem.op, "forward", training_bytes(problem), context);
  const NormForward inner = with_scratch(problem, workspace.memory());
  launch(inner, behind(scratch, workspace, inner, context));
  const std::int64_t count = problem.view.statistics();
  store_all(problem.mean, problem.statistics_dtype, inner.mean, count);
  store_all(problem.rstd, problem.statistics_dtype, inner.rstd, count);
  if (problem.view.empty()) return;
  update(running, problem.view.pool_n ? 1 : problem.view.n, pooled_elements(problem.view),
         static_cast<const double*>(inner.mean), static_cast<const double*>(inner.variance));
}

std::size_t training_workspace_bytes(const NormForward& problem, const Running& running) {
  if (!running.mean.given()) return workspace_bytes(problem);
  return with_slack(training_bytes(problem));
}

void launch_normalize(const NormForward& problem, const BatchNormMoments& moments,
                      const Running& running, const Context& context) {
  const std::size_t scratch = normalize_scratch(problem);
  const Workspace workspace(problem.op, "normalize", normalize_bytes(problem), context);
  std::byte* memory = workspace.memory();
  const NormForward inner = with_given(problem, memory);
  const std::int64_t channels = problem.view.statistics();
  const DType dtype = wide(problem.x.dtype);
  const double* mean = doubles_of(moments.mean);
  auto* variance = reinterpret_cast<double*>(memory + 2 * doubles(channels));
  for (std::int64_t c = 0; c < channels; ++c) {
    variance[c] =
        moments.count == 0 ? 0.0 : doubles_of(moments.m2)[c] / static_cast<double>(moments.count);
    store(memory, dtype, c, mean[c]);
    store(memory + doubles(channels), dtype, c, variance[c]);
  }
  if (channels > 0) update(running, 1, moments.count, mean, variance);
  launch(inner, behind(scratch, workspace, inner, context));
}

std::size_t normalize_workspace_bytes(const NormForward& problem) {
  return with_slack(normalize_bytes(problem));
}

void launch_moments(const NormForward& problem, BatchNormMoments& moments, const Context& context) {
  const Workspace workspace(problem.op, "moments", kernel_bytes(problem), context);
  launch(problem, behind(0, workspace, problem, context));
  moments.count = problem.view.empty() ? 0 : pooled_elements(problem.view);
  double* m2 = doubles_of(moments.m2);
  for (std::int64_t c = 0; c < problem.view.statistics(); ++c) {
    m2[c] *= static_cast<double>(moments.count);
  }
}

void launch_part(const NormBackward& problem, const char* call, const Context& context) {
  const Workspace workspace(problem.op, call, kernel_bytes(problem), context);
  launch(problem, behind(0, workspace, problem, context));
}

ForwardExtras running_extras(const char* op, const RunningStatistics& running, bool evaluates) {
  if (!evaluates) return {.running_mean = running.mean, .running_var = running.var};
  const BackwardExtras given = given_extras(op, running, evaluates);
  return {.given_mean = given.given_mean, .given_variance = given.given_variance};
}

BackwardExtras given_extras(const char* op, const RunningStatistics& running, bool evaluates) {
  if (!evaluates) return {};
  if (!running.mean.given() && !running.var.given()) {
    fail(op, "running_mean and running_var in evaluation", "none");
  }
  return {.given_mean = running.mean, .given_variance = running.var};
}

void count_batch(const RunningStatistics& running, std::int64_t elements) {
  if (elements > 0 && running.num_batches_tracked != nullptr) ++*running.num_batches_tracked;
}

void check_spread(const NormView& view, const char* op, const ConstTensor& x) {
  if (view.empty() || pooled_elements(view) > 1) return;
  fail(op, "more than 1 value per channel in training",
       "shape " + shape_text({x.sizes.data(), static_cast<std::size_t>(x.rank)}));
}

void check_whole(const NormView& view, const char* op, const BatchNormMoments& moments) {
  const std::int64_t part = view.empty() ? 0 : pooled_elements(view);
  if (moments.mean.sizes[0] != view.statistics()) {
    fail(op, "moments of " + std::to_string(view.statistics()) + " channels",
         std::to_string(moments.mean.sizes[0]));
  }
  if (moments.count < part) {
    fail(op, "moments.count of at least the " + std::to_string(part) + " values of x per channel",
         std::to_string(moments.count));
  }
  if (moments.count == 1) fail(op, "more than 1 value per channel in training", "moments of 1");
}

void check_whole(const NormView& view, const char* op, const BatchNormSums& total) {
  const std::int64_t part = view.empty() ? 0 : pooled_elements(view);
  if (total.count >= part) return;
  fail(op, "total.count of at least the " + std::to_string(part) + " values of x per channel",
       std::to_string(total.count));
}

void check_moments(const char* op, const char* name, const BatchNormMoments& moments) {
  const std::string of = std::string(name) + ".";
  const auto check = [&](const std::string& which, const ConstTensor& tensor) {
    const Argument argument = describe(op, which.c_str(), tensor);
    check_given(op, argument);
    if (tensor.rank != 1) {
      fail(op, which + " of shape [C]", std::to_string(tensor.rank) + " dimensions");
    }
    if (tensor.dtype != DType::f64) fail(op, which + " of dtype f64", omninorm::name(tensor.dtype));
    if (tensor.sizes[0] > 1 && tensor.strides[0] != 1) {
      fail(op, "contiguous " + which, "strides " + shape_text({tensor.strides.data(), 1}),
           "copy it first");
    }
    check_memory(op, argument);
  };
  check(of + "mean", moments.mean);
  check(of + "m2", moments.m2);
  if (moments.mean.sizes[0] != moments.m2.sizes[0]) {
    fail(op, of + "m2 of shape " + shape_text({moments.mean.sizes.data(), 1}),
         shape_text({moments.m2.sizes.data(), 1}));
  }
  if (moments.count < 0) fail(op, of + "count of 0 or more", std::to_string(moments.count));
}

}  // namespace omninorm::internal

namespace omninorm {

void merge_moments(BatchNormMoments& into, const BatchNormMoments& other) {
  using namespace internal;
  check_moments("merge_moments", "into", into);
  check_moments("merge_moments", "other", other);
  if (into.mean.sizes[0] != other.mean.sizes[0]) {
    fail("merge_moments", "moments of " + std::to_string(into.mean.sizes[0]) + " channels",
         std::to_string(other.mean.sizes[0]));
  }
  std::int64_t count = 0;
  if (__builtin_add_overflow(into.count, other.count, &count)) {
    fail("merge_moments", "counts that add up to less than 2^63",
         std::to_string(into.count) + " and " + std::to_string(other.count));
  }
  if (other.count == 0) return;
  const auto own = static_cast<double>(into.count), added = static_cast<double>(other.count);
  const double total = own + added;
  for (std::int64_t c = 0; c < into.mean.sizes[0]; ++c) {
    double &mean = doubles_of(into.mean)[c], &m2 = doubles_of(into.m2)[c];
    const double other_mean = doubles_of(other.mean)[c], other_m2 = doubles_of(other.m2)[c];
    if (into.count == 0) {
      mean = other_mean;
      m2 = other_m2;
      continue;
    }
    const double delta = other_mean - mean;
    mean += delta * (added / total);
    m2 += other_m2 + delta * delta * (own * (added / total));
  }
  into.count = count;
}

}  // namespace omninorm
