#include "tests/core/cases.h"

#include <numeric>

namespace omninorm::cases {
namespace {

std::int64_t product(const std::vector<std::int64_t>& sizes, std::size_t begin, std::size_t end) {
  std::int64_t result = 1;
  for (std::size_t i = begin; i < end; ++i) result *= sizes[i];
  return result;
}

const char* text(Layout layout) {
  static constexpr const char* kNames[] = {
      "contiguous", "padded",   "packed",        "reversed",
      "columns",    "expanded", "channels_last", "channels_last_padded"};
  return kNames[static_cast<std::size_t>(layout)];
}

const char* text(Values values) {
  static constexpr const char* kNames[] = {"normal", "offset", "shifted", "large", "small"};
  return kNames[static_cast<std::size_t>(values)];
}

// [N, C, spatial...] as N, C and the number of positions.
struct Image {
  explicit Image(const Case& c)
      : n(c.sizes.at(0)), channels(c.sizes.at(1)), space(product(c.sizes, 2, c.sizes.size())) {}
  std::int64_t n, channels, space;
};

bool pools_batch(const Case& c) {
  return c.op == Op::batch_norm || (c.op == Op::instance_norm && c.running == Running::evaluation);
}

std::int64_t quotient(std::int64_t a, std::int64_t b) { return b == 0 ? 0 : a / b; }

}  // namespace

const char* name(Op op) {
  static constexpr const char* kNames[] = {"rms_norm",     "layer_norm",    "grouped_layer_norm",
                                           "group_norm",   "instance_norm", "batch_norm",
                                           "add_rms_norm", "add_layer_norm"};
  return kNames[static_cast<std::size_t>(op)];
}

bool Case::adds() const { return op == Op::add_rms_norm || op == Op::add_layer_norm; }

bool Case::centred() const { return op != Op::rms_norm && op != Op::add_rms_norm && !uncentred; }

bool Case::channels() const {
  return op == Op::group_norm || op == Op::instance_norm || op == Op::batch_norm ||
         (op == Op::grouped_layer_norm && per_position);
}

std::int64_t Case::elements() const { return product(sizes, 0, sizes.size()); }

std::vector<std::int64_t> Case::affine_shape() const {
  if (channels()) return {sizes.at(1)};
  if (op == Op::grouped_layer_norm) return {sizes.back()};
  return {sizes.end() - normalized_dims, sizes.end()};
}

std::vector<std::int64_t> Case::statistics_shape() const {
  if (!channels()) {
    const int kept = op == Op::grouped_layer_norm ? 1 : normalized_dims;
    std::vector<std::int64_t> shape(sizes.begin(), sizes.end() - kept);
    if (op == Op::grouped_layer_norm) shape.push_back(groups);
    return shape;
  }
  if (pools_batch(*this)) return {sizes.at(1)};
  if (op == Op::instance_norm) return {sizes.at(0), sizes.at(1)};
  std::vector<std::int64_t> shape{sizes.at(0)};
  if (per_position) shape.insert(shape.end(), sizes.begin() + 2, sizes.end());
  shape.push_back(groups);
  return shape;
}

std::int64_t Case::rows() const {
  const std::vector<std::int64_t> shape = statistics_shape();
  return product(shape, 0, shape.size());
}

std::int64_t Case::width() const {
  if (!channels()) {
    const std::vector<std::int64_t> shape = affine_shape();
    return quotient(product(shape, 0, shape.size()), groups);
  }
  const Image image(*this);
  if (pools_batch(*this)) return image.n * image.space;
  if (op == Op::instance_norm) return image.space;
  return quotient(image.channels, groups) * (per_position ? 1 : image.space);
}

std::int64_t Case::channel_of(std::int64_t element) const {
  if (channels()) {
    const Image image(*this);
    return element / image.space % image.channels;
  }
  const std::vector<std::int64_t> shape = affine_shape();
  return element % product(shape, 0, shape.size());
}

std::int64_t Case::pool_of(std::int64_t element) const {
  const std::int64_t channel = channel_of(element);
  if (!channels()) {
    const std::vector<std::int64_t> shape = affine_shape();
    const std::int64_t d = product(shape, 0, shape.size());
    return element / d * groups + channel / (d / groups);
  }
  const Image image(*this);
  if (pools_batch(*this)) return channel;
  const std::int64_t n = element / (image.space * image.channels), s = element % image.space;
  if (op == Op::instance_norm) return n * image.channels + channel;
  const std::int64_t group = channel / (image.channels / groups);
  return per_position ? (n * image.space + s) * groups + group : n * groups + group;
}

std::string name(const Case& c) {
  std::string result = name(c.op);
  for (std::size_t i = 0; i < c.sizes.size(); ++i) {
    result += i == 0 ? "_" : "x";
    result += std::to_string(c.sizes[i]);
  }
  if (c.normalized_dims != 1) result += "_last" + std::to_string(c.normalized_dims);
  if (c.groups != 1) result += "_groups_" + std::to_string(c.groups);
  if (c.per_position) result += "_per_position";
  if (c.uncentred) result += "_uncentred";
  if (c.activation == Activation::relu) result += "_relu";
  if (c.activation == Activation::silu) result += "_silu";
  if (c.running == Running::updated) result += "_running";
  if (c.running == Running::evaluation) result += "_evaluation";
  if (c.momentum != 0.1)
    result += "_momentum_" + std::to_string(static_cast<int>(c.momentum * 100));
  if (!c.dsum) result += "_no_dsum";
  result += std::string("_") + omninorm::name(c.dtype);
  if (c.y_dtype != c.dtype) result += std::string("_y_") + omninorm::name(c.y_dtype);
  if (c.weight) result += std::string("_weight_") + omninorm::name(c.weight_dtype);
  if (c.bias) result += "_bias";
  if (c.weight_offset != 0) result += "_offset";
  if (c.cast_policy == CastPolicy::before_weight) result += "_before_weight";
  if (c.eps == 0) result += "_eps_0";
  if (c.eps > 0.1) result += "_eps_big";
  if (c.partial != 1) result += "_partial_" + std::to_string(static_cast<int>(c.partial * 10000));
  if (c.layout != Layout::contiguous) result += std::string("_") + text(c.layout);
  if (c.misalignment != 0) result += "_misaligned_" + std::to_string(c.misalignment);
  if (c.values != Values::normal) result += std::string("_") + text(c.values);
  return result;
}

RmsNormOptions rms_norm_options(const Case& c) {
  return {.eps = c.eps,
          .weight_offset = c.weight_offset,
          .cast_policy = c.cast_policy,
          .normalized_dims = c.normalized_dims,
          .partial = c.partial};
}

LayerNormOptions layer_norm_options(const Case& c) {
  return {.eps = c.eps,
          .weight_offset = c.weight_offset,
          .cast_policy = c.cast_policy,
          .normalized_dims = c.normalized_dims};
}

GroupedLayerNormOptions grouped_layer_norm_options(const Case& c) {
  return {.eps = c.eps,
          .groups = c.groups,
          .center = !c.uncentred,
          .per_position = c.per_position,
          .allow_degenerate = true,
          .weight_offset = c.weight_offset,
          .cast_policy = c.cast_policy};
}

GroupNormOptions group_norm_options(const Case& c) {
  return {.num_groups = c.groups,
          .eps = c.eps,
          .weight_offset = c.weight_offset,
          .activation = c.activation};
}

InstanceNormOptions instance_norm_options(const Case& c) {
  return {.eps = c.eps,
          .momentum = c.momentum,
          .use_running = c.running == Running::evaluation,
          .weight_offset = c.weight_offset,
          .activation = c.activation};
}

BatchNormOptions batch_norm_options(const Case& c) {
  return {.eps = c.eps,
          .momentum = c.momentum,
          .training = c.running != Running::evaluation,
          .weight_offset = c.weight_offset,
          .activation = c.activation};
}

namespace {

AddNormForwardArgs add_args(const ForwardCall& args) {
  return {.x = args.x,
          .residual = args.residual,
          .weight = args.weight,
          .bias = args.bias,
          .sum = args.sum,
          .y = args.y,
          .mean = args.mean,
          .rstd = args.rstd};
}

AddNormBackwardArgs add_args(const BackwardCall& args) {
  return {.sum = args.x,
          .weight = args.weight,
          .mean = args.mean,
          .rstd = args.rstd,
          .dy = args.dy,
          .dsum = args.dsum,
          .dx = args.dx,
          .dweight = args.dweight,
          .dbias = args.dbias};
}

}  // namespace

void forward(const Case& c, const ForwardCall& args, const Context& context) {
  switch (c.op) {
    case Op::rms_norm:
      return rms_norm_forward(args, rms_norm_options(c), context);
    case Op::layer_norm:
      return layer_norm_forward(args, layer_norm_options(c), context);
    case Op::grouped_layer_norm:
      return grouped_layer_norm_forward(args, grouped_layer_norm_options(c), context);
    case Op::group_norm:
      return group_norm_forward(args, group_norm_options(c), context);
    case Op::instance_norm:
      return instance_norm_forward(args, args.running, instance_norm_options(c), context);
    case Op::batch_norm:
      return batch_norm_forward(args, args.running, batch_norm_options(c), context);
    case Op::add_rms_norm:
      return add_rms_norm_forward(add_args(args), rms_norm_options(c), context);
    case Op::add_layer_norm:
      return add_layer_norm_forward(add_args(args), layer_norm_options(c), context);
  }
}

void backward(const Case& c, const BackwardCall& args, const Context& context) {
  switch (c.op) {
    case Op::rms_norm:
      return rms_norm_backward(args, rms_norm_options(c), context);
    case Op::layer_norm:
      return layer_norm_backward(args, layer_norm_options(c), context);
    case Op::grouped_layer_norm:
      return grouped_layer_norm_backward(args, grouped_layer_norm_options(c), context);
    case Op::group_norm:
      return group_norm_backward(args, group_norm_options(c), context);
    case Op::instance_norm:
      return instance_norm_backward(args, args.running, instance_norm_options(c), context);
    case Op::batch_norm:
      return batch_norm_backward(args, args.running, batch_norm_options(c), context);
    case Op::add_rms_norm:
      return add_rms_norm_backward(add_args(args), rms_norm_options(c), context);
    case Op::add_layer_norm:
      return add_layer_norm_backward(add_args(args), layer_norm_options(c), context);
  }
}

std::size_t forward_workspace(const Case& c, const ForwardCall& args) {
  switch (c.op) {
    case Op::rms_norm:
      return rms_norm_forward_workspace(args, rms_norm_options(c));
    case Op::layer_norm:
      return layer_norm_forward_workspace(args, layer_norm_options(c));
    case Op::grouped_layer_norm:
      return grouped_layer_norm_forward_workspace(args, grouped_layer_norm_options(c));
    case Op::group_norm:
      return group_norm_forward_workspace(args, group_norm_options(c));
    case Op::instance_norm:
      return instance_norm_forward_workspace(args, args.running, instance_norm_options(c));
    case Op::batch_norm:
      return batch_norm_forward_workspace(args, args.running, batch_norm_options(c));
    case Op::add_rms_norm:
      return add_rms_norm_forward_workspace(add_args(args), rms_norm_options(c));
    case Op::add_layer_norm:
      return add_layer_norm_forward_workspace(add_args(args), layer_norm_options(c));
  }
  return 0;
}

std::size_t backward_workspace(const Case& c, const BackwardCall& args) {
  switch (c.op) {
    case Op::rms_norm:
      return rms_norm_backward_workspace(args, rms_norm_options(c));
    case Op::layer_norm:
      return layer_norm_backward_workspace(args, layer_norm_options(c));
    case Op::grouped_layer_norm:
      return grouped_layer_norm_backward_workspace(args, grouped_layer_norm_options(c));
    case Op::group_norm:
      return group_norm_backward_workspace(args, group_norm_options(c));
    case Op::instance_norm:
      return instance_norm_backward_workspace(args, args.running, instance_norm_options(c));
    case Op::batch_norm:
      return batch_norm_backward_workspace(args, args.running, batch_norm_options(c));
    case Op::add_rms_norm:
      return add_rms_norm_backward_workspace(add_args(args), rms_norm_options(c));
    case Op::add_layer_norm:
      return add_layer_norm_backward_workspace(add_args(args), layer_norm_options(c));
  }
  return 0;
}

}  // namespace omninorm::cases
