// The schemas of torch.ops.omninorm; what implements them stands in the file of each op.
//
// `op` is what users call: `op_forward` without the saved statistics, on every device. `op_forward`
// and `op_backward` have the kernels and the autograd formulas. A gradient that output_mask leaves
// out is an undefined tensor (Python: None); without a weight it must leave dweight out. Keep the
// defaults of eps as in include/omninorm/.
#include <torch/library.h>

#include "torch/layer_norm.h"
#include "torch/rms_norm.h"

TORCH_LIBRARY(omninorm, library) {
  const std::vector<at::Tag> tags{at::Tag::pt2_compliant_tag};

  library.def(
      "rms_norm(Tensor x, SymInt[] normalized_shape, Tensor? weight=None, Tensor? bias=None, *, "
      "float eps=1e-6, float weight_offset=0., str cast_policy=\"after_weight\", "
      "float partial=1., ScalarType? dtype=None) -> Tensor",
      omninorm::torch_ops::rms_norm_symint, tags);
  library.def(
      "rms_norm_forward(Tensor x, SymInt[] normalized_shape, Tensor? weight=None, "
      "Tensor? bias=None, *, float eps=1e-6, float weight_offset=0., "
      "str cast_policy=\"after_weight\", float partial=1., ScalarType? dtype=None) "
      "-> (Tensor y, Tensor rstd)",
      tags);
  library.def(
      "rms_norm_backward(Tensor x, SymInt[] normalized_shape, Tensor? weight, Tensor rstd, "
      "Tensor dy, *, float eps=1e-6, float weight_offset=0., str cast_policy=\"after_weight\", "
      "float partial=1., ScalarType? affine_dtype=None, bool[3] output_mask=[True, True, True]) "
      "-> (Tensor dx, Tensor dweight, Tensor dbias)",
      tags);

  library.def(
      "layer_norm(Tensor x, SymInt[] normalized_shape, Tensor? weight=None, Tensor? bias=None, *, "
      "float eps=1e-5, float weight_offset=0., str cast_policy=\"after_weight\", "
      "ScalarType? dtype=None) -> Tensor",
      omninorm::torch_ops::layer_norm_symint, tags);
  library.def(
      "layer_norm_forward(Tensor x, SymInt[] normalized_shape, Tensor? weight=None, "
      "Tensor? bias=None, *, float eps=1e-5, float weight_offset=0., "
      "str cast_policy=\"after_weight\", ScalarType? dtype=None) "
      "-> (Tensor y, Tensor mean, Tensor rstd)",
      tags);
  library.def(
      "layer_norm_backward(Tensor x, SymInt[] normalized_shape, Tensor? weight, Tensor mean, "
      "Tensor rstd, Tensor dy, *, float eps=1e-5, float weight_offset=0., "
      "str cast_policy=\"after_weight\", ScalarType? affine_dtype=None, "
      "bool[3] output_mask=[True, True, True]) -> (Tensor dx, Tensor dweight, Tensor dbias)",
      tags);
}
