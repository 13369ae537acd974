#include "omninorm/c.h"
#include "omninorm/version.h"
#include "src/c_api/convert.h"

namespace {

using namespace omninorm::c_api;
using omninorm::internal::fail;

// Calls any of the library's functions, which differ in the arguments before the options: those of
// an addition, and running statistics.
template <auto function, class Args, class Options, class... Last>
auto run(const char* op, const Args* given, const Options* given_options, const Last&... last) {
  const Args args = read_given(op, "args", given);
  const auto chosen = options(op, given_options);
  using Norm = decltype(norm_args(op, args));
  if constexpr (std::is_invocable_v<decltype(function), Norm, omninorm::RunningStatistics,
                                    decltype(chosen), Last...>) {
    return function(norm_args(op, args), running(op, args), chosen, last...);
  } else {
    check_no_running(op, args);
    if constexpr (std::is_invocable_v<decltype(function), Norm, decltype(chosen), Last...>) {
      return function(norm_args(op, args), chosen, last...);
    } else {
      return function(add_args(op, args), chosen, last...);
    }
  }
}

template <auto function, class Args, class Options>
omninorm_status run_call(const char* op, const Args* args, const Options* options,
                         const omninorm_context* given) {
  return guarded([&] {
    const CallContext context(op, given);
    run<function>(op, args, options, context.context());
  });
}

void check_bytes(const char* op, const size_t* bytes) {
  if (bytes == nullptr) fail(op, "bytes", "a null pointer");
}

template <auto function, class Args, class Options>
omninorm_status run_workspace(const char* op, const Args* args, const Options* options,
                              size_t* bytes) {
  return guarded([&] {
    check_bytes(op, bytes);
    *bytes = run<function>(op, args, options);
  });
}

constexpr const char* kBatchNorm = "batch_norm";

}  // namespace

const char* omninorm_version(void) { return OMNINORM_VERSION; }

// clang-format off
#define OMNINORM_DEFINE_OP(op, options_type)                                                      \
  omninorm_status omninorm_##op##_forward(const omninorm_forward_args* args,                      \
      const options_type* options, const omninorm_context* context) {                             \
    return run_call<omninorm::op##_forward>(#op, args, options, context);                         \
  }                                                                                               \
  omninorm_status omninorm_##op##_backward(const omninorm_backward_args* args,                    \
      const options_type* options, const omninorm_context* context) {                             \
    return run_call<omninorm::op##_backward>(#op, args, options, context);                        \
  }                                                                                               \
  omninorm_status omninorm_##op##_forward_workspace(const omninorm_forward_args* args,            \
      const options_type* options, size_t* bytes) {                                               \
    return run_workspace<omninorm::op##_forward_workspace>(#op, args, options, bytes);            \
  }                                                                                               \
  omninorm_status omninorm_##op##_backward_workspace(const omninorm_backward_args* args,          \
      const options_type* options, size_t* bytes) {                                               \
    return run_workspace<omninorm::op##_backward_workspace>(#op, args, options, bytes);           \
  }
// clang-format on

OMNINORM_DEFINE_OP(layer_norm, omninorm_layer_norm_options)
OMNINORM_DEFINE_OP(rms_norm, omninorm_rms_norm_options)
OMNINORM_DEFINE_OP(grouped_layer_norm, omninorm_grouped_layer_norm_options)
OMNINORM_DEFINE_OP(group_norm, omninorm_group_norm_options)
OMNINORM_DEFINE_OP(instance_norm, omninorm_instance_norm_options)
OMNINORM_DEFINE_OP(batch_norm, omninorm_batch_norm_options)
OMNINORM_DEFINE_OP(add_rms_norm, omninorm_rms_norm_options)
OMNINORM_DEFINE_OP(add_layer_norm, omninorm_layer_norm_options)

omninorm_status omninorm_batch_norm_moments(const omninorm_tensor* x, omninorm_moments* given,
                                            const omninorm_context* context) {
  return guarded([&] {
    omninorm::BatchNormMoments filled = moments(kBatchNorm, "moments", given);
    const CallContext call(kBatchNorm, context);
    omninorm::batch_norm_moments(tensor(kBatchNorm, "x", x), filled, call.context());
    given->count = filled.count;
  });
}

omninorm_status omninorm_batch_norm_moments_workspace(const omninorm_tensor* x, size_t* bytes) {
  return guarded([&] {
    check_bytes(kBatchNorm, bytes);
    *bytes = omninorm::batch_norm_moments_workspace(tensor(kBatchNorm, "x", x));
  });
}

omninorm_status omninorm_merge_moments(omninorm_moments* into, const omninorm_moments* other) {
  return guarded([&] {
    omninorm::BatchNormMoments merged = moments("merge_moments", "into", into);
    omninorm::merge_moments(merged, moments("merge_moments", "other", other));
    into->count = merged.count;
  });
}

omninorm_status omninorm_batch_norm_normalize(const omninorm_forward_args* given,
                                              const omninorm_moments* whole,
                                              const omninorm_batch_norm_options* given_options,
                                              const omninorm_context* context) {
  return guarded([&] {
    const auto args = read_given(kBatchNorm, "args", given);
    const CallContext call(kBatchNorm, context);
    omninorm::batch_norm_normalize(norm_args(kBatchNorm, args),
                                   moments(kBatchNorm, "moments", whole), running(kBatchNorm, args),
                                   options(kBatchNorm, given_options), call.context());
  });
}

omninorm_status omninorm_batch_norm_normalize_workspace(const omninorm_forward_args* given,
                                                        const omninorm_batch_norm_options* options,
                                                        size_t* bytes) {
  return guarded([&] {
    check_bytes(kBatchNorm, bytes);
    const auto args = read_given(kBatchNorm, "args", given);
    *bytes = omninorm::batch_norm_normalize_workspace(
        norm_args(kBatchNorm, args), omninorm::c_api::options(kBatchNorm, options));
  });
}

omninorm_status omninorm_batch_norm_backward_sums(const omninorm_backward_args* given,
                                                  omninorm_sums* given_sums,
                                                  const omninorm_batch_norm_options* options,
                                                  const omninorm_context* context) {
  return guarded([&] {
    const auto args = read_given(kBatchNorm, "args", given);
    check_no_running(kBatchNorm, args);
    omninorm::BatchNormSums filled = sums(kBatchNorm, "sums", given_sums);
    const CallContext call(kBatchNorm, context);
    omninorm::batch_norm_backward_sums(norm_args(kBatchNorm, args), filled,
                                       omninorm::c_api::options(kBatchNorm, options),
                                       call.context());
    given_sums->count = filled.count;
  });
}

omninorm_status omninorm_batch_norm_backward_sums_workspace(
    const omninorm_backward_args* args, const omninorm_batch_norm_options* options, size_t* bytes) {
  return run_workspace<omninorm::batch_norm_backward_sums_workspace>(kBatchNorm, args, options,
                                                                     bytes);
}

omninorm_status omninorm_batch_norm_backward_input(const omninorm_backward_args* given,
                                                   const omninorm_sums* total,
                                                   const omninorm_batch_norm_options* options,
                                                   const omninorm_context* context) {
  return guarded([&] {
    const auto args = read_given(kBatchNorm, "args", given);
    check_no_running(kBatchNorm, args);
    const CallContext call(kBatchNorm, context);
    omninorm::batch_norm_backward_input(
        norm_args(kBatchNorm, args), sums(kBatchNorm, "total", total),
        omninorm::c_api::options(kBatchNorm, options), call.context());
  });
}

omninorm_status omninorm_batch_norm_backward_input_workspace(
    const omninorm_backward_args* args, const omninorm_batch_norm_options* options, size_t* bytes) {
  return run_workspace<omninorm::batch_norm_backward_input_workspace>(kBatchNorm, args, options,
                                                                      bytes);
}
