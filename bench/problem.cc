#include "bench/problem.h"

#include <bit>
#include <cstring>
#include <new>

#include "bench/machine.h"
#include "omninorm/dtype.h"
#include "src/core/kernel_list.h"
#include "src/core/norm_build.h"

namespace omninorm::bench {
namespace {

// Uniform with mean `center` and standard deviation about `spread`: cheap, and no norm cares for
// the tail.
void fill(const Buffer& buffer, DType dtype, float center, std::uint64_t seed, float spread = 1) {
  const std::size_t count = buffer.bytes() / size_of(dtype);
  std::uint64_t state = seed * 0x9E3779B97F4A7C15u + 1;
  for (std::size_t i = 0; i < count; ++i) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    const float uniform = static_cast<float>(state >> 40) * 0x1p-24f;  // [0, 1)
    const float value = center + (uniform - 0.5f) * 3.4f * spread;
    std::byte* to = buffer.data() + i * size_of(dtype);
    if (dtype == DType::f32) {
      std::memcpy(to, &value, sizeof value);
    } else {
      const std::uint16_t bits =
          dtype == DType::bf16 ? to_bfloat16(value).bits : to_float16(value).bits;
      std::memcpy(to, &bits, sizeof bits);
    }
  }
}

// Values that bf16 holds exactly, so that a side which keeps running statistics in x's dtype
// computes the same thing.
void round_to_bfloat16(const Buffer& buffer) {
  auto* values = reinterpret_cast<float*>(buffer.data());
  for (std::size_t i = 0; i < buffer.bytes() / sizeof(float); ++i) {
    values[i] = to_float(to_bfloat16(values[i]));
  }
}

Context context(Executor& executor, const Buffer& workspace) {
  return {.executor = &executor, .workspace = {workspace.data(), workspace.bytes()}};
}

// What a call of the library writes.
struct Memory {
  Buffer matrix, sum, dweight, dbias, mean, rstd, workspace;
};

ForwardCall forward_call(const Problem& problem, Memory& memory) {
  const Op& op = problem.op;
  ForwardCall call;
  call.setup = problem.setup;
  call.args.x = problem.matrix(problem.x);
  call.args.weight = problem.vector(problem.weight);
  if (op.has_bias) call.args.bias = problem.vector(problem.bias);
  memory.matrix = Buffer(problem.x.bytes());
  call.args.y = problem.matrix(memory.matrix);
  if (!op.residual.empty()) {
    memory.sum = Buffer(problem.x.bytes());
    call.residual = problem.matrix(problem.residual);
    call.sum = problem.matrix(memory.sum);
  }
  if (op.running) call.running = problem.running();
  if (!op.fixed_statistics) {
    const auto bytes = static_cast<std::size_t>(problem.view.sets()) * sizeof(float);
    if (op.centered) {
      memory.mean = Buffer(bytes);
      call.args.mean = problem.statistics(memory.mean);
    }
    memory.rstd = Buffer(bytes);
    call.args.rstd = problem.statistics(memory.rstd);
  }
  return call;
}

BackwardCall backward_call(const Problem& problem, Memory& memory) {
  const Op& op = problem.op;
  BackwardCall call;
  call.setup = problem.setup;
  call.args.x = problem.matrix(problem.x);
  call.args.weight = problem.vector(problem.weight);
  call.args.dy = problem.matrix(problem.dy);
  if (op.fixed_statistics) {
    call.running = problem.running();
  } else {
    if (op.centered) call.args.mean = problem.statistics(problem.mean);
    call.args.rstd = problem.statistics(problem.rstd);
  }
  if (!op.residual.empty()) call.dsum = problem.matrix(problem.dsum);
  memory.matrix = Buffer(problem.x.bytes());
  call.args.dx = problem.matrix(memory.matrix);
  memory.dweight = Buffer(problem.weight.bytes());
  call.args.dweight = problem.vector(memory.dweight);
  if (op.has_bias) {
    memory.dbias = Buffer(problem.weight.bytes());
    call.args.dbias = problem.vector(memory.dbias);
  }
  return call;
}

Outputs outputs_of(const ForwardCall& call) { return {.matrix = call.args.y, .sum = call.sum}; }
Outputs outputs_of(const BackwardCall& call) {
  return {.matrix = call.args.dx, .dweight = call.args.dweight, .dbias = call.args.dbias};
}

// `run` after which `call`'s outputs are filled.
template <class Call>
Side side(const char* name, std::function<void()> run, const Call& call) {
  return {name, run, [run, outputs = outputs_of(call)] {
            run();
            return outputs;
          }};
}

}  // namespace

Buffer::Buffer(std::size_t bytes) : bytes_(bytes) {
  const std::size_t rounded = (bytes + 63) / 64 * 64;
  memory_.reset(static_cast<std::byte*>(std::aligned_alloc(64, rounded == 0 ? 64 : rounded)));
  if (!memory_) throw std::bad_alloc();
  std::memset(memory_.get(), 0, bytes);
}

Problem::Problem(const Cell& the_cell, Executor& executor)
    : cell(the_cell),
      op(find_op(the_cell.op)),
      view(view_of(op, cell)),
      setup{.eps = op.eps, .groups = view.g, .per_position = !cell.shape.is_rows()},
      moved_bytes(bench::moved_bytes(cell, private_cache_bytes())) {
  const std::size_t matrix_bytes = operand_bytes(cell);
  const auto channels = static_cast<std::size_t>(view.channels());
  x = Buffer(matrix_bytes);
  fill(x, cell.dtype, 0.25f, 1);
  weight = Buffer(channels * size_of(cell.dtype));
  fill(weight, cell.dtype, 1.0f, 2);
  bias = Buffer(channels * size_of(cell.dtype));
  fill(bias, cell.dtype, 0.0f, 3);
  if (op.running) {
    running_mean = Buffer(channels * sizeof(float));
    fill(running_mean, DType::f32, 0.25f, 5, 0.1f);
    round_to_bfloat16(running_mean);
    running_var = Buffer(channels * sizeof(float));
    fill(running_var, DType::f32, 1.0f, 6, 0.1f);
    round_to_bfloat16(running_var);
  }
  if (!op.residual.empty()) {
    Buffer& second = forward() ? residual : dsum;
    second = Buffer(matrix_bytes);
    fill(second, cell.dtype, 0.0f, 7);
  }
  if (forward()) return;

  dy = Buffer(matrix_bytes);
  fill(dy, cell.dtype, 0.0f, 4);
  if (op.fixed_statistics) return;
  // The statistics are those of x, which is the sum where there is one.
  const Op& norm = op.residual.empty() ? op : find_op(op.residual);
  const auto bytes = static_cast<std::size_t>(view.sets()) * sizeof(float);
  const Buffer y(matrix_bytes);
  ForwardCall call;
  call.setup = setup;
  call.args.x = matrix(x);
  call.args.weight = vector(weight);
  call.args.y = matrix(y);
  if (op.centered) {
    mean = Buffer(bytes);
    call.args.mean = statistics(mean);
  }
  rstd = Buffer(bytes);
  call.args.rstd = statistics(rstd);
  norm.calls.forward(call, {.executor = &executor});
}

Tensor Problem::matrix(const Buffer& buffer) const {
  return {buffer.data(), cell.dtype, cell.shape.sizes, strides(cell)};
}

Tensor Problem::vector(const Buffer& buffer) const {
  const std::int64_t sizes[] = {view.channels()};
  return {buffer.data(), cell.dtype, sizes, {}};
}

Tensor Problem::channels(const Buffer& buffer) const {
  const std::int64_t sizes[] = {view.channels()};
  return {buffer.data(), DType::f32, sizes, {}};
}

Tensor Problem::statistics(const Buffer& buffer) const {
  std::vector<std::int64_t> sizes;
  if (!op.pool_n) sizes.push_back(view.n);
  if (!op.pool_s) sizes.insert(sizes.end(), cell.shape.sizes.begin() + 2, cell.shape.sizes.end());
  if (op.grouping != Grouping::whole) sizes.push_back(view.g);
  return {buffer.data(), DType::f32, sizes, {}};
}

RunningStatistics Problem::running() const {
  return {.mean = channels(running_mean), .var = channels(running_var)};
}

Side library_side(const Problem& problem, Executor& executor) {
  const auto memory = std::make_shared<Memory>();
  const Calls& calls = problem.op.calls;
  if (problem.forward()) {
    const ForwardCall call = forward_call(problem, *memory);
    memory->workspace = Buffer(calls.forward_workspace(call));
    return side(
        "omninorm", [=, &executor] { calls.forward(call, context(executor, memory->workspace)); },
        call);
  }
  const BackwardCall call = backward_call(problem, *memory);
  memory->workspace = Buffer(calls.backward_workspace(call));
  return side(
      "omninorm", [=, &executor] { calls.backward(call, context(executor, memory->workspace)); },
      call);
}

std::optional<Side> kernel_side(const Problem& problem, Executor& executor) {
  using namespace internal;
  const Op& op = problem.op;
  const bool normalises_rows =
      op.rows && op.grouping == Grouping::whole && !op.pool_n && op.residual.empty();
  if (!normalises_rows || problem.view.n != 1) return std::nullopt;
  const auto memory = std::make_shared<Memory>();
  const auto spec = [&](const ConstTensor& x) {
    return NormSpec{.op = op.name.data(),
                    .axes = last_dims(op.name.data(), x, 1),
                    .center = op.centered,
                    .parameters = {.eps = op.eps}};
  };
  const auto timed = [&](const auto& built, const auto& call) {
    const auto& kernel = choose(built);
    const std::size_t bytes = kernel.workspace(built);
    memory->workspace = Buffer(bytes);
    return side(
        "omninorm_kernel",
        [=, &kernel, &executor] {
          internal::run(kernel, built, bytes, context(executor, memory->workspace));
        },
        call);
  };
  if (problem.forward()) {
    const ForwardCall call = forward_call(problem, *memory);
    return timed(build_forward(spec(call.args.x), call.args), call);
  }
  const BackwardCall call = backward_call(problem, *memory);
  return timed(build_backward(spec(call.args.x), call.args), call);
}

Side separate_side(const Problem& problem, Executor& executor, const MakeAdd& make_add) {
  const auto memory = std::make_shared<Memory>();
  const Calls& calls = find_op(problem.op.residual).calls;
  if (problem.forward()) {
    const ForwardCall call = forward_call(problem, *memory);
    ForwardCall norm = call;
    norm.args.x = call.sum;
    const auto add =
        make_add(call.sum, problem.matrix(problem.x), problem.matrix(problem.residual));
    memory->workspace = Buffer(calls.forward_workspace(norm));
    return side(
        "omninorm_separate",
        [=, &executor] {
          add();
          calls.forward(norm, context(executor, memory->workspace));
        },
        call);
  }
  const BackwardCall call = backward_call(problem, *memory);
  memory->workspace = Buffer(calls.backward_workspace(call));
  const auto add = make_add(call.args.dx, call.args.dx, problem.matrix(problem.dsum));
  return side(
      "omninorm_separate",
      [=, &executor] {
        calls.backward(call, context(executor, memory->workspace));
        add();
      },
      call);
}

}  // namespace omninorm::bench
