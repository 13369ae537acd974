#include "src/core/norm_checks.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <limits>
#include <string>

#include "src/core/check.h"
#include "src/core/overlap.h"

namespace omninorm::internal {
namespace {

struct Named {
  const char* name;
  const ConstTensor& tensor;
};

std::span<const std::int64_t> sizes_of(const ConstTensor& tensor) {
  return {tensor.sizes.data(), static_cast<std::size_t>(tensor.rank)};
}

bool same_sizes(const ConstTensor& a, const ConstTensor& b) {
  return std::ranges::equal(sizes_of(a), sizes_of(b));
}

bool is_16_bit(DType dtype) { return size_of(dtype) == 2; }

// f32 (f64 with f64 x) is what sums and statistics are kept in.
DType wide(DType x) { return x == DType::f64 ? DType::f64 : DType::f32; }

bool contiguous(const ConstTensor& tensor) {
  std::int64_t stride = 1;
  for (std::size_t i = static_cast<std::size_t>(tensor.rank); i-- > 0;) {
    if (tensor.sizes[i] == 1) continue;
    if (tensor.strides[i] != stride) return false;
    stride *= tensor.sizes[i];
  }
  return true;
}

// "f32 or bf16"; one name where both are the same.
std::string either(DType a, DType b) {
  return a == b ? name(a) : std::string(name(a)) + " or " + name(b);
}

// `like` is whose dtype decides which are right.
void check_dtype(const char* op, const Named& arg, DType a, DType b, const Named& like) {
  if (arg.tensor.dtype == a || arg.tensor.dtype == b) return;
  fail(op,
       std::string(arg.name) + " of dtype " + either(a, b) + " for " + like.name + " of " +
           name(like.tensor.dtype),
       name(arg.tensor.dtype));
}

// y, dy and dx. `widens`: may be f32 where x has 16 bits.
void check_like_x(const NormSpec& spec, const Named& arg, const ConstTensor& x, bool widens) {
  check_sizes(spec.op, arg.name, arg.tensor);
  if (!same_sizes(arg.tensor, x)) {
    fail(spec.op, std::string(arg.name) + " of the shape of x, " + shape_text(sizes_of(x)),
         shape_text(sizes_of(arg.tensor)));
  }
  const DType other = widens && is_16_bit(x.dtype) ? DType::f32 : x.dtype;
  check_dtype(spec.op, arg, x.dtype, other, {"x", x});
}

void check_contiguous(const char* op, const Named& arg) {
  if (arg.tensor.elements() <= 1 || contiguous(arg.tensor)) return;
  const auto rank = static_cast<std::size_t>(arg.tensor.rank);
  fail(op, std::string("contiguous ") + arg.name,
       "strides " + shape_text({arg.tensor.strides.data(), rank}), "copy it first");
}

// weight, bias, dweight and dbias: the dimensions that are c, contiguous.
void check_affine_shape(const NormSpec& spec, const Named& arg, const ConstTensor& x) {
  std::array<std::int64_t, kMaxRank> wanted{};
  std::size_t rank = 0;
  for (std::size_t i = 0; i < static_cast<std::size_t>(x.rank); ++i) {
    if (spec.axes.of[i] == Axis::c) wanted[rank++] = x.sizes[i];
  }
  const std::span<const std::int64_t> shape(wanted.data(), rank);
  if (!std::ranges::equal(sizes_of(arg.tensor), shape)) {
    const char* of = spec.axes.grouped ? " of shape " : " of the normalised shape ";
    fail(spec.op, arg.name + (of + shape_text(shape)), shape_text(sizes_of(arg.tensor)));
  }
  check_contiguous(spec.op, arg);
}

// The dimensions of x that are not pooled, then groups; or, where nothing is grouped, x's shape
// with every pooled dimension 1, as torch keeps them.
void check_statistics_shape(const NormSpec& spec, const Named& arg, const ConstTensor& x) {
  const NormAxes& axes = spec.axes;
  std::array<std::int64_t, kMaxRank + 1> shape{}, kept{};
  std::size_t rank = 0, kept_rank = 0;
  for (std::size_t i = 0; i < static_cast<std::size_t>(x.rank); ++i) {
    const bool single = axes.of[i] == Axis::n && !axes.pool_n;
    if (single) shape[rank++] = x.sizes[i];
    kept[kept_rank++] = single ? x.sizes[i] : 1;
  }
  const bool grouped = axes.grouped || axes.groups > 1;
  if (grouped) shape[rank++] = axes.groups;
  const auto sizes = sizes_of(arg.tensor);
  const std::span wanted(shape.data(), rank);
  if (std::ranges::equal(sizes, wanted)) return;
  if (!grouped && std::ranges::equal(sizes, std::span(kept.data(), kept_rank))) return;
  fail(spec.op, std::string(arg.name) + " of shape " + shape_text(wanted), shape_text(sizes));
}

// `in_place`, `or_in_place`: may be exactly that tensor.
struct Output {
  Named arg;
  const ConstTensor* in_place = nullptr;
  const ConstTensor* or_in_place = nullptr;
};

void check_memory_of(const char* op, std::span<const Output> outputs,
                     std::span<const Named> inputs) {
  const auto memory = [op](const Named& arg) {
    if (arg.tensor.given()) check_memory(op, arg.name, arg.tensor);
  };
  for (const Named& input : inputs) memory(input);
  for (const Output& output : outputs) memory(output.arg);
  const auto clash = [&](const Named& output, const Named& other) {
    fail(op, std::string(output.name) + " to share no memory with " + other.name,
         "tensors that overlap");
  };
  constexpr std::size_t kMost = 16;
  std::array<MemoryRange, kMost> input_ranges, output_ranges;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (inputs[i].tensor.given()) input_ranges[i] = memory_range(inputs[i].tensor);
  }
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const ConstTensor& tensor = outputs[i].arg.tensor;
    if (!tensor.given()) continue;
    const MemoryRange range = output_ranges[i] = memory_range(tensor);
    if (range.begin == range.end) continue;
    if (!contiguous(tensor) && may_overlap_itself(tensor)) {
      fail(op, std::string(outputs[i].arg.name) + " with memory of its own for each element",
           "strides " + shape_text({tensor.strides.data(), static_cast<std::size_t>(tensor.rank)}));
    }
    for (std::size_t k = 0; k < inputs.size(); ++k) {
      if (!range.meets(input_ranges[k])) continue;
      const Named& input = inputs[k];
      const bool candidate =
          &input.tensor == outputs[i].in_place || &input.tensor == outputs[i].or_in_place;
      if (candidate && same_memory(tensor, input.tensor)) continue;
      if (overlap(tensor, input.tensor)) clash(outputs[i].arg, input);
    }
    for (std::size_t j = 0; j < i; ++j) {
      if (range.meets(output_ranges[j]) && overlap(tensor, outputs[j].arg.tensor)) {
        clash(outputs[i].arg, outputs[j].arg);
      }
    }
  }
}

// What x, weight and bias of both directions have in common.
void check_weight(const NormSpec& spec, const Named& arg, const ConstTensor& x) {
  if (!arg.tensor.given()) return;
  check_sizes(spec.op, arg.name, arg.tensor);
  check_affine_shape(spec, arg, x);
  check_dtype(spec.op, arg, wide(x.dtype), x.dtype, {"x", x});
}

// dweight and dbias: sums, which may be kept wider than what they are the gradients of.
void check_gradient(const NormSpec& spec, const Named& arg, const NormBackwardArgs& args) {
  if (!arg.tensor.given()) return;
  check_sizes(spec.op, arg.name, arg.tensor);
  check_affine_shape(spec, arg, args.x);
  const Named like = args.weight.given() ? Named{"weight", args.weight} : Named{"x", args.x};
  check_dtype(spec.op, arg, wide(args.x.dtype), like.tensor.dtype, like);
}

void check_same_dtype(const char* op, const Named& arg, const Named& other) {
  if (arg.tensor.given() && other.tensor.given() && arg.tensor.dtype != other.tensor.dtype) {
    fail(op,
         std::string(arg.name) + " of the dtype of " + other.name + ", " + name(other.tensor.dtype),
         name(arg.tensor.dtype));
  }
}

void check_axes(const NormSpec& spec, const ConstTensor& x) {
  const NormAxes& axes = spec.axes;
  std::int64_t channels = 1;
  for (std::size_t i = 0; i < static_cast<std::size_t>(x.rank); ++i) {
    if (axes.of[i] == Axis::c) channels *= x.sizes[i];
  }
  if (axes.per_channel) return;
  if (axes.groups < 1 || channels % axes.groups != 0) {
    fail(spec.op,
         std::string(axes.groups_name) + " to divide " + std::to_string(channels) + " channels",
         std::to_string(axes.groups));
  }
}

// Both [C] and of the dtype that statistics have, or neither given.
void check_running(const NormSpec& spec, const Named& mean, const Named& var,
                   const ConstTensor& x) {
  if (!mean.tensor.given() && !var.tensor.given()) return;
  if (!mean.tensor.given() || !var.tensor.given()) {
    fail(spec.op, "running_mean and running_var together",
         mean.tensor.given() ? "running_mean alone" : "running_var alone");
  }
  for (const Named& arg : {mean, var}) {
    check_sizes(spec.op, arg.name, arg.tensor);
    check_affine_shape(spec, arg, x);
    check_dtype(spec.op, arg, wide(x.dtype), wide(x.dtype), {"x", x});
  }
}

void check_mean_wanted(const NormSpec& spec, const ConstTensor& mean) {
  if (!spec.center && mean.given()) {
    fail(spec.op, "no mean, since this norm does not centre", "a mean");
  }
}

}  // namespace

void check_given(const char* op, const char* name, const ConstTensor& tensor) {
  if (!tensor.given()) fail(op, std::string(name) + " to be given", "none");
}

void check_sizes(const char* op, const char* tensor_name, const ConstTensor& tensor) {
  if (tensor.device != Device::cpu) {
    fail(op, "a CPU tensor", "cuda",
         std::string("copy ") + tensor_name + " to the CPU: this build has no CUDA kernels");
  }
  if (size_of(tensor.dtype) == 0) {
    fail(op, std::string(tensor_name) + " of dtype f32, bf16, f16 or f64", "an unknown dtype");
  }
  if (tensor.rank > kMaxRank) {
    fail(op, std::string(tensor_name) + " with at most " + std::to_string(kMaxRank) + " dimensions",
         std::to_string(tensor.rank));
  }
  const auto sizes = sizes_of(tensor);
  if (std::ranges::any_of(sizes, [](std::int64_t size) { return size < 0; })) {
    fail(op, std::string(tensor_name) + " with sizes of 0 or more", shape_text(sizes));
  }
  if (std::ranges::find(sizes, 0) != sizes.end()) return;
  // The furthest element, in bytes, must be a 64-bit offset; so must the number of elements.
  std::int64_t count = static_cast<std::int64_t>(size_of(tensor.dtype));
  std::int64_t reach = count;
  bool fits = true;
  for (std::size_t i = 0; i < sizes.size() && fits; ++i) {
    std::int64_t bytes = 0;
    fits = multiply(count, sizes[i], count) && tensor.strides[i] > -(std::int64_t{1} << 59) &&
           tensor.strides[i] < std::int64_t{1} << 59 &&
           multiply(std::abs(tensor.strides[i]) * 8, sizes[i] - 1, bytes) &&
           !__builtin_add_overflow(reach, bytes, &reach);
  }
  if (!fits) {
    fail(op, std::string(tensor_name) + " that fits in 2^63 bytes", "shape " + shape_text(sizes));
  }
}

void check_statistics(const NormSpec& spec, const char* name, const ConstTensor& tensor,
                      const ConstTensor& x, bool f64) {
  if (!tensor.given()) return;
  check_sizes(spec.op, name, tensor);
  check_statistics_shape(spec, {name, tensor}, x);
  if (!f64) {
    check_dtype(spec.op, {name, tensor}, wide(x.dtype), wide(x.dtype), {"x", x});
  } else if (tensor.dtype != DType::f64) {
    fail(spec.op, std::string(name) + " of dtype f64", omninorm::name(tensor.dtype));
  }
  check_contiguous(spec.op, {name, tensor});
}

void check_memory(const char* op, const char* name, const ConstTensor& tensor) {
  if (tensor.elements() == 0) return;
  if (tensor.data == nullptr) {
    fail(op, std::string("memory for the elements of ") + name, "a null pointer");
  }
  const std::size_t element = size_of(tensor.dtype);
  if (reinterpret_cast<std::uintptr_t>(tensor.data) % element != 0) {
    fail(op, std::string(name) + " aligned to its " + std::to_string(element) + "-byte elements",
         "a pointer that is not");
  }
}

void check_forward(const NormSpec& spec, const NormForwardArgs& args, const ForwardExtras& extras,
                   Purpose purpose) {
  const char* op = spec.op;
  const ConstTensor y = args.y, mean = args.mean, rstd = args.rstd, sum = extras.sum;
  const ConstTensor variance = extras.variance;
  const ConstTensor running_mean = extras.running_mean, running_var = extras.running_var;
  check_given(op, "x", args.x);
  if (spec.adds) check_given(op, "residual", extras.residual);
  if (spec.adds) check_given(op, "sum", sum);
  if (!spec.statistics_only) check_given(op, "y", y);
  check_sizes(op, "x", args.x);
  check_axes(spec, args.x);
  if (spec.adds) check_like_x(spec, {"residual", extras.residual}, args.x, false);
  if (spec.adds) check_like_x(spec, {"sum", sum}, args.x, false);
  check_weight(spec, {"weight", args.weight}, args.x);
  check_weight(spec, {"bias", args.bias}, args.x);
  check_same_dtype(op, {"bias", args.bias}, {"weight", args.weight});
  const ConstTensor& affine = args.weight.given() ? args.weight : args.bias;
  const bool widens = affine.given() && affine.dtype == DType::f32;
  if (y.given()) check_like_x(spec, {"y", y}, args.x, widens);
  check_mean_wanted(spec, mean);
  check_statistics(spec, "mean", mean, args.x, spec.f64_statistics);
  check_statistics(spec, "rstd", rstd, args.x, spec.f64_statistics);
  check_statistics(spec, "variance", variance, args.x, spec.f64_statistics);
  check_running(spec, {"running_mean", running_mean}, {"running_var", running_var}, args.x);
  check_running(spec, {"running_mean", extras.given_mean}, {"running_var", extras.given_variance},
                args.x);
  if (purpose == Purpose::size_query) return;
  const Named inputs[] = {{"x", args.x},
                          {"residual", extras.residual},
                          {"weight", args.weight},
                          {"bias", args.bias},
                          {"running_mean", extras.given_mean},
                          {"running_var", extras.given_variance}};
  const Output outputs[] = {{{"sum", sum}, &args.x, &extras.residual},
                            {{"y", y}, &args.x, &extras.residual},
                            {{"mean", mean}},
                            {{"rstd", rstd}},
                            {{"variance", variance}},
                            {{"running_mean", running_mean}},
                            {{"running_var", running_var}}};
  check_memory_of(op, outputs, inputs);
}

void check_backward(const NormSpec& spec, const NormBackwardArgs& args,
                    const BackwardExtras& extras, Purpose purpose) {
  const char* op = spec.op;
  const ConstTensor dx = args.dx, dweight = args.dweight, dbias = args.dbias;
  const char* x = spec.adds ? "sum" : "x";  // as the caller knows it
  check_given(op, x, args.x);
  check_given(op, "dy", args.dy);
  const bool evaluates = extras.given_mean.given();
  if (!evaluates) check_given(op, "rstd", args.rstd);
  if (!evaluates && spec.center) check_given(op, "mean", args.mean);
  if (evaluates && (args.mean.given() || args.rstd.given())) {
    fail(op, "no mean and rstd beside running statistics",
         args.mean.given() ? "a mean" : "an rstd");
  }
  check_mean_wanted(spec, args.mean);
  check_sizes(op, x, args.x);
  check_axes(spec, args.x);
  check_weight(spec, {"weight", args.weight}, args.x);
  check_weight(spec, {"bias", args.bias}, args.x);
  check_same_dtype(op, {"bias", args.bias}, {"weight", args.weight});
  check_statistics(spec, "mean", args.mean, args.x, false);
  check_statistics(spec, "rstd", args.rstd, args.x, false);
  check_running(spec, {"running_mean", extras.given_mean}, {"running_var", extras.given_variance},
                args.x);
  check_statistics(spec, "sums of dy", extras.given_sum_dy, args.x, true);
  check_statistics(spec, "sums of dy * xhat", extras.given_sum_dy_xhat, args.x, true);
  // Without a weight, y may have been wider for the sake of a bias, which backward does not see.
  check_like_x(spec, {"dy", args.dy}, args.x,
               !args.weight.given() || args.weight.dtype == DType::f32);
  if (extras.dsum.given()) check_like_x(spec, {"dsum", extras.dsum}, args.x, false);
  if (dx.given()) check_like_x(spec, {"dx", dx}, args.x, false);
  if (dweight.given() && !args.weight.given() && !spec.f64_sums) {
    fail(op, "a weight where dweight is asked for", "none");
  }
  if (spec.f64_sums) {
    check_statistics(spec, "sums of dy * xhat", dweight, args.x, true);
    check_statistics(spec, "sums of dy", dbias, args.x, true);
  } else {
    check_gradient(spec, {"dweight", dweight}, args);
    check_gradient(spec, {"dbias", dbias}, args);
    check_same_dtype(op, {"dbias", dbias}, {"dweight", dweight});
  }
  if (purpose == Purpose::size_query) return;
  const Named inputs[] = {{x, args.x},
                          {"weight", args.weight},
                          {"bias", args.bias},
                          {"mean", args.mean},
                          {"rstd", args.rstd},
                          {"running_mean", extras.given_mean},
                          {"running_var", extras.given_variance},
                          {"sums of dy", extras.given_sum_dy},
                          {"sums of dy * xhat", extras.given_sum_dy_xhat},
                          {"dy", args.dy},
                          {"dsum", extras.dsum}};
  const Output outputs[] = {
      {{"dx", dx}, &args.dy, &extras.dsum}, {{"dweight", dweight}}, {{"dbias", dbias}}};
  check_memory_of(op, outputs, inputs);
}

}  // namespace omninorm::internal
