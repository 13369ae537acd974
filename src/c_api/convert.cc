#include "src/c_api/convert.h"

#include <algorithm>

namespace omninorm::c_api {
namespace {

using internal::fail;

thread_local char last_message[1024] = "";

// A number that stands for one of `count` values.
template <class Enum>
Enum value(const char* op, const char* name, std::int32_t number, std::int32_t count) {
  if (number < 0 || number >= count) {
    fail(op, std::string(name) + " 0 to " + std::to_string(count - 1), std::to_string(number));
  }
  return static_cast<Enum>(number);
}

CastPolicy cast_policy(const char* op, std::int32_t number) {
  return value<CastPolicy>(op, "cast_policy", number, 2);
}

Activation activation(const char* op, std::int32_t number) {
  return value<Activation>(op, "activation", number, 3);
}

void check_absent(const char* op, const char* name, const void* given) {
  if (given != nullptr) fail(op, std::string("no ") + name, "one");
}

}  // namespace

omninorm_status told(omninorm_status status, const char* message) noexcept {
  const std::size_t length = std::min(std::strlen(message), sizeof last_message - 1);
  std::memcpy(last_message, message, length);
  last_message[length] = '\0';
  return status;
}

Tensor tensor(const char* op, const char* name, const omninorm_tensor* given) {
  if (given == nullptr) return {};
  const omninorm_tensor from = read(op, name, given, omninorm_tensor{});
  if (from.rank < 0 || from.rank > kMaxRank) {
    fail(op, std::string(name) + " of 0 to " + std::to_string(kMaxRank) + " dimensions",
         std::to_string(from.rank));
  }
  Tensor to;
  to.data = from.data;
  to.dtype = value<DType>(op, (std::string("dtype of ") + name).c_str(), from.dtype, 4);
  to.rank = from.rank;
  std::copy_n(from.sizes, from.rank, to.sizes.begin());
  std::copy_n(from.strides, from.rank, to.strides.begin());
  return to;
}

NormForwardArgs norm_args(const char* op, const omninorm_forward_args& args) {
  check_absent(op, "residual", args.residual);
  check_absent(op, "sum", args.sum);
  return {.x = tensor(op, "x", args.x),
          .weight = tensor(op, "weight", args.weight),
          .bias = tensor(op, "bias", args.bias),
          .y = tensor(op, "y", args.y),
          .mean = tensor(op, "mean", args.mean),
          .rstd = tensor(op, "rstd", args.rstd)};
}

NormBackwardArgs norm_args(const char* op, const omninorm_backward_args& args) {
  check_absent(op, "sum", args.sum);
  check_absent(op, "dsum", args.dsum);
  return {.x = tensor(op, "x", args.x),
          .weight = tensor(op, "weight", args.weight),
          .bias = tensor(op, "bias", args.bias),
          .mean = tensor(op, "mean", args.mean),
          .rstd = tensor(op, "rstd", args.rstd),
          .dy = tensor(op, "dy", args.dy),
          .dx = tensor(op, "dx", args.dx),
          .dweight = tensor(op, "dweight", args.dweight),
          .dbias = tensor(op, "dbias", args.dbias)};
}

AddNormForwardArgs add_args(const char* op, const omninorm_forward_args& args) {
  return {.x = tensor(op, "x", args.x),
          .residual = tensor(op, "residual", args.residual),
          .weight = tensor(op, "weight", args.weight),
          .bias = tensor(op, "bias", args.bias),
          .sum = tensor(op, "sum", args.sum),
          .y = tensor(op, "y", args.y),
          .mean = tensor(op, "mean", args.mean),
          .rstd = tensor(op, "rstd", args.rstd)};
}

AddNormBackwardArgs add_args(const char* op, const omninorm_backward_args& args) {
  check_absent(op, "x", args.x);
  check_absent(op, "bias", args.bias);
  return {.sum = tensor(op, "sum", args.sum),
          .weight = tensor(op, "weight", args.weight),
          .mean = tensor(op, "mean", args.mean),
          .rstd = tensor(op, "rstd", args.rstd),
          .dy = tensor(op, "dy", args.dy),
          .dsum = tensor(op, "dsum", args.dsum),
          .dx = tensor(op, "dx", args.dx),
          .dweight = tensor(op, "dweight", args.dweight),
          .dbias = tensor(op, "dbias", args.dbias)};
}

void check_no_running(const char* op, const omninorm_forward_args& args) {
  check_absent(op, "running_mean", args.running_mean);
  check_absent(op, "running_var", args.running_var);
  check_absent(op, "num_batches_tracked", args.num_batches_tracked);
}

void check_no_running(const char* op, const omninorm_backward_args& args) {
  check_absent(op, "running_mean", args.running_mean);
  check_absent(op, "running_var", args.running_var);
}

RunningStatistics running(const char* op, const omninorm_forward_args& args) {
  return {.mean = tensor(op, "running_mean", args.running_mean),
          .var = tensor(op, "running_var", args.running_var),
          .num_batches_tracked = args.num_batches_tracked};
}

RunningStatistics running(const char* op, const omninorm_backward_args& args) {
  return {.mean = tensor(op, "running_mean", args.running_mean),
          .var = tensor(op, "running_var", args.running_var)};
}

LayerNormOptions options(const char* op, const omninorm_layer_norm_options* given) {
  const auto from = read(op, "options", given, OMNINORM_LAYER_NORM_OPTIONS_INIT);
  return {.eps = from.eps,
          .weight_offset = from.weight_offset,
          .cast_policy = cast_policy(op, from.cast_policy),
          .normalized_dims = from.normalized_dims};
}

RmsNormOptions options(const char* op, const omninorm_rms_norm_options* given) {
  const auto from = read(op, "options", given, OMNINORM_RMS_NORM_OPTIONS_INIT);
  return {.eps = from.eps,
          .weight_offset = from.weight_offset,
          .cast_policy = cast_policy(op, from.cast_policy),
          .normalized_dims = from.normalized_dims,
          .partial = from.partial};
}

GroupedLayerNormOptions options(const char* op, const omninorm_grouped_layer_norm_options* given) {
  const auto from = read(op, "options", given, OMNINORM_GROUPED_LAYER_NORM_OPTIONS_INIT);
  return {.eps = from.eps,
          .groups = from.groups,
          .center = from.center != 0,
          .per_position = from.per_position != 0,
          .allow_degenerate = from.allow_degenerate != 0,
          .weight_offset = from.weight_offset,
          .cast_policy = cast_policy(op, from.cast_policy)};
}

GroupNormOptions options(const char* op, const omninorm_group_norm_options* given) {
  const auto from = read(op, "options", given, OMNINORM_GROUP_NORM_OPTIONS_INIT);
  return {.num_groups = from.num_groups,
          .eps = from.eps,
          .weight_offset = from.weight_offset,
          .activation = activation(op, from.activation)};
}

InstanceNormOptions options(const char* op, const omninorm_instance_norm_options* given) {
  const auto from = read(op, "options", given, OMNINORM_INSTANCE_NORM_OPTIONS_INIT);
  return {.eps = from.eps,
          .momentum = from.momentum,
          .use_running = from.use_running != 0,
          .weight_offset = from.weight_offset,
          .activation = activation(op, from.activation)};
}

BatchNormOptions options(const char* op, const omninorm_batch_norm_options* given) {
  const auto from = read(op, "options", given, OMNINORM_BATCH_NORM_OPTIONS_INIT);
  return {.eps = from.eps,
          .momentum = from.cumulative != 0 ? std::nullopt : std::optional<double>(from.momentum),
          .training = from.training != 0,
          .weight_offset = from.weight_offset,
          .activation = activation(op, from.activation)};
}

BatchNormMoments moments(const char* op, const char* name, const omninorm_moments* given) {
  const auto from = read_given(op, name, given);
  return {.count = from.count,
          .mean = tensor(op, (std::string(name) + "->mean").c_str(), from.mean),
          .m2 = tensor(op, (std::string(name) + "->m2").c_str(), from.m2)};
}

BatchNormSums sums(const char* op, const char* name, const omninorm_sums* given) {
  const auto from = read_given(op, name, given);
  return {.count = from.count,
          .dy = tensor(op, (std::string(name) + "->dy").c_str(), from.dy),
          .dy_xhat = tensor(op, (std::string(name) + "->dy_xhat").c_str(), from.dy_xhat)};
}

CallContext::CallContext(const char* op, const omninorm_context* given) {
  const auto from = read(op, "context", given, OMNINORM_CONTEXT_INIT);
  if (from.executor != nullptr) {
    threads_.given = read(op, "executor", from.executor, OMNINORM_EXECUTOR_INIT);
    if (threads_.given.run == nullptr) fail(op, "executor->run", "a null pointer");
    if (threads_.given.concurrency < 1) {
      fail(op, "executor->concurrency of at least 1", std::to_string(threads_.given.concurrency));
    }
    context_.executor = &threads_;
  }
  if (from.workspace != nullptr) {
    context_.workspace = {static_cast<std::byte*>(from.workspace), from.workspace_bytes};
  }
}

}  // namespace omninorm::c_api

const char* omninorm_last_error(void) { return omninorm::c_api::last_message; }
