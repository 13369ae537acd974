// libFuzzer on the arguments of the C interface: sizes, strides, types, null and misaligned
// pointers, overlap, options, struct sizes, workspaces, for every function.
//
// - Whatever is given, nothing crashes, and nothing outside the tensors is read (the sanitizers) or
//   written (what lies between the elements is looked at).
// - A call that is refused has written nothing and says why; so does its size query, where the
//   memory was not the reason.
// - A call that is taken gives what the double-precision reference gives.
#include <fuzzer/FuzzedDataProvider.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>

#include "omninorm/cpu.h"
#include "src/core/kernel_list.h"
#include "tests/fuzz/call.h"

namespace omninorm::fuzz {
namespace {

[[noreturn]] void found(const Call& call, const std::string& what) {
  std::fprintf(stderr, "function %d %s: %s\n", static_cast<int>(call.function),
               call.backward ? "backward" : "forward", what.c_str());
  for (int role = 0; role < kRoles; ++role) {
    const Operand& operand = call.operands[role];
    if (!operand.given) continue;
    std::fprintf(stderr, "  tensor %d in %d%+lld, dtype %d:", role, static_cast<int>(operand.root),
                 static_cast<long long>(operand.from_root), operand.tensor.dtype);
    for (int i = 0; i < operand.tensor.rank && i < OMNINORM_MAX_RANK; ++i) {
      std::fprintf(stderr, " %lld/%lld", static_cast<long long>(operand.tensor.sizes[i]),
                   static_cast<long long>(operand.tensor.strides[i]));
    }
    if (call.fits() && operand.tensor.data != nullptr) {
      std::fprintf(stderr, " holds");
      const std::vector<double> held = values(operand);
      for (std::size_t i = 0; i < held.size() && i < 70; ++i) std::fprintf(stderr, " %g", held[i]);
    }
    std::fprintf(stderr, "\n");
  }
  std::abort();
}

const omninorm_tensor* given(const Call& call, Role role) {
  return call.operands[role].given ? &call.operands[role].tensor : nullptr;
}

omninorm_forward_args forward_args(const Call& call, std::int64_t* batches) {
  return {call.wrong_struct_size ? call.wrong_struct_size : sizeof(omninorm_forward_args),
          given(call, kX),
          given(call, kResidual),
          given(call, kWeight),
          given(call, kBias),
          given(call, kSum),
          given(call, kY),
          given(call, kMean),
          given(call, kRstd),
          given(call, kRunningMean),
          given(call, kRunningVar),
          call.counts_batches ? batches : nullptr};
}

omninorm_backward_args backward_args(const Call& call) {
  return {call.wrong_struct_size ? call.wrong_struct_size : sizeof(omninorm_backward_args),
          given(call, kX),
          given(call, kSum),
          given(call, kWeight),
          given(call, kBias),
          given(call, kMean),
          given(call, kRstd),
          given(call, kDy),
          given(call, kDsum),
          given(call, kDx),
          given(call, kDweight),
          given(call, kDbias),
          given(call, kRunningMean),
          given(call, kRunningVar)};
}

// The same four functions for each op.
#define OMNINORM_FUZZ_OP(op, options)                                                          \
  if (bytes != nullptr) {                                                                      \
    return call.backward ? omninorm_##op##_backward_workspace(&backward, &call.options, bytes) \
                         : omninorm_##op##_forward_workspace(&forward, &call.options, bytes);  \
  }                                                                                            \
  return call.backward ? omninorm_##op##_backward(&backward, &call.options, context)           \
                       : omninorm_##op##_forward(&forward, &call.options, context)

// The call; with `bytes` its size query instead.
omninorm_status run(const Call& call, const omninorm_context* context, std::int64_t* batches,
                    std::size_t* bytes) {
  const omninorm_forward_args forward = forward_args(call, batches);
  const omninorm_backward_args backward = backward_args(call);
  omninorm_moments moments = {sizeof moments, call.count, given(call, kFirst),
                              given(call, kSecond)};
  const omninorm_moments other = {sizeof other, call.other_count, given(call, kOtherFirst),
                                  given(call, kOtherSecond)};
  omninorm_sums sums = {sizeof sums, call.count, given(call, kFirst), given(call, kSecond)};
  const omninorm_batch_norm_options* options = &call.batch_norm;
  switch (call.function) {
    case kLayerNorm:
      OMNINORM_FUZZ_OP(layer_norm, layer_norm);
    case kRmsNorm:
      OMNINORM_FUZZ_OP(rms_norm, rms_norm);
    case kGroupedLayerNorm:
      OMNINORM_FUZZ_OP(grouped_layer_norm, grouped);
    case kGroupNorm:
      OMNINORM_FUZZ_OP(group_norm, group_norm);
    case kInstanceNorm:
      OMNINORM_FUZZ_OP(instance_norm, instance_norm);
    case kBatchNorm:
      OMNINORM_FUZZ_OP(batch_norm, batch_norm);
    case kAddRmsNorm:
      OMNINORM_FUZZ_OP(add_rms_norm, rms_norm);
    case kAddLayerNorm:
      OMNINORM_FUZZ_OP(add_layer_norm, layer_norm);
    case kMoments:
      if (bytes) return omninorm_batch_norm_moments_workspace(given(call, kX), bytes);
      return omninorm_batch_norm_moments(given(call, kX), &moments, context);
    case kMerge:
      return bytes ? OMNINORM_OK : omninorm_merge_moments(&moments, &other);
    case kNormalize:
      if (bytes) return omninorm_batch_norm_normalize_workspace(&forward, options, bytes);
      return omninorm_batch_norm_normalize(&forward, &moments, options, context);
    case kBackwardSums:
      if (bytes) return omninorm_batch_norm_backward_sums_workspace(&backward, options, bytes);
      return omninorm_batch_norm_backward_sums(&backward, &sums, options, context);
    case kBackwardInput:
      if (bytes) return omninorm_batch_norm_backward_input_workspace(&backward, options, bytes);
      return omninorm_batch_norm_backward_input(&backward, &sums, options, context);
    default:
      return OMNINORM_OK;
  }
}

// Tasks in another order than the library's own executor has them.
void run_tasks(void* state, std::int64_t count, omninorm_task task, void* task_state) {
  const int order = *static_cast<const int*>(state);
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t odd_ones = count / 2;
    const std::int64_t split = i < odd_ones ? 2 * i + 1 : 2 * (i - odd_ones);
    task(task_state, order == 1 ? count - 1 - i : order == 2 ? split : i);
  }
}

void check_told(const Call& call, omninorm_status status) {
  const char* message = omninorm_last_error();
  if ((status == OMNINORM_OK) != (*message == '\0')) found(call, "a status without its message");
  if (status == OMNINORM_INTERNAL_ERROR) found(call, message);
  if (status == OMNINORM_INVALID_ARGUMENT &&
      (*message != '[' || std::strstr(message, "] expected ") == nullptr)) {
    found(call, message);
  }
}

bool has_policy(int function) {
  return function == kLayerNorm || function == kRmsNorm || function == kGroupedLayerNorm ||
         function == kAddRmsNorm || function == kAddLayerNorm;
}

// Inputs are multiples of 1/4 up to 2, and rstd is 4 at most (1e3 in forward, of constant sets,
// whose deviations are 0): a wrong element is off by 1e-2 or more in everything that is computed,
// and rounding by 1e-6 of the terms that stand behind it: |xhat| <= 16, so that those of dx, which
// may cancel, come to xhat * mean(g * xhat) * rstd of a thousand. Bounds that are worth the name
// are those of tests/core/cases.h.
void compare(const Call& call, Role role, const std::vector<double>& want) {
  const Operand& operand = call.operands[role];
  const std::vector<double> got = values(operand);
  double largest = 0;
  for (const double value : want) {
    if (std::isfinite(value)) largest = std::max(largest, std::abs(value));
  }
  const bool policy = call.layer_norm.cast_policy != 0 && has_policy(call.function);
  const std::int64_t terms = std::max<std::int64_t>(1, call.operands[kX].elements());
  const bool sums = role == kDweight || role == kDbias || role >= kFirst;
  // Near a tie xhat may be rounded either way.
  const double step = policy ? 0x1p-6 : 0;
  const double least = role == kDx ? 1024 : 64;
  const double scale = largest + least * (sums ? static_cast<double>(terms) : 1.0);
  for (std::size_t i = 0; i < want.size(); ++i) {
    if (got[i] == want[i] || (std::isnan(got[i]) && std::isnan(want[i]))) continue;
    const double bound = 1e-6 * scale + step * (sums ? scale : largest) +
                         (operand.element() == 2 ? 0x1p-7 * std::abs(want[i]) : 0);
    if (std::abs(got[i] - want[i]) <= bound) continue;
    found(call, "tensor " + std::to_string(role) + " element " + std::to_string(i) + ": got " +
                    std::to_string(got[i]) + ", reference " + std::to_string(want[i]));
  }
}

void compare_with_reference(const Call& call, Memory& memory,
                            const std::vector<std::vector<std::byte>>& before) {
  std::vector<std::vector<double>> got(kRoles), want(kRoles);
  const std::vector<std::vector<std::byte>> after = memory.snapshot();
  memory.restore(before);
  setenv("OMNINORM_FORCE", "reference", 1);
  internal::reread_environment();
  std::int64_t batches = call.batches;
  const omninorm_status status = run(call, nullptr, &batches, nullptr);
  unsetenv("OMNINORM_FORCE");
  internal::reread_environment();
  if (status != OMNINORM_OK) found(call, "the reference refuses what a kernel took");
  for (int role = 0; role < kRoles; ++role) {
    if (call.operands[role].given && call.operands[role].output) {
      want[static_cast<std::size_t>(role)] = values(call.operands[role]);
    }
  }
  memory.restore(after);
  for (int role = 0; role < kRoles; ++role) {
    if (call.operands[role].given && call.operands[role].output) {
      compare(call, static_cast<Role>(role), want[static_cast<std::size_t>(role)]);
    }
  }
}

// A call that comes back is looked at less closely (src/core/recent_calls.h).
void check_again(const Call& call, const omninorm_context& context, Memory& memory,
                 const std::vector<std::vector<std::byte>>& before) {
  const std::vector<std::vector<std::byte>> after = memory.snapshot();
  memory.restore(before);
  std::int64_t batches = call.batches;
  if (run(call, &context, &batches, nullptr) != OMNINORM_OK)
    found(call, "refused it the next time");
  if (memory.snapshot() != after) found(call, "gave other bits the next time");
  memory.restore(after);
}

void launch(Call& call, omninorm_status query, std::size_t bytes) {
  Memory memory(call);
  for (Operand& operand : call.operands) {
    if (operand.null) operand.tensor.data = nullptr;
  }
  const std::vector<std::vector<std::byte>> before = memory.snapshot();
  const bool short_of = call.workspace == 2 && bytes > 0;
  const std::size_t given_bytes = short_of ? bytes - 1 : bytes;
  const auto workspace = std::make_unique_for_overwrite<std::byte[]>(given_bytes);
  const omninorm_executor executor = {sizeof executor, run_tasks, &call.order, call.threads};
  const omninorm_context context = {sizeof context, call.order == 0 ? nullptr : &executor,
                                    call.workspace == 0 ? nullptr : workspace.get(),
                                    call.workspace == 0 ? 0 : given_bytes};
  std::int64_t batches = call.batches;
  const omninorm_status status = run(call, &context, &batches, nullptr);
  check_told(call, status);
  if (status == OMNINORM_OUT_OF_MEMORY) return;
  const std::string damage = memory.damage(before, status != OMNINORM_OK);
  if (!damage.empty()) found(call, "wrote " + damage);
  if (status != OMNINORM_OK) {
    if (batches != call.batches) found(call, "counted a batch that was refused");
    return;
  }
  if (query != OMNINORM_OK) found(call, "took a call whose size query is refused");
  check_again(call, context, memory, before);
  if (!call.odd_values) compare_with_reference(call, memory, before);
}

void one(FuzzedDataProvider& provider) {
  Call call = read_call(provider);
  static const std::vector<std::string> targets = cpu_targets();
  set_cpu_target(targets[call.target % targets.size()]);
  static std::byte nowhere[64];
  for (Operand& operand : call.operands) operand.tensor.data = nowhere;
  std::size_t bytes = 0;
  std::int64_t batches = call.batches;
  const omninorm_status query = run(call, nullptr, &batches, &bytes);
  if (call.function != kMerge) check_told(call, query);
  if (query != OMNINORM_OK) bytes = 0;
  if (call.fits()) launch(call, query, bytes);
}

}  // namespace
}  // namespace omninorm::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  FuzzedDataProvider provider(data, size);
  omninorm::fuzz::one(provider);
  return 0;
}
