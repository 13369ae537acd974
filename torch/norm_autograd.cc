#include <ATen/core/LegacyTypeDispatch.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/custom_function.h>

#include <bit>
#include <cstdint>
#include <mutex>
#include <type_traits>
#include <utility>
#include <vector>

#include "torch/formulas.h"
#include "torch/norm_check.h"
#include "torch/norm_op.h"
#include "torch/norm_shape.h"

namespace omninorm::torch_ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

at::Tensor defined(const std::optional<at::Tensor>& tensor) {
  return tensor.value_or(at::Tensor());
}

std::optional<at::Tensor> given(const at::Tensor& tensor) {
  return tensor.defined() ? std::optional(tensor) : std::nullopt;
}

bool wants_grad(const std::optional<at::Tensor>& tensor) {
  return tensor && tensor->requires_grad();
}

// Forward-mode AD, which a C++ Function does not have and the formulas do.
bool has_tangent(const std::optional<at::Tensor>& tensor) {
  return tensor && tensor->defined() && tensor->_fw_grad(0).defined();
}

// What backward needs beside tensors. Saved as one list of integers: each entry of a context costs
// a string, a hash and an allocation.
struct Saved {
  static constexpr std::int64_t kNoBias = -1;

  const NormOp* op = nullptr;
  std::size_t dims = 0;
  std::int64_t bias_type = kNoBias;
  NormOptions options{};

  std::vector<std::int64_t> packed() const {
    return {reinterpret_cast<std::int64_t>(op),
            static_cast<std::int64_t>(dims),
            bias_type,
            std::bit_cast<std::int64_t>(options.eps),
            std::bit_cast<std::int64_t>(options.weight_offset),
            static_cast<std::int64_t>(options.cast_policy),
            static_cast<std::int64_t>(options.activation),
            std::bit_cast<std::int64_t>(options.partial),
            options.groups,
            (options.center ? 1 : 0) | (options.per_position ? 2 : 0) |
                (options.allow_degenerate ? 4 : 0) | (options.evaluates ? 8 : 0)};
  }

  explicit Saved(const c10::List<std::int64_t>& list)
      : op(reinterpret_cast<const NormOp*>(list.get(0))),
        dims(static_cast<std::size_t>(list.get(1))),
        bias_type(list.get(2)) {
    options.eps = std::bit_cast<double>(list.get(3));
    options.weight_offset = std::bit_cast<double>(list.get(4));
    options.cast_policy = static_cast<CastPolicy>(list.get(5));
    options.activation = static_cast<Activation>(list.get(6));
    options.partial = std::bit_cast<double>(list.get(7));
    options.groups = list.get(8);
    const std::int64_t flags = list.get(9);
    options.center = (flags & 1) != 0;
    options.per_position = (flags & 2) != 0;
    options.allow_degenerate = (flags & 4) != 0;
    options.evaluates = (flags & 8) != 0;
  }

  Saved(const NormOp& op_in, const NormForwardCall& call)
      : op(&op_in), dims(row_dims(op_in, call.normalized_shape)), options(call.options) {
    if (call.bias) bias_type = static_cast<std::int64_t>(call.bias->scalar_type());
  }
};

// y, and for `adds` sum, are returned; mean and rstd leave through `result` instead: what a
// Function returns counts as differentiable, and marking outputs otherwise does not work under
// compiled autograd.
template <bool adds>
struct NormFunction : torch::autograd::Function<NormFunction<adds>> {
  using Outputs = std::conditional_t<adds, variable_list, at::Tensor>;
  static constexpr const char* kSaved = "saved";

  static Outputs forward(AutogradContext* ctx, const at::Tensor& x,
                         const std::optional<at::Tensor>& /*residual*/,
                         const std::optional<at::Tensor>& weight,
                         const std::optional<at::Tensor>& bias, const NormOp* op,
                         const NormForwardCall* call, NormForwardResult* result) {
    const at::AutoDispatchBelowADInplaceOrView guard;
    *result = op->dispatch_forward(*call);
    const NormOptions& options = call->options;
    // In evaluation the running statistics take the places of mean and rstd.
    ctx->save_for_backward({adds ? result->sum : x, defined(weight),
                            options.activation == Activation::none ? at::Tensor() : defined(bias),
                            options.evaluates ? defined(call->running.mean) : result->mean,
                            options.evaluates ? defined(call->running.var) : result->rstd});
    ctx->set_materialize_grads(false);
    ctx->saved_data[kSaved] = Saved(*op, *call).packed();
    if constexpr (adds) {
      return {result->y, result->sum};
    } else {
      return result->y;
    }
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    constexpr std::size_t kInputs = 7;
    variable_list gradients(kInputs);  // x, residual, weight, bias
    const std::optional<at::Tensor> dsum = adds ? given(grads[1]) : std::nullopt;
    if (!grads[0].defined()) {
      if (dsum) gradients[0] = gradients[1] = *dsum;
      return gradients;
    }
    const Saved saved(ctx->saved_data[kSaved].toIntList());
    const NormOptions& options = saved.options;
    const variable_list tensors = ctx->get_saved_variables();
    const at::Tensor& x = tensors[0];
    const std::optional<at::Tensor> weight = given(tensors[1]);
    const std::optional<at::Tensor> bias = given(tensors[2]);
    const std::optional<at::Tensor> running_mean =
        options.evaluates ? given(tensors[3]) : std::nullopt;
    const std::optional<at::Tensor> running_var =
        options.evaluates ? given(tensors[4]) : std::nullopt;
    // Edges are counted over the tensors that were given.
    std::size_t edge = 0;
    bool dx = ctx->needs_input_grad(edge++);
    if (adds) dx = ctx->needs_input_grad(edge++) || dx;
    const bool dweight = weight && ctx->needs_input_grad(edge++);
    const bool has_bias = saved.bias_type != Saved::kNoBias;
    const bool dbias = has_bias && ctx->needs_input_grad(edge);
    // Without a graph of the backward, and that is the rule, its autograd kernel has nothing to do:
    // stepping over it saves a dispatch.
    std::optional<at::AutoDispatchBelowADInplaceOrView> below_autograd;
    if (!c10::GradMode::is_enabled() && !has_tangent(x) && !has_tangent(grads[0]) &&
        !has_tangent(weight) && !has_tangent(bias) && !has_tangent(dsum)) {
      below_autograd.emplace();
    }
    const auto rank = static_cast<std::size_t>(x.dim());
    NormBackwardResult result = saved.op->dispatch_backward({
        .x = x,
        .normalized_shape = x.sym_sizes().slice(rank - saved.dims),
        .weight = weight,
        .bias = bias,
        .running = {.mean = running_mean, .var = running_var},
        .mean = options.evaluates ? kNoTensor : tensors[3],
        .rstd = options.evaluates ? kNoTensor : tensors[4],
        .dy = grads[0],
        .dsum = dsum,
        .options = options,
        .affine_dtype =
            has_bias ? std::optional(static_cast<at::ScalarType>(saved.bias_type)) : std::nullopt,
        .output_mask = {dx, dweight, dbias},
    });
    if (adds) gradients[1] = result.dx;
    gradients[0] = std::move(result.dx);
    gradients[2] = std::move(result.dweight);
    gradients[3] = std::move(result.dbias);
    return gradients;
  }
};

}  // namespace
}  // namespace omninorm::torch_ops

// What the template does, but for the name that it has demangled on every call, to have it for a
// message: a tenth of a small norm's backward.
template <>
torch::autograd::variable_list
torch::autograd::CppNode<omninorm::torch_ops::NormFunction<false>>::apply(variable_list&& inputs) {
  const std::lock_guard lock(mutex_);
  return CppNode_apply_functional<omninorm::torch_ops::NormFunction<false>>(
      std::move(inputs), ctx_, is_variable_input_, output_info_, "omninorm");
}
template <>
torch::autograd::variable_list
torch::autograd::CppNode<omninorm::torch_ops::NormFunction<true>>::apply(variable_list&& inputs) {
  const std::lock_guard lock(mutex_);
  return CppNode_apply_functional<omninorm::torch_ops::NormFunction<true>>(
      std::move(inputs), ctx_, is_variable_input_, output_info_, "omninorm");
}

namespace omninorm::torch_ops {
namespace {

bool wants_graph(const NormForwardCall& call) {
  return c10::GradMode::is_enabled() && (call.x.requires_grad() || call.residual.requires_grad() ||
                                         wants_grad(call.weight) || wants_grad(call.bias));
}

}  // namespace

NormForwardResult norm_forward_autograd(const NormOp& op, const NormForwardCall& call) {
  const bool tangent = has_tangent(call.x) || has_tangent(call.residual) ||
                       has_tangent(call.weight) || has_tangent(call.bias);
  TORCH_CHECK_VALUE(!call.in_place || !(tangent || wants_graph(call)), "[", op.name,
                    "_] expected no gradient to be wanted, since x and residual are overwritten, "
                    "got a tensor that requires grad; use ",
                    op.name, ", or torch.no_grad()");
  if (tangent) {
    check_forward(op, call);
    return norm_forward_formula(op, call);
  }
  if (!wants_graph(call)) {
    const at::AutoDispatchBelowADInplaceOrView guard;
    return op.dispatch_forward(call);
  }
  NormForwardResult result;
  if (op.adds) {
    variable_list outputs = NormFunction<true>::apply(call.x, given(call.residual), call.weight,
                                                      call.bias, &op, &call, &result);
    result.y = std::move(outputs[0]);
    result.sum = std::move(outputs[1]);
  } else {
    result.y =
        NormFunction<false>::apply(call.x, kNotGiven, call.weight, call.bias, &op, &call, &result);
  }
  return result;
}

NormBackwardResult norm_backward_autograd(const NormOp& op, const NormBackwardCall& call) {
  const bool tangent = has_tangent(call.x) || has_tangent(call.dy) || has_tangent(call.weight) ||
                       has_tangent(call.bias) || has_tangent(call.dsum);
  const bool graph = c10::GradMode::is_enabled() &&
                     (call.x.requires_grad() || call.dy.requires_grad() ||
                      wants_grad(call.weight) || wants_grad(call.bias) || wants_grad(call.dsum));
  if (tangent || graph) {
    check_backward(op, call);
    return norm_backward_formula(op, call);
  }
  const at::AutoDispatchBelowADInplaceOrView guard;
  return op.dispatch_backward(call);
}

}  // namespace omninorm::torch_ops
