#include "bench/torch_ops.h"

#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/native_layer_norm_backward_cpu_dispatch.h>
#include <ATen/ops/native_layer_norm_cpu_dispatch.h>
#include <fmt/format.h>

#include <utility>

#include "omninorm/error.h"

namespace omninorm::bench {
namespace {

// PyTorch's own

at::Tensor at_layer_norm(const TorchInputs& in, const at::Tensor& x) {
  return at::layer_norm(x, in.weight.sizes(), in.weight, in.bias, in.eps);
}

at::Tensor at_rms_norm(const TorchInputs& in, const at::Tensor& x) {
  return at::rms_norm(x, in.weight.sizes(), in.weight, in.eps);
}

at::Tensor at_group_norm(const TorchInputs& in, const at::Tensor& x) {
  return at::group_norm(x, in.groups, in.weight, in.bias, in.eps, false);
}

// One position is a row of channels; the result lies in memory as x does.
at::Tensor at_grouped_layer_norm(const TorchInputs& in) {
  if (!in.per_position) return at_group_norm(in, in.x);
  const auto rows = in.x.movedim(1, -1);
  const auto y = at_group_norm(in, rows.reshape({-1, in.x.size(1)})).view(rows.sizes());
  const auto back = y.movedim(-1, 1);
  return in.x.is_contiguous() ? back.contiguous() : back;
}

at::Tensor at_batch_norm(const TorchInputs& in) {
  return at::batch_norm(in.x, in.weight, in.bias, in.running_mean, in.running_var, in.training, 0.1,
                        in.eps, false);
}

at::Tensor at_instance_norm(const TorchInputs& in) {
  return at::instance_norm(in.x, in.weight, in.bias, {}, {}, true, 0.1, in.eps, false);
}

// Ours, as the schema says. Names of arguments are the project's own everywhere.

c10::IValue argument_value(const c10::Argument& argument, const TorchInputs& in, bool has_bias) {
  const std::string& name = argument.name();
  if (name == "x") return in.x;
  if (name == "residual") return in.residual;
  if (name == "weight") return in.weight;
  if (name == "bias") return has_bias ? c10::IValue(in.bias) : c10::IValue();
  if (name == "running_mean") return in.running_mean.defined() ? in.running_mean : c10::IValue();
  if (name == "running_var") return in.running_var.defined() ? in.running_var : c10::IValue();
  if (name == "normalized_shape") return in.weight.sizes().vec();
  if (name == "groups" || name == "num_groups") return in.groups;
  if (name == "eps") return in.eps;
  if (name == "per_position") return in.per_position;
  if (name == "training") return in.training;
  if (argument.default_value()) return *argument.default_value();
  if (argument.type()->kind() == c10::TypeKind::OptionalType) return {};
  throw Error(
      fmt::format("[bench] expected omninorm's operators to take arguments that the "
                  "benchmark knows, got '{}' without a default",
                  name));
}

// Which of the results is called `name`; none: -1.
int result_index(const c10::FunctionSchema& schema, const char* name) {
  const auto& returns = schema.returns();
  for (std::size_t i = 0; i < returns.size(); ++i) {
    if (returns[i].name() == name) return static_cast<int>(i);
  }
  return -1;
}

TorchNorm boxed_operator(const Op& op, const c10::OperatorHandle& handle) {
  const c10::FunctionSchema& schema = handle.schema();
  const bool adds = !op.residual.empty();
  const int sum = result_index(schema, "sum");
  const int named_y = result_index(schema, "y");
  if (adds && (sum < 0 || named_y < 0)) {
    throw Error(fmt::format("[bench] expected omninorm::{} to name its results y and sum, got {}",
                            op.schema, fmt::format("{} results", schema.returns().size())));
  }
  const auto y = static_cast<std::size_t>(std::max(named_y, 0));
  return [=, has_bias = op.has_bias](const TorchInputs& in) -> TorchResult {
    std::vector<c10::IValue> stack;
    const auto& arguments = handle.schema().arguments();
    stack.reserve(arguments.size());
    for (const auto& argument : arguments) stack.push_back(argument_value(argument, in, has_bias));
    handle.callBoxed(&stack);
    return {stack.at(y).toTensor(),
            adds ? stack.at(static_cast<std::size_t>(sum)).toTensor() : at::Tensor()};
  };
}

// A typed call, as at:: makes it, spares the boxing, which small rows would show: for the operators
// whose signatures are settled.
using LayerNormSignature = at::Tensor(const at::Tensor&, c10::SymIntArrayRef,
                                      const std::optional<at::Tensor>&,
                                      const std::optional<at::Tensor>&, double, double,
                                      std::string_view, std::optional<at::ScalarType>);
using RmsNormSignature = at::Tensor(const at::Tensor&, c10::SymIntArrayRef,
                                    const std::optional<at::Tensor>&,
                                    const std::optional<at::Tensor>&, double, double,
                                    std::string_view, double, std::optional<at::ScalarType>);

TorchNorm typed_operator(const Op& op, const c10::OperatorHandle& handle) {
  if (op.schema == "layer_norm") {
    return [typed = handle.typed<LayerNormSignature>()](const TorchInputs& in) -> TorchResult {
      return {typed.call(in.x, in.weight.sym_sizes(), in.weight, in.bias, in.eps, 0.0,
                         "after_weight", std::nullopt),
              {}};
    };
  }
  if (op.schema == "rms_norm") {
    return [typed = handle.typed<RmsNormSignature>()](const TorchInputs& in) -> TorchResult {
      return {typed.call(in.x, in.weight.sym_sizes(), in.weight, std::nullopt, in.eps, 0.0,
                         "after_weight", 1.0, std::nullopt),
              {}};
    };
  }
  return {};
}

struct Row {
  std::string_view schema;
  TorchResult (*norm)(const TorchInputs&);
};

using In = const TorchInputs&;

constexpr Row kRows[] = {
    {"layer_norm",
     [](In in) -> TorchResult {
       return {at_layer_norm(in, in.x), {}};
     }},
    {"rms_norm",
     [](In in) -> TorchResult {
       return {at_rms_norm(in, in.x), {}};
     }},
    {"grouped_layer_norm",
     [](In in) -> TorchResult {
       return {at_grouped_layer_norm(in), {}};
     }},
    {"group_norm",
     [](In in) -> TorchResult {
       return {at_group_norm(in, in.x), {}};
     }},
    {"instance_norm",
     [](In in) -> TorchResult {
       return {at_instance_norm(in), {}};
     }},
    {"batch_norm",
     [](In in) -> TorchResult {
       return {at_batch_norm(in), {}};
     }},
    {"add_rms_norm",
     [](In in) -> TorchResult {
       const auto sum = at::add(in.x, in.residual);
       return {at_rms_norm(in, sum), sum};
     }},
    {"add_layer_norm",
     [](In in) -> TorchResult {
       const auto sum = at::add(in.x, in.residual);
       return {at_layer_norm(in, sum), sum};
     }},
};

}  // namespace

TorchNorm torch_norm(const Op& op) {
  for (const Row& row : kRows) {
    if (row.schema == op.schema) return row.norm;
  }
  throw Error(fmt::format("[bench] expected a row for {} in torch_ops.cc, got none", op.schema));
}

TorchNorm our_operator(const Op& op) {
  const auto handle =
      c10::Dispatcher::singleton().findSchema({fmt::format("omninorm::{}", op.schema), ""});
  if (!handle) return {};
  if (auto typed = typed_operator(op, *handle)) return typed;
  return boxed_operator(op, *handle);
}

std::function<std::vector<at::Tensor>()> torch_direct(const Problem& problem, const TorchInputs& in,
                                                      const at::Tensor& dy) {
  if (problem.op.schema != "layer_norm") return {};
  const auto forward = [in] {
    return at::cpu::native_layer_norm(in.x, in.weight.sizes(), in.weight, in.bias, in.eps);
  };
  if (problem.forward()) return [forward] { return std::vector{std::get<0>(forward())}; };
  const auto [y, mean, rstd] = forward();
  return [in, dy, mean = mean, rstd = rstd] {
    const auto [dx, dweight, dbias] = at::cpu::native_layer_norm_backward(
        dy, in.x, in.weight.sizes(), mean, rstd, in.weight, in.bias, {true, true, true});
    return std::vector{dx, dweight, dbias};
  };
}

}  // namespace omninorm::bench
