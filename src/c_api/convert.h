// C's structs as C++'s, and errors as statuses.
#pragma once

#include <cstddef>
#include <cstring>
#include <exception>
#include <new>
#include <string>

#include "omninorm/c.h"
#include "omninorm/omninorm.h"
#include "src/core/check.h"

namespace omninorm::c_api {

// Keeps the message for omninorm_last_error.
omninorm_status told(omninorm_status status, const char* message) noexcept;

// Nothing is thrown across the boundary.
template <class Call>
omninorm_status guarded(Call&& call) noexcept {
  try {
    call();
    return told(OMNINORM_OK, "");
  } catch (const Error& error) {
    return told(OMNINORM_INVALID_ARGUMENT, error.what());
  } catch (const std::bad_alloc&) {
    return told(OMNINORM_OUT_OF_MEMORY, "out of memory");
  } catch (const std::exception& error) {
    return told(OMNINORM_INTERNAL_ERROR, error.what());
  } catch (...) {
    return told(OMNINORM_INTERNAL_ERROR, "an exception that is not std::exception");
  }
}

// Bytes of the first version of a struct, which a caller has at least. When a struct grows, its
// specialization holds the size that it had.
template <class Struct>
inline constexpr std::size_t kFirstSize = sizeof(Struct);

// A copy of `given`, the fields that an older caller does not have as in `defaults`.
template <class Struct>
Struct read(const char* op, const std::string& name, const Struct* given, const Struct& defaults) {
  if (given == nullptr) return defaults;
  std::size_t size = 0;
  std::memcpy(&size, given, sizeof size);  // struct_size; the rest may not be there
  if (size < kFirstSize<Struct> || size > sizeof(Struct)) {
    internal::fail(op, name + "->struct_size " + std::to_string(sizeof(Struct)),
                   std::to_string(size), "initialise the struct with its _INIT macro");
  }
  Struct result = defaults;
  std::memcpy(&result, given, size);
  return result;
}

// The same for a struct that must be there.
template <class Struct>
Struct read_given(const char* op, const char* name, const Struct* given) {
  if (given == nullptr) internal::fail(op, name, "a null pointer");
  return read(op, name, given, Struct{});
}

Tensor tensor(const char* op, const char* name, const omninorm_tensor* given);

NormForwardArgs norm_args(const char* op, const omninorm_forward_args& args);
NormBackwardArgs norm_args(const char* op, const omninorm_backward_args& args);
AddNormForwardArgs add_args(const char* op, const omninorm_forward_args& args);
AddNormBackwardArgs add_args(const char* op, const omninorm_backward_args& args);

// Refuses running statistics for an op without them.
void check_no_running(const char* op, const omninorm_forward_args& args);
void check_no_running(const char* op, const omninorm_backward_args& args);
RunningStatistics running(const char* op, const omninorm_forward_args& args);
RunningStatistics running(const char* op, const omninorm_backward_args& args);

LayerNormOptions options(const char* op, const omninorm_layer_norm_options* given);
RmsNormOptions options(const char* op, const omninorm_rms_norm_options* given);
GroupedLayerNormOptions options(const char* op, const omninorm_grouped_layer_norm_options* given);
GroupNormOptions options(const char* op, const omninorm_group_norm_options* given);
InstanceNormOptions options(const char* op, const omninorm_instance_norm_options* given);
BatchNormOptions options(const char* op, const omninorm_batch_norm_options* given);

BatchNormMoments moments(const char* op, const char* name, const omninorm_moments* given);
BatchNormSums sums(const char* op, const char* name, const omninorm_sums* given);

// Lends the caller's threads for one call.
class CallContext {
 public:
  CallContext(const char* op, const omninorm_context* given);
  CallContext(const CallContext&) = delete;
  CallContext& operator=(const CallContext&) = delete;

  const Context& context() const { return context_; }

 private:
  class Threads final : public Executor {
   public:
    int concurrency() const override { return given.concurrency; }
    void run(std::int64_t count, Task task, void* state) override {
      given.run(given.state, count, task, state);
    }
    omninorm_executor given = OMNINORM_EXECUTOR_INIT;
  };

  Threads threads_;
  Context context_;
};

}  // namespace omninorm::c_api
