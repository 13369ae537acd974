#include "torch/row_norm_check.h"

#include <c10/util/StringUtil.h>

#include <cmath>
#include <cstdint>
#include <string>

#include "torch/convert.h"

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

// Runs on every call: messages are put together only once a check has failed, which would cost
// more than a small norm otherwise.
struct Checker {
  const char* op;
  const at::Tensor& x;
  c10::SymIntArrayRef normalized_shape;

  std::size_t rows_rank() const {
    return static_cast<std::size_t>(x.dim()) - normalized_shape.size();
  }

  void dense(const at::Tensor& tensor, const char* what) const {
    if (tensor.layout() == at::kStrided && tensor.device() == x.device()) return;
    fail(op, c10::str(what, " strided (dense) and on ", x.device()),
         c10::str(tensor.layout(), " on ", tensor.device()));
  }

  void shape(const at::Tensor& tensor, c10::SymIntArrayRef expected, const char* what) const {
    dense(tensor, what);
    if (!same_shape(tensor.sym_sizes(), expected)) {
      fail(op, c10::str(what, " of shape ", expected), c10::str(tensor.sym_sizes()));
    }
  }

  void same_dtype(at::ScalarType type, at::ScalarType expected, const char* what) const {
    if (type == expected) return;
    fail(op, c10::str(what, " of type ", type_name(expected)), type_name(type));
  }

  void dtype(const at::Tensor& tensor, at::ScalarType expected, const char* what) const {
    same_dtype(tensor.scalar_type(), expected, what);
  }

  void affine_dtype(at::ScalarType type, const char* what) const {
    if (type == x.scalar_type()) return;
    if (type == at::kFloat && x.scalar_type() != at::kDouble) return;
    const std::string own = type_name(x.scalar_type());
    const bool wide = x.scalar_type() == at::kDouble || x.scalar_type() == at::kFloat;
    fail(op, c10::str(what, " of type ", wide ? own : own + " or f32", " for ", own, " x"),
         type_name(type));
  }

  void output_dtype(at::ScalarType type, at::ScalarType affine) const {
    if (type == x.scalar_type() || type == affine) return;
    const std::string own = type_name(x.scalar_type());
    fail(op,
         affine == x.scalar_type()
             ? "dtype " + own + ", x's"
             : "dtype " + own + ", x's, or " + type_name(affine) + ", the weight's",
         type_name(type));
  }

  void input() const {
    if (!dtype_of(x.scalar_type())) {
      fail(op, "x of type f32, bf16, f16 or f64", type_name(x.scalar_type()));
    }
    dense(x, "x");
    if (x.dim() > kMaxRank) {
      fail(op, c10::str("x of at most ", kMaxRank, " dimensions (flatten some)"),
           c10::str(x.dim(), " dimensions"));
    }
    if (normalized_shape.empty()) {
      fail(op, "a normalized_shape of at least one dimension", "[]");
    }
    if (static_cast<std::size_t>(x.dim()) < normalized_shape.size() ||
        !same_shape(x.sym_sizes().slice(rows_rank()), normalized_shape)) {
      fail(op, c10::str("x whose last dimensions are ", normalized_shape),
           c10::str("x of shape ", x.sym_sizes()));
    }
  }

  void options(const RowNormOptions& options) const {
    if (!std::isfinite(options.eps) || options.eps < 0) {
      fail(op, "eps >= 0 and finite", c10::str(options.eps));
    }
    if (!std::isfinite(options.weight_offset)) {
      fail(op, "a finite weight_offset", c10::str(options.weight_offset));
    }
    if (!(options.partial > 0 && options.partial <= 1)) {
      fail(op, "partial above 0 and at most 1", c10::str(options.partial));
    }
    if (options.partial == 1) return;
    // How many entries are taken is a number, so a symbolic width becomes one.
    std::int64_t width = 1;
    for (const c10::SymInt& size : normalized_shape) width *= size.guard_int(__FILE__, __LINE__);
    const auto taken = static_cast<std::int64_t>(static_cast<double>(width) * options.partial);
    if (width != 0 && taken == 0) {
      fail(op, c10::str("partial that takes at least one of ", width, " entries"),
           c10::str(options.partial));
    }
  }
};

}  // namespace

void check_forward(const RowNormOp& op, const RowNormForwardCall& call) {
  const Checker check{op.name, call.x, call.normalized_shape};
  check.input();
  check.options(call.options);
  at::ScalarType affine = call.x.scalar_type();
  if (call.bias) {
    check.shape(*call.bias, call.normalized_shape, "bias");
    affine = call.bias->scalar_type();
    check.affine_dtype(affine, "bias");
  }
  if (call.weight) {
    check.shape(*call.weight, call.normalized_shape, "weight");
    affine = call.weight->scalar_type();
    check.affine_dtype(affine, "weight");
    if (call.bias) check.dtype(*call.bias, affine, "bias, like weight,");
  }
  check.output_dtype(call.y_dtype(), affine);
}

void check_backward(const RowNormOp& op, const RowNormBackwardCall& call) {
  const Checker check{op.name, call.x, call.normalized_shape};
  check.input();
  check.options(call.options);
  if (call.weight) {
    check.shape(*call.weight, call.normalized_shape, "weight");
    check.affine_dtype(call.weight->scalar_type(), "weight");
  }
  if (!call.weight && call.output_mask[1]) {
    fail(op.name, "a weight where dweight is asked for", "none and output_mask[1] true");
  }
  check.affine_dtype(call.gradient_dtype(), "affine_dtype");
  if (call.weight) {
    check.same_dtype(call.gradient_dtype(), call.weight->scalar_type(),
                     "affine_dtype, like weight,");
  }
  const c10::SymIntArrayRef rows = call.x.sym_sizes().slice(0, check.rows_rank());
  if (op.center) {
    check.shape(call.mean, rows, "mean");
    check.dtype(call.mean, statistics_dtype(call.x), "mean");
  }
  check.shape(call.rstd, rows, "rstd");
  check.dtype(call.rstd, statistics_dtype(call.x), "rstd");
  check.shape(call.dy, call.x.sym_sizes(), "dy");
  const at::ScalarType affine = call.weight ? call.weight->scalar_type() : call.gradient_dtype();
  if (call.dy.scalar_type() != affine) check.dtype(call.dy, call.x.scalar_type(), "dy");
}

}  // namespace omninorm::torch_ops
