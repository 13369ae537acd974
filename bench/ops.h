// The ops that the benchmark knows: one row each, the library's own functions. A new op is a row
// here and a row in the table of torch_backend.cc.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

#include "omninorm/executor.h"
#include "omninorm/norm.h"

namespace omninorm::bench {

struct Op {
  std::string_view name;
  bool centered;  // saves a mean, subtracts it
  bool has_bias;
  double eps;
  void (*forward)(const NormForwardArgs&, double eps, const Context&);
  void (*backward)(const NormBackwardArgs&, double eps, const Context&);
  std::size_t (*forward_workspace)(const NormForwardArgs&);
  std::size_t (*backward_workspace)(const NormBackwardArgs&);
};

std::span<const Op> op_table();

// Throws Error that lists the ops.
const Op& find_op(std::string_view name);

}  // namespace omninorm::bench
