#include <ATen/Parallel.h>
#include <c10/core/CPUAllocator.h>
#include <sys/mman.h>
#include <torch/torch.h>
#include <torch/version.h>

#include <utility>

#include "bench/backend.h"
#include "bench/torch_ops.h"
#include "omninorm/error.h"
#include "torch/executor.h"

namespace omninorm::bench {
namespace {

at::ScalarType scalar_type(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return at::kFloat;
    case DType::bf16:
      return at::kBFloat16;
    case DType::f16:
      return at::kHalf;
    case DType::f64:
      return at::kDouble;
  }
  throw Error("[bench] expected f32, bf16, f16 or f64");
}

DType dtype_of(const at::Tensor& tensor) {
  for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
    if (tensor.scalar_type() == scalar_type(dtype)) return dtype;
  }
  throw Error("[bench] expected a result in f32, bf16 or f16");
}

at::Tensor tensor(const Tensor& view) {
  const auto rank = static_cast<std::size_t>(view.rank);
  return at::from_blob(view.data, {view.sizes.data(), rank}, {view.strides.data(), rank},
                       scalar_type(view.dtype));
}

// A view of a tensor that somebody else keeps.
ConstTensor view(const at::Tensor& tensor) {
  if (!tensor.defined()) return {};
  return {tensor.const_data_ptr(), dtype_of(tensor), tensor.sizes(), tensor.strides()};
}

TorchInputs inputs_of(const Problem& problem, bool ours) {
  TorchInputs inputs;
  inputs.x = tensor(problem.matrix(problem.x));
  inputs.weight = tensor(problem.vector(problem.weight));
  inputs.bias = tensor(problem.vector(problem.bias));
  inputs.groups = problem.setup.groups;
  inputs.eps = problem.setup.eps;
  inputs.per_position = problem.setup.per_position;
  inputs.training = !problem.op.fixed_statistics;
  if (problem.op.running) {
    inputs.running_mean = tensor(problem.channels(problem.running_mean));
    inputs.running_var = tensor(problem.channels(problem.running_var));
    if (!ours) {
      inputs.running_mean = inputs.running_mean.to(inputs.x.scalar_type(), false, true);
      inputs.running_var = inputs.running_var.to(inputs.x.scalar_type(), false, true);
    }
  }
  if (!problem.op.residual.empty()) {
    // Backward's x is the sum already: a residual of zeros leaves it so.
    inputs.residual =
        problem.forward() ? tensor(problem.matrix(problem.residual)) : at::zeros_like(inputs.x);
  }
  return inputs;
}

using Tensors = std::vector<at::Tensor>;

// Results in the order y, sum or dx, dweight, dbias.
Side side(std::string name, const Problem& problem, std::function<Tensors()> call) {
  return {std::move(name), [call] { call(); },
          [call, forward = problem.forward()] {
            const auto keep = std::make_shared<Tensors>(call());
            keep->resize(3);
            Outputs outputs{.matrix = view(keep->at(0)), .keep = keep};
            if (forward) {
              outputs.sum = view(keep->at(1));
            } else {
              outputs.dweight = view(keep->at(1));
              outputs.dbias = view(keep->at(2));
            }
            return outputs;
          }};
}

// Forward without autograd; the result is freed at once, so the next call finds its memory again.
std::function<Tensors()> forward_call(const TorchNorm& norm, const TorchInputs& inputs) {
  return [=] {
    const at::NoGradGuard no_grad;
    auto result = norm(inputs);
    return Tensors{std::move(result.y), std::move(result.sum)};
  };
}

// The graph is made once and kept; what is timed is its backward.
std::function<Tensors()> backward_call(const TorchNorm& norm, const Problem& problem,
                                       TorchInputs inputs) {
  Tensors leaves{inputs.x.requires_grad_(), inputs.weight.requires_grad_()};
  if (problem.op.has_bias) leaves.push_back(inputs.bias.requires_grad_());
  const auto result = norm(inputs);
  Tensors roots{result.y};
  Tensors gradients{tensor(problem.matrix(problem.dy))};
  if (result.sum.defined()) {
    roots.push_back(result.sum);
    gradients.push_back(tensor(problem.matrix(problem.dsum)));
  }
  return [=] { return torch::autograd::grad(roots, leaves, gradients, /*retain_graph=*/true); };
}

// Maps and unmaps what is large, as malloc does that was left alone.
class FreshAllocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(std::size_t bytes) override {
    if (bytes < kFreshBytes) return c10::GetDefaultCPUAllocator()->allocate(bytes);
    void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    auto* mapping = new Mapping{memory, bytes};
    return {memory, mapping, unmap, c10::Device(c10::DeviceType::CPU)};
  }
  void copy_data(void* to, const void* from, std::size_t bytes) const override {
    default_copy_data(to, from, bytes);
  }

 private:
  struct Mapping {
    void* memory;
    std::size_t bytes;
  };
  static void unmap(void* context) {
    const std::unique_ptr<Mapping> mapping(static_cast<Mapping*>(context));
    munmap(mapping->memory, mapping->bytes);
  }
};

class UseAllocator {
 public:
  explicit UseAllocator(c10::Allocator* allocator) : before_(c10::GetCPUAllocator()) {
    c10::SetCPUAllocator(allocator, kPriority);
  }
  UseAllocator(const UseAllocator&) = delete;
  UseAllocator& operator=(const UseAllocator&) = delete;
  ~UseAllocator() { c10::SetCPUAllocator(before_, kPriority); }

 private:
  static constexpr std::uint8_t kPriority = 100;  // what was set with less does not come back
  c10::Allocator* before_;
};

// `run` with results that nobody touched before.
Side fresh(const Side& side) {
  static FreshAllocator allocator;
  return {side.name + "_fresh",
          [run = side.run] {
            const UseAllocator use(&allocator);
            run();
          },
          {}};
}

}  // namespace

bool has_torch() { return true; }
std::string torch_version() { return TORCH_VERSION; }
void set_threads(int threads) { at::set_num_threads(threads); }
int threads() { return at::get_num_threads(); }
Executor& bench_executor() { return torch_ops::torch_executor(); }

std::vector<Side> torch_sides(const Problem& problem) {
  std::vector<Side> sides;
  const auto add = [&](const char* name, const TorchNorm& norm, bool ours) {
    if (!norm) return;
    const auto inputs = inputs_of(problem, ours);
    sides.push_back(side(
        name, problem,
        problem.forward() ? forward_call(norm, inputs) : backward_call(norm, problem, inputs)));
    if (problem.x.bytes() >= kFreshBytes) sides.push_back(fresh(Side(sides.back())));
  };
  add("omninorm_torch", our_operator(problem.op), true);
  add("torch", torch_norm(problem.op), false);
  const auto dy = problem.forward() ? at::Tensor() : tensor(problem.matrix(problem.dy));
  if (auto direct = torch_direct(problem, inputs_of(problem, false), dy)) {
    sides.push_back(side("torch_direct", problem, std::move(direct)));
  }
  if (!problem.op.residual.empty()) {
    const MakeAdd add_out = [](const Tensor& out, const Tensor& a, const Tensor& b) {
      return [out = tensor(out), a = tensor(a), b = tensor(b)]() mutable {
        const at::NoGradGuard no_grad;
        at::add_out(out, a, b);
      };
    };
    sides.push_back(separate_side(problem, bench_executor(), add_out));
  }
  return sides;
}

}  // namespace omninorm::bench
