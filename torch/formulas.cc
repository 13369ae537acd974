#include "torch/formulas.h"

#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/exp2.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/log2.h>
#include <ATen/ops/mean.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/rsqrt.h>
#include <ATen/ops/sum.h>
#include <ATen/ops/where.h>
#include <c10/core/GradMode.h>

#include <cmath>
#include <numeric>
#include <optional>
#include <vector>

namespace omninorm::torch_ops {
namespace {

// x as [rows..., d] in the type of its statistics, and what is needed to return to x's shape.
struct Rows {
  at::Tensor x;
  std::optional<std::int64_t> width;  // partial only: how many of d the statistics are taken over
  std::vector<std::int64_t> row_dims;

  Rows(const at::Tensor& x_in, std::int64_t dims, double partial)
      : x(flat(x_in, dims).to(statistics_dtype(x_in))),
        row_dims(static_cast<std::size_t>(x.dim() - 1)) {
    std::iota(row_dims.begin(), row_dims.end(), 0);
    if (partial == 1) return;
    const std::int64_t d = x.sym_size(-1).guard_int(__FILE__, __LINE__);
    width = static_cast<std::int64_t>(static_cast<double>(d) * partial);
  }

  static at::Tensor flat(const at::Tensor& tensor, std::int64_t dims) {
    return dims == 1 ? tensor : tensor.flatten(-dims);
  }

  // The entries that the statistics are taken over.
  at::Tensor part() const { return width ? x.narrow(-1, 0, *width) : x; }

  // Sum over all rows: [d].
  at::Tensor sum_of_rows(const at::Tensor& values) const {
    return row_dims.empty() ? values : at::sum(values, row_dims);
  }
};

// Everything is kept in units of `scale`: 1 / sqrt(mean(x^2)) may lie outside the range of x's type
// where x_hat does not.
struct Normalised {
  at::Tensor x_hat;  // [rows..., d]
  at::Tensor mean;   // [rows..., 1], of x / scale; undefined when not centred
  at::Tensor rstd;   // [rows..., 1], of x / scale
  at::Tensor scale;  // [rows..., 1]
};

// A power of two near each row's largest magnitude (or sqrt(eps), if larger), by which a row can be
// divided so that no square overflows or vanishes. A constant to autograd: the result does not
// depend on it.
at::Tensor row_scale(const at::Tensor& part, double eps) {
  const c10::NoGradGuard no_grad;
  const double limit = part.scalar_type() == at::kDouble ? 1022 : 126;
  const at::Tensor largest = part.abs().amax(-1, true).clamp_min(std::sqrt(eps));
  const at::Tensor scale = at::exp2(at::log2(largest).floor().clamp(-limit, limit));
  return at::where(at::isfinite(largest).logical_and(largest > 0), scale, at::ones_like(scale));
}

// 0 for rows of no entries.
at::Tensor mean_of(const at::Tensor& rows) {
  return rows.sym_size(-1) == 0 ? rows.sum(-1, true) : rows.mean(-1, true);
}

Normalised normalised(const RowNormOp& op, const Rows& rows, double eps) {
  Normalised result;
  const at::Tensor part = rows.part();
  // Rows of no entries have no largest one.
  result.scale = part.sym_size(-1) == 0 ? at::ones_like(part.sum(-1, true)) : row_scale(part, eps);
  at::Tensor scaled = rows.x / result.scale;
  if (op.center) {
    // The rounding error of a mean far from 0 is large beside the deviations; their own mean is
    // that error.
    const at::Tensor first = mean_of(scaled);
    scaled = scaled - first;
    const at::Tensor second = mean_of(scaled);
    scaled = scaled - second;
    result.mean = first + second;
  }
  const at::Tensor squares = (rows.width ? scaled.narrow(-1, 0, *rows.width) : scaled).square();
  const at::Tensor scaled_eps = (std::sqrt(eps) / result.scale).square();
  result.rstd = at::rsqrt(mean_of(squares) + scaled_eps);
  result.x_hat = scaled * result.rstd;
  return result;
}

// Rounds to `type` and back; straight through for autograd, as in the kernels.
at::Tensor rounded(const at::Tensor& value, at::ScalarType type) {
  const at::Tensor narrow = value.detach().to(type).to(value.scalar_type());
  const bool constant = !c10::GradMode::is_enabled() || !value.requires_grad();
  if (constant && !value._fw_grad(0).defined()) return narrow;
  return value + (narrow - value.detach());
}

bool rounds_before_weight(const at::Tensor& x, const RowNormOptions& options) {
  return options.cast_policy == CastPolicy::before_weight && x.scalar_type() != statistics_dtype(x);
}

// weight + weight_offset as [d], or undefined for a factor of one.
at::Tensor factor_of(const std::optional<at::Tensor>& weight, const RowNormOptions& options,
                     at::ScalarType type) {
  if (!weight) return {};
  return weight->flatten().to(type) + options.weight_offset;
}

}  // namespace

RowNormForwardResult row_norm_forward_formula(const RowNormOp& op, const RowNormForwardCall& call) {
  const auto dims = static_cast<std::int64_t>(call.normalized_shape.size());
  const Rows rows(call.x, dims, call.options.partial);
  const Normalised row = normalised(op, rows, call.options.eps);
  at::Tensor y = row.x_hat;
  if (rounds_before_weight(call.x, call.options)) y = rounded(y, call.x.scalar_type());
  const at::Tensor factor = factor_of(call.weight, call.options, y.scalar_type());
  if (factor.defined()) y = y * factor;
  if (call.bias) y = y + call.bias->flatten().to(y.scalar_type());
  RowNormForwardResult result;
  result.y = y.view_as(call.x).to(call.y_dtype());
  if (op.center) result.mean = (row.mean * row.scale).squeeze(-1);
  result.rstd = (row.rstd / row.scale).squeeze(-1);
  return result;
}

RowNormBackwardResult row_norm_backward_formula(const RowNormOp& op,
                                                const RowNormBackwardCall& call) {
  const auto dims = static_cast<std::int64_t>(call.normalized_shape.size());
  const Rows rows(call.x, dims, call.options.partial);
  const Normalised row = normalised(op, rows, call.options.eps);
  const at::Tensor& x_hat = row.x_hat;
  const at::Tensor dy = Rows::flat(call.dy, dims).to(x_hat.scalar_type());

  RowNormBackwardResult result;
  if (call.output_mask[0]) {
    const at::Tensor factor = factor_of(call.weight, call.options, x_hat.scalar_type());
    const at::Tensor dx_hat = factor.defined() ? dy * factor : dy;
    at::Tensor through_rstd = dx_hat * x_hat;
    if (rows.width) {
      // rstd depends on the first `width` entries only; the sum runs over all that it scales.
      through_rstd = through_rstd.sum(-1, true) / static_cast<double>(*rows.width);
      through_rstd = at::constant_pad_nd(x_hat.narrow(-1, 0, *rows.width) * through_rstd,
                                         {0, x_hat.size(-1) - *rows.width});
    } else {
      through_rstd = x_hat * through_rstd.mean(-1, true);
    }
    at::Tensor dx = dx_hat - through_rstd;
    if (op.center) dx = dx - dx_hat.mean(-1, true);
    result.dx = (dx * row.rstd / row.scale).view_as(call.x).to(call.x.scalar_type());
  }
  const auto affine = [&](const at::Tensor& per_row) {
    return rows.sum_of_rows(per_row).view_symint(call.normalized_shape).to(call.gradient_dtype());
  };
  if (call.output_mask[1]) {
    const bool rounds = rounds_before_weight(call.x, call.options);
    result.dweight = affine(dy * (rounds ? rounded(x_hat, call.x.scalar_type()) : x_hat));
  }
  if (call.output_mask[2]) result.dbias = affine(dy);
  return result;
}

}  // namespace omninorm::torch_ops
