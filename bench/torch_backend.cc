#include <ATen/Parallel.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/native_layer_norm_backward_cpu_dispatch.h>
#include <ATen/ops/native_layer_norm_cpu_dispatch.h>
#include <torch/torch.h>
#include <torch/version.h>

#include <utility>

#include "bench/backend.h"
#include "omninorm/error.h"
#include "torch/executor.h"

namespace omninorm::bench {
namespace {

using TorchNorm = at::Tensor (*)(const at::Tensor& x, const at::Tensor& weight,
                                 const at::Tensor& bias, double eps);
// The operators' signatures, to call them through the dispatcher as Python and at:: do.
using LayerNormSignature = at::Tensor(const at::Tensor&, c10::SymIntArrayRef,
                                      const std::optional<at::Tensor>&,
                                      const std::optional<at::Tensor>&, double, double,
                                      std::string_view, std::optional<at::ScalarType>);
using RmsNormSignature = at::Tensor(const at::Tensor&, c10::SymIntArrayRef,
                                    const std::optional<at::Tensor>&,
                                    const std::optional<at::Tensor>&, double, double,
                                    std::string_view, double, std::optional<at::ScalarType>);

template <class Signature>
c10::TypedOperatorHandle<Signature> find_operator(const char* name) {
  return c10::Dispatcher::singleton().findSchemaOrThrow(name, "").typed<Signature>();
}

at::Tensor omninorm_layer_norm(const at::Tensor& x, const at::Tensor& weight,
                               const at::Tensor& bias, double eps) {
  static const auto op = find_operator<LayerNormSignature>("omninorm::layer_norm");
  return op.call(x, weight.sym_sizes(), weight, bias, eps, 0.0, "after_weight", std::nullopt);
}

at::Tensor omninorm_rms_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor&,
                             double eps) {
  static const auto op = find_operator<RmsNormSignature>("omninorm::rms_norm");
  return op.call(x, weight.sym_sizes(), weight, std::nullopt, eps, 0.0, "after_weight", 1.0,
                 std::nullopt);
}

using TorchDirect = Side (*)(const Problem& problem);

at::ScalarType scalar_type(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return at::kFloat;
    case DType::bf16:
      return at::kBFloat16;
    case DType::f16:
      return at::kHalf;
    case DType::f64:
      return at::kDouble;
  }
  throw Error("[bench] expected f32, bf16, f16 or f64");
}

at::Tensor matrix(const Problem& problem, const Buffer& buffer) {
  return at::from_blob(buffer.data(), {problem.cell.shape.rows, problem.cell.shape.width},
                       scalar_type(problem.cell.dtype));
}

at::Tensor vector(const Problem& problem, const Buffer& buffer) {
  return at::from_blob(buffer.data(), {problem.cell.shape.width}, scalar_type(problem.cell.dtype));
}

// A view of a tensor that `keep` owns.
ConstTensor view(const Problem& problem, const at::Tensor& tensor) {
  if (!tensor.defined()) return {};
  TORCH_CHECK(tensor.is_contiguous() && tensor.scalar_type() == scalar_type(problem.cell.dtype),
              "expected a contiguous result of the input's dtype");
  return {tensor.const_data_ptr(), problem.cell.dtype, tensor.sizes(), {}};
}

Outputs outputs_of(const Problem& problem, const std::vector<at::Tensor>& tensors) {
  auto keep = std::make_shared<std::vector<at::Tensor>>(tensors);
  Outputs outputs{.matrix = view(problem, keep->at(0)), .dweight = {}, .dbias = {}, .keep = keep};
  if (keep->size() > 1) outputs.dweight = view(problem, keep->at(1));
  if (keep->size() > 2) outputs.dbias = view(problem, keep->at(2));
  return outputs;
}

// Forward without autograd; the result is freed at once, so the next call finds its memory again.
Side operator_forward(const char* name, TorchNorm norm, const Problem& problem) {
  const auto x = matrix(problem, problem.x);
  const auto weight = vector(problem, problem.weight);
  const auto bias = vector(problem, problem.bias);
  const auto call = [=, eps = problem.op.eps] {
    const at::NoGradGuard no_grad;
    return norm(x, weight, bias, eps);
  };
  return {name, [call] { call(); }, [call, &problem] { return outputs_of(problem, {call()}); }};
}

// The graph is made once and kept; what is timed is its backward.
Side operator_backward(const char* name, TorchNorm norm, const Problem& problem) {
  std::vector<at::Tensor> inputs{matrix(problem, problem.x), vector(problem, problem.weight)};
  for (auto& input : inputs) input.requires_grad_();
  auto bias = vector(problem, problem.bias);
  if (problem.op.has_bias) inputs.push_back(bias.requires_grad_());
  const auto y = norm(inputs[0], inputs[1], bias, problem.op.eps);
  const auto dy = matrix(problem, problem.dy);
  const auto call = [=] { return torch::autograd::grad({y}, inputs, {dy}, /*retain_graph=*/true); };
  return {name, [call] { call(); }, [call, &problem] { return outputs_of(problem, call()); }};
}

// PyTorch's CPU functions for layer_norm, below its dispatcher and its autograd.
Side direct_layer_norm(const Problem& problem) {
  const auto x = matrix(problem, problem.x);
  const auto weight = vector(problem, problem.weight);
  const auto bias = vector(problem, problem.bias);
  const auto forward = [=, eps = problem.op.eps] {
    return at::cpu::native_layer_norm(x, weight.sizes(), weight, bias, eps);
  };
  if (problem.cell.direction == Direction::forward) {
    return {"torch_direct", [forward] { forward(); },
            [forward, &problem] { return outputs_of(problem, {std::get<0>(forward())}); }};
  }
  const auto [y, mean, rstd] = forward();
  const auto dy = matrix(problem, problem.dy);
  const auto backward = [=, mean = mean, rstd = rstd] {
    return at::cpu::native_layer_norm_backward(dy, x, weight.sizes(), mean, rstd, weight, bias,
                                               {true, true, true});
  };
  return {"torch_direct", [backward] { backward(); },
          [backward, &problem] {
            const auto [dx, dweight, dbias] = backward();
            return outputs_of(problem, {dx, dweight, dbias});
          }};
}

struct TorchOp {
  std::string_view name;
  TorchNorm ours;
  TorchNorm theirs;
  TorchDirect direct;  // null: PyTorch has none
};

constexpr TorchOp kTorchOps[] = {
    {"layer_norm", omninorm_layer_norm,
     [](const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, double eps) {
       return at::layer_norm(x, weight.sizes(), weight, bias, eps);
     },
     direct_layer_norm},
    {"rms_norm", omninorm_rms_norm,
     [](const at::Tensor& x, const at::Tensor& weight, const at::Tensor&, double eps) {
       return at::rms_norm(x, weight.sizes(), weight, eps);
     },
     nullptr},
};

}  // namespace

bool has_torch() { return true; }
std::string torch_version() { return TORCH_VERSION; }
void set_threads(int threads) { at::set_num_threads(threads); }
int threads() { return at::get_num_threads(); }
Executor& bench_executor() { return torch_ops::torch_executor(); }

std::vector<Side> torch_sides(const Problem& problem) {
  const bool forward = problem.cell.direction == Direction::forward;
  const auto make = forward ? operator_forward : operator_backward;
  std::vector<Side> sides;
  for (const TorchOp& op : kTorchOps) {
    if (op.name != problem.op.name) continue;
    sides.push_back(make("omninorm_torch", op.ours, problem));
    sides.push_back(make("torch", op.theirs, problem));
    if (op.direct != nullptr) sides.push_back(op.direct(problem));
  }
  return sides;
}

}  // namespace omninorm::bench
