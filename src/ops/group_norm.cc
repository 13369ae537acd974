#include "omninorm/group_norm.h"

#include "src/core/kernel_list.h"
#include "src/core/norm_build.h"

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
  launch(build_forward(spec(args.x, options), args), context);
}

void group_norm_backward(const NormBackwardArgs& args, const GroupNormOptions& options,
                         const Context& context) {
  launch(build_backward(spec(args.x, options), args), context);
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
