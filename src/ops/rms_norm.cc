#include "omninorm/rms_norm.h"

#include "src/core/kernel_list.h"
#include "src/core/norm_build.h"
#include "src/core/recent_calls.h"

namespace omninorm {
namespace {

using namespace internal;

NormSpec spec(const ConstTensor& x, const RmsNormOptions& options) {
  return {.op = "rms_norm",
          .axes = last_dims("rms_norm", x, options.normalized_dims),
          .center = false,
          .partial = options.partial,
          .parameters = {options.eps, options.weight_offset, options.cast_policy}};
}

}  // namespace

void rms_norm_forward(const NormForwardArgs& args, const RmsNormOptions& options,
                      const Context& context) {
  static thread_local RecentCalls<NormForward, NormForwardArgs, RmsNormOptions> recent;
  recent.launch(args, options, context, [&] { return build_forward(spec(args.x, options), args); });
}

void rms_norm_backward(const NormBackwardArgs& args, const RmsNormOptions& options,
                       const Context& context) {
  static thread_local RecentCalls<NormBackward, NormBackwardArgs, RmsNormOptions> recent;
  recent.launch(args, options, context,
                [&] { return build_backward(spec(args.x, options), args); });
}

std::size_t rms_norm_forward_workspace(const NormForwardArgs& args, const RmsNormOptions& options) {
  return workspace_bytes(build_forward(spec(args.x, options), args, Purpose::size_query));
}

std::size_t rms_norm_backward_workspace(const NormBackwardArgs& args,
                                        const RmsNormOptions& options) {
  return workspace_bytes(build_backward(spec(args.x, options), args, Purpose::size_query));
}

}  // namespace omninorm
