#include "omninorm/grouped_layer_norm.h"

#include <string>

#include "src/core/check.h"
#include "src/core/kernel_list.h"
#include "src/core/norm_build.h"
#include "src/core/recent_calls.h"

namespace omninorm {
namespace {

using namespace internal;

constexpr const char* kOp = "grouped_layer_norm";

NormAxes axes(const ConstTensor& x, const GroupedLayerNormOptions& options) {
  NormAxes result =
      options.per_position ? channel_dims(kOp, x, options.groups) : last_dims(kOp, x, 1);
  if (options.per_position) {
    result.of.fill(Axis::n);
    result.of[1] = Axis::c;
  }
  result.groups = options.groups;
  result.grouped = true;
  return result;
}

// Two centred channels can only be +1 and -1, one uncentred channel its sign.
void check_width(const NormAxes& axes, std::int64_t channels,
                 const GroupedLayerNormOptions& options) {
  const std::int64_t least = options.center ? 3 : 2;
  if (options.allow_degenerate || channels == 0 || axes.groups < 1 || channels % axes.groups != 0 ||
      channels / axes.groups >= least) {
    return;
  }
  fail(kOp, "groups of " + std::to_string(least) + " or more channels",
       std::to_string(channels / axes.groups),
       "the output of smaller ones is a constant; set allow_degenerate to take them");
}

NormSpec spec(const ConstTensor& x, const GroupedLayerNormOptions& options) {
  NormSpec result{.op = kOp,
                  .axes = axes(x, options),
                  .center = options.center,
                  .parameters = {options.eps, options.weight_offset, options.cast_policy}};
  check_width(result.axes, x.sizes[options.per_position ? 1 : static_cast<std::size_t>(x.rank) - 1],
              options);
  return result;
}

}  // namespace

void grouped_layer_norm_forward(const NormForwardArgs& args, const GroupedLayerNormOptions& options,
                                const Context& context) {
  static thread_local RecentCalls<NormForward, NormForwardArgs, GroupedLayerNormOptions> recent;
  recent.launch(args, options, context, [&] { return build_forward(spec(args.x, options), args); });
}

void grouped_layer_norm_backward(const NormBackwardArgs& args,
                                 const GroupedLayerNormOptions& options, const Context& context) {
  static thread_local RecentCalls<NormBackward, NormBackwardArgs, GroupedLayerNormOptions> recent;
  recent.launch(args, options, context,
                [&] { return build_backward(spec(args.x, options), args); });
}

std::size_t grouped_layer_norm_forward_workspace(const NormForwardArgs& args,
                                                 const GroupedLayerNormOptions& options) {
  return workspace_bytes(build_forward(spec(args.x, options), args, Purpose::size_query));
}

std::size_t grouped_layer_norm_backward_workspace(const NormBackwardArgs& args,
                                                  const GroupedLayerNormOptions& options) {
  return workspace_bytes(build_backward(spec(args.x, options), args, Purpose::size_query));
}

}  // namespace omninorm
