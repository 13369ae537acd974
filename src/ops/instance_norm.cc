#include "omninorm/instance_norm.h"

#include "src/core/check.h"
#include "src/core/kernel_list.h"
#include "src/core/moments.h"
#include "src/core/norm_build.h"

namespace omninorm {
namespace {

using namespace internal;

// In evaluation a channel has one mean and variance for all images: batch_norm's view.
NormSpec spec(const ConstTensor& x, const InstanceNormOptions& options) {
  NormSpec result{.op = "instance_norm",
                  .axes = single_channels("instance_norm", x),
                  .parameters = {options.eps, options.weight_offset},
                  .activation = options.activation};
  result.axes.pool_n = options.use_running;
  return result;
}

Running updated(const RunningStatistics& running, const InstanceNormOptions& options) {
  if (options.use_running) return {};
  return running_to_update("instance_norm", running, options.momentum);
}

NormForward build(const NormForwardArgs& args, const RunningStatistics& running,
                  const InstanceNormOptions& options, Purpose purpose) {
  const NormForward problem =
      build_forward(spec(args.x, options), args, purpose,
                    running_extras("instance_norm", running, options.use_running));
  if (!options.use_running) check_spread(problem.view, problem.op, args.x);
  return problem;
}

NormBackward build(const NormBackwardArgs& args, const RunningStatistics& running,
                   const InstanceNormOptions& options, Purpose purpose) {
  return build_backward(spec(args.x, options), args, purpose,
                        given_extras("instance_norm", running, options.use_running));
}

}  // namespace

void instance_norm_forward(const NormForwardArgs& args, const RunningStatistics& running,
                           const InstanceNormOptions& options, const Context& context) {
  const Running update = updated(running, options);
  const NormForward problem = build(args, running, options, Purpose::launch);
  launch_training(problem, update, context);
  if (!options.use_running) count_batch(running, args.x.elements());
}

void instance_norm_backward(const NormBackwardArgs& args, const RunningStatistics& running,
                            const InstanceNormOptions& options, const Context& context) {
  launch(build(args, running, options, Purpose::launch), context);
}

std::size_t instance_norm_forward_workspace(const NormForwardArgs& args,
                                            const RunningStatistics& running,
                                            const InstanceNormOptions& options) {
  return training_workspace_bytes(build(args, running, options, Purpose::size_query),
                                  updated(running, options));
}

std::size_t instance_norm_backward_workspace(const NormBackwardArgs& args,
                                             const RunningStatistics& running,
                                             const InstanceNormOptions& options) {
  return workspace_bytes(build(args, running, options, Purpose::size_query));
}

}  // namespace omninorm
