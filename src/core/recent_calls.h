// The calls that a thread made last. What the checks say, the view and the choice of a kernel
// depend on all of a call but its pointers (and on what choice_version counts), and take longer
// than one row of a norm does; a call that comes back with other pointers needs only those looked
// at.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <tuple>

#include "src/core/add_args.h"
#include "src/core/kernel_list.h"
#include "src/core/norm_build.h"
#include "src/core/overlap.h"

namespace omninorm::internal {

// The tensors of a call, inputs first.
template <std::size_t Inputs, std::size_t Outputs>
struct CallTensors {
  std::array<const ConstTensor*, Inputs> inputs;
  std::array<const Tensor*, Outputs> outputs;
};

// A tensor that is new in one of these has a place here, too: what is not listed is not looked at.
template <class Args, std::size_t Inputs, std::size_t Outputs>
constexpr bool kListsAll = sizeof(Args) == (Inputs + Outputs) * sizeof(Tensor);
static_assert(kListsAll<NormForwardArgs, 3, 3> && kListsAll<NormBackwardArgs, 6, 3> &&
              kListsAll<AddNormForwardArgs, 4, 4> && kListsAll<AddNormBackwardArgs, 6, 3>);

inline CallTensors<3, 3> tensors_of(const NormForwardArgs& args) {
  return {{&args.x, &args.weight, &args.bias}, {&args.y, &args.mean, &args.rstd}};
}
inline CallTensors<6, 3> tensors_of(const NormBackwardArgs& args) {
  return {{&args.x, &args.weight, &args.bias, &args.mean, &args.rstd, &args.dy},
          {&args.dx, &args.dweight, &args.dbias}};
}
inline CallTensors<4, 4> tensors_of(const AddNormForwardArgs& args) {
  return {{&args.x, &args.residual, &args.weight, &args.bias},
          {&args.sum, &args.y, &args.mean, &args.rstd}};
}
inline CallTensors<6, 3> tensors_of(const AddNormBackwardArgs& args) {
  return {{&args.sum, &args.weight, &args.mean, &args.rstd, &args.dy, &args.dsum},
          {&args.dx, &args.dweight, &args.dbias}};
}

// Sets the problem's pointers; a tensor that is not given is null there, whatever its own is.
inline void point(NormForward& problem, const NormForwardArgs& args) {
  point(problem, args, [](const auto& tensor) { return tensor.given() ? tensor.data : nullptr; });
}
inline void point(NormBackward& problem, const NormBackwardArgs& args) {
  point(problem, args, [](const auto& tensor) { return tensor.given() ? tensor.data : nullptr; });
}
inline void point(NormForward& problem, const AddNormForwardArgs& args) {
  point(problem, norm_args(args));
  problem.residual.data = args.residual.data;
  problem.sum.data = args.sum.data;
}
inline void point(NormBackward& problem, const AddNormBackwardArgs& args) {
  point(problem, norm_args(args));
  problem.dsum.data = args.dsum.given() ? args.dsum.data : nullptr;
}

// All of a tensor but where it lies.
class TensorKind {
 public:
  TensorKind() = default;
  explicit TensorKind(const ConstTensor& tensor);

  template <class Pointer>
  bool matches(const BasicTensor<Pointer>& tensor) const {
    if (tensor.rank != rank_) return false;
    if (rank_ < 0) return true;
    std::int64_t differ = (tensor.dtype != dtype_) | (tensor.device != Device::cpu);
    for (std::size_t i = 0; i < static_cast<std::size_t>(rank_); ++i) {
      differ |= (tensor.sizes[i] ^ sizes_[i]) | (tensor.strides[i] ^ strides_[i]);
    }
    return differ == 0;
  }

  bool given() const { return rank_ >= 0; }
  // A pointer that check_memory() would take.
  bool takes(const void* data) const {
    const auto address = reinterpret_cast<std::uintptr_t>(data);
    return address != 0 && (address & low_bits_) == 0;
  }
  MemoryRange range(const void* data) const {
    const auto address = reinterpret_cast<std::intptr_t>(data);
    return {address + begin_, address + end_};
  }

 private:
  int rank_ = -1;
  DType dtype_ = DType::f32;
  std::array<std::int64_t, kMaxRank> sizes_{}, strides_{};
  std::int64_t begin_ = 0, end_ = 0;  // bytes from the pointer on
  std::uintptr_t low_bits_ = 0;       // 0 in an aligned pointer
};

template <class Problem, class Args, class Options>
class RecentCalls {
 public:
  // build() checks the arguments and gives the Problem.
  template <class Build>
  void launch(const Args& args, const Options& options, const Context& context, Build&& build) {
    // A thread's or the process's end may still call norms, after this object's.
    if (ended_) return internal::launch(build(), context);
    if (Call* call = find(args, options)) {
      const Busy busy(*call);
      point(call->problem, args);
      return run(*call->kernel, call->problem, call->workspace, context);
    }
    const Problem problem = build();
    const Kernel<Problem>& kernel = choose(problem);
    const std::size_t bytes = kernel.workspace(problem);
    run(kernel, problem, bytes, context);
    if (!problem.view.empty()) remember(args, options, problem, kernel, bytes);
  }

  ~RecentCalls() { ended_ = true; }

 private:
  using Tensors = decltype(tensors_of(Args{}));
  static constexpr std::size_t kInputs = std::tuple_size_v<decltype(Tensors::inputs)>;
  static constexpr std::size_t kOutputs = std::tuple_size_v<decltype(Tensors::outputs)>;
  // The shapes that alternate in a network: the norms of a block, and those of queries and keys.
  static constexpr std::size_t kCalls = 4;

  struct Call {
    bool busy = false;  // its kernel runs, maybe on an executor that lends this thread to others
    std::uint64_t version = 0;
    Options options;
    std::array<TensorKind, kInputs> inputs;
    std::array<TensorKind, kOutputs> outputs;
    std::array<std::array<bool, kInputs>, kOutputs> in_place{};  // had the same pointer
    Problem problem;
    const Kernel<Problem>* kernel = nullptr;
    std::size_t workspace = 0;
  };

  struct Busy {
    explicit Busy(Call& call_in) : call(call_in) { call.busy = true; }
    ~Busy() { call.busy = false; }
    Call& call;
  };

  Call* find(const Args& args, const Options& options) {
    const Tensors tensors = tensors_of(args);
    for (std::size_t i = 0; i < used_; ++i) {
      Call& call = *calls_[i];
      if (!call.busy && same(call, tensors, options) && apart(call, tensors)) return &call;
    }
    return nullptr;
  }

  static bool same(const Call& call, const Tensors& tensors, const Options& options) {
    return call.version == choice_version.load(std::memory_order_relaxed) &&
           matches(call, tensors) && call.options == options;
  }

  static bool matches(const Call& call, const Tensors& tensors) {
    for (std::size_t i = 0; i < kInputs; ++i) {
      if (!call.inputs[i].matches(*tensors.inputs[i])) return false;
    }
    for (std::size_t i = 0; i < kOutputs; ++i) {
      if (!call.outputs[i].matches(*tensors.outputs[i])) return false;
    }
    return true;
  }

  // For certain: no output shares memory with another tensor, but for those that did when the call
  // was checked. Where that is not plain, the checks decide.
  static bool apart(const Call& call, const Tensors& tensors) {
    std::array<MemoryRange, kInputs> inputs;
    std::array<MemoryRange, kOutputs> outputs;
    for (std::size_t i = 0; i < kInputs; ++i) {
      const TensorKind& kind = call.inputs[i];
      if (!kind.given()) continue;
      if (!kind.takes(tensors.inputs[i]->data)) return false;
      inputs[i] = kind.range(tensors.inputs[i]->data);
    }
    for (std::size_t i = 0; i < kOutputs; ++i) {
      const TensorKind& kind = call.outputs[i];
      if (!kind.given()) continue;
      const void* data = tensors.outputs[i]->data;
      if (!kind.takes(data)) return false;
      outputs[i] = kind.range(data);
      for (std::size_t k = 0; k < kInputs; ++k) {
        if (outputs[i].meets(inputs[k]) &&
            !(call.in_place[i][k] && data == tensors.inputs[k]->data)) {
          return false;
        }
      }
      for (std::size_t k = 0; k < i; ++k) {
        if (outputs[i].meets(outputs[k])) return false;
      }
    }
    return true;
  }

  void remember(const Args& args, const Options& options, const Problem& problem,
                const Kernel<Problem>& kernel, std::size_t bytes) {
    const Tensors tensors = tensors_of(args);
    Call call;
    call.version = choice_version.load(std::memory_order_relaxed);
    call.options = options;
    for (std::size_t i = 0; i < kInputs; ++i) call.inputs[i] = TensorKind(*tensors.inputs[i]);
    for (std::size_t i = 0; i < kOutputs; ++i) {
      call.outputs[i] = TensorKind(*tensors.outputs[i]);
      for (std::size_t k = 0; k < kInputs; ++k) {
        call.in_place[i][k] = tensors.outputs[i]->data == tensors.inputs[k]->data;
      }
    }
    // Tensors that interleave have to be looked at each time.
    if (!apart(call, tensors)) return;
    call.problem = problem;
    call.kernel = &kernel;
    call.workspace = bytes;
    // The same call in place and not in place is one entry, which serves both.
    std::size_t at = 0;
    while (at < used_ && !same(*calls_[at], tensors, options)) ++at;
    if (at == used_) {
      at = next_;
      next_ = (next_ + 1) % kCalls;
    }
    if (calls_[at] == nullptr) calls_[at].reset(new (std::nothrow) Call);
    if (calls_[at] == nullptr || calls_[at]->busy) return;
    *calls_[at] = call;
    used_ = std::max(used_, at + 1);
  }

  static inline thread_local bool ended_ = false;

  std::array<std::unique_ptr<Call>, kCalls> calls_;
  std::size_t used_ = 0, next_ = 0;
};

}  // namespace omninorm::internal
