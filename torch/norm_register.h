// From an op's description to its operators torch.ops.omninorm.{op, op_forward, op_backward}.
//
// `op` is what users call: `op_forward` without the saved statistics, on every device. `op_forward`
// and `op_backward` have the kernels and the autograd formulas. A gradient that output_mask leaves
// out is an undefined tensor (Python: None); without a weight it must leave dweight out. Statistics
// that there are none of are empty tensors.
//
// A description is a struct with
//
//   kName, kKind, kAdds    as in NormOp
//   kDefaults              the options that no argument sets
//   forward, backward      as in NormOp: the calls of libomninorm
//   Forward, Backward      Arguments<...> of op_forward (and of op) and of op_backward
//   kHasMean               op_forward returns a mean beside rstd
//   InPlace                add_*: Arguments<...> of op_
//
// op_ (add_* only) writes y to x and the sum to residual, keeps nothing for a backward, and returns
// nothing.
#pragma once

#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include <string>
#include <tuple>
#include <utility>

#include "torch/norm_arguments.h"
#include "torch/norm_op.h"

namespace omninorm::torch_ops {

template <class Op>
const NormOp& norm_op();

// "(Tensor x, ..., *, float eps=1e-5, ...)"
template <class... Each>
std::string schema_of(Arguments<Each...>) {
  std::string text;
  bool keywords = false;
  const auto add = [&](const char* argument, bool keyword) {
    text += text.empty() ? "(" : ", ";
    if (keyword && !keywords) text += "*, ";
    keywords = keyword;
    text += argument;
  };
  (add(Each::kText, Each::kKeyword), ...);
  return text + ")";
}

template <class Op, class... Each>
NormOptions options_of(const std::tuple<typename Each::Type...>& values, Arguments<Each...>) {
  NormOptions options = Op::kDefaults;
  std::apply([&](const auto&... value) { (Each::set(options, Op::kName, value), ...); }, values);
  return options;
}

template <class Signature>
c10::TypedOperatorHandle<Signature> find_operator(const std::string& name) {
  return c10::Dispatcher::singleton()
      .findSchemaOrThrow(("omninorm::" + name).c_str(), "")
      .typed<Signature>();
}

// A result that does not exist is an empty tensor in a schema.
inline at::Tensor or_empty(at::Tensor tensor, const at::Tensor& y) {
  return tensor.defined() ? std::move(tensor) : at::empty({0}, y.options().dtype(at::kFloat));
}

// What op_forward returns: y, sum for add_*, mean where the op has one, rstd.
template <class Op>
auto pack(NormForwardResult result) {
  std::tuple<at::Tensor> rstd(or_empty(std::move(result.rstd), result.y));
  const auto sum = [&] {
    if constexpr (Op::kAdds)
      return std::tuple(std::move(result.sum));
    else
      return std::tuple<>();
  }();
  const auto mean = [&] {
    if constexpr (Op::kHasMean)
      return std::tuple(or_empty(std::move(result.mean), result.y));
    else
      return std::tuple<>();
  }();
  return std::tuple_cat(std::tuple(std::move(result.y)), sum, mean, std::move(rstd));
}

template <class Op, class Results>
NormForwardResult unpack(Results results) {
  NormForwardResult result;
  result.y = std::move(std::get<0>(results));
  if constexpr (Op::kAdds) result.sum = std::move(std::get<1>(results));
  constexpr std::size_t last = std::tuple_size_v<Results> - 1;
  if constexpr (Op::kHasMean) result.mean = std::move(std::get<last - 1>(results));
  result.rstd = std::move(std::get<last>(results));
  return result;
}

template <class Op, class List>
struct InPlaceOperator;

template <class Op, class... Each>
struct InPlaceOperator<Op, Arguments<Each...>> {
  using List = Arguments<Each...>;

  static NormForwardCall call_of(const typename Each::Type&... each) {
    namespace a = argument;
    const std::tuple<typename Each::Type...> values(each...);
    return {.x = pick<a::WrittenX>(values, List(), kNoTensor),
            .residual = pick<a::WrittenResidual>(values, List(), kNoTensor),
            .normalized_shape = pick<a::NormalizedShape>(values, List(), c10::SymIntArrayRef()),
            .weight = pick<a::Weight>(values, List(), kNotGiven),
            .bias = pick<a::Bias>(values, List(), kNotGiven),
            .options = options_of<Op>(values, List()),
            .in_place = true};
  }

  template <auto Kernel>
  static void kernel(typename Each::Type... each) {
    Kernel(norm_op<Op>(), call_of(each...));
  }

  static void dispatch(const NormForwardCall& call) {
    static const auto op =
        find_operator<void(typename Each::Type...)>(std::string(Op::kName) + "_");
    op.call(Each::get(call)...);
  }

  static void user(typename Each::Type... each) { dispatch(call_of(each...)); }
};

template <class Op, class List = typename Op::Forward>
struct ForwardOperator;

template <class Op, class... Each>
struct ForwardOperator<Op, Arguments<Each...>> {
  using List = Arguments<Each...>;
  using Results = decltype(pack<Op>(NormForwardResult()));

  static NormForwardCall call_of(const typename Each::Type&... each) {
    namespace a = argument;
    const std::tuple<typename Each::Type...> values(each...);
    return {.x = pick<a::X>(values, List(), kNoTensor),
            .residual = pick<a::Residual>(values, List(), kNoTensor),
            .normalized_shape = pick<a::NormalizedShape>(values, List(), c10::SymIntArrayRef()),
            .weight = pick<a::Weight>(values, List(), kNotGiven),
            .bias = pick<a::Bias>(values, List(), kNotGiven),
            .running = {.mean = pick<a::RunningMean>(values, List(), kNotGiven),
                        .var = pick<a::RunningVar>(values, List(), kNotGiven),
                        .num_batches_tracked = pick<a::BatchCount>(values, List(), kNotGiven)},
            .options = options_of<Op>(values, List()),
            .dtype = pick<a::Dtype>(values, List(), OptionalType())};
  }

  template <auto Kernel>
  static Results kernel(typename Each::Type... each) {
    return pack<Op>(Kernel(norm_op<Op>(), call_of(each...)));
  }

  static NormForwardResult dispatch(const NormForwardCall& call) {
    if constexpr (Op::kAdds) {
      if (call.in_place) {
        InPlaceOperator<Op, typename Op::InPlace>::dispatch(call);
        return {};
      }
    }
    static const auto op =
        find_operator<Results(typename Each::Type...)>(std::string(Op::kName) + "_forward");
    return unpack<Op>(op.call(Each::get(call)...));
  }

  // `op` itself: y, or y and sum.
  static auto user(typename Each::Type... each) {
    NormForwardResult result = dispatch(call_of(each...));
    if constexpr (Op::kAdds) {
      return std::tuple(std::move(result.y), std::move(result.sum));
    } else {
      return std::move(result.y);
    }
  }
};

template <class Op, class List = typename Op::Backward>
struct BackwardOperator;

template <class Op, class... Each>
struct BackwardOperator<Op, Arguments<Each...>> {
  using List = Arguments<Each...>;
  using Results = std::tuple<at::Tensor, at::Tensor, at::Tensor>;
  using Input = std::conditional_t<Op::kAdds, argument::Sum, argument::X>;

  static NormBackwardCall call_of(const typename Each::Type&... each) {
    namespace a = argument;
    const std::tuple<typename Each::Type...> values(each...);
    return {.x = pick<Input>(values, List(), kNoTensor),
            .normalized_shape = pick<a::NormalizedShape>(values, List(), c10::SymIntArrayRef()),
            .weight = pick<a::SavedWeight>(values, List(), kNotGiven),
            .bias = pick<a::SavedBias>(values, List(), kNotGiven),
            .running = {.mean = pick<a::ReadMean>(values, List(), kNotGiven),
                        .var = pick<a::ReadVar>(values, List(), kNotGiven)},
            .mean = pick<a::Mean>(values, List(), kNoTensor),
            .rstd = pick<a::Rstd>(values, List(), kNoTensor),
            .dy = pick<a::Dy>(values, List(), kNoTensor),
            .dsum = pick<a::Dsum>(values, List(), kNotGiven),
            .options = options_of<Op>(values, List()),
            .affine_dtype = pick<a::AffineDtype>(values, List(), OptionalType()),
            .output_mask = pick<a::OutputMask>(values, List(), std::array<bool, 3>())};
  }

  template <auto Kernel>
  static Results kernel(typename Each::Type... each) {
    NormBackwardResult result = Kernel(norm_op<Op>(), call_of(each...));
    return {std::move(result.dx), std::move(result.dweight), std::move(result.dbias)};
  }

  static NormBackwardResult dispatch(const NormBackwardCall& call) {
    static const auto op =
        find_operator<Results(typename Each::Type...)>(std::string(Op::kName) + "_backward");
    auto [dx, dweight, dbias] = op.call(Each::get(call)...);
    return {std::move(dx), std::move(dweight), std::move(dbias)};
  }
};

template <class Op>
const NormOp& norm_op() {
  static constexpr NormOp op{
      .name = Op::kName,
      .kind = Op::kKind,
      .adds = Op::kAdds,
      .forward = Op::forward,
      .backward = Op::backward,
      .dispatch_forward = ForwardOperator<Op>::dispatch,
      .dispatch_backward = BackwardOperator<Op>::dispatch,
  };
  return op;
}

template <class Op>
void define(torch::Library& library) {
  const std::vector<at::Tag> tags{at::Tag::pt2_compliant_tag};
  const std::string name = Op::kName;
  const std::string arguments = schema_of(typename Op::Forward());
  const std::string sum = Op::kAdds ? ", Tensor sum" : "",
                    mean = Op::kHasMean ? ", Tensor mean" : "";
  const std::string results = Op::kAdds ? "(Tensor y, Tensor sum)" : "Tensor";
  library.def((name + arguments + " -> " + results).c_str(), ForwardOperator<Op>::user, tags);
  library.def(
      (name + "_forward" + arguments + " -> (Tensor y" + sum + mean + ", Tensor rstd)").c_str(),
      tags);
  library.def((name + "_backward" + schema_of(typename Op::Backward()) +
               " -> (Tensor dx, Tensor dweight, Tensor dbias)")
                  .c_str(),
              tags);
  if constexpr (Op::kAdds) {
    library.def((name + "_" + schema_of(typename Op::InPlace()) + " -> ()").c_str(), tags);
  }
}

template <class Op, auto Forward, auto Backward>
void implement(torch::Library& library) {
  const std::string name = Op::kName;
  library.impl((name + "_forward").c_str(), ForwardOperator<Op>::template kernel<Forward>);
  library.impl((name + "_backward").c_str(), BackwardOperator<Op>::template kernel<Backward>);
  if constexpr (Op::kAdds) {
    library.impl((name + "_").c_str(),
                 InPlaceOperator<Op, typename Op::InPlace>::template kernel<Forward>);
  }
}

}  // namespace omninorm::torch_ops

// Schemas of an op, and its kernels under every key. Stands in namespace omninorm::torch_ops.
#define OMNINORM_TORCH_OPERATOR(Op)                                        \
  TORCH_LIBRARY_FRAGMENT(omninorm, library) { define<Op>(library); }       \
  TORCH_LIBRARY_IMPL(omninorm, CPU, library) {                             \
    implement<Op, norm_forward_cpu, norm_backward_cpu>(library);           \
  }                                                                        \
  TORCH_LIBRARY_IMPL(omninorm, Meta, library) {                            \
    implement<Op, norm_forward_meta, norm_backward_meta>(library);         \
  }                                                                        \
  TORCH_LIBRARY_IMPL(omninorm, CompositeExplicitAutograd, library) {       \
    implement<Op, norm_forward_fallback, norm_backward_fallback>(library); \
  }                                                                        \
  TORCH_LIBRARY_IMPL(omninorm, Autograd, library) {                        \
    implement<Op, norm_forward_autograd, norm_backward_autograd>(library); \
  }
