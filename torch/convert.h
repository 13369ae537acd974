// Between torch's types and omninorm's. Nothing is copied.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <string_view>

#include "omninorm/norm.h"
#include "omninorm/tensor.h"

namespace omninorm::torch_ops {

// Throws c10::ValueError (Python: ValueError) "[op] expected <expected>, got <got>".
[[noreturn]] void fail(std::string_view op, const std::string& expected, const std::string& got);

// nullopt for a type that no norm takes.
std::optional<DType> dtype_of(at::ScalarType type);

// Views of defined CPU tensors of a type that dtype_of knows and at most kMaxRank dimensions;
// "not given" for undefined ones. Throws Error for more dimensions.
ConstTensor const_view(const at::Tensor& tensor);
omninorm::Tensor mutable_view(const at::Tensor& tensor);

// "after_weight" or "before_weight"; fails with the list of both for any other name.
CastPolicy cast_policy_of(std::string_view op, std::string_view name);
std::string_view name_of(CastPolicy policy);

// "none", "relu" or "silu"; likewise.
Activation activation_of(std::string_view op, std::string_view name);
std::string_view name_of(Activation activation);

}  // namespace omninorm::torch_ops
