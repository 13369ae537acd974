#include "src/core/norm_build.h"

#include <cmath>
#include <limits>
#include <string>

#include "src/core/argument.h"
#include "src/core/check.h"
#include "src/core/norm_checks.h"
#include "src/core/norm_view.h"

namespace omninorm::internal {
namespace {

std::span<const std::int64_t> sizes_of(const ConstTensor& tensor) {
  return {tensor.sizes.data(), static_cast<std::size_t>(tensor.rank)};
}

void check_parameters(const NormSpec& spec) {
  const NormParameters& p = spec.parameters;
  if (!(p.eps >= 0) || std::isinf(p.eps)) {
    fail(spec.op, "eps to be finite and 0 or more", number_text(p.eps));
  }
  if (!std::isfinite(p.weight_offset)) {
    fail(spec.op, "a finite weight_offset", number_text(p.weight_offset));
  }
  if (p.cast_policy != CastPolicy::after_weight && p.cast_policy != CastPolicy::before_weight) {
    fail(spec.op, "cast_policy after_weight or before_weight", "another value");
  }
  if (spec.activation > Activation::silu) {
    fail(spec.op, "activation none, relu or silu", "another value");
  }
  if (!(spec.partial > 0 && spec.partial <= 1)) {
    fail(spec.op, "partial above 0 and at most 1", number_text(spec.partial));
  }
}

// What the axes and options say beyond sizes and strides.
void complete(NormView& view, const NormSpec& spec) {
  view.center = spec.center;
  view.pool_n = spec.axes.pool_n;
  view.stats_c = view.c;
  if (spec.partial == 1.0 || view.c == 0) return;
  view.stats_c = static_cast<std::int64_t>(static_cast<double>(view.c) * spec.partial);
  if (view.stats_c == 0) {
    fail(spec.op, "int(width * partial) to be at least 1",
         "width " + std::to_string(view.c) + " and partial " + number_text(spec.partial));
  }
}

// The two zeros are one value: y's zeros would have the sign of the first call's (recent_calls.h).
NormParameters parameters(const NormSpec& spec) {
  NormParameters result = spec.parameters;
  result.eps += 0.0;
  result.weight_offset += 0.0;
  return result;
}

// In a problem a null pointer means "not given", but a tensor without elements, or any in a size
// query, may have one: those get an address that nobody reads.
template <class Pointer>
Pointer pointer(const BasicTensor<Pointer>& tensor) {
  alignas(64) static std::byte placeholder[64];
  if (!tensor.given()) return nullptr;
  return tensor.data != nullptr ? tensor.data : placeholder;
}

}  // namespace

NormAxes last_dims(const char* op, const ConstTensor& x, int normalized_dims) {
  check_given(op, describe(op, "x", x));
  if (x.rank == 0) fail(op, "x with at least 1 dimension", "a scalar");
  if (normalized_dims < 1 || normalized_dims > x.rank) {
    fail(op, "normalized_dims between 1 and the " + std::to_string(x.rank) + " dimensions of x",
         std::to_string(normalized_dims));
  }
  NormAxes axes;
  for (int i = x.rank - normalized_dims; i < x.rank; ++i) {
    axes.of[static_cast<std::size_t>(i)] = Axis::c;
  }
  return axes;
}

NormAxes channel_dims(const char* op, const ConstTensor& x, std::int64_t groups) {
  check_given(op, describe(op, "x", x));
  if (x.rank < 2) {
    fail(op, "x of shape [N, C] or [N, C, spatial...]", "shape " + shape_text(sizes_of(x)));
  }
  NormAxes axes{.groups = groups, .grouped = true};
  axes.of.fill(Axis::s);
  axes.of[0] = Axis::n;
  axes.of[1] = Axis::c;
  return axes;
}

NormAxes single_channels(const char* op, const ConstTensor& x) {
  NormAxes axes = channel_dims(op, x, 1);
  axes.groups = x.sizes[1];
  axes.per_channel = true;
  return axes;
}

NormForward build_forward(const NormSpec& spec, const NormForwardArgs& args, Purpose purpose,
                          const ForwardExtras& extras) {
  check_parameters(spec);
  check_forward(spec, args, extras, purpose);
  NormForward problem;
  problem.op = spec.op;
  problem.parameters = parameters(spec);
  const ViewOperand operands[] = {
      {args.x.strides.data(), &problem.x.strides},
      {args.y.given() ? args.y.strides.data() : args.x.strides.data(), &problem.y.strides},
      {extras.residual.strides.data(), &problem.residual.strides},
      {extras.sum.strides.data(), &problem.sum.strides}};
  problem.view =
      collapse(sizes_of(args.x), spec.axes, std::span(operands).first(spec.adds ? 4 : 2));
  complete(problem.view, spec);
  point(problem, args, [](const auto& tensor) { return pointer(tensor); });
  problem.x.dtype = args.x.dtype;
  if (args.weight.given() || args.bias.given()) {
    problem.weight_dtype = args.weight.given() ? args.weight.dtype : args.bias.dtype;
  }
  problem.y.dtype = args.y.dtype;
  const DType wide = args.x.dtype == DType::f64 ? DType::f64 : DType::f32;
  problem.statistics_dtype = spec.f64_statistics ? DType::f64 : wide;
  problem.activation = spec.activation;
  if (&extras == &kNoForwardExtras) return problem;
  problem.residual.data = pointer(extras.residual);
  problem.residual.dtype = problem.sum.dtype = args.x.dtype;
  problem.sum.data = pointer(extras.sum);
  problem.variance = pointer(extras.variance);
  problem.given_mean = pointer(extras.given_mean);
  problem.given_variance = pointer(extras.given_variance);
  return problem;
}

NormBackward build_backward(const NormSpec& spec, const NormBackwardArgs& args, Purpose purpose,
                            const BackwardExtras& extras) {
  check_parameters(spec);
  check_backward(spec, args, extras, purpose);
  NormBackward problem;
  problem.op = spec.op;
  problem.parameters = parameters(spec);
  const ConstTensor& dx = args.dx.given() ? ConstTensor(args.dx) : args.x;
  const ViewOperand operands[] = {{args.x.strides.data(), &problem.x.strides},
                                  {args.dy.strides.data(), &problem.dy.strides},
                                  {dx.strides.data(), &problem.dx.strides},
                                  {extras.dsum.strides.data(), &problem.dsum.strides}};
  problem.view =
      collapse(sizes_of(args.x), spec.axes, std::span(operands).first(extras.dsum.given() ? 4 : 3));
  complete(problem.view, spec);
  point(problem, args, [](const auto& tensor) { return pointer(tensor); });
  problem.x.dtype = args.x.dtype;
  if (args.weight.given() || args.bias.given()) {
    problem.weight_dtype = args.weight.given() ? args.weight.dtype : args.bias.dtype;
  }
  problem.activation = spec.activation;
  problem.statistics_dtype = args.x.dtype == DType::f64 ? DType::f64 : DType::f32;
  problem.dy.dtype = args.dy.dtype;
  problem.dx.dtype = args.x.dtype;
  if (args.dweight.given() || args.dbias.given()) {
    problem.dweight_dtype = args.dweight.given() ? args.dweight.dtype : args.dbias.dtype;
  }
  if (&extras == &kNoBackwardExtras) return problem;
  problem.dsum.data = pointer(extras.dsum);
  problem.dsum.dtype = args.x.dtype;
  problem.given_mean = pointer(extras.given_mean);
  problem.given_variance = pointer(extras.given_variance);
  problem.given_sum_dy = pointer(extras.given_sum_dy);
  problem.given_sum_dy_xhat = pointer(extras.given_sum_dy_xhat);
  problem.given_count = extras.given_count;
  return problem;
}

}  // namespace omninorm::internal
