#include "torch/row_norm.h"

#include <ATen/EmptyTensor.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cstdint>
#include <mutex>
#include <set>
#include <string>
#include <utility>

#include "omninorm/error.h"
#include "torch/convert.h"
#include "torch/executor.h"
#include "torch/formulas.h"
#include "torch/row_norm_check.h"

namespace omninorm::torch_ops {
namespace {

at::Tensor defined(const std::optional<at::Tensor>& tensor) {
  return tensor.value_or(at::Tensor());
}

// --- CPU ---

// Does each row lie in memory as one dense block, which is what the fast kernels read?
bool dense_rows(const at::Tensor& tensor, std::int64_t dims) {
  std::int64_t stride = 1;
  for (std::int64_t i = 1; i <= dims; ++i) {
    if (tensor.size(-i) != 1 && tensor.stride(-i) != stride) return false;
    stride *= tensor.size(-i);
  }
  return true;
}

// Any row stride is passed as it is. Rows that are scattered themselves (a transposed matrix,
// channels-last under a norm over [C, H, W]) are copied: that gives the bits that dense rows give,
// and on torch's threads is faster than the reference kernel, which alone takes them. float64 runs
// there in any case.
at::Tensor readable(const at::Tensor& tensor, std::int64_t dims) {
  if (tensor.scalar_type() == at::kDouble || dense_rows(tensor, dims)) return tensor;
  return tensor.contiguous();
}

// at::empty and at::empty_like, less their way through the dispatcher: it leads to these functions
// from here, and for the outputs of a small norm it takes as long as the norm.
at::Tensor fresh(at::IntArrayRef shape, at::ScalarType type) {
  return at::detail::empty_cpu(shape, type);
}

at::Tensor fresh_like(const at::Tensor& like, at::ScalarType type) {
  if (!like.is_non_overlapping_and_dense()) {
    return at::empty_like(like, like.options().dtype(type));
  }
  return at::detail::empty_strided_cpu(like.sizes(), like.strides(), type);
}

// Memory for an output whose layout is `like`'s: `result`, and `target` for the kernel to fill,
// which is the same tensor wherever its rows are dense.
struct Output {
  at::Tensor result;
  at::Tensor target;

  Output() = default;
  Output(const at::Tensor& like, at::ScalarType type, std::int64_t dims)
      : result(fresh_like(like, type)), target(result) {
    if (type == at::kDouble || dense_rows(result, dims)) return;
    target = fresh(result.sizes(), type);
  }

  at::Tensor finish() const {
    if (!target.is_same(result)) result.copy_(target);
    return result;
  }
};

// Without a workspace, so that the library allocates for itself: asking for the size first would
// check and plan each call twice.
Context context() {
  Context context;
  context.executor = &torch_executor();
  return context;
}

template <class Function>
void with_torch_errors(Function&& function) {
  try {
    function();
  } catch (const Error& error) {
    TORCH_CHECK_VALUE(false, error.what());
  }
}

}  // namespace

at::ScalarType statistics_dtype(const at::Tensor& x) {
  return x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

RowNormForwardResult row_norm_forward_cpu(const RowNormOp& op, const RowNormForwardCall& call) {
  check_forward(op, call);
  const auto dims = static_cast<int>(call.normalized_shape.size());
  const at::Tensor x = readable(call.x, dims);
  const at::Tensor weight = call.weight ? call.weight->contiguous() : at::Tensor();
  const at::Tensor bias = call.bias ? call.bias->contiguous() : at::Tensor();
  const Output y(call.x, call.y_dtype(), dims);
  const at::IntArrayRef rows = x.sizes().slice(0, static_cast<std::size_t>(x.dim() - dims));
  RowNormForwardResult result;
  if (op.center) result.mean = fresh(rows, statistics_dtype(x));
  result.rstd = fresh(rows, statistics_dtype(x));
  with_torch_errors([&] {
    NormForwardArgs args;
    args.x = const_view(x);
    args.weight = const_view(weight);
    args.bias = const_view(bias);
    args.y = mutable_view(y.target);
    args.mean = mutable_view(result.mean);
    args.rstd = mutable_view(result.rstd);
    op.forward(args, call.options, dims, context());
  });
  result.y = y.finish();
  return result;
}

RowNormBackwardResult row_norm_backward_cpu(const RowNormOp& op, const RowNormBackwardCall& call) {
  check_backward(op, call);
  const auto dims = static_cast<int>(call.normalized_shape.size());
  const at::Tensor x = readable(call.x, dims);
  const at::Tensor dy = readable(call.dy, dims);
  const at::Tensor weight = call.weight ? call.weight->contiguous() : at::Tensor();
  const at::Tensor mean = op.center ? call.mean.contiguous() : at::Tensor();
  const at::Tensor rstd = call.rstd.contiguous();
  const at::IntArrayRef shape = x.sizes().slice(static_cast<std::size_t>(x.dim() - dims));
  const at::ScalarType affine = call.gradient_dtype();
  const Output dx = call.output_mask[0] ? Output(call.x, x.scalar_type(), dims) : Output();
  RowNormBackwardResult result;
  if (call.output_mask[1]) result.dweight = fresh(shape, affine);
  if (call.output_mask[2]) result.dbias = fresh(shape, affine);
  with_torch_errors([&] {
    NormBackwardArgs args;
    args.x = const_view(x);
    args.weight = const_view(weight);
    args.mean = const_view(mean);
    args.rstd = const_view(rstd);
    args.dy = const_view(dy);
    args.dx = mutable_view(dx.target);
    args.dweight = mutable_view(result.dweight);
    args.dbias = mutable_view(result.dbias);
    op.backward(args, call.options, dims, context());
  });
  if (call.output_mask[0]) result.dx = dx.finish();
  return result;
}

// --- Meta ---

RowNormForwardResult row_norm_forward_meta(const RowNormOp& op, const RowNormForwardCall& call) {
  check_forward(op, call);
  const at::Tensor& x = call.x;
  const c10::SymIntArrayRef rows =
      x.sym_sizes().slice(0, static_cast<std::size_t>(x.dim()) - call.normalized_shape.size());
  const at::TensorOptions statistics = x.options().dtype(statistics_dtype(x));
  RowNormForwardResult result;
  result.y = at::empty_like(x, x.options().dtype(call.y_dtype()));
  if (op.center) result.mean = at::empty_symint(rows, statistics);
  result.rstd = at::empty_symint(rows, statistics);
  return result;
}

RowNormBackwardResult row_norm_backward_meta(const RowNormOp& op, const RowNormBackwardCall& call) {
  check_backward(op, call);
  const at::TensorOptions affine = call.x.options().dtype(call.gradient_dtype());
  RowNormBackwardResult result;
  if (call.output_mask[0]) result.dx = at::empty_like(call.x);
  if (call.output_mask[1]) result.dweight = at::empty_symint(call.normalized_shape, affine);
  if (call.output_mask[2]) result.dbias = at::empty_symint(call.normalized_shape, affine);
  return result;
}

// --- any other device ---

namespace {

void warn_once(const RowNormOp& op, const at::Device& device) {
  static std::mutex mutex;
  static std::set<std::pair<std::string, at::DeviceType>> warned;
  {
    const std::lock_guard<std::mutex> lock(mutex);
    if (!warned.emplace(op.name, device.type()).second) return;
  }
  TORCH_WARN(
      "omninorm::", op.name, " has no kernel for device '",
      c10::DeviceTypeName(device.type(), true),
      "' yet and runs as ATen formulas there: same results, but slower and with more memory. "
      "Said once for each op and kind of device.");
}

// The layout that the Meta kernel promises.
at::Tensor laid_out_like(const at::Tensor& like, const at::Tensor& value) {
  if (!value.defined()) return value;
  const at::Tensor result = at::empty_like(like, value.options());
  return result.strides() == value.strides() ? value : result.copy_(value);
}

}  // namespace

RowNormForwardResult row_norm_forward_fallback(const RowNormOp& op,
                                               const RowNormForwardCall& call) {
  check_forward(op, call);
  warn_once(op, call.x.device());
  RowNormForwardResult result = row_norm_forward_formula(op, call);
  result.y = laid_out_like(call.x, result.y);
  return result;
}

RowNormBackwardResult row_norm_backward_fallback(const RowNormOp& op,
                                                 const RowNormBackwardCall& call) {
  check_backward(op, call);
  warn_once(op, call.x.device());
  RowNormBackwardResult result = row_norm_backward_formula(op, call);
  result.dx = laid_out_like(call.x, result.dx);
  return result;
}

// --- autograd ---

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

bool wants_grad(const std::optional<at::Tensor>& tensor) {
  return tensor && tensor->requires_grad();
}

// Forward-mode AD, which a C++ Function does not have and the formulas do.
bool has_tangent(const std::optional<at::Tensor>& tensor) {
  return tensor && tensor->defined() && tensor->_fw_grad(0).defined();
}

// mean and rstd leave through `result` instead of being returned: what a Function returns counts as
// differentiable, and marking outputs otherwise does not work under compiled autograd.
struct RowNormFunction : torch::autograd::Function<RowNormFunction> {
  static constexpr const char* kInts = "ints";        // op, dims, cast_policy, dtype of bias
  static constexpr const char* kDoubles = "doubles";  // eps, weight_offset, partial
  static constexpr std::int64_t kNoBias = -1;

  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x,
                            const std::optional<at::Tensor>& weight,
                            const std::optional<at::Tensor>& bias, const RowNormOp* op,
                            const RowNormForwardCall* call, RowNormForwardResult* result) {
    const at::AutoDispatchBelowADInplaceOrView guard;
    *result = op->dispatch_forward(*call);
    ctx->save_for_backward({x, defined(weight), result->mean, result->rstd});
    ctx->set_materialize_grads(false);
    // Two entries, not one for each value: an entry costs a string, a hash and an allocation.
    const RowNormOptions& options = call->options;
    ctx->saved_data[kInts] =
        std::vector<std::int64_t>{reinterpret_cast<std::int64_t>(op),
                                  static_cast<std::int64_t>(call->normalized_shape.size()),
                                  static_cast<std::int64_t>(options.cast_policy),
                                  bias ? static_cast<std::int64_t>(bias->scalar_type()) : kNoBias};
    ctx->saved_data[kDoubles] =
        std::vector<double>{options.eps, options.weight_offset, options.partial};
    return result->y;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    constexpr std::size_t kInputs = 6;
    variable_list gradients(kInputs);
    if (!grads[0].defined()) return gradients;
    const c10::List<std::int64_t> ints = ctx->saved_data[kInts].toIntList();
    const c10::List<double> doubles = ctx->saved_data[kDoubles].toDoubleList();
    const auto* op = reinterpret_cast<const RowNormOp*>(ints.get(0));
    const variable_list tensors = ctx->get_saved_variables();
    const at::Tensor& x = tensors[0];
    const std::optional<at::Tensor> weight =
        tensors[1].defined() ? std::optional(tensors[1]) : std::nullopt;
    const bool has_bias = ints.get(3) != kNoBias;
    // Edges are counted over the tensors that were given.
    const std::size_t bias_edge = weight ? 2 : 1;
    const auto dims = static_cast<std::size_t>(ints.get(1));
    RowNormOptions options;
    options.eps = doubles.get(0);
    options.weight_offset = doubles.get(1);
    options.cast_policy = static_cast<CastPolicy>(ints.get(2));
    options.partial = doubles.get(2);
    std::optional<at::ScalarType> affine_dtype;
    if (has_bias) affine_dtype = static_cast<at::ScalarType>(ints.get(3));
    // Without a graph of the backward, and that is the rule, its autograd kernel has nothing to do:
    // stepping over it saves a dispatch.
    std::optional<at::AutoDispatchBelowADInplaceOrView> below_autograd;
    if (!c10::GradMode::is_enabled() && !has_tangent(x) && !has_tangent(grads[0]) &&
        !has_tangent(weight)) {
      below_autograd.emplace();
    }
    const RowNormBackwardResult result =
        op->dispatch_backward({x,
                               x.sym_sizes().slice(static_cast<std::size_t>(x.dim()) - dims),
                               weight,
                               tensors[2],
                               tensors[3],
                               grads[0],
                               options,
                               affine_dtype,
                               {ctx->needs_input_grad(0), weight && ctx->needs_input_grad(1),
                                has_bias && ctx->needs_input_grad(bias_edge)}});
    gradients[0] = result.dx;
    gradients[1] = result.dweight;
    gradients[2] = result.dbias;
    return gradients;
  }
};

}  // namespace

RowNormForwardResult row_norm_forward_autograd(const RowNormOp& op,
                                               const RowNormForwardCall& call) {
  if (has_tangent(call.x) || has_tangent(call.weight) || has_tangent(call.bias)) {
    check_forward(op, call);
    return row_norm_forward_formula(op, call);
  }
  if (!c10::GradMode::is_enabled() ||
      !(call.x.requires_grad() || wants_grad(call.weight) || wants_grad(call.bias))) {
    const at::AutoDispatchBelowADInplaceOrView guard;
    return op.dispatch_forward(call);
  }
  RowNormForwardResult result;
  result.y = RowNormFunction::apply(call.x, call.weight, call.bias, &op, &call, &result);
  return result;
}

RowNormBackwardResult row_norm_backward_autograd(const RowNormOp& op,
                                                 const RowNormBackwardCall& call) {
  const bool tangent = has_tangent(call.x) || has_tangent(call.dy) || has_tangent(call.weight);
  const bool graph = c10::GradMode::is_enabled() &&
                     (call.x.requires_grad() || call.dy.requires_grad() || wants_grad(call.weight));
  if (tangent || graph) {
    check_backward(op, call);
    return row_norm_backward_formula(op, call);
  }
  const at::AutoDispatchBelowADInplaceOrView guard;
  return op.dispatch_backward(call);
}

}  // namespace omninorm::torch_ops
