// The C interface: the calls of the C++ headers, which say shapes, dtypes, formulas and rules; here
// stand only the forms. C11, and C++.
//
// - Every function returns a status and throws nothing; omninorm_last_error() tells what was wrong.
// - Every struct starts with its own size, which the _INIT macros set, so that a later version can
//   add fields behind those that are here. A field of an older struct that is missing has its
//   default; a struct that is larger than the library knows is an error.
// - Tensors are pointers; NULL leaves an optional one out. The caller owns all memory.
#ifndef OMNINORM_C_H
#define OMNINORM_C_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum omninorm_status {
  OMNINORM_OK = 0,
  OMNINORM_INVALID_ARGUMENT = 1,  // nothing was written
  OMNINORM_OUT_OF_MEMORY = 2,
  OMNINORM_INTERNAL_ERROR = 3,
} omninorm_status;

// What was wrong in this thread's last call, "[op] expected ..., got ..."; "" after OMNINORM_OK.
// Holds until the thread's next call.
const char* omninorm_last_error(void);

// "0.1.0".
const char* omninorm_version(void);

// Element types: omninorm_tensor.dtype.
enum { OMNINORM_F32 = 0, OMNINORM_BF16 = 1, OMNINORM_F16 = 2, OMNINORM_F64 = 3 };

enum { OMNINORM_MAX_RANK = 8 };

// A view of memory: omninorm/tensor.h. Sizes and strides are in elements, outermost dimension
// first.
typedef struct omninorm_tensor {
  size_t struct_size;
  void* data;  // only read where the tensor is an input
  int32_t dtype;
  int32_t rank;  // 0 to OMNINORM_MAX_RANK
  int64_t sizes[OMNINORM_MAX_RANK];
  int64_t strides[OMNINORM_MAX_RANK];
} omninorm_tensor;

// Contiguous, row-major. A rank that is out of range is left for the call to refuse.
static inline omninorm_tensor omninorm_contiguous(void* data, int32_t dtype, int32_t rank,
                                                  const int64_t* sizes) {
  omninorm_tensor tensor = {sizeof(omninorm_tensor), data, dtype, rank, {0}, {0}};
  if (rank >= 0 && rank <= OMNINORM_MAX_RANK) {
    uint64_t stride = 1;  // wraps where the library will say that the sizes are too large
    for (int32_t i = rank - 1; i >= 0; --i) {
      tensor.sizes[i] = sizes[i];
      tensor.strides[i] = (int64_t)stride;
      stride *= sizes[i] > 0 ? (uint64_t)sizes[i] : 1;
    }
  }
  return tensor;
}

// Arguments of any op. An op that does not have one of them wants NULL there.
typedef struct omninorm_forward_args {
  size_t struct_size;
  const omninorm_tensor* x;
  const omninorm_tensor* residual;  // add_rms_norm, add_layer_norm
  const omninorm_tensor* weight;
  const omninorm_tensor* bias;
  const omninorm_tensor* sum;           // output of add_rms_norm, add_layer_norm
  const omninorm_tensor* y;             // output
  const omninorm_tensor* mean;          // optional output
  const omninorm_tensor* rstd;          // optional output
  const omninorm_tensor* running_mean;  // batch_norm, instance_norm: RunningStatistics of norm.h
  const omninorm_tensor* running_var;
  int64_t* num_batches_tracked;
} omninorm_forward_args;
#define OMNINORM_FORWARD_ARGS_INIT                                                             \
  {                                                                                            \
    sizeof(omninorm_forward_args), NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, \
        NULL                                                                                   \
  }

typedef struct omninorm_backward_args {
  size_t struct_size;
  const omninorm_tensor* x;    // but for add_rms_norm, add_layer_norm, which take
  const omninorm_tensor* sum;  // what forward gave
  const omninorm_tensor* weight;
  const omninorm_tensor* bias;
  const omninorm_tensor* mean;
  const omninorm_tensor* rstd;
  const omninorm_tensor* dy;
  const omninorm_tensor* dsum;          // optional: add_rms_norm, add_layer_norm
  const omninorm_tensor* dx;            // optional output
  const omninorm_tensor* dweight;       // optional output
  const omninorm_tensor* dbias;         // optional output
  const omninorm_tensor* running_mean;  // batch_norm, instance_norm: evaluation
  const omninorm_tensor* running_var;
} omninorm_backward_args;
#define OMNINORM_BACKWARD_ARGS_INIT                                                             \
  {                                                                                             \
    sizeof(omninorm_backward_args), NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, \
        NULL, NULL, NULL                                                                        \
  }

// Threads: omninorm/executor.h. `run` calls task(task_state, i) exactly once for each i of 0 to
// count - 1, on any threads, and returns when all are done.
typedef void (*omninorm_task)(void* task_state, int64_t index);
typedef struct omninorm_executor {
  size_t struct_size;
  void (*run)(void* state, int64_t count, omninorm_task task, void* task_state);
  void* state;
  int32_t concurrency;  // how many tasks can run at once: a hint, at least 1
} omninorm_executor;
#define OMNINORM_EXECUTOR_INIT \
  { sizeof(omninorm_executor), NULL, NULL, 1 }

// NULL for a context: OpenMP where the library was built with it, and memory of the call's own.
typedef struct omninorm_context {
  size_t struct_size;
  const omninorm_executor* executor;  // NULL: as above
  void* workspace;                    // NULL, or as much as the call's _workspace function tells
  size_t workspace_bytes;
} omninorm_context;
#define OMNINORM_CONTEXT_INIT \
  { sizeof(omninorm_context), NULL, NULL, 0 }

// Values of cast_policy and activation: omninorm/norm.h.
enum { OMNINORM_AFTER_WEIGHT = 0, OMNINORM_BEFORE_WEIGHT = 1 };
enum { OMNINORM_NO_ACTIVATION = 0, OMNINORM_RELU = 1, OMNINORM_SILU = 2 };

// Options. NULL stands for the defaults, which the _INIT macros hold. 0 is false, all else true.

typedef struct omninorm_layer_norm_options {  // add_layer_norm, too
  size_t struct_size;
  double eps;
  double weight_offset;
  int32_t cast_policy;
  int32_t normalized_dims;
} omninorm_layer_norm_options;
#define OMNINORM_LAYER_NORM_OPTIONS_INIT \
  { sizeof(omninorm_layer_norm_options), 1e-5, 0.0, OMNINORM_AFTER_WEIGHT, 1 }

typedef struct omninorm_rms_norm_options {  // add_rms_norm, too
  size_t struct_size;
  double eps;
  double weight_offset;
  int32_t cast_policy;
  int32_t normalized_dims;
  double partial;
} omninorm_rms_norm_options;
#define OMNINORM_RMS_NORM_OPTIONS_INIT \
  { sizeof(omninorm_rms_norm_options), 1e-6, 0.0, OMNINORM_AFTER_WEIGHT, 1, 1.0 }

typedef struct omninorm_grouped_layer_norm_options {
  size_t struct_size;
  double eps;
  int64_t groups;
  int32_t center;
  int32_t per_position;
  int32_t allow_degenerate;
  int32_t cast_policy;
  double weight_offset;
} omninorm_grouped_layer_norm_options;
#define OMNINORM_GROUPED_LAYER_NORM_OPTIONS_INIT \
  { sizeof(omninorm_grouped_layer_norm_options), 1e-5, 1, 1, 0, 0, OMNINORM_AFTER_WEIGHT, 0.0 }

typedef struct omninorm_group_norm_options {
  size_t struct_size;
  int64_t num_groups;
  double eps;
  double weight_offset;
  int32_t activation;
} omninorm_group_norm_options;
#define OMNINORM_GROUP_NORM_OPTIONS_INIT \
  { sizeof(omninorm_group_norm_options), 1, 1e-5, 0.0, OMNINORM_NO_ACTIVATION }

typedef struct omninorm_instance_norm_options {
  size_t struct_size;
  double eps;
  double momentum;
  double weight_offset;
  int32_t use_running;
  int32_t activation;
} omninorm_instance_norm_options;
#define OMNINORM_INSTANCE_NORM_OPTIONS_INIT \
  { sizeof(omninorm_instance_norm_options), 1e-5, 0.1, 0.0, 0, OMNINORM_NO_ACTIVATION }

typedef struct omninorm_batch_norm_options {
  size_t struct_size;
  double eps;
  double momentum;
  int32_t cumulative;  // average of all batches instead of momentum; wants num_batches_tracked
  int32_t training;
  double weight_offset;
  int32_t activation;
} omninorm_batch_norm_options;
#define OMNINORM_BATCH_NORM_OPTIONS_INIT \
  { sizeof(omninorm_batch_norm_options), 1e-5, 0.1, 0, 1, 0.0, OMNINORM_NO_ACTIVATION }

// The calls. `options` and `context` may be NULL. A _workspace function reads no tensor's data and
// tells the bytes that the call with the same arguments uses.
// clang-format off
#define OMNINORM_DECLARE_OP(op, options_type)                                                     \
  omninorm_status omninorm_##op##_forward(const omninorm_forward_args* args,                      \
      const options_type* options, const omninorm_context* context);                              \
  omninorm_status omninorm_##op##_backward(const omninorm_backward_args* args,                    \
      const options_type* options, const omninorm_context* context);                              \
  omninorm_status omninorm_##op##_forward_workspace(const omninorm_forward_args* args,            \
      const options_type* options, size_t* bytes);                                                \
  omninorm_status omninorm_##op##_backward_workspace(const omninorm_backward_args* args,          \
      const options_type* options, size_t* bytes);
// clang-format on

OMNINORM_DECLARE_OP(layer_norm, omninorm_layer_norm_options)
OMNINORM_DECLARE_OP(rms_norm, omninorm_rms_norm_options)
OMNINORM_DECLARE_OP(grouped_layer_norm, omninorm_grouped_layer_norm_options)
OMNINORM_DECLARE_OP(group_norm, omninorm_group_norm_options)
OMNINORM_DECLARE_OP(instance_norm, omninorm_instance_norm_options)
OMNINORM_DECLARE_OP(batch_norm, omninorm_batch_norm_options)
OMNINORM_DECLARE_OP(add_rms_norm, omninorm_rms_norm_options)
OMNINORM_DECLARE_OP(add_layer_norm, omninorm_layer_norm_options)
#undef OMNINORM_DECLARE_OP

// A batch in parts: omninorm/batch_norm.h.

typedef struct omninorm_moments {
  size_t struct_size;
  int64_t count;                // values per channel
  const omninorm_tensor* mean;  // [C], f64
  const omninorm_tensor* m2;    // likewise
} omninorm_moments;
#define OMNINORM_MOMENTS_INIT \
  { sizeof(omninorm_moments), 0, NULL, NULL }

typedef struct omninorm_sums {
  size_t struct_size;
  int64_t count;                   // values per channel
  const omninorm_tensor* dy;       // [C], f64
  const omninorm_tensor* dy_xhat;  // likewise
} omninorm_sums;
#define OMNINORM_SUMS_INIT \
  { sizeof(omninorm_sums), 0, NULL, NULL }

omninorm_status omninorm_batch_norm_moments(const omninorm_tensor* x, omninorm_moments* moments,
                                            const omninorm_context* context);
omninorm_status omninorm_batch_norm_moments_workspace(const omninorm_tensor* x, size_t* bytes);

omninorm_status omninorm_merge_moments(omninorm_moments* into, const omninorm_moments* other);

omninorm_status omninorm_batch_norm_normalize(const omninorm_forward_args* args,
                                              const omninorm_moments* moments,
                                              const omninorm_batch_norm_options* options,
                                              const omninorm_context* context);
omninorm_status omninorm_batch_norm_normalize_workspace(const omninorm_forward_args* args,
                                                        const omninorm_batch_norm_options* options,
                                                        size_t* bytes);

omninorm_status omninorm_batch_norm_backward_sums(const omninorm_backward_args* args,
                                                  omninorm_sums* sums,
                                                  const omninorm_batch_norm_options* options,
                                                  const omninorm_context* context);
omninorm_status omninorm_batch_norm_backward_sums_workspace(
    const omninorm_backward_args* args, const omninorm_batch_norm_options* options, size_t* bytes);

omninorm_status omninorm_batch_norm_backward_input(const omninorm_backward_args* args,
                                                   const omninorm_sums* total,
                                                   const omninorm_batch_norm_options* options,
                                                   const omninorm_context* context);
omninorm_status omninorm_batch_norm_backward_input_workspace(
    const omninorm_backward_args* args, const omninorm_batch_norm_options* options, size_t* bytes);

#ifdef __cplusplus
}
#endif

#endif
