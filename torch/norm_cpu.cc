// The CPU kernels: libomninorm on torch's memory and threads.
#include <ATen/EmptyTensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>

#include <cstdint>

#include "omninorm/error.h"
#include "torch/convert.h"
#include "torch/executor.h"
#include "torch/norm_check.h"
#include "torch/norm_op.h"
#include "torch/norm_shape.h"

namespace omninorm::torch_ops {
namespace {

// How the elements that a row or an image consists of lie in memory, as bits: a tensor with one
// channel or one position is in both orders.
using Orders = unsigned;
constexpr Orders kFirst = 1;  // one dense block, in the order of the dimensions
constexpr Orders kLast = 2;   // the same, but for the channels, which are innermost

// Are dimensions [first, rank) dense, above elements of `stride`?
bool dense_from(const at::Tensor& tensor, std::int64_t first, std::int64_t stride) {
  for (std::int64_t i = tensor.dim() - 1; i >= first; --i) {
    if (tensor.size(i) != 1 && tensor.stride(i) != stride) return false;
    stride *= tensor.size(i);
  }
  return true;
}

struct Layout {
  bool channels;       // x is [N, C, spatial...]
  std::int64_t first;  // the first dimension of a row or an image
  Orders orders = 0;   // what all tensors of the call are to have, one at least

  Orders orders_of(const at::Tensor& tensor) const {
    Orders result = dense_from(tensor, first, 1) ? kFirst : 0;
    if (!channels) return result;
    const bool innermost = tensor.size(1) == 1 || tensor.stride(1) == 1;
    if (innermost && dense_from(tensor, 2, tensor.size(1))) result |= kLast;
    return result;
  }

  bool fits(const at::Tensor& tensor) const {
    return tensor.scalar_type() == at::kDouble || (orders_of(tensor) & orders) != 0;
  }

  // Any stride between rows and images is passed as it is. Rows that are scattered themselves (a
  // transposed matrix, channels-last under a norm over [C, H, W]) are copied: that gives the bits
  // that dense rows give, and on torch's threads is faster than the reference kernel, which alone
  // takes them. float64 runs there in any case.
  at::Tensor readable(const at::Tensor& tensor) const {
    if (fits(tensor)) return tensor;
    if ((orders & kFirst) != 0) return tensor.contiguous();
    return tensor.movedim(1, -1).contiguous().movedim(-1, 1);
  }

  // The same for x, whose order the other tensors follow.
  at::Tensor lead(const at::Tensor& x) {
    orders = orders_of(x);
    if (orders == 0) orders = kFirst;
    return readable(x);
  }
};

Layout layout_of(const NormOp& op, const NormOptions& options, const at::Tensor& x,
                 std::size_t dims) {
  const bool channels = by_channel(op, options);
  return {channels, channels ? 1 : x.dim() - static_cast<std::int64_t>(dims)};
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
// which is the same tensor wherever it fits.
struct Output {
  at::Tensor result;
  at::Tensor target;

  Output() = default;
  Output(const at::Tensor& like, at::ScalarType type, const Layout& layout)
      : result(fresh_like(like, type)), target(result) {
    make_target(layout);
  }
  // Over what `existing` holds.
  Output(const at::Tensor& existing, const Layout& layout) : result(existing), target(existing) {
    // Throws for a tensor that must not be written (inference mode's).
    existing.unsafeGetTensorImpl()->bump_version();
    make_target(layout);
  }

  void make_target(const Layout& layout) {
    if (layout.fits(result)) return;
    target = layout.readable(fresh(result.sizes(), result.scalar_type()));
  }

  at::Tensor finish() const {
    if (!target.is_same(result)) result.copy_(target);
    return result;
  }
};

// A running statistic as libomninorm takes it: contiguous and of the type of statistics. Kept in
// another type, as a module in bfloat16 does, it is updated in a copy and rounded back.
struct RunningCopy {
  at::Tensor own;
  at::Tensor wide;

  RunningCopy(const std::optional<at::Tensor>& tensor, const at::Tensor& x) {
    if (!tensor) return;
    own = *tensor;
    wide = own.to(statistics_dtype(x)).contiguous();
  }

  // Before the kernel writes: throws for a tensor that must not be written (inference mode's).
  void start() const {
    if (own.defined()) own.unsafeGetTensorImpl()->bump_version();
  }

  void finish() const {
    if (own.defined() && !wide.is_same(own)) own.copy_(wide);
  }
};

struct RunningCopies {
  RunningCopy mean, var;

  RunningCopies(const RunningTensors& running, const at::Tensor& x)
      : mean(running.mean, x), var(running.var, x) {}

  RunningStatistics view() const {
    return {.mean = mutable_view(mean.wide), .var = mutable_view(var.wide)};
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

at::Tensor contiguous(const std::optional<at::Tensor>& tensor) {
  return tensor ? tensor->contiguous() : at::Tensor();
}

// Of ops that take none: making them anew costs more than a small norm's checks.
const CoreForwardExtras kNoForwardExtras;
const CoreBackwardExtras kNoBackwardExtras;

void run_forward(const NormOp& op, const NormForwardCall& call, const NormForwardArgs& args,
                 const at::Tensor& residual, const at::Tensor& sum, int dims) {
  const RunningTensors& running = call.running;
  if (!op.adds && !running.given() && !running.num_batches_tracked) {
    return op.forward(args, kNoForwardExtras, call.options, dims, context());
  }
  CoreForwardExtras extras;
  extras.residual = const_view(residual);
  extras.sum = mutable_view(sum);
  const RunningCopies copies(running, call.x);
  extras.running = copies.view();
  if (call.options.evaluates) return op.forward(args, extras, call.options, dims, context());
  copies.mean.start();
  copies.var.start();
  if (running.num_batches_tracked) {
    running.num_batches_tracked->unsafeGetTensorImpl()->bump_version();
    extras.running.num_batches_tracked =
        running.num_batches_tracked->mutable_data_ptr<std::int64_t>();
  }
  op.forward(args, extras, call.options, dims, context());
  copies.mean.finish();
  copies.var.finish();
}

void run_backward(const NormOp& op, const NormBackwardCall& call, const NormBackwardArgs& args,
                  const at::Tensor& dsum, int dims) {
  if (!call.options.evaluates && !dsum.defined()) {
    return op.backward(args, kNoBackwardExtras, call.options, dims, context());
  }
  // Copies of running statistics that are not given are empty.
  const RunningCopies copies(call.running, call.x);
  const CoreBackwardExtras extras{.dsum = const_view(dsum), .running = copies.view()};
  op.backward(args, extras, call.options, dims, context());
}

}  // namespace

NormForwardResult norm_forward_cpu(const NormOp& op, const NormForwardCall& call) {
  check_forward(op, call);
  if (call.in_place) with_torch_errors([&] { check_in_place(op, call); });
  const NormOptions& options = call.options;
  const std::size_t dims = row_dims(op, call.normalized_shape);
  Layout layout = layout_of(op, options, call.x, dims);
  const at::Tensor x = layout.lead(call.x);
  const at::Tensor residual = op.adds ? layout.readable(call.residual) : at::Tensor();
  const at::Tensor weight = contiguous(call.weight);
  const at::Tensor bias = contiguous(call.bias);
  const Output y = call.in_place ? Output(call.x, layout) : Output(call.x, call.y_dtype(), layout);
  const Output sum = !op.adds        ? Output()
                     : call.in_place ? Output(call.residual, layout)
                                     : Output(call.x, x.scalar_type(), layout);
  NormForwardResult result;
  if (saves_rstd(options) && !call.in_place) {
    const auto shape = statistics_shape(op, options, x.sizes(), dims);
    if (saves_mean(options)) result.mean = fresh(shape, statistics_dtype(x));
    result.rstd = fresh(shape, statistics_dtype(x));
  }
  with_torch_errors([&] {
    NormForwardArgs args;
    args.x = const_view(x);
    args.weight = const_view(weight);
    args.bias = const_view(bias);
    args.y = mutable_view(y.target);
    args.mean = mutable_view(result.mean);
    args.rstd = mutable_view(result.rstd);
    run_forward(op, call, args, residual, sum.target, static_cast<int>(dims));
  });
  result.y = y.finish();
  if (op.adds) result.sum = sum.finish();
  return result;
}

NormBackwardResult norm_backward_cpu(const NormOp& op, const NormBackwardCall& call) {
  check_backward(op, call);
  const NormOptions& options = call.options;
  const std::size_t dims = row_dims(op, call.normalized_shape);
  Layout layout = layout_of(op, options, call.x, dims);
  const at::Tensor x = layout.lead(call.x);
  const at::Tensor dy = layout.readable(call.dy);
  const at::Tensor dsum = call.dsum ? layout.readable(*call.dsum) : at::Tensor();
  const at::Tensor weight = contiguous(call.weight);
  const at::Tensor bias = contiguous(call.bias);
  const at::Tensor mean = saves_mean(options) ? call.mean.contiguous() : at::Tensor();
  const at::Tensor rstd = saves_rstd(options) ? call.rstd.contiguous() : at::Tensor();
  const at::IntArrayRef shape = affine_shape(op, options, x.sizes(), dims);
  const at::ScalarType affine = call.gradient_dtype();
  const Output dx = call.output_mask[0] ? Output(call.x, x.scalar_type(), layout) : Output();
  NormBackwardResult result;
  if (call.output_mask[1]) result.dweight = fresh(shape, affine);
  if (call.output_mask[2]) result.dbias = fresh(shape, affine);
  with_torch_errors([&] {
    NormBackwardArgs args;
    args.x = const_view(x);
    args.weight = const_view(weight);
    args.bias = const_view(bias);
    args.mean = const_view(mean);
    args.rstd = const_view(rstd);
    args.dy = const_view(dy);
    args.dx = mutable_view(dx.target);
    args.dweight = mutable_view(result.dweight);
    args.dbias = mutable_view(result.dbias);
    run_backward(op, call, args, dsum, static_cast<int>(dims));
  });
  if (call.output_mask[0]) result.dx = dx.finish();
  return result;
}

}  // namespace omninorm::torch_ops
