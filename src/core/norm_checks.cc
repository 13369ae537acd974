#include "src/core/norm_checks.h"

#include <array>
#include <string>

#include "src/core/argument.h"
#include "src/core/check.h"
#include "src/core/overlap.h"

namespace omninorm::internal {
namespace {

bool is_16_bit(DType dtype) { return size_of(dtype) == 2; }

// f32 (f64 with f64 x) is what sums and statistics are kept in.
DType wide(DType x) { return x == DType::f64 ? DType::f64 : DType::f32; }

// "f32 or bf16"; one name where both are the same.
std::string either(DType a, DType b) {
  return a == b ? name(a) : std::string(name(a)) + " or " + name(b);
}

// `like` is whose dtype decides which are right.
void check_dtype(const char* op, const Argument& arg, DType a, DType b, const Argument& like) {
  if (arg.dtype == a || arg.dtype == b) return;
  fail(op,
       std::string(arg.name) + " of dtype " + either(a, b) + " for " + like.name + " of " +
           name(like.dtype),
       name(arg.dtype));
}

// y, dy and dx. `widens`: may be f32 where x has 16 bits.
void check_like_x(const NormSpec& spec, const Argument& arg, const Argument& x, bool widens) {
  if (!same_shape(arg.shape(), x.shape())) {
    fail(spec.op,
         std::string(arg.name) + " of the shape of " + x.name + ", " + shape_text(x.shape()),
         shape_text(arg.shape()));
  }
  const DType other = widens && is_16_bit(x.dtype) ? DType::f32 : x.dtype;
  check_dtype(spec.op, arg, x.dtype, other, x);
}

void check_contiguous(const char* op, const Argument& arg) {
  if (arg.contiguous || arg.elements <= 1) return;
  fail(op, std::string("contiguous ") + arg.name, "strides " + shape_text(arg.steps()),
       "copy it first");
}

// weight, bias, dweight and dbias: the dimensions that are c, contiguous.
void check_affine_shape(const NormSpec& spec, const Argument& arg, const Argument& x) {
  std::array<std::int64_t, kMaxRank> wanted;
  std::size_t rank = 0;
  for (std::size_t i = 0; i < x.shape().size(); ++i) {
    if (spec.axes.of[i] == Axis::c) wanted[rank++] = x.sizes[i];
  }
  const std::span<const std::int64_t> shape(wanted.data(), rank);
  if (!same_shape(arg.shape(), shape)) {
    const char* of = spec.axes.grouped ? " of shape " : " of the normalised shape ";
    fail(spec.op, arg.name + (of + shape_text(shape)), shape_text(arg.shape()));
  }
  check_contiguous(spec.op, arg);
}

// The dimensions of x that are not pooled, then groups; or, where nothing is grouped, x's shape
// with every pooled dimension 1, as torch keeps them.
void check_statistics_shape(const NormSpec& spec, const Argument& arg, const Argument& x) {
  const NormAxes& axes = spec.axes;
  std::array<std::int64_t, kMaxRank + 1> shape, kept;
  std::size_t rank = 0, kept_rank = 0;
  for (std::size_t i = 0; i < x.shape().size(); ++i) {
    const bool single = axes.of[i] == Axis::n && !axes.pool_n;
    if (single) shape[rank++] = x.sizes[i];
    kept[kept_rank++] = single ? x.sizes[i] : 1;
  }
  const bool grouped = axes.grouped || axes.groups > 1;
  if (grouped) shape[rank++] = axes.groups;
  const std::span<const std::int64_t> wanted(shape.data(), rank);
  if (same_shape(arg.shape(), wanted)) return;
  if (!grouped && same_shape(arg.shape(), {kept.data(), kept_rank})) return;
  fail(spec.op, std::string(arg.name) + " of shape " + shape_text(wanted), shape_text(arg.shape()));
}

// `in_place`, `or_in_place`: may be exactly that tensor.
struct Output {
  const Argument& arg;
  const Argument* in_place = nullptr;
  const Argument* or_in_place = nullptr;
};

[[noreturn]] void clash(const char* op, const Argument& output, const Argument& other) {
  fail(op, std::string(output.name) + " to share no memory with " + other.name,
       "tensors that overlap");
}

// The ranges of two arguments meet.
void check_apart(const char* op, const Output& output, const Argument& input) {
  const ConstTensor written = output.arg.tensor(), read = input.tensor();
  const bool candidate = &input == output.in_place || &input == output.or_in_place;
  if (candidate && same_memory(written, read)) return;
  if (overlap(written, read)) clash(op, output.arg, input);
}

void check_memory_of(const char* op, std::span<const Output> outputs,
                     std::span<const Argument* const> all_inputs) {
  constexpr std::size_t kMost = 16;
  std::array<const Argument*, kMost> inputs;
  std::size_t count = 0;
  for (const Argument* input : all_inputs) {
    if (input->elements == 0) continue;
    check_memory(op, *input);
    inputs[count++] = input;
  }
  for (const Output& output : outputs) {
    if (output.arg.elements != 0) check_memory(op, output.arg);
  }
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const Argument& arg = outputs[i].arg;
    if (arg.elements == 0) continue;
    if (!arg.contiguous && may_overlap_itself(arg.tensor())) {
      fail(op, std::string(arg.name) + " with memory of its own for each element",
           "strides " + shape_text(arg.steps()));
    }
    for (const Argument* input : std::span(inputs.data(), count)) {
      if (arg.range.meets(input->range)) check_apart(op, outputs[i], *input);
    }
    for (std::size_t j = 0; j < i; ++j) {
      const Argument& other = outputs[j].arg;
      if (arg.range.meets(other.range) && overlap(arg.tensor(), other.tensor())) {
        clash(op, arg, other);
      }
    }
  }
}

// What x, weight and bias of both directions have in common.
void check_weight(const NormSpec& spec, const Argument& arg, const Argument& x) {
  if (!arg.given()) return;
  check_affine_shape(spec, arg, x);
  check_dtype(spec.op, arg, wide(x.dtype), x.dtype, x);
}

// dweight and dbias: sums, which may be kept wider than what they are the gradients of.
void check_gradient(const NormSpec& spec, const Argument& arg, const Argument& weight,
                    const Argument& x) {
  if (!arg.given()) return;
  check_affine_shape(spec, arg, x);
  const Argument& like = weight.given() ? weight : x;
  check_dtype(spec.op, arg, wide(x.dtype), like.dtype, like);
}

void check_same_dtype(const char* op, const Argument& arg, const Argument& other) {
  if (arg.given() && other.given() && arg.dtype != other.dtype) {
    fail(op, std::string(arg.name) + " of the dtype of " + other.name + ", " + name(other.dtype),
         name(arg.dtype));
  }
}

void check_axes(const NormSpec& spec, const Argument& x) {
  const NormAxes& axes = spec.axes;
  if (axes.per_channel || axes.groups == 1) return;
  std::int64_t channels = 1;
  for (std::size_t i = 0; i < x.shape().size(); ++i) {
    if (axes.of[i] == Axis::c) channels *= x.sizes[i];
  }
  if (axes.groups < 1 || channels % axes.groups != 0) {
    fail(spec.op,
         std::string(axes.groups_name) + " to divide " + std::to_string(channels) + " channels",
         std::to_string(axes.groups));
  }
}

// Both [C] and of the dtype that statistics have, or neither given.
void check_running(const NormSpec& spec, const Argument& mean, const Argument& var,
                   const Argument& x) {
  if (!mean.given() && !var.given()) return;
  if (!mean.given() || !var.given()) {
    fail(spec.op, "running_mean and running_var together",
         mean.given() ? "running_mean alone" : "running_var alone");
  }
  for (const Argument* arg : {&mean, &var}) {
    check_affine_shape(spec, *arg, x);
    check_dtype(spec.op, *arg, wide(x.dtype), wide(x.dtype), x);
  }
}

// A tensor of the shape of mean and rstd, contiguous, of the dtype that sums over x are kept in or,
// where `f64`, of f64.
void check_statistics(const NormSpec& spec, const Argument& arg, const Argument& x, bool f64) {
  if (!arg.given()) return;
  check_statistics_shape(spec, arg, x);
  if (!f64) {
    check_dtype(spec.op, arg, wide(x.dtype), wide(x.dtype), x);
  } else if (arg.dtype != DType::f64) {
    fail(spec.op, std::string(arg.name) + " of dtype f64", omninorm::name(arg.dtype));
  }
  check_contiguous(spec.op, arg);
}

void check_mean_wanted(const NormSpec& spec, const Argument& mean) {
  if (!spec.center && mean.given()) {
    fail(spec.op, "no mean, since this norm does not centre", "a mean");
  }
}

}  // namespace

void check_forward(const NormSpec& spec, const NormForwardArgs& args, const ForwardExtras& extras,
                   Purpose purpose) {
  const char* op = spec.op;
  const Argument x = describe(op, "x", args.x);
  const Argument residual = describe(op, "residual", extras.residual);
  const Argument sum = describe(op, "sum", extras.sum);
  const Argument y = describe(op, "y", args.y);
  check_given(op, x);
  if (spec.adds) check_given(op, residual);
  if (spec.adds) check_given(op, sum);
  if (!spec.statistics_only) check_given(op, y);
  check_axes(spec, x);
  if (spec.adds) check_like_x(spec, residual, x, false);
  if (spec.adds) check_like_x(spec, sum, x, false);
  const Argument weight = describe(op, "weight", args.weight);
  const Argument bias = describe(op, "bias", args.bias);
  check_weight(spec, weight, x);
  check_weight(spec, bias, x);
  check_same_dtype(op, bias, weight);
  const Argument& affine = weight.given() ? weight : bias;
  const bool widens = affine.given() && affine.dtype == DType::f32;
  if (y.given()) check_like_x(spec, y, x, widens);
  const Argument mean = describe(op, "mean", args.mean);
  check_mean_wanted(spec, mean);
  const Argument rstd = describe(op, "rstd", args.rstd);
  const Argument variance = describe(op, "variance", extras.variance);
  check_statistics(spec, mean, x, spec.f64_statistics);
  check_statistics(spec, rstd, x, spec.f64_statistics);
  check_statistics(spec, variance, x, spec.f64_statistics);
  const Argument running_mean = describe(op, "running_mean", extras.running_mean);
  const Argument running_var = describe(op, "running_var", extras.running_var);
  const Argument given_mean = describe(op, "running_mean", extras.given_mean);
  const Argument given_var = describe(op, "running_var", extras.given_variance);
  check_running(spec, running_mean, running_var, x);
  check_running(spec, given_mean, given_var, x);
  if (purpose == Purpose::size_query) return;
  const Argument* const inputs[] = {&x, &residual, &weight, &bias, &given_mean, &given_var};
  const Output outputs[] = {{sum, &x, &residual}, {y, &x, &residual}, {mean},       {rstd},
                            {variance},           {running_mean},     {running_var}};
  check_memory_of(op, outputs, inputs);
}

void check_backward(const NormSpec& spec, const NormBackwardArgs& args,
                    const BackwardExtras& extras, Purpose purpose) {
  const char* op = spec.op;
  const Argument x = describe(op, spec.adds ? "sum" : "x", args.x);  // as the caller knows it
  const Argument dy = describe(op, "dy", args.dy);
  const Argument mean = describe(op, "mean", args.mean);
  const Argument rstd = describe(op, "rstd", args.rstd);
  check_given(op, x);
  check_given(op, dy);
  const bool evaluates = extras.given_mean.given();
  if (!evaluates) check_given(op, rstd);
  if (!evaluates && spec.center) check_given(op, mean);
  if (evaluates && (mean.given() || rstd.given())) {
    fail(op, "no mean and rstd beside running statistics", mean.given() ? "a mean" : "an rstd");
  }
  check_mean_wanted(spec, mean);
  check_axes(spec, x);
  const Argument weight = describe(op, "weight", args.weight);
  const Argument bias = describe(op, "bias", args.bias);
  check_weight(spec, weight, x);
  check_weight(spec, bias, x);
  check_same_dtype(op, bias, weight);
  check_statistics(spec, mean, x, false);
  check_statistics(spec, rstd, x, false);
  const Argument given_mean = describe(op, "running_mean", extras.given_mean);
  const Argument given_var = describe(op, "running_var", extras.given_variance);
  check_running(spec, given_mean, given_var, x);
  const Argument sum_dy = describe(op, "sums of dy", extras.given_sum_dy);
  const Argument sum_dy_xhat = describe(op, "sums of dy * xhat", extras.given_sum_dy_xhat);
  check_statistics(spec, sum_dy, x, true);
  check_statistics(spec, sum_dy_xhat, x, true);
  // Without a weight, y may have been wider for the sake of a bias, which backward does not see.
  check_like_x(spec, dy, x, !weight.given() || weight.dtype == DType::f32);
  const Argument dsum = describe(op, "dsum", extras.dsum);
  if (dsum.given()) check_like_x(spec, dsum, x, false);
  const Argument dx = describe(op, "dx", args.dx);
  if (dx.given()) check_like_x(spec, dx, x, false);
  const Argument dweight =
      describe(op, spec.f64_sums ? "sums of dy * xhat" : "dweight", args.dweight);
  const Argument dbias = describe(op, spec.f64_sums ? "sums of dy" : "dbias", args.dbias);
  if (spec.f64_sums) {
    check_statistics(spec, dweight, x, true);
    check_statistics(spec, dbias, x, true);
  } else {
    if (dweight.given() && !weight.given()) fail(op, "a weight where dweight is asked for", "none");
    check_gradient(spec, dweight, weight, x);
    check_gradient(spec, dbias, weight, x);
    check_same_dtype(op, dbias, dweight);
  }
  if (purpose == Purpose::size_query) return;
  const Argument* const inputs[] = {&x,         &weight, &bias,        &mean, &rstd, &given_mean,
                                    &given_var, &sum_dy, &sum_dy_xhat, &dy,   &dsum};
  const Output outputs[] = {{dx, &dy, &dsum}, {dweight}, {dbias}};
  check_memory_of(op, outputs, inputs);
}

}  // namespace omninorm::internal
