#include "omninorm/group_norm.h"

#include "src/core/kernel_list.h"
#include "src/core/norm_build.h"
#include "src/core/recent_calls.h"

namespace omninorm {
namespace {

using namespace internal;

NormSpec spec(const ConstTensor& x, const GroupNormOptions& options) {
  NormSpec result{.op = "group_norm",
                  .axes = channel_dims("group_norm", x, options.num_groups),
                  .parameters = {options.eps, options.weight_offset},
                  .activation = options.activation};
  result.axes.groups_name = "num_groups";
  return result;
}

}  // namespace

void group_norm_forward(const NormForwardArgs& args, const GroupNormOptions& options,
                        const Context& context) {
  static thread_local RecentCalls<NormForward, NormForwardArgs, GroupNormOptions> recent;
  recent.launch(args, options, context, [&] { return build_forward(spec(args.x, options), args); });
}

void group_norm_backward(const NormBackwardArgs& args, const GroupNormOptions& options,
                         const Context& context) {
  static thread_local RecentCalls<NormBackward, NormBackwardArgs, GroupNormOptions> recent;
  recent.launch(args, options, context,
                [&] { return build_backward(spec(args.x, options), args); });
}

std::size_t group_norm_forward_workspace(const NormForwardArgs& args,
                                         const GroupNormOptions& options) {
  return workspace_bytes(build_forward(spec(args.x, options), args, Purpose::size_query));
}

std::size_t group_norm_backward_workspace(const NormBackwardArgs& args,
                                          const GroupNormOptions& options) {
  return workspace_bytes(build_backward(spec(args.x, options), args, Purpose::size_query));
}

}  // namespace omninorm
