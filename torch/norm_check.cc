#include "torch/norm_check.h"

#include <c10/util/StringUtil.h>

#include <cmath>
#include <cstdint>
#include <string>

#include "src/core/overlap.h"
#include "torch/convert.h"
#include "torch/norm_shape.h"

namespace omninorm::torch_ops {
namespace {

std::string type_name(at::ScalarType type) {
  const std::optional<DType> dtype = dtype_of(type);
  return dtype ? name(*dtype) : c10::toString(type);
}

// Symbolic sizes are assumed equal and guarded where that cannot be seen yet.
bool same_shape(c10::SymIntArrayRef a, c10::SymIntArrayRef b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (!a[i].sym_eq(b[i]).expect_true(__FILE__, __LINE__)) return false;
  }
  return true;
}

// Where a size is a number yet; else the check is left to the call that has one.
bool known_below(const c10::SymInt& size, std::int64_t least) {
  const std::optional<std::int64_t> number = size.maybe_as_int();
  return number && *number < least;
}

// Runs on every call: messages are put together only once a check has failed, which would cost
// more than a small norm otherwise.
struct Checker {
  const NormOp& op;
  const at::Tensor& x;
  c10::SymIntArrayRef normalized_shape;
  const NormOptions& options;

  [[noreturn]] void fail(const std::string& expected, const std::string& got) const {
    torch_ops::fail(op.name, expected, got);
  }

  std::size_t dims() const { return row_dims(op, normalized_shape); }

  c10::SymIntArrayRef affine_shape() const {
    return torch_ops::affine_shape(op, options, x.sym_sizes(), dims());
  }

  void dense(const at::Tensor& tensor, const char* what) const {
    if (tensor.layout() == at::kStrided && tensor.device() == x.device()) return;
    fail(c10::str(what, " strided (dense) and on ", x.device()),
         c10::str(tensor.layout(), " on ", tensor.device()));
  }

  void shape(const at::Tensor& tensor, c10::SymIntArrayRef expected, const char* what) const {
    dense(tensor, what);
    if (!same_shape(tensor.sym_sizes(), expected)) {
      fail(c10::str(what, " of shape ", expected), c10::str(tensor.sym_sizes()));
    }
  }

  void same_dtype(at::ScalarType type, at::ScalarType expected, const char* what) const {
    if (type == expected) return;
    fail(c10::str(what, " of type ", type_name(expected)), type_name(type));
  }

  void dtype(const at::Tensor& tensor, at::ScalarType expected, const char* what) const {
    same_dtype(tensor.scalar_type(), expected, what);
  }

  void like_x(const at::Tensor& tensor, const char* what) const {
    shape(tensor, x.sym_sizes(), what);
    dtype(tensor, x.scalar_type(), what);
  }

  void affine_dtype(at::ScalarType type, const char* what) const {
    if (type == x.scalar_type()) return;
    if (type == at::kFloat && x.scalar_type() != at::kDouble) return;
    const std::string own = type_name(x.scalar_type());
    const bool wide = x.scalar_type() == at::kDouble || x.scalar_type() == at::kFloat;
    fail(c10::str(what, " of type ", wide ? own : own + " or f32", " for ", own, " x"),
         type_name(type));
  }

  // weight or bias; its type.
  at::ScalarType affine(const at::Tensor& tensor, const char* what) const {
    shape(tensor, affine_shape(), what);
    affine_dtype(tensor.scalar_type(), what);
    return tensor.scalar_type();
  }

  void output_dtype(at::ScalarType type, at::ScalarType affine) const {
    if (type == x.scalar_type() || type == affine) return;
    const std::string own = type_name(x.scalar_type());
    fail(affine == x.scalar_type()
             ? "dtype " + own + ", x's"
             : "dtype " + own + ", x's, or " + type_name(affine) + ", the weight's",
         type_name(type));
  }

  void row_shape() const {
    if (op.kind == NormKind::last_dims && normalized_shape.empty()) {
      fail("a normalized_shape of at least one dimension", "[]");
    }
    const auto rank = static_cast<std::size_t>(x.dim());
    if (rank < dims()) {
      if (op.kind == NormKind::features) fail("x with at least 1 dimension", "a scalar");
    } else if (op.kind == NormKind::features ||
               same_shape(x.sym_sizes().slice(rank - dims()), normalized_shape)) {
      return;
    }
    fail(c10::str("x whose last dimensions are ", normalized_shape),
         c10::str("x of shape ", x.sym_sizes()));
  }

  void groups() const {
    const bool features = op.kind == NormKind::features;
    if (!features && op.kind != NormKind::group) return;
    const c10::SymInt& channels = affine_shape()[0];
    if (options.groups < 1 ||
        !(channels % options.groups).sym_eq(0).expect_true(__FILE__, __LINE__)) {
      fail(c10::str(features ? "groups" : "num_groups", " to divide ", channels, " channels"),
           c10::str(options.groups));
    }
    if (!features || options.allow_degenerate) return;
    // Two centred channels can only be +1 and -1, one uncentred channel its sign.
    const std::int64_t least = options.center ? 3 : 2;
    const c10::SymInt width = channels / options.groups;
    if (known_below(width, least) && !known_below(channels, 1)) {
      fail(c10::str("groups of ", least, " or more channels"),
           c10::str(width,
                    "; the output of smaller ones is a constant; set allow_degenerate to "
                    "take them"));
    }
  }

  void input() const {
    if (!dtype_of(x.scalar_type())) {
      fail("x of type f32, bf16, f16 or f64", type_name(x.scalar_type()));
    }
    dense(x, "x");
    if (x.dim() > kMaxRank) {
      fail(c10::str("x of at most ", kMaxRank, " dimensions (flatten some)"),
           c10::str(x.dim(), " dimensions"));
    }
    if (!by_channel(op, options)) {
      row_shape();
    } else if (x.dim() < 2) {
      fail("x of shape [N, C] or [N, C, spatial...]", c10::str("shape ", x.sym_sizes()));
    }
    groups();
    numbers();
  }

  void numbers() const {
    if (!std::isfinite(options.eps) || options.eps < 0) {
      fail("eps >= 0 and finite", c10::str(options.eps));
    }
    if (!std::isfinite(options.weight_offset)) {
      fail("a finite weight_offset", c10::str(options.weight_offset));
    }
    if (options.momentum && !(*options.momentum >= 0 && *options.momentum <= 1)) {
      fail("momentum between 0 and 1", c10::str(*options.momentum));
    }
    if (options.partial == 1) return;
    if (!(options.partial > 0 && options.partial <= 1)) {
      fail("partial above 0 and at most 1", c10::str(options.partial));
    }
    // How many entries are taken is a number, so a symbolic width becomes one.
    std::int64_t width = 1;
    for (const c10::SymInt& size : normalized_shape) width *= size.guard_int(__FILE__, __LINE__);
    const auto taken = static_cast<std::int64_t>(static_cast<double>(width) * options.partial);
    if (width != 0 && taken == 0) {
      fail(c10::str("partial that takes at least one of ", width, " entries"),
           c10::str(options.partial));
    }
  }

  void running_one(const at::Tensor& tensor, const char* what) const {
    shape(tensor, affine_shape(), what);
    if (tensor.scalar_type() == x.scalar_type()) return;
    dtype(tensor, statistics_dtype(x), what);
  }

  void running(const RunningTensors& running) const {
    if (running.mean.has_value() != running.var.has_value()) {
      fail("running_mean and running_var together",
           running.mean ? "running_mean alone" : "running_var alone");
    }
    if (options.evaluates && !running.given()) {
      fail("running_mean and running_var in evaluation", "none");
    }
    if (!running.given()) return;
    running_one(*running.mean, "running_mean");
    running_one(*running.var, "running_var");
  }

  // Training: one value has no variance, and a count is kept as one number.
  void training(const RunningTensors& running) const {
    if (op.kind != NormKind::batch && op.kind != NormKind::instance) return;
    this->running(running);
    if (options.evaluates) return;
    if (running.num_batches_tracked) {
      const at::Tensor& count = *running.num_batches_tracked;
      dense(count, "num_batches_tracked");
      if (count.scalar_type() != at::kLong || count.sym_numel() != 1) {
        fail("num_batches_tracked of one int64",
             c10::str(count.scalar_type(), " of shape ", count.sym_sizes()));
      }
    } else if (!options.momentum && running.given()) {
      fail("num_batches_tracked for a cumulative average", "none; give it, or a momentum");
    }
    c10::SymInt pooled = op.kind == NormKind::batch ? x.sym_size(0) : c10::SymInt(1);
    for (std::int64_t i = 2; i < x.dim(); ++i) pooled *= x.sym_size(i);
    if (known_below(pooled, 2) && !known_below(x.sym_numel(), 1)) {
      fail("more than 1 value per channel in training", c10::str("shape ", x.sym_sizes()));
    }
  }
};

}  // namespace

void check_forward(const NormOp& op, const NormForwardCall& call) {
  const Checker check{op, call.x, call.normalized_shape, call.options};
  check.input();
  if (op.adds) check.like_x(call.residual, "residual");
  at::ScalarType affine = call.x.scalar_type();
  if (call.bias) affine = check.affine(*call.bias, "bias");
  if (call.weight) {
    affine = check.affine(*call.weight, "weight");
    if (call.bias) check.dtype(*call.bias, affine, "bias, like weight,");
  }
  check.training(call.running);
  check.output_dtype(call.y_dtype(), affine);
}

void check_backward(const NormOp& op, const NormBackwardCall& call) {
  const NormOptions& options = call.options;
  const Checker check{op, call.x, call.normalized_shape, options};
  check.input();
  if (call.weight) check.affine(*call.weight, "weight");
  if (call.bias) {
    const at::ScalarType type = check.affine(*call.bias, "bias");
    if (call.weight) check.same_dtype(type, call.weight->scalar_type(), "bias, like weight,");
  }
  if (!call.weight && call.output_mask[1]) {
    check.fail("a weight where dweight is asked for", "none and output_mask[1] true");
  }
  check.affine_dtype(call.gradient_dtype(), "affine_dtype");
  if (call.weight) {
    check.same_dtype(call.gradient_dtype(), call.weight->scalar_type(),
                     "affine_dtype, like weight,");
  }
  if (options.evaluates) check.running(call.running);
  if (saves_rstd(options)) {
    const auto statistics = statistics_shape(op, options, call.x.sym_sizes(), check.dims());
    const at::ScalarType wide = statistics_dtype(call.x);
    if (saves_mean(options)) {
      check.shape(call.mean, statistics, "mean");
      check.dtype(call.mean, wide, "mean");
    }
    check.shape(call.rstd, statistics, "rstd");
    check.dtype(call.rstd, wide, "rstd");
  }
  check.shape(call.dy, call.x.sym_sizes(), "dy");
  const at::ScalarType affine = call.weight ? call.weight->scalar_type() : call.gradient_dtype();
  if (call.dy.scalar_type() != affine) check.dtype(call.dy, call.x.scalar_type(), "dy");
  if (call.dsum) check.like_x(*call.dsum, "dsum");
}

void check_in_place(const NormOp& op, const NormForwardCall& call) {
  const std::string name = std::string(op.name) + "_";
  const auto alone = [&](const char* one, const at::Tensor& written, const char* other,
                         const at::Tensor& beside) {
    if (!internal::overlap(const_view(written), const_view(beside))) return;
    torch_ops::fail(name, c10::str(one, " to share no memory with ", other),
                    "tensors that overlap");
  };
  const auto written = [&](const char* what, const at::Tensor& tensor) {
    if (internal::may_overlap_itself(const_view(tensor))) {
      torch_ops::fail(name, c10::str("elements of ", what, " that share no memory"),
                      c10::str("strides ", tensor.strides(), ", as of an expanded tensor"));
    }
    if (call.weight) alone(what, tensor, "weight", *call.weight);
    if (call.bias) alone(what, tensor, "bias", *call.bias);
  };
  written("x", call.x);
  written("residual", call.residual);
  alone("x", call.x, "residual", call.residual);
}

}  // namespace omninorm::torch_ops
