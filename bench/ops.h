// The ops that the benchmark knows: one row each, the library's own functions. A new op is a row
// here and a row in the table of torch_ops.cc.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "omninorm/executor.h"
#include "omninorm/norm.h"

namespace omninorm::bench {

// What of a cell becomes an option of the op.
struct Setup {
  double eps = 0;
  std::int64_t groups = 1;
  bool per_position = false;  // grouped_layer_norm of an image
};

// The arguments of any op.
struct ForwardCall {
  NormForwardArgs args;
  ConstTensor residual;  // add_*
  Tensor sum;            // likewise
  RunningStatistics running;
  Setup setup;
};
struct BackwardCall {
  NormBackwardArgs args;  // x is the sum for add_*
  ConstTensor dsum;       // add_*
  RunningStatistics running;
  Setup setup;
};

struct Calls {
  void (*forward)(const ForwardCall&, const Context&);
  void (*backward)(const BackwardCall&, const Context&);
  std::size_t (*forward_workspace)(const ForwardCall&);
  std::size_t (*backward_workspace)(const BackwardCall&);
};

// Which channels share a statistic.
enum class Grouping : std::uint8_t { whole, groups, channels };

struct Op {
  std::string_view name;
  Grouping grouping = Grouping::whole;
  bool pool_n = false, pool_s = false;  // a statistic is over all images, all positions
  bool rows = false, images = false;    // takes [rows, width], [N, C, spatial...]
  bool centered = true;                 // saves a mean, subtracts it
  bool has_bias = true;
  bool running = false;           // running statistics are given
  bool fixed_statistics = false;  // and are what it normalises with: evaluation
  double eps = 1e-5;
  std::string_view residual{};  // the norm behind the addition; empty: no addition
  std::string_view schema{};    // its torch operator, omninorm::<schema>
  std::string_view compared{};  // with what of PyTorch's, in words
  Calls calls{};
};

std::span<const Op> op_table();

// Throws Error that lists the ops.
const Op& find_op(std::string_view name);

}  // namespace omninorm::bench
