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
//   omninorm_torch  omninorm::<op> through torch's dispatcher
//   torch           at::<op>, the eager operator
//   torch_direct    the CPU function under it, without dispatcher and autograd: layer_norm alone
//                   has one, rms_norm is a chain of operators
// Backward goes through torch::autograd::grad for the operators. Empty without torch.
std::vector<Side> torch_sides(const Problem& problem);

}  // namespace omninorm::bench
