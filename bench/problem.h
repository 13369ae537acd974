// The memory of one cell, and the sides that are timed on it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bench/cell.h"
#include "bench/ops.h"
#include "bench/view.h"
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
// filled for backward. Where a residual is added, backward's x is the sum.
struct Problem {
  Problem(const Cell& cell, Executor& executor);

  bool forward() const { return cell.direction == Direction::forward; }

  Tensor matrix(const Buffer& buffer) const;      // x's shape, layout and dtype
  Tensor vector(const Buffer& buffer) const;      // [channels] (width), likewise
  Tensor statistics(const Buffer& buffer) const;  // as forward saves them, f32
  Tensor channels(const Buffer& buffer) const;    // [channels], f32
  RunningStatistics running() const;

  Cell cell;
  const Op& op;
  View view;
  Setup setup;
  std::size_t moved_bytes = 0;
  Buffer x, residual, weight, bias, dy, dsum, mean, rstd, running_mean, running_var;
};

// What a side computed, for the check before the timing: y and the sum, or dx, dweight and dbias.
struct Outputs {
  ConstTensor matrix{};  // y or dx
  ConstTensor sum{};
  ConstTensor dweight{}, dbias{};
  std::shared_ptr<void> keep{};  // owns the memory where the side does not
};

struct Side {
  std::string name;  // its key in the JSON file
  std::function<void()> run;
  std::function<Outputs()> outputs;  // empty for the controls
};

// Both copies move problem.moved_bytes in all, cut over the executor's threads: "copy" by memcpy,
// "copy_streaming" by stores that bypass the caches (on x86; absent elsewhere).
std::vector<Side> copy_sides(const Problem& problem, Executor& executor);

// "threads": an empty task for every thread.
Side handover_side(Executor& executor);

// "omninorm": the C++ API, writing into memory that is kept.
Side library_side(const Problem& problem, Executor& executor);

// "omninorm_kernel", for one row of layer_norm and rms_norm: what the C++ API leads to, without its
// checks. Else none.
std::optional<Side> kernel_side(const Problem& problem, Executor& executor);

// "omninorm_separate", for add_*: an addition and our norm without it, into memory that is kept.
// MakeAdd gives what computes out = a + b.
using MakeAdd = std::function<std::function<void()>(Tensor out, Tensor a, Tensor b)>;
Side separate_side(const Problem& problem, Executor& executor, const MakeAdd& make_add);

// The op's formula in double precision, on sampled rows and columns.
class Truth {
 public:
  explicit Truth(const Problem& problem);

  // The largest error of what a side computed, relative to |value| + 1 (for the weights' gradients:
  // to |value| + the root of how many terms they sum). Infinite where the side gave something that
  // is not finite or left out what it had to give.
  double largest_error(const Outputs& outputs) const;

 private:
  // One element of y or dx (and of the sum), or one channel of dweight and dbias.
  struct Element {
    std::int64_t n, channel, s;
    double value, sum;
  };
  struct Channel {
    std::int64_t index;
    double dweight, dbias;
  };

  void look_at_sets(const Problem& problem);
  void look_at_channels(const Problem& problem);

  Cell cell_;
  bool has_sum_ = false, has_dbias_ = false;
  double terms_ = 1;  // of a weight's gradient
  std::vector<Element> elements_;
  std::vector<Channel> channels_;
};

// Errors beyond this mean a wrong answer, not rounding.
double sanity_bound(DType dtype);

}  // namespace omninorm::bench
