// What the benchmark runs on: torch's threads and torch's operators where it was built with torch
// (torch_backend.cc), the library's own executor where not (plain_backend.cc).
#pragma once

#include <string>
#include <vector>

#include "bench/problem.h"
#include "omninorm/executor.h"

namespace omninorm::bench {

bool has_torch();
std::string torch_version();  // "" without torch

// One pool for every side.
void set_threads(int threads);
int threads();
Executor& bench_executor();

// PyTorch's own, called from C++, and our operator called in the same way:
//   omninorm_torch        omninorm::<op> through torch's dispatcher, where it is registered
//   torch                 what PyTorch has for it: Op::compared
//   torch_direct          the CPU function under it, without dispatcher and autograd, where there
//   is
//                         one: layer_norm alone
//   omninorm_torch_fresh  as without "_fresh", with results of kFreshBytes or more in memory that
//   torch_fresh           was never touched, as malloc gives it
//   omninorm_separate     add_*: at::add_out and our norm without the addition, two passes
// Backward goes through torch::autograd::grad for the operators. Empty without torch.
std::vector<Side> torch_sides(const Problem& problem);

// glibc maps allocations from this size on, and unmaps them when freed.
inline constexpr std::size_t kFreshBytes = 128 * 1024;

// "onednn": the primitive that computes the same thing, where the oneDNN that the build found has
// one for this dtype; else empty. Runs on OpenMP's threads, as the others do.
std::vector<Side> onednn_sides(const Problem& problem);
std::string onednn_version();  // "" without oneDNN

}  // namespace omninorm::bench
