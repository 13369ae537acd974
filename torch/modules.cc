#include "torch/modules.h"

#include <c10/util/StringUtil.h>

#include <optional>
#include <ostream>
#include <type_traits>

#include "torch/add_layer_norm.h"
#include "torch/add_rms_norm.h"
#include "torch/batch_norm.h"
#include "torch/convert.h"
#include "torch/group_norm.h"
#include "torch/grouped_layer_norm.h"
#include "torch/instance_norm.h"
#include "torch/layer_norm.h"
#include "torch/rms_norm.h"

namespace omninorm {
namespace {

using torch_ops::fail;

std::optional<torch::Tensor> given(const torch::Tensor& tensor) {
  return tensor.defined() ? std::optional(tensor) : std::nullopt;
}

template <class Options>
concept RowOptions = requires(const Options& options) {
  options.normalized_shape();
};
template <class Options>
concept TracksOptions = requires(const Options& options) {
  options.track_running_stats();
};

// What differs from the defaults is all that is worth a reader's time, shape and eps apart.
struct Printer {
  std::ostream& stream;

  template <class Value>
  void option(const char* name, const Value& value, const Value& standard) const {
    if (value == standard) return;
    stream << ", " << name << "=";
    if constexpr (std::is_same_v<Value, bool>) {
      stream << (value ? "true" : "false");
    } else if constexpr (std::is_same_v<Value, std::optional<double>>) {
      value ? stream << *value : stream << "none";
    } else {
      stream << value;
    }
  }

  template <class Options>
  void affine(const Options& options, const Options& standard) const {
    option("weight_offset", options.weight_offset(), standard.weight_offset());
    if constexpr (requires { options.cast_policy(); }) {
      option("cast_policy", options.cast_policy(), standard.cast_policy());
    }
    if constexpr (requires { options.activation(); }) {
      option("activation", options.activation(), standard.activation());
    }
    if constexpr (RowOptions<Options>) {
      if (!options.elementwise_affine()) {
        stream << ", elementwise_affine=false";
      } else {
        option("bias", options.bias(), standard.bias());
      }
    } else {
      option("affine", options.affine(), standard.affine());
    }
  }

  template <class Options>
  void rows(const char* name, const Options& options) const {
    const Options standard(options.normalized_shape());
    stream << "omninorm::" << name << "(" << torch::IntArrayRef(options.normalized_shape())
           << ", eps=" << options.eps();
    affine(options, standard);
    if constexpr (requires { options.partial(); }) {
      option("partial", options.partial(), standard.partial());
    }
    stream << ")";
  }

  template <class Options>
  void running(const char* name, const Options& options) const {
    const Options standard(options.num_features());
    stream << "omninorm::" << name << "(" << options.num_features() << ", eps=" << options.eps();
    option("momentum", options.momentum(), standard.momentum());
    affine(options, standard);
    option("track_running_stats", options.track_running_stats(), standard.track_running_stats());
    stream << ")";
  }
};

// What a module's options say of its op, for messages and for its parameters.
struct Parameters {
  std::vector<std::int64_t> shape;
  bool weight;
  bool bias;
};

template <class Options>
requires RowOptions<Options> Parameters parameters(const char* op, const Options& options) {
  const std::vector<std::int64_t>& shape = options.normalized_shape();
  if (shape.empty()) fail(op, "a normalized_shape of at least one dimension", "[]");
  for (const std::int64_t size : shape) {
    if (size <= 0) {
      fail(op, "a normalized_shape of sizes above 0", c10::str(torch::IntArrayRef(shape)));
    }
  }
  return {shape, options.elementwise_affine(), options.elementwise_affine() && options.bias()};
}

Parameters channel_parameters(const char* op, std::int64_t channels, bool affine,
                              const char* groups_name = "", std::int64_t groups = 1) {
  if (channels <= 0) fail(op, "1 or more channels", c10::str(channels));
  if (groups < 1 || channels % groups != 0) {
    fail(op, c10::str(groups_name, " to divide ", channels, " channels"), c10::str(groups));
  }
  return {{channels}, affine, affine};
}

Parameters parameters(const char* op, const GroupedLayerNormModuleOptions& options) {
  return channel_parameters(op, options.num_channels(), options.affine(), "groups",
                            options.groups());
}
Parameters parameters(const char* op, const GroupNormModuleOptions& options) {
  return channel_parameters(op, options.num_channels(), options.affine(), "num_groups",
                            options.num_groups());
}
template <class Options>
requires TracksOptions<Options> Parameters parameters(const char* op, const Options& options) {
  return channel_parameters(op, options.num_features(), options.affine());
}

template <class Derived>
constexpr const char* op_of() {
  if constexpr (std::is_same_v<Derived, RMSNormImpl>) return "rms_norm";
  if constexpr (std::is_same_v<Derived, LayerNormImpl>) return "layer_norm";
  if constexpr (std::is_same_v<Derived, AddRMSNormImpl>) return "add_rms_norm";
  if constexpr (std::is_same_v<Derived, AddLayerNormImpl>) return "add_layer_norm";
  if constexpr (std::is_same_v<Derived, GroupedLayerNormImpl>) return "grouped_layer_norm";
  if constexpr (std::is_same_v<Derived, GroupNormImpl>) return "group_norm";
  if constexpr (std::is_same_v<Derived, InstanceNormImpl>) return "instance_norm";
  return "batch_norm";
}

}  // namespace

namespace torch_ops {

template <class Derived, class Options, class Buffers>
NormModule<Derived, Options, Buffers>::NormModule(Options options_in)
    : options(std::move(options_in)) {
  reset();
}

template <class Derived, class Options, class Buffers>
void NormModule<Derived, Options, Buffers>::reset() {
  const char* op = op_of<Derived>();
  if constexpr (requires { options.cast_policy(); }) cast_policy_of(op, options.cast_policy());
  if constexpr (requires { options.activation(); }) activation_of(op, options.activation());
  const Parameters wanted = parameters(op, options);
  weight = wanted.weight ? this->register_parameter("weight", torch::empty(wanted.shape))
                         : torch::Tensor();
  bias =
      wanted.bias ? this->register_parameter("bias", torch::empty(wanted.shape)) : torch::Tensor();
  if constexpr (TracksOptions<Options>) {
    static_cast<Buffers&>(*this) = {};
    if (options.track_running_stats()) {
      this->running_mean = this->register_buffer("running_mean", torch::empty(wanted.shape));
      this->running_var = this->register_buffer("running_var", torch::empty(wanted.shape));
      this->num_batches_tracked =
          this->register_buffer("num_batches_tracked", torch::empty({}, torch::kLong));
    }
  }
  reset_parameters();
}

template <class Derived, class Options, class Buffers>
void NormModule<Derived, Options, Buffers>::reset_parameters() {
  const torch::NoGradGuard no_grad;
  if (weight.defined()) weight.fill_(1 - options.weight_offset());
  if (bias.defined()) bias.zero_();
  if constexpr (TracksOptions<Options>) {
    if (!this->running_mean.defined()) return;
    this->running_mean.zero_();
    this->running_var.fill_(1);
    this->num_batches_tracked.zero_();
  }
}

template class NormModule<RMSNormImpl, RMSNormModuleOptions>;
template class NormModule<LayerNormImpl, LayerNormModuleOptions>;
template class NormModule<AddRMSNormImpl, RMSNormModuleOptions>;
template class NormModule<AddLayerNormImpl, LayerNormModuleOptions>;
template class NormModule<GroupedLayerNormImpl, GroupedLayerNormModuleOptions>;
template class NormModule<GroupNormImpl, GroupNormModuleOptions>;
template class NormModule<InstanceNormImpl, InstanceNormModuleOptions, RunningBuffers>;
template class NormModule<BatchNormImpl, BatchNormModuleOptions, RunningBuffers>;

}  // namespace torch_ops

torch::Tensor RMSNormImpl::forward(const torch::Tensor& x) {
  return torch_ops::rms_norm(x, options.normalized_shape(), given(weight), given(bias),
                             options.eps(), options.weight_offset(), options.cast_policy(),
                             options.partial());
}

torch::Tensor LayerNormImpl::forward(const torch::Tensor& x) {
  return torch_ops::layer_norm(x, options.normalized_shape(), given(weight), given(bias),
                               options.eps(), options.weight_offset(), options.cast_policy());
}

std::tuple<torch::Tensor, torch::Tensor> AddRMSNormImpl::forward(const torch::Tensor& x,
                                                                 const torch::Tensor& residual) {
  return torch_ops::add_rms_norm(x, residual, options.normalized_shape(), given(weight),
                                 given(bias), options.eps(), options.weight_offset(),
                                 options.cast_policy(), options.partial());
}

std::tuple<torch::Tensor, torch::Tensor> AddLayerNormImpl::forward(const torch::Tensor& x,
                                                                   const torch::Tensor& residual) {
  return torch_ops::add_layer_norm(x, residual, options.normalized_shape(), given(weight),
                                   given(bias), options.eps(), options.weight_offset(),
                                   options.cast_policy());
}

torch::Tensor GroupedLayerNormImpl::forward(const torch::Tensor& x) {
  return torch_ops::grouped_layer_norm(
      x, options.groups(), given(weight), given(bias), options.center(), options.per_position(),
      options.allow_degenerate(), options.eps(), options.weight_offset(), options.cast_policy());
}

torch::Tensor GroupNormImpl::forward(const torch::Tensor& x) {
  return torch_ops::group_norm(x, options.num_groups(), given(weight), given(bias), options.eps(),
                               options.weight_offset(), options.activation());
}

torch::Tensor InstanceNormImpl::forward(const torch::Tensor& x) {
  const bool use_running = running_mean.defined() && !is_training();
  return torch_ops::instance_norm(x, given(weight), given(bias), given(running_mean),
                                  given(running_var), use_running, options.momentum(),
                                  options.eps(), options.weight_offset(), options.activation());
}

torch::Tensor BatchNormImpl::forward(const torch::Tensor& x) {
  const bool training = is_training() || !running_mean.defined();
  return torch_ops::batch_norm(x, given(weight), given(bias), given(running_mean),
                               given(running_var), given(num_batches_tracked), training,
                               options.momentum(), options.eps(), options.weight_offset(),
                               options.activation());
}

void RMSNormImpl::pretty_print(std::ostream& stream) const {
  Printer{stream}.rows("RMSNorm", options);
}
void LayerNormImpl::pretty_print(std::ostream& stream) const {
  Printer{stream}.rows("LayerNorm", options);
}
void AddRMSNormImpl::pretty_print(std::ostream& stream) const {
  Printer{stream}.rows("AddRMSNorm", options);
}
void AddLayerNormImpl::pretty_print(std::ostream& stream) const {
  Printer{stream}.rows("AddLayerNorm", options);
}

void GroupedLayerNormImpl::pretty_print(std::ostream& stream) const {
  const GroupedLayerNormModuleOptions standard(options.groups(), options.num_channels());
  const Printer print{stream};
  stream << "omninorm::GroupedLayerNorm(" << options.groups() << ", " << options.num_channels()
         << ", eps=" << options.eps();
  print.option("center", options.center(), standard.center());
  print.option("per_position", options.per_position(), standard.per_position());
  print.option("allow_degenerate", options.allow_degenerate(), standard.allow_degenerate());
  print.affine(options, standard);
  stream << ")";
}

void GroupNormImpl::pretty_print(std::ostream& stream) const {
  const GroupNormModuleOptions standard(options.num_groups(), options.num_channels());
  stream << "omninorm::GroupNorm(" << options.num_groups() << ", " << options.num_channels()
         << ", eps=" << options.eps();
  Printer{stream}.affine(options, standard);
  stream << ")";
}

void InstanceNormImpl::pretty_print(std::ostream& stream) const {
  Printer{stream}.running("InstanceNorm", options);
}
void BatchNormImpl::pretty_print(std::ostream& stream) const {
  Printer{stream}.running("BatchNorm", options);
}

}  // namespace omninorm
