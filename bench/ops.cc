#include "bench/ops.h"

#include <fmt/format.h>

#include <string>

#include "omninorm/omninorm.h"

namespace omninorm::bench {
namespace {

const Op kOps[] = {
    {"layer_norm", true, true, 1e-5,
     [](const NormForwardArgs& args, double eps, const Context& context) {
       layer_norm_forward(args, {.eps = eps}, context);
     },
     [](const NormBackwardArgs& args, double eps, const Context& context) {
       layer_norm_backward(args, {.eps = eps}, context);
     },
     [](const NormForwardArgs& args) { return layer_norm_forward_workspace(args); },
     [](const NormBackwardArgs& args) { return layer_norm_backward_workspace(args); }},
    {"rms_norm", false, false, 1e-6,
     [](const NormForwardArgs& args, double eps, const Context& context) {
       rms_norm_forward(args, {.eps = eps}, context);
     },
     [](const NormBackwardArgs& args, double eps, const Context& context) {
       rms_norm_backward(args, {.eps = eps}, context);
     },
     [](const NormForwardArgs& args) { return rms_norm_forward_workspace(args); },
     [](const NormBackwardArgs& args) { return rms_norm_backward_workspace(args); }},
};

}  // namespace

std::span<const Op> op_table() { return kOps; }

const Op& find_op(std::string_view name) {
  std::string known;
  for (const Op& op : kOps) {
    if (op.name == name) return op;
    known += known.empty() ? "" : ", ";
    known += op.name;
  }
  throw Error(fmt::format("[bench] expected an op out of {}, got '{}'", known, name));
}

}  // namespace omninorm::bench
