#include "bench/ops.h"

#include <fmt/format.h>

#include <string>

#include "omninorm/omninorm.h"

namespace omninorm::bench {
namespace {

AddNormForwardArgs add_args(const ForwardCall& call) {
  const NormForwardArgs& args = call.args;
  return {.x = args.x,
          .residual = call.residual,
          .weight = args.weight,
          .bias = args.bias,
          .sum = call.sum,
          .y = args.y,
          .mean = args.mean,
          .rstd = args.rstd};
}

AddNormBackwardArgs add_args(const BackwardCall& call) {
  const NormBackwardArgs& args = call.args;
  return {.sum = args.x,
          .weight = args.weight,
          .mean = args.mean,
          .rstd = args.rstd,
          .dy = args.dy,
          .dsum = call.dsum,
          .dx = args.dx,
          .dweight = args.dweight,
          .dbias = args.dbias};
}

// Calls any of the library's functions, which differ in the arguments before the options.
template <auto function, auto options, class Call, class... Last>
auto invoke(const Call& call, const Last&... last) {
  const auto chosen = options(call.setup);
  if constexpr (requires { function(call.args, chosen, last...); }) {
    return function(call.args, chosen, last...);
  } else if constexpr (requires { function(call.args, call.running, chosen, last...); }) {
    return function(call.args, call.running, chosen, last...);
  } else {
    return function(add_args(call), chosen, last...);
  }
}

template <auto forward, auto backward, auto forward_workspace, auto backward_workspace,
          auto options>
constexpr Calls calls() {
  return {invoke<forward, options, ForwardCall, Context>,
          invoke<backward, options, BackwardCall, Context>,
          invoke<forward_workspace, options, ForwardCall>,
          invoke<backward_workspace, options, BackwardCall>};
}

constexpr auto kLayerNorm = [](const Setup& setup) { return LayerNormOptions{.eps = setup.eps}; };
constexpr auto kRmsNorm = [](const Setup& setup) { return RmsNormOptions{.eps = setup.eps}; };
constexpr auto kGroupedLayerNorm = [](const Setup& setup) {
  return GroupedLayerNormOptions{
      .eps = setup.eps, .groups = setup.groups, .per_position = setup.per_position};
};
constexpr auto kGroupNorm = [](const Setup& setup) {
  return GroupNormOptions{.num_groups = setup.groups, .eps = setup.eps};
};
constexpr auto kInstanceNorm = [](const Setup& setup) {
  return InstanceNormOptions{.eps = setup.eps};
};
constexpr auto kBatchNorm = [](const Setup& setup) { return BatchNormOptions{.eps = setup.eps}; };
constexpr auto kBatchNormEvaluation = [](const Setup& setup) {
  return BatchNormOptions{.eps = setup.eps, .training = false};
};

constexpr Op kOps[] = {
    {.name = "layer_norm",
     .rows = true,
     .schema = "layer_norm",
     .compared = "at::layer_norm",
     .calls = calls<layer_norm_forward, layer_norm_backward, layer_norm_forward_workspace,
                    layer_norm_backward_workspace, kLayerNorm>()},
    {.name = "rms_norm",
     .rows = true,
     .centered = false,
     .has_bias = false,
     .eps = 1e-6,
     .schema = "rms_norm",
     .compared = "at::rms_norm",
     .calls = calls<rms_norm_forward, rms_norm_backward, rms_norm_forward_workspace,
                    rms_norm_backward_workspace, kRmsNorm>()},
    {.name = "grouped_layer_norm",
     .grouping = Grouping::groups,
     .rows = true,
     .images = true,
     .schema = "grouped_layer_norm",
     .compared = "at::group_norm of [rows, width]; per position of [N*H*W, C], permuted",
     .calls = calls<grouped_layer_norm_forward, grouped_layer_norm_backward,
                    grouped_layer_norm_forward_workspace, grouped_layer_norm_backward_workspace,
                    kGroupedLayerNorm>()},
    {.name = "group_norm",
     .grouping = Grouping::groups,
     .pool_s = true,
     .images = true,
     .schema = "group_norm",
     .compared = "at::group_norm",
     .calls = calls<group_norm_forward, group_norm_backward, group_norm_forward_workspace,
                    group_norm_backward_workspace, kGroupNorm>()},
    {.name = "instance_norm",
     .grouping = Grouping::channels,
     .pool_s = true,
     .images = true,
     .schema = "instance_norm",
     .compared = "at::instance_norm",
     .calls = calls<instance_norm_forward, instance_norm_backward, instance_norm_forward_workspace,
                    instance_norm_backward_workspace, kInstanceNorm>()},
    {.name = "batch_norm",
     .grouping = Grouping::channels,
     .pool_n = true,
     .pool_s = true,
     .rows = true,
     .images = true,
     .running = true,
     .schema = "batch_norm",
     .compared = "at::batch_norm, training",
     .calls = calls<batch_norm_forward, batch_norm_backward, batch_norm_forward_workspace,
                    batch_norm_backward_workspace, kBatchNorm>()},
    {.name = "batch_norm_evaluation",
     .grouping = Grouping::channels,
     .pool_n = true,
     .pool_s = true,
     .rows = true,
     .images = true,
     .running = true,
     .fixed_statistics = true,
     .schema = "batch_norm",
     .compared = "at::batch_norm, evaluation",
     .calls = calls<batch_norm_forward, batch_norm_backward, batch_norm_forward_workspace,
                    batch_norm_backward_workspace, kBatchNormEvaluation>()},
    {.name = "add_rms_norm",
     .rows = true,
     .centered = false,
     .has_bias = false,
     .eps = 1e-6,
     .residual = "rms_norm",
     .schema = "add_rms_norm",
     .compared = "at::add, then at::rms_norm",
     .calls = calls<add_rms_norm_forward, add_rms_norm_backward, add_rms_norm_forward_workspace,
                    add_rms_norm_backward_workspace, kRmsNorm>()},
    {.name = "add_layer_norm",
     .rows = true,
     .residual = "layer_norm",
     .schema = "add_layer_norm",
     .compared = "at::add, then at::layer_norm",
     .calls =
         calls<add_layer_norm_forward, add_layer_norm_backward, add_layer_norm_forward_workspace,
               add_layer_norm_backward_workspace, kLayerNorm>()},
};

}  // namespace

std::span<const Op> op_table() { return kOps; }

const Op& find_op(std::string_view name) {
  std::string known;
  for (const Op& op : kOps) {
    if (op.name == name) return op;
    known += known.empty() ? "" : ", ";
    known += op.name;
  }
  throw Error(fmt::format("[bench] expected an op out of {}, got '{}'", known, name));
}

}  // namespace omninorm::bench
