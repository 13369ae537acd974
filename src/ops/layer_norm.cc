#include "omninorm/layer_norm.h"

#include "src/core/kernel_list.h"
#include "src/core/norm_build.h"
#include "src/core/recent_calls.h"

namespace omninorm {
namespace {

using namespace internal;

NormSpec spec(const ConstTensor& x, const LayerNormOptions& options) {
  return {.op = "layer_norm",
          .axes = last_dims("layer_norm", x, options.normalized_dims),
          .center = true,
          .parameters = {options.eps, options.weight_offset, options.cast_policy}};
}

}  // namespace

void layer_norm_forward(const NormForwardArgs& args, const LayerNormOptions& options,
                        const Context& context) {
  static thread_local RecentCalls<NormForward, NormForwardArgs, LayerNormOptions> recent;
  recent.launch(args, options, context, [&] { return build_forward(spec(args.x, options), args); });
}

void layer_norm_backward(const NormBackwardArgs& args, const LayerNormOptions& options,
                         const Context& context) {
  static thread_local RecentCalls<NormBackward, NormBackwardArgs, LayerNormOptions> recent;
  recent.launch(args, options, context,
                [&] { return build_backward(spec(args.x, options), args); });
}

std::size_t layer_norm_forward_workspace(const NormForwardArgs& args,
                                         const LayerNormOptions& options) {
  return workspace_bytes(build_forward(spec(args.x, options), args, Purpose::size_query));
}

std::size_t layer_norm_backward_workspace(const NormBackwardArgs& args,
                                          const LayerNormOptions& options) {
  return workspace_bytes(build_backward(spec(args.x, options), args, Purpose::size_query));
}

}  // namespace omninorm
