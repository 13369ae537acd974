#include "torch/modules.h"

#include <c10/util/StringUtil.h>

#include <optional>
#include <ostream>

#include "torch/convert.h"
#include "torch/layer_norm.h"
#include "torch/rms_norm.h"

namespace omninorm {
namespace {

std::optional<torch::Tensor> given(const torch::Tensor& tensor) {
  return tensor.defined() ? std::optional(tensor) : std::nullopt;
}

// What differs from the defaults is all that is worth a reader's time, shape and eps apart.
template <class Options>
void print(std::ostream& stream, const char* name, const Options& options,
           const Options& standard) {
  stream << "omninorm::" << name << "(" << torch::IntArrayRef(options.normalized_shape())
         << ", eps=" << options.eps();
  if (options.weight_offset() != standard.weight_offset()) {
    stream << ", weight_offset=" << options.weight_offset();
  }
  if (options.cast_policy() != standard.cast_policy()) {
    stream << ", cast_policy=" << options.cast_policy();
  }
  if (!options.elementwise_affine()) {
    stream << ", elementwise_affine=false";
  } else if (options.bias() != standard.bias()) {
    stream << ", bias=" << (options.bias() ? "true" : "false");
  }
}

}  // namespace

namespace torch_ops {

template <class Derived, class Options>
RowNormModule<Derived, Options>::RowNormModule(Options options_in)
    : options(std::move(options_in)) {
  reset();
}

template <class Derived, class Options>
void RowNormModule<Derived, Options>::reset() {
  const char* op = std::is_same_v<Derived, RMSNormImpl> ? "rms_norm" : "layer_norm";
  const std::vector<std::int64_t>& shape = options.normalized_shape();
  cast_policy_of(op, options.cast_policy());
  if (shape.empty()) fail(op, "a normalized_shape of at least one dimension", "[]");
  for (const std::int64_t size : shape) {
    if (size <= 0) {
      fail(op, "a normalized_shape of sizes above 0", c10::str(torch::IntArrayRef(shape)));
    }
  }
  weight = torch::Tensor();
  bias = torch::Tensor();
  if (options.elementwise_affine()) {
    weight = this->register_parameter("weight", torch::empty(shape));
    if (options.bias()) bias = this->register_parameter("bias", torch::empty(shape));
  }
  reset_parameters();
}

template <class Derived, class Options>
void RowNormModule<Derived, Options>::reset_parameters() {
  const torch::NoGradGuard no_grad;
  if (weight.defined()) weight.fill_(1 - options.weight_offset());
  if (bias.defined()) bias.zero_();
}

template class RowNormModule<RMSNormImpl, RMSNormModuleOptions>;
template class RowNormModule<LayerNormImpl, LayerNormModuleOptions>;

}  // namespace torch_ops

torch::Tensor RMSNormImpl::forward(const torch::Tensor& x) {
  return torch_ops::rms_norm(x, options.normalized_shape(), given(weight), given(bias),
                             options.eps(), options.weight_offset(), options.cast_policy(),
                             options.partial());
}

void RMSNormImpl::pretty_print(std::ostream& stream) const {
  print(stream, "RMSNorm", options, RMSNormModuleOptions(options.normalized_shape()));
  if (options.partial() != 1) stream << ", partial=" << options.partial();
  stream << ")";
}

torch::Tensor LayerNormImpl::forward(const torch::Tensor& x) {
  return torch_ops::layer_norm(x, options.normalized_shape(), given(weight), given(bias),
                               options.eps(), options.weight_offset(), options.cast_policy());
}

void LayerNormImpl::pretty_print(std::ostream& stream) const {
  print(stream, "LayerNorm", options, LayerNormModuleOptions(options.normalized_shape()));
  stream << ")";
}

}  // namespace omninorm
