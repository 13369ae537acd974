// Meta, and any device without a kernel.
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>

#include <mutex>
#include <set>
#include <string>
#include <utility>

#include "torch/formulas.h"
#include "torch/norm_check.h"
#include "torch/norm_op.h"
#include "torch/norm_shape.h"

namespace omninorm::torch_ops {

NormForwardResult norm_forward_meta(const NormOp& op, const NormForwardCall& call) {
  check_forward(op, call);
  const at::Tensor& x = call.x;
  NormForwardResult result;
  if (call.in_place) return result;
  result.y = at::empty_like(x, x.options().dtype(call.y_dtype()));
  if (op.adds) result.sum = at::empty_like(x);
  if (!saves_rstd(call.options)) return result;
  const at::TensorOptions options = x.options().dtype(statistics_dtype(x));
  const auto shape =
      statistics_shape(op, call.options, x.sym_sizes(), row_dims(op, call.normalized_shape));
  if (saves_mean(call.options)) result.mean = at::empty_symint(shape, options);
  result.rstd = at::empty_symint(shape, options);
  return result;
}

NormBackwardResult norm_backward_meta(const NormOp& op, const NormBackwardCall& call) {
  check_backward(op, call);
  const at::TensorOptions options = call.x.options().dtype(call.gradient_dtype());
  const c10::SymIntArrayRef shape =
      affine_shape(op, call.options, call.x.sym_sizes(), row_dims(op, call.normalized_shape));
  NormBackwardResult result;
  if (call.output_mask[0]) result.dx = at::empty_like(call.x);
  if (call.output_mask[1]) result.dweight = at::empty_symint(shape, options);
  if (call.output_mask[2]) result.dbias = at::empty_symint(shape, options);
  return result;
}

namespace {

void warn_once(const NormOp& op, const at::Device& device) {
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

NormForwardResult norm_forward_fallback(const NormOp& op, const NormForwardCall& call) {
  check_forward(op, call);
  if (call.in_place) check_in_place(op, call);
  warn_once(op, call.x.device());
  NormForwardResult result = norm_forward_formula(op, call);
  if (call.in_place) {
    // Called below the key that counts writes. Throws for a tensor that must not be written.
    call.x.unsafeGetTensorImpl()->bump_version();
    call.residual.unsafeGetTensorImpl()->bump_version();
    call.x.copy_(result.y);
    call.residual.copy_(result.sum);
    return {};
  }
  result.y = laid_out_like(call.x, result.y);
  result.sum = laid_out_like(call.x, result.sum);
  if (result.mean.defined()) result.mean = result.mean.contiguous();
  if (result.rstd.defined()) result.rstd = result.rstd.contiguous();
  return result;
}

NormBackwardResult norm_backward_fallback(const NormOp& op, const NormBackwardCall& call) {
  check_backward(op, call);
  warn_once(op, call.x.device());
  NormBackwardResult result = norm_backward_formula(op, call);
  result.dx = laid_out_like(call.x, result.dx);
  return result;
}

}  // namespace omninorm::torch_ops
