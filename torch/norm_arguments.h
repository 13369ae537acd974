// The arguments that the operators' schemas are put together from. Each knows its text in a schema,
// its C++ type, and its place in NormForwardCall, NormBackwardCall or NormOptions.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <optional>
#include <string_view>
#include <tuple>
#include <type_traits>

#include "torch/convert.h"
#include "torch/norm_op.h"

namespace omninorm::torch_ops {

template <class... Each>
struct Arguments {};

using OptionalTensor = std::optional<at::Tensor>;
using OptionalType = std::optional<at::ScalarType>;

namespace argument {

// What is no option leaves the options alone.
template <class T>
struct Plain {
  using Type = T;
  static constexpr bool kKeyword = false;
  static void set(NormOptions&, const char*, const T&) {}
};

// NAME: of the type here. FIELD: of the call, which holds it.
#define OMNINORM_ARGUMENT(NAME, TYPE, FIELD, TEXT) \
  struct NAME : Plain<TYPE> {                      \
    static constexpr const char* kText = TEXT;     \
    template <class Call>                          \
    static Type get(const Call& call) {            \
      return call.FIELD;                           \
    }                                              \
  };
OMNINORM_ARGUMENT(X, const at::Tensor&, x, "Tensor x")
OMNINORM_ARGUMENT(Sum, const at::Tensor&, x, "Tensor sum")
OMNINORM_ARGUMENT(Residual, const at::Tensor&, residual, "Tensor residual")
OMNINORM_ARGUMENT(WrittenX, const at::Tensor&, x, "Tensor(a!) x")
OMNINORM_ARGUMENT(WrittenResidual, const at::Tensor&, residual, "Tensor(b!) residual")
OMNINORM_ARGUMENT(NormalizedShape, c10::SymIntArrayRef, normalized_shape,
                  "SymInt[] normalized_shape")
OMNINORM_ARGUMENT(Weight, const OptionalTensor&, weight, "Tensor? weight=None")
OMNINORM_ARGUMENT(Bias, const OptionalTensor&, bias, "Tensor? bias=None")
OMNINORM_ARGUMENT(SavedWeight, const OptionalTensor&, weight, "Tensor? weight")
OMNINORM_ARGUMENT(SavedBias, const OptionalTensor&, bias, "Tensor? bias")
OMNINORM_ARGUMENT(RunningMean, const OptionalTensor&, running.mean, "Tensor(a!)? running_mean=None")
OMNINORM_ARGUMENT(RunningVar, const OptionalTensor&, running.var, "Tensor(b!)? running_var=None")
OMNINORM_ARGUMENT(BatchCount, const OptionalTensor&, running.num_batches_tracked,
                  "Tensor(c!)? num_batches_tracked=None")
OMNINORM_ARGUMENT(ReadMean, const OptionalTensor&, running.mean, "Tensor? running_mean")
OMNINORM_ARGUMENT(ReadVar, const OptionalTensor&, running.var, "Tensor? running_var")
OMNINORM_ARGUMENT(Mean, const at::Tensor&, mean, "Tensor mean")
OMNINORM_ARGUMENT(Rstd, const at::Tensor&, rstd, "Tensor rstd")
OMNINORM_ARGUMENT(Dy, const at::Tensor&, dy, "Tensor dy")
OMNINORM_ARGUMENT(Dsum, const OptionalTensor&, dsum, "Tensor? dsum")
#undef OMNINORM_ARGUMENT

struct Dtype : Plain<OptionalType> {
  static constexpr bool kKeyword = true;
  static constexpr const char* kText = "ScalarType? dtype=None";
  static Type get(const NormForwardCall& call) { return call.dtype; }
};
struct AffineDtype : Plain<OptionalType> {
  static constexpr bool kKeyword = true;
  static constexpr const char* kText = "ScalarType? affine_dtype=None";
  static Type get(const NormBackwardCall& call) { return call.affine_dtype; }
};
struct OutputMask : Plain<std::array<bool, 3>> {
  static constexpr bool kKeyword = true;
  static constexpr const char* kText = "bool[3] output_mask=[True, True, True]";
  static Type get(const NormBackwardCall& call) { return call.output_mask; }
};

// Options as schemas can say them: what is no number is a name.
template <class T>
struct Wire {
  using Type = T;
  static T read(const char*, T value) { return value; }
  static T write(T value) { return value; }
};
template <>
struct Wire<CastPolicy> {
  using Type = std::string_view;
  static CastPolicy read(const char* op, Type name) { return cast_policy_of(op, name); }
  static Type write(CastPolicy value) { return name_of(value); }
};
template <>
struct Wire<Activation> {
  using Type = std::string_view;
  static Activation read(const char* op, Type name) { return activation_of(op, name); }
  static Type write(Activation value) { return name_of(value); }
};

template <auto Member, bool keyword = true>
struct Option {
  using Value = std::remove_cvref_t<decltype(std::declval<NormOptions>().*Member)>;
  using Type = typename Wire<Value>::Type;
  static constexpr bool kKeyword = keyword;
  static void set(NormOptions& options, const char* op, const Type& value) {
    options.*Member = Wire<Value>::read(op, value);
  }
  template <class Call>
  static Type get(const Call& call) {
    return Wire<Value>::write(call.options.*Member);
  }
};

#define OMNINORM_OPTION(NAME, BASE, TEXT)      \
  struct NAME : BASE {                         \
    static constexpr const char* kText = TEXT; \
  };
#define OMNINORM_KEYWORD(NAME, FIELD, TEXT) OMNINORM_OPTION(NAME, Option<&NormOptions::FIELD>, TEXT)
using GroupsOption = Option<&NormOptions::groups, false>;
OMNINORM_OPTION(Groups, GroupsOption, "int groups")
OMNINORM_OPTION(NumGroups, GroupsOption, "int num_groups")
OMNINORM_KEYWORD(Eps5, eps, "float eps=1e-5")
OMNINORM_KEYWORD(Eps6, eps, "float eps=1e-6")
OMNINORM_KEYWORD(WeightOffset, weight_offset, "float weight_offset=0.")
OMNINORM_KEYWORD(Policy, cast_policy, "str cast_policy=\"after_weight\"")
OMNINORM_KEYWORD(Activated, activation, "str activation=\"none\"")
OMNINORM_KEYWORD(Partial, partial, "float partial=1.")
OMNINORM_KEYWORD(Center, center, "bool center=True")
OMNINORM_KEYWORD(PerPosition, per_position, "bool per_position=False")
OMNINORM_KEYWORD(AllowDegenerate, allow_degenerate, "bool allow_degenerate=False")
OMNINORM_KEYWORD(UseRunning, evaluates, "bool use_running=False")
OMNINORM_KEYWORD(Momentum, momentum, "float? momentum=0.1")
#undef OMNINORM_KEYWORD
#undef OMNINORM_OPTION

struct Training : UseRunning {
  static constexpr const char* kText = "bool training=True";
  static void set(NormOptions& options, const char*, bool value) { options.evaluates = !value; }
  template <class Call>
  static bool get(const Call& call) {
    return !call.options.evaluates;
  }
};

}  // namespace argument

// The argument `Wanted` of `values`, which has the types of `Each`; `otherwise` where it has none.
template <class Wanted, class Otherwise, class... Each>
decltype(auto) pick(const std::tuple<typename Each::Type...>& values, Arguments<Each...>,
                    const Otherwise& otherwise) {
  constexpr std::size_t kNowhere = sizeof...(Each);
  constexpr std::size_t index = [] {
    std::size_t i = 0;
    ((std::is_same_v<Wanted, Each> ? false : (++i, true)) && ...);
    return i;
  }();
  if constexpr (index == kNowhere) {
    return static_cast<const Otherwise&>(otherwise);
  } else {
    return static_cast<const std::tuple_element_t<
        index, std::tuple<std::remove_cvref_t<typename Each::Type>...>>&>(std::get<index>(values));
  }
}

}  // namespace omninorm::torch_ops
