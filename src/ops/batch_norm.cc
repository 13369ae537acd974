#include "omninorm/batch_norm.h"

#include "src/core/argument.h"
#include "src/core/check.h"
#include "src/core/kernel_list.h"
#include "src/core/moments.h"
#include "src/core/norm_build.h"

namespace omninorm {
namespace {

using namespace internal;

NormSpec spec(const ConstTensor& x, const BatchNormOptions& options) {
  NormSpec result{.op = "batch_norm",
                  .axes = single_channels("batch_norm", x),
                  .parameters = {options.eps, options.weight_offset},
                  .activation = options.activation};
  result.axes.pool_n = true;
  return result;
}

Running updated(const RunningStatistics& running, const BatchNormOptions& options) {
  if (!options.training) return {};
  return running_to_update("batch_norm", running, options.momentum);
}

NormForward build(const NormForwardArgs& args, const RunningStatistics& running,
                  const BatchNormOptions& options, Purpose purpose) {
  return build_forward(spec(args.x, options), args, purpose,
                       running_extras("batch_norm", running, !options.training));
}

NormForward build_whole(const NormForwardArgs& args, const RunningStatistics& running,
                        const BatchNormOptions& options, Purpose purpose) {
  const NormForward problem = build(args, running, options, purpose);
  if (options.training) check_spread(problem.view, problem.op, args.x);
  return problem;
}

NormBackward build(const NormBackwardArgs& args, const RunningStatistics& running,
                   const BatchNormOptions& options, Purpose purpose) {
  return build_backward(spec(args.x, options), args, purpose,
                        given_extras("batch_norm", running, !options.training));
}

// The parts are training's.
void check_training(const BatchNormOptions& options) {
  if (!options.training) fail("batch_norm", "training for a batch in parts", "evaluation");
}

NormForward build_moments(const ConstTensor& x, const Tensor& mean, const Tensor& m2,
                          Purpose purpose) {
  NormSpec moments = spec(x, {.eps = 0});  // whatever eps is added to them later
  moments.statistics_only = moments.f64_statistics = true;
  return build_forward(moments, {.x = x, .mean = mean}, purpose, {.variance = m2});
}

NormBackward build_sums(const NormBackwardArgs& args, const Tensor& dy, const Tensor& dy_xhat,
                        const BatchNormOptions& options, Purpose purpose) {
  check_training(options);
  NormSpec sums = spec(args.x, options);
  sums.f64_sums = true;
  NormBackwardArgs wanted = args;
  wanted.dx = {};
  wanted.dweight = dy_xhat;
  wanted.dbias = dy;
  return build_backward(sums, wanted, purpose);
}

NormBackward build_input(const NormBackwardArgs& args, const BatchNormSums& total,
                         const BatchNormOptions& options, Purpose purpose) {
  check_training(options);
  check_given("batch_norm", "total.dy", total.dy.given());
  check_given("batch_norm", "total.dy_xhat", total.dy_xhat.given());
  return build_backward(spec(args.x, options), args, purpose,
                        {.given_sum_dy = total.dy,
                         .given_sum_dy_xhat = total.dy_xhat,
                         .given_count = static_cast<double>(total.count)});
}

}  // namespace

void batch_norm_forward(const NormForwardArgs& args, const RunningStatistics& running,
                        const BatchNormOptions& options, const Context& context) {
  const Running update = updated(running, options);
  const NormForward problem = build_whole(args, running, options, Purpose::launch);
  launch_training(problem, update, context);
  if (options.training) count_batch(running, args.x.elements());
}

void batch_norm_backward(const NormBackwardArgs& args, const RunningStatistics& running,
                         const BatchNormOptions& options, const Context& context) {
  launch(build(args, running, options, Purpose::launch), context);
}

std::size_t batch_norm_forward_workspace(const NormForwardArgs& args,
                                         const RunningStatistics& running,
                                         const BatchNormOptions& options) {
  return training_workspace_bytes(build_whole(args, running, options, Purpose::size_query),
                                  updated(running, options));
}

std::size_t batch_norm_backward_workspace(const NormBackwardArgs& args,
                                          const RunningStatistics& running,
                                          const BatchNormOptions& options) {
  return workspace_bytes(build(args, running, options, Purpose::size_query));
}

void batch_norm_moments(const ConstTensor& x, BatchNormMoments& moments, const Context& context) {
  check_moments("batch_norm", "moments", moments);
  launch_moments(build_moments(x, moments.mean, moments.m2, Purpose::launch), moments, context);
}

std::size_t batch_norm_moments_workspace(const ConstTensor& x) {
  // Shape and dtype decide, and the outputs are always [C] and f64.
  const NormAxes axes = single_channels("batch_norm", x);
  const Tensor channels(static_cast<double*>(nullptr), {axes.groups});
  return workspace_bytes(build_moments(x, channels, channels, Purpose::size_query));
}

void batch_norm_normalize(const NormForwardArgs& args, const BatchNormMoments& moments,
                          const RunningStatistics& running, const BatchNormOptions& options,
                          const Context& context) {
  check_training(options);
  check_moments("batch_norm", "moments", moments);
  const Running update = updated(running, options);
  const NormForward problem = build(args, running, options, Purpose::launch);
  check_whole(problem.view, problem.op, moments);
  launch_normalize(problem, moments, update, context);
  count_batch(running, moments.count);
}

std::size_t batch_norm_normalize_workspace(const NormForwardArgs& args,
                                           const BatchNormOptions& options) {
  check_training(options);
  return normalize_workspace_bytes(build(args, {}, options, Purpose::size_query));
}

void batch_norm_backward_sums(const NormBackwardArgs& args, BatchNormSums& sums,
                              const BatchNormOptions& options, const Context& context) {
  check_given("batch_norm", "sums.dy", sums.dy.given());
  check_given("batch_norm", "sums.dy_xhat", sums.dy_xhat.given());
  const NormBackward problem = build_sums(args, sums.dy, sums.dy_xhat, options, Purpose::launch);
  launch_part(problem, "backward_sums", context);
  sums.count = pooled_elements(problem.view);
}

std::size_t batch_norm_backward_sums_workspace(const NormBackwardArgs& args,
                                               const BatchNormOptions& options) {
  const NormAxes axes = single_channels("batch_norm", args.x);
  const Tensor channels(static_cast<double*>(nullptr), {axes.groups});
  return workspace_bytes(build_sums(args, channels, channels, options, Purpose::size_query));
}

void batch_norm_backward_input(const NormBackwardArgs& args, const BatchNormSums& total,
                               const BatchNormOptions& options, const Context& context) {
  const NormBackward problem = build_input(args, total, options, Purpose::launch);
  check_whole(problem.view, problem.op, total);
  launch_part(problem, "backward_input", context);
}

std::size_t batch_norm_backward_input_workspace(const NormBackwardArgs& args,
                                                const BatchNormOptions& options) {
  const NormAxes axes = single_channels("batch_norm", args.x);
  const Tensor channels(static_cast<double*>(nullptr), {axes.groups});
  return workspace_bytes(
      build_input(args, {.dy = channels, .dy_xhat = channels}, options, Purpose::size_query));
}

}  // namespace omninorm
