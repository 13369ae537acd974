#include "omninorm/add_layer_norm.h"

#include "src/core/add_args.h"
#include "src/core/kernel_list.h"
#include "src/core/norm_build.h"
#include "src/core/recent_calls.h"

namespace omninorm {
namespace {

using namespace internal;

NormSpec spec(const ConstTensor& x, const LayerNormOptions& options) {
  return {.op = "add_layer_norm",
          .axes = last_dims("add_layer_norm", x, options.normalized_dims),
          .center = true,
          .parameters = {options.eps, options.weight_offset, options.cast_policy},
          .adds = true};
}

NormForward build(const AddNormForwardArgs& args, const LayerNormOptions& options,
                  Purpose purpose) {
  return build_forward(spec(args.x, options), norm_args(args), purpose, extras(args));
}

NormBackward build(const AddNormBackwardArgs& args, const LayerNormOptions& options,
                   Purpose purpose) {
  return build_backward(spec(args.sum, options), norm_args(args), purpose, extras(args));
}

}  // namespace

void add_layer_norm_forward(const AddNormForwardArgs& args, const LayerNormOptions& options,
                            const Context& context) {
  static thread_local RecentCalls<NormForward, AddNormForwardArgs, LayerNormOptions> recent;
  recent.launch(args, options, context, [&] { return build(args, options, Purpose::launch); });
}

void add_layer_norm_backward(const AddNormBackwardArgs& args, const LayerNormOptions& options,
                             const Context& context) {
  static thread_local RecentCalls<NormBackward, AddNormBackwardArgs, LayerNormOptions> recent;
  recent.launch(args, options, context, [&] { return build(args, options, Purpose::launch); });
}

std::size_t add_layer_norm_forward_workspace(const AddNormForwardArgs& args,
                                             const LayerNormOptions& options) {
  return workspace_bytes(build(args, options, Purpose::size_query));
}

std::size_t add_layer_norm_backward_workspace(const AddNormBackwardArgs& args,
                                              const LayerNormOptions& options) {
  return workspace_bytes(build(args, options, Purpose::size_query));
}

}  // namespace omninorm
