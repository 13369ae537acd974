#include "torch/formulas.h"

#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/exp2.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/log2.h>
#include <ATen/ops/mean.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/rsqrt.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/sum.h>
#include <ATen/ops/threshold_backward.h>
#include <ATen/ops/var.h>
#include <ATen/ops/where.h>
#include <c10/core/GradMode.h>

#include <cmath>
#include <optional>
#include <vector>

#include "torch/norm_shape.h"

namespace omninorm::torch_ops {
namespace {

// x in the type of its statistics, with dimensions such that some of them are pooled and some are
// the weight's: [rows..., d], [rows..., G, d / G], [N, G, C / G, spatial...] or [N, C, spatial...].
struct View {
  at::Tensor x;
  c10::SymDimVector shape;            // of x
  c10::SymDimVector affine;           // what weight is seen as, to be broadcast to x
  std::vector<std::int64_t> pooled;   // dimensions that share statistics
  std::vector<std::int64_t> rows;     // dimensions that a weight is shared over
  std::optional<std::int64_t> width;  // partial only: how many of d the statistics are taken over

  View(const NormOp& op, const NormOptions& options, const at::Tensor& x_in, std::size_t dims)
      : shape(x_in.sym_sizes()) {
    if (by_channel(op, options)) {
      channels(op, options);
    } else {
      features(op, options, dims);
    }
    x = x_in.reshape_symint(shape).to(statistics_dtype(x_in));
    if (options.partial == 1) return;
    const std::int64_t d = shape.back().guard_int(__FILE__, __LINE__);
    width = static_cast<std::int64_t>(static_cast<double>(d) * options.partial);
  }

  std::int64_t rank() const { return static_cast<std::int64_t>(shape.size()); }

  at::Tensor as_view(const at::Tensor& tensor) const {
    return tensor.reshape_symint(shape).to(x.scalar_type());
  }
  at::Tensor as_affine(const at::Tensor& tensor) const {
    return tensor.reshape_symint(affine).to(x.scalar_type());
  }

  // The entries that the statistics are taken over.
  at::Tensor part(const at::Tensor& values) const {
    return width ? values.narrow(-1, 0, *width) : values;
  }

  bool empty() const {
    for (const std::int64_t dim : pooled) {
      if (part(x).sym_size(dim) == 0) return true;
    }
    return false;
  }

  // 0 for no entries.
  at::Tensor mean_of(const at::Tensor& values) const {
    if (pooled.empty()) return values;
    return empty() ? values.sum(pooled, true) : values.mean(pooled, true);
  }

  at::Tensor sum_of_rows(const at::Tensor& values) const {
    return rows.empty() ? values : at::sum(values, rows);
  }

 private:
  void features(const NormOp& op, const NormOptions& options, std::size_t dims) {
    c10::SymInt d = 1;
    for (std::size_t i = 0; i < dims; ++i) d *= shape.pop_back_val();
    if (op.kind == NormKind::features) {
      shape.push_back(options.groups);
      affine.push_back(options.groups);
      d = d / options.groups;
    }
    for (std::int64_t i = 0; i < rank() - static_cast<std::int64_t>(affine.size()); ++i) {
      rows.push_back(i);
    }
    pooled.push_back(rank());
    shape.push_back(d);
    affine.push_back(d);
  }

  void channels(const NormOp& op, const NormOptions& options) {
    const bool grouped = op.kind == NormKind::features || op.kind == NormKind::group;
    const std::int64_t spatial = grouped ? 3 : 2;  // where these dimensions begin
    if (grouped) {
      const c10::SymInt width = shape[1] / options.groups;
      shape[1] = options.groups;
      shape.insert(shape.begin() + 2, width);
      pooled.push_back(2);
    }
    affine.append(shape.begin() + 1, shape.begin() + spatial);
    rows.push_back(0);
    if (op.kind == NormKind::batch) pooled.push_back(0);
    for (std::int64_t i = spatial; i < rank(); ++i) {
      affine.push_back(1);
      rows.push_back(i);
      if (!options.per_position) pooled.push_back(i);
    }
  }
};

// Everything is kept in units of `scale`: 1 / sqrt(mean(x^2)) may lie outside the range of x's type
// where x_hat does not. Pooled dimensions of mean, rstd and scale are 1.
struct Normalised {
  at::Tensor x_hat;
  at::Tensor mean;  // of x / scale; undefined when not centred
  at::Tensor rstd;  // of x / scale
  at::Tensor scale;
};

// A power of two near each row's largest magnitude (or sqrt(eps), if larger), by which a row can be
// divided so that no square overflows or vanishes. A constant to autograd: the result does not
// depend on it.
at::Tensor row_scale(const View& view, double eps) {
  const c10::NoGradGuard no_grad;
  const at::Tensor part = view.part(view.x);
  if (view.empty()) return at::ones_like(part.sum(view.pooled, true));  // no largest one
  const double limit = part.scalar_type() == at::kDouble ? 1022 : 126;
  const at::Tensor largest = view.pooled.empty()
                                 ? part.abs().clamp_min(std::sqrt(eps))
                                 : part.abs().amax(view.pooled, true).clamp_min(std::sqrt(eps));
  const at::Tensor scale = at::exp2(at::log2(largest).floor().clamp(-limit, limit));
  return at::where(at::isfinite(largest).logical_and(largest > 0), scale, at::ones_like(scale));
}

Normalised normalised(const View& view, const NormOptions& options, const RunningTensors& running) {
  Normalised result;
  if (options.evaluates) {
    result.mean = view.as_affine(running.mean->detach());
    result.rstd = at::rsqrt(view.as_affine(running.var->detach()) + options.eps);
    result.scale = at::ones_like(result.rstd);
    result.x_hat = (view.x - result.mean) * result.rstd;
    return result;
  }
  result.scale = row_scale(view, options.eps);
  at::Tensor scaled = view.x / result.scale;
  if (options.center) {
    // The rounding error of a mean far from 0 is large beside the deviations; their own mean is
    // that error.
    const at::Tensor first = view.mean_of(scaled);
    scaled = scaled - first;
    const at::Tensor second = view.mean_of(scaled);
    scaled = scaled - second;
    result.mean = first + second;
  }
  const at::Tensor squares = view.part(scaled).square();
  const at::Tensor scaled_eps = (std::sqrt(options.eps) / result.scale).square();
  result.rstd = at::rsqrt(view.mean_of(squares) + scaled_eps);
  result.x_hat = scaled * result.rstd;
  return result;
}

// In the shape that statistics_shape() tells.
at::Tensor as_statistics(const View& view, const NormOptions& options, const at::Tensor& kept) {
  const at::Tensor squeezed = view.pooled.empty() ? kept : kept.squeeze(view.pooled);
  return options.per_position ? squeezed.movedim(1, -1) : squeezed;
}

// Rounds to `type` and back; straight through for autograd, as in the kernels.
at::Tensor rounded(const at::Tensor& value, at::ScalarType type) {
  const at::Tensor narrow = value.detach().to(type).to(value.scalar_type());
  const bool constant = !c10::GradMode::is_enabled() || !value.requires_grad();
  if (constant && !value._fw_grad(0).defined()) return narrow;
  return value + (narrow - value.detach());
}

bool rounds_before_weight(const at::Tensor& x, const NormOptions& options) {
  return options.cast_policy == CastPolicy::before_weight && x.scalar_type() != statistics_dtype(x);
}

// weight + weight_offset to be broadcast, or undefined for a factor of one.
at::Tensor factor_of(const View& view, const std::optional<at::Tensor>& weight,
                     const NormOptions& options) {
  if (!weight) return {};
  return view.as_affine(*weight) + options.weight_offset;
}

at::Tensor affine_of(const View& view, const at::Tensor& x_hat, const at::Tensor& factor,
                     const std::optional<at::Tensor>& bias) {
  const at::Tensor scaled = factor.defined() ? x_hat * factor : x_hat;
  return bias ? scaled + view.as_affine(*bias) : scaled;
}

at::Tensor activated(const at::Tensor& z, Activation activation) {
  if (activation == Activation::relu) return at::relu(z);
  return activation == Activation::silu ? at::silu(z) : z;
}

// dy behind the activation -> dy of z.
at::Tensor through_activation(const at::Tensor& dy, const at::Tensor& z, Activation activation) {
  if (activation == Activation::relu) return at::threshold_backward(dy, z, 0);
  const at::Tensor sigmoid = at::sigmoid(z);
  return dy * sigmoid * (1 + z * (1 - sigmoid));
}

void update_running(const View& view, const NormOp& op, const NormForwardCall& call) {
  const c10::NoGradGuard no_grad;
  const RunningTensors& running = call.running;
  if (call.options.evaluates || view.x.sym_numel() == 0) return;
  // The copies below may be made under the key that counts writes, where nobody else would.
  for (const auto* written : {&running.num_batches_tracked, &running.mean, &running.var}) {
    if (*written) (*written)->unsafeGetTensorImpl()->bump_version();
  }
  if (running.num_batches_tracked) running.num_batches_tracked->detach().add_(1);
  if (!running.given()) return;
  at::Tensor mean = view.x.detach().mean(view.pooled);
  at::Tensor variance = at::var(view.x.detach(), view.pooled, /*unbiased=*/true);
  if (op.kind == NormKind::instance) {
    mean = mean.mean(0);
    variance = variance.mean(0);
  }
  const auto blend = [&](const at::Tensor& into, const at::Tensor& value) {
    const at::Tensor weight =
        call.options.momentum
            ? at::full({}, *call.options.momentum, value.options())
            : running.num_batches_tracked->reshape({}).to(value.scalar_type()).reciprocal();
    const at::Tensor before = into.detach().to(value.scalar_type());
    into.detach().copy_(before + weight * (value - before));
  };
  blend(*running.mean, mean);
  blend(*running.var, variance);
}

}  // namespace

NormForwardResult norm_forward_formula(const NormOp& op, const NormForwardCall& call) {
  const NormOptions& options = call.options;
  NormForwardResult result;
  if (op.adds) result.sum = call.x + call.residual;
  const at::Tensor& x = op.adds ? result.sum : call.x;
  const View view(op, options, x, row_dims(op, call.normalized_shape));
  const Normalised row = normalised(view, options, call.running);
  at::Tensor x_hat = row.x_hat;
  if (rounds_before_weight(x, options)) x_hat = rounded(x_hat, x.scalar_type());
  const at::Tensor z = affine_of(view, x_hat, factor_of(view, call.weight, options), call.bias);
  result.y = activated(z, options.activation).reshape_symint(x.sym_sizes()).to(call.y_dtype());
  if (saves_mean(options)) result.mean = as_statistics(view, options, row.mean * row.scale);
  if (saves_rstd(options)) result.rstd = as_statistics(view, options, row.rstd / row.scale);
  update_running(view, op, call);
  return result;
}

NormBackwardResult norm_backward_formula(const NormOp& op, const NormBackwardCall& call) {
  const NormOptions& options = call.options;
  const View view(op, options, call.x, row_dims(op, call.normalized_shape));
  const Normalised row = normalised(view, options, call.running);
  const at::Tensor& x_hat = row.x_hat;
  const at::Tensor factor = factor_of(view, call.weight, options);
  at::Tensor dy = view.as_view(call.dy);
  if (options.activation != Activation::none) {
    dy = through_activation(dy, affine_of(view, x_hat, factor, call.bias), options.activation);
  }

  NormBackwardResult result;
  if (call.output_mask[0]) {
    const at::Tensor dx_hat = factor.defined() ? dy * factor : dy;
    at::Tensor dx = dx_hat;
    if (view.width) {
      // rstd depends on the first `width` entries only; the sum runs over all that it scales.
      const at::Tensor through_rstd =
          view.part(x_hat) * (dx_hat * x_hat).sum(-1, true) / static_cast<double>(*view.width);
      dx = dx - at::constant_pad_nd(through_rstd, {0, x_hat.size(-1) - *view.width});
    } else if (!options.evaluates) {
      dx = dx - x_hat * view.mean_of(dx_hat * x_hat);
    }
    if (saves_mean(options)) dx = dx - view.mean_of(dx_hat);
    dx = (dx * row.rstd / row.scale).reshape_symint(call.x.sym_sizes());
    if (call.dsum) dx = dx + call.dsum->to(dx.scalar_type());
    result.dx = dx.to(call.x.scalar_type());
  }
  const auto affine = [&](const at::Tensor& per_element) {
    const c10::SymIntArrayRef shape =
        affine_shape(op, options, call.x.sym_sizes(), row_dims(op, call.normalized_shape));
    return view.sum_of_rows(per_element).reshape_symint(shape).to(call.gradient_dtype());
  };
  if (call.output_mask[1]) {
    const bool rounds = rounds_before_weight(call.x, options);
    result.dweight = affine(dy * (rounds ? rounded(x_hat, call.x.scalar_type()) : x_hat));
  }
  if (call.output_mask[2]) result.dbias = affine(dy);
  return result;
}

}  // namespace omninorm::torch_ops
