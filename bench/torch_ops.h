// What of PyTorch's, and which of our operators, stands beside each op of ops.h.
#pragma once

#include <torch/torch.h>

#include <functional>
#include <optional>
#include <vector>

#include "bench/problem.h"

namespace omninorm::bench {

// A problem's memory as torch's tensors. Running statistics are f32 for our operators and have x's
// dtype for PyTorch's, as a module's have that was cast as a whole.
struct TorchInputs {
  at::Tensor x, residual, weight, bias;
  at::Tensor running_mean, running_var;
  std::int64_t groups = 1;
  double eps = 0;
  bool per_position = false, training = true;
};

struct TorchResult {
  at::Tensor y, sum;  // sum: add_*
};
using TorchNorm = std::function<TorchResult(const TorchInputs&)>;

// PyTorch's for an op's schema.
TorchNorm torch_norm(const Op& op);

// Our operator; empty where none is registered under the op's schema. Throws Error where the
// operator asks for what the benchmark does not know.
TorchNorm our_operator(const Op& op);

// The CPU function under PyTorch's operator; empty where there is none. For backward: a function
// that gives dx, dweight and dbias.
std::function<std::vector<at::Tensor>()> torch_direct(const Problem& problem,
                                                      const TorchInputs& inputs,
                                                      const at::Tensor& dy);

}  // namespace omninorm::bench
