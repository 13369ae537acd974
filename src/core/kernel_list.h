// Kernel choice: an ordered list that ends in the reference, which takes everything. Each kernel
// says why it declines; OMNINORM_VERBOSE=1 prints choice and reasons once per distinct choice,
// OMNINORM_FORCE=<kernel name> picks one (an Error if it declines). Both are read when a process
// chooses its first kernel: looking through the environment takes a tenth as long as a norm of 768
// entries.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "omninorm/executor.h"
#include "src/core/norm_problem.h"

namespace omninorm::internal {

template <class Problem>
struct Kernel {
  const char* name;                          // by strategy: "row", "column", "reference"
  const char* (*decline)(const Problem&);    // null: takes it; else the reason
  std::size_t (*workspace)(const Problem&);  // bytes, a function of shape and dtypes only
  void (*run)(const Problem&, Executor&, std::byte* workspace);  // workspace is 64-byte aligned
};

// In order of preference; defined in src/core/kernel_list.cc, the one place that knows them all.
std::span<const Kernel<NormForward>> forward_kernels();
std::span<const Kernel<NormBackward>> backward_kernels();

// src/cpu/: short rows or groups that lie side by side, as many at a time as a vector has lanes.
extern const Kernel<NormForward> cpu_packed_forward;
extern const Kernel<NormBackward> cpu_packed_backward;

// src/cpu/: Highway kernels for rows whose c is contiguous (c stride 1, s = 1).
extern const Kernel<NormForward> cpu_row_forward;
extern const Kernel<NormBackward> cpu_row_backward;

// src/cpu/: Highway kernels for statistics pooled over positions, which lie side by side in a plane
// (NCHW) or have their channels side by side (NHWC, and (N, C)).
extern const Kernel<NormForward> cpu_plane_forward;
extern const Kernel<NormBackward> cpu_plane_backward;
extern const Kernel<NormForward> cpu_column_forward;
extern const Kernel<NormBackward> cpu_column_backward;

// src/cpu/: statistics over channels at each position, positions side by side.
extern const Kernel<NormForward> cpu_position_forward;
extern const Kernel<NormBackward> cpu_position_backward;

// src/reference/: plain double precision, any view, any dtype, deterministic, serial.
extern const Kernel<NormForward> reference_forward;
extern const Kernel<NormBackward> reference_backward;

// Reads them again; not while calls run.
void reread_environment();

// Counted up by whatever changes choices: the environment read again, another SIMD target.
inline std::atomic<std::uint64_t> choice_version = 0;

// What takes the problem, and a run of it with a workspace of kernel.workspace(problem) bytes.
const Kernel<NormForward>& choose(const NormForward& problem);
const Kernel<NormBackward>& choose(const NormBackward& problem);
void run(const Kernel<NormForward>& kernel, const NormForward& problem, std::size_t bytes,
         const Context& context);
void run(const Kernel<NormBackward>& kernel, const NormBackward& problem, std::size_t bytes,
         const Context& context);

// Both; kernel_bytes is what run takes from the context's workspace, workspace_bytes
// what callers are asked for, which leaves room to align it.
void launch(const NormForward& problem, const Context& context);
void launch(const NormBackward& problem, const Context& context);
std::size_t kernel_bytes(const NormForward& problem);
std::size_t kernel_bytes(const NormBackward& problem);
std::size_t workspace_bytes(const NormForward& problem);
std::size_t workspace_bytes(const NormBackward& problem);

}  // namespace omninorm::internal
