#include "torch/convert.h"

#include <c10/util/Exception.h>
#include <c10/util/StringUtil.h>

#include <string>

namespace omninorm::torch_ops {
namespace {

template <class View, class Pointer>
View view_of(const at::Tensor& tensor, Pointer pointer) {
  return View(pointer, *dtype_of(tensor.scalar_type()),
              std::span(tensor.sizes().data(), tensor.sizes().size()),
              std::span(tensor.strides().data(), tensor.strides().size()));
}

}  // namespace

void fail(std::string_view op, const std::string& expected, const std::string& got) {
  TORCH_CHECK_VALUE(false, "[", op, "] expected ", expected, ", got ", got);
}

std::optional<DType> dtype_of(at::ScalarType type) {
  switch (type) {
    case at::kFloat:
      return DType::f32;
    case at::kBFloat16:
      return DType::bf16;
    case at::kHalf:
      return DType::f16;
    case at::kDouble:
      return DType::f64;
    default:
      return std::nullopt;
  }
}

ConstTensor const_view(const at::Tensor& tensor) {
  if (!tensor.defined()) return {};
  return view_of<ConstTensor>(tensor, tensor.const_data_ptr());
}

omninorm::Tensor mutable_view(const at::Tensor& tensor) {
  if (!tensor.defined()) return {};
  return view_of<omninorm::Tensor>(tensor, tensor.mutable_data_ptr());
}

CastPolicy cast_policy_of(std::string_view op, std::string_view name) {
  for (const CastPolicy policy : {CastPolicy::after_weight, CastPolicy::before_weight}) {
    if (name == name_of(policy)) return policy;
  }
  fail(op, "cast_policy 'after_weight' or 'before_weight'", c10::str("'", name, "'"));
}

std::string_view name_of(CastPolicy policy) {
  return policy == CastPolicy::after_weight ? "after_weight" : "before_weight";
}

Activation activation_of(std::string_view op, std::string_view name) {
  for (const Activation activation : {Activation::none, Activation::relu, Activation::silu}) {
    if (name == name_of(activation)) return activation;
  }
  fail(op, "activation 'none', 'relu' or 'silu'", c10::str("'", name, "'"));
}

std::string_view name_of(Activation activation) {
  if (activation == Activation::none) return "none";
  return activation == Activation::relu ? "relu" : "silu";
}

}  // namespace omninorm::torch_ops
