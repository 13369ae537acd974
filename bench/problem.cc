#include "bench/problem.h"

#include <fmt/format.h>

#include <bit>
#include <cstring>
#include <new>

#include "omninorm/dtype.h"

namespace omninorm::bench {
namespace {

// Uniform with mean `center` and standard deviation about 1: cheap, and no norm cares for the tail.
void fill(const Buffer& buffer, DType dtype, float center, std::uint64_t seed) {
  const std::size_t count = buffer.bytes() / size_of(dtype);
  std::uint64_t state = seed * 0x9E3779B97F4A7C15u + 1;
  for (std::size_t i = 0; i < count; ++i) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    const float uniform = static_cast<float>(state >> 40) * 0x1p-24f;  // [0, 1)
    const float value = center + (uniform - 0.5f) * 3.4f;
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

}  // namespace

Buffer::Buffer(std::size_t bytes) : bytes_(bytes) {
  const std::size_t rounded = (bytes + 63) / 64 * 64;
  memory_.reset(static_cast<std::byte*>(std::aligned_alloc(64, rounded == 0 ? 64 : rounded)));
  if (!memory_) throw std::bad_alloc();
  std::memset(memory_.get(), 0, bytes);
}

Problem::Problem(const Cell& the_cell, Executor& executor)
    : cell(the_cell), op(find_op(the_cell.op)) {
  const std::size_t matrix_bytes = operand_bytes(cell);
  const std::size_t vector_bytes = static_cast<std::size_t>(cell.shape.width) * size_of(cell.dtype);
  x = Buffer(matrix_bytes);
  fill(x, cell.dtype, 0.25f, 1);
  weight = Buffer(vector_bytes);
  fill(weight, cell.dtype, 1.0f, 2);
  bias = Buffer(vector_bytes);
  fill(bias, cell.dtype, 0.0f, 3);
  if (cell.direction == Direction::forward) return;

  dy = Buffer(matrix_bytes);
  fill(dy, cell.dtype, 0.0f, 4);
  const std::size_t statistics_bytes = static_cast<std::size_t>(cell.shape.rows) * sizeof(float);
  mean = Buffer(statistics_bytes);
  rstd = Buffer(statistics_bytes);
  const Buffer y(matrix_bytes);
  NormForwardArgs args;
  args.x = matrix(x);
  args.weight = vector(weight);
  args.y = matrix(y);
  if (op.centered) args.mean = statistics(mean);
  args.rstd = statistics(rstd);
  op.forward(args, op.eps, {.executor = &executor});
}

Tensor Problem::matrix(const Buffer& buffer) const {
  const std::int64_t sizes[] = {cell.shape.rows, cell.shape.width};
  return {buffer.data(), cell.dtype, sizes, {}};
}

Tensor Problem::vector(const Buffer& buffer) const {
  const std::int64_t sizes[] = {cell.shape.width};
  return {buffer.data(), cell.dtype, sizes, {}};
}

Tensor Problem::statistics(const Buffer& buffer) const {
  const std::int64_t sizes[] = {cell.shape.rows};
  return {buffer.data(), DType::f32, sizes, {}};
}

Side library_side(const Problem& problem, Executor& executor) {
  struct Memory {
    Buffer matrix, dweight, dbias, mean, rstd, workspace;
  };
  const auto memory = std::make_shared<Memory>();
  memory->matrix = Buffer(problem.x.bytes());
  const auto context = [memory, &executor] {
    return Context{.executor = &executor,
                   .workspace = {memory->workspace.data(), memory->workspace.bytes()}};
  };
  Side side{"omninorm", {}, {}};
  Outputs outputs{.matrix = problem.matrix(memory->matrix), .dweight = {}, .dbias = {}, .keep = {}};
  if (problem.cell.direction == Direction::forward) {
    const std::size_t bytes = static_cast<std::size_t>(problem.cell.shape.rows) * sizeof(float);
    memory->rstd = Buffer(bytes);
    NormForwardArgs args;
    args.x = problem.matrix(problem.x);
    args.weight = problem.vector(problem.weight);
    if (problem.op.has_bias) args.bias = problem.vector(problem.bias);
    args.y = problem.matrix(memory->matrix);
    if (problem.op.centered) {
      memory->mean = Buffer(bytes);
      args.mean = problem.statistics(memory->mean);
    }
    args.rstd = problem.statistics(memory->rstd);
    memory->workspace = Buffer(problem.op.forward_workspace(args));
    side.run = [args, context, &op = problem.op] { op.forward(args, op.eps, context()); };
  } else {
    NormBackwardArgs args;
    args.x = problem.matrix(problem.x);
    args.weight = problem.vector(problem.weight);
    if (problem.op.centered) args.mean = problem.statistics(problem.mean);
    args.rstd = problem.statistics(problem.rstd);
    args.dy = problem.matrix(problem.dy);
    args.dx = problem.matrix(memory->matrix);
    memory->dweight = Buffer(problem.weight.bytes());
    args.dweight = problem.vector(memory->dweight);
    outputs.dweight = args.dweight;
    if (problem.op.has_bias) {
      memory->dbias = Buffer(problem.weight.bytes());
      args.dbias = problem.vector(memory->dbias);
      outputs.dbias = args.dbias;
    }
    memory->workspace = Buffer(problem.op.backward_workspace(args));
    side.run = [args, context, &op = problem.op] { op.backward(args, op.eps, context()); };
  }
  side.outputs = [run = side.run, outputs] {
    run();
    return outputs;
  };
  return side;
}

}  // namespace omninorm::bench
