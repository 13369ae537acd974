// What all norms share: their arguments and the options that differ between projects.
//
//   y = (x - mean) * rstd * (weight + weight_offset) + bias,   rstd = 1 / sqrt(m2 + eps)
//
// with mean = 0 for the uncentred norms, and m2 the biased variance, or the mean square when not
// centred. All sums are taken in fp32 or wider, whatever the dtype of x. Without a weight its
// factor is 1, whatever weight_offset says. Rows without elements are left alone: mean 0, rstd 1 /
// sqrt(eps).
#pragma once

#include <cstdint>

#include "omninorm/tensor.h"

namespace omninorm {

// Where 16-bit inputs are rounded. No effect on f32 and f64.
enum class CastPolicy : std::uint8_t {
  after_weight,   // all in fp32, one rounding at the end (Gemma, OLMo2)
  before_weight,  // (x - mean) * rstd rounded to the dtype of x, then times weight (Llama, Qwen3);
                  // dweight uses the rounded value, dx passes the rounding straight through
};

// What stands behind the affine part of batch_norm, group_norm and instance_norm, applied in fp32
// or wider before y is rounded. Backward multiplies dy by its derivative; relu's at 0 is 0, and a
// NaN goes through relu as a NaN.
enum class Activation : std::uint8_t {
  none,
  relu,  // max(z, 0)
  silu,  // z / (1 + exp(-z)); at an infinity, with its slope, what it comes to there
};

// Forward. "rows" below are the leading dimensions of x.
struct NormForwardArgs {
  ConstTensor x{};       // f32, bf16, f16 or f64; any strides
  ConstTensor weight{};  // optional: the normalised shape; f32 or the dtype of x (f64 with f64)
  ConstTensor bias{};    // optional: likewise, of weight's dtype
  Tensor y{};     // shape of x; dtype of x, or of weight where that is wider. May be x itself.
  Tensor mean{};  // optional output: rows, f32 (f64 for f64 x). Centred norms only.
  Tensor rstd{};  // optional output: rows, f32 (f64 for f64 x)
};

// Backward of y with respect to x, weight and bias, given what forward saved.
struct NormBackwardArgs {
  ConstTensor x{};
  ConstTensor weight{};  // optional, as in forward
  ConstTensor bias{};    // likewise; read only where an activation stands behind the norm
  ConstTensor mean{};    // centred norms: what forward saved
  ConstTensor rstd{};    // what forward saved
  ConstTensor dy{};      // shape and dtype of y
  Tensor dx{};       // optional output: shape and dtype of x. May be dy itself where dtypes match.
  Tensor dweight{};  // optional output, with weight: its shape; f32 or the dtype of weight
  Tensor dbias{};    // optional output: likewise. Sums over rows are taken in fp32 or wider.
};

// Running statistics of batch_norm and instance_norm. Training blends a batch into them,
// running = (1 - momentum) * running + momentum * batch, with the unbiased variance of the batch;
// evaluation normalises with them. A call without elements leaves them alone.
struct RunningStatistics {
  Tensor mean{};  // [C], f32 (f64 for f64 x); given together with var or not at all
  Tensor var{};   // likewise
  std::int64_t* num_batches_tracked = nullptr;  // counted up by training where given
};

}  // namespace omninorm
