// The memory of one cell, and the sides that are timed on it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "bench/cell.h"
#include "bench/ops.h"
#include "omninorm/executor.h"
#include "omninorm/tensor.h"

namespace omninorm::bench {

// 64-byte aligned, every page touched, so that no timed call meets a page fault.
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(std::size_t bytes);
  std::byte* data() const { return memory_.get(); }
  std::size_t bytes() const { return bytes_; }

 private:
  struct Free {
    void operator()(std::byte* memory) const { std::free(memory); }
  };
  std::unique_ptr<std::byte, Free> memory_;
  std::size_t bytes_ = 0;
};

// Inputs of one cell; the weights have x's dtype. mean and rstd are what forward saves, and are
// filled for backward.
struct Problem {
  Problem(const Cell& cell, Executor& executor);

  Tensor matrix(const Buffer& buffer) const;      // rows x width of the cell's dtype
  Tensor vector(const Buffer& buffer) const;      // width, likewise
  Tensor statistics(const Buffer& buffer) const;  // rows, f32

  Cell cell;
  const Op& op;
  Buffer x, weight, bias, dy, mean, rstd;
};

// What a side computed, for the check before the timing: y, or dx with dweight and dbias.
struct Outputs {
  ConstTensor matrix;
  ConstTensor dweight, dbias;
  std::shared_ptr<void> keep;  // owns the memory where the side does not
};

struct Side {
  std::string name;  // its key in the JSON file
  std::function<void()> run;
  std::function<Outputs()> outputs;  // empty for the controls
};

// Both copies move moved_bytes(cell) in all, cut over the executor's threads: "copy" by memcpy,
// "copy_streaming" by stores that bypass the caches (on x86; absent elsewhere).
std::vector<Side> copy_sides(const Problem& problem, Executor& executor);

// "threads": an empty task for every thread.
Side handover_side(Executor& executor);

// "omninorm": the C++ API, writing into memory that is kept.
Side library_side(const Problem& problem, Executor& executor);

// The op's formula in double precision, on sampled rows and columns.
class Truth {
 public:
  explicit Truth(const Problem& problem);

  // The largest error of what a side computed, relative to |value| + 1 (for the weights' gradients:
  // to |value| + sqrt(rows)). Infinite where the side gave something that is not finite.
  double largest_error(const Outputs& outputs) const;

 private:
  Cell cell_;
  std::vector<std::int64_t> rows_, columns_;
  std::vector<double> matrix_, dweight_, dbias_;
};

// Errors beyond this mean a wrong answer, not rounding.
double sanity_bound(DType dtype);

}  // namespace omninorm::bench
