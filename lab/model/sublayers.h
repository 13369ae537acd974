// The two sublayers of a block, F in the placements' equations. Neither knows where the norms
// stand.
#pragma once

#include <torch/torch.h>

#include <cstdint>

#include "lab/experiment/settings.h"
#include "lab/model/make_norm.h"

namespace omninorm::lab {

// cos and sin of the rotary positions (Su et al., "RoFormer", 2021): context × head_width/2,
// complex, entry [t][i] = exp(i * t * 10000^(-2i/head_width)). Neighbouring entries 2i, 2i+1 form a
// pair.
at::Tensor rotary_table(std::int64_t context, std::int64_t head_width, at::ScalarType dtype,
                        at::Device device);

// Rotates x (batch × context × heads × head_width) by the table. 16-bit input is rotated in f32 and
// rounded once.
at::Tensor rotate(const at::Tensor& x, const at::Tensor& table);

// Causal self-attention with rotary positions. One matmul makes q, k and v. No biases.
class Attention : public torch::nn::Module {
 public:
  explicit Attention(const Settings& settings);

  // x: batch × context × width.
  at::Tensor forward(const at::Tensor& x);

 private:
  // The table for x's rows, kept from call to call.
  const at::Tensor& rotary(const at::Tensor& x);

  std::int64_t heads_;
  double dropout_;
  at::Tensor qkv_;        // 3*width × width: rows q, k, v, each heads × head_width
  at::Tensor out_;        // width × width
  Norm norm_q_, norm_k_;  // over each head; identity without qk_norm
  at::Tensor rotary_;
};

// GELU: down(gelu(up(x))), hidden 4*width. SwiGLU: down(silu(gate(x)) * up(x)), gate and up in one
// matmul, hidden 8*width/3 rounded to a multiple of 8, so that both have nearly the same number of
// parameters. No biases.
class Mlp : public torch::nn::Module {
 public:
  explicit Mlp(const Settings& settings);

  at::Tensor forward(const at::Tensor& x);

  static std::int64_t hidden_width(const Settings& settings);

 private:
  bool gated_;
  double dropout_;
  at::Tensor up_;    // hidden × width; SwiGLU: 2*hidden × width, gate first
  at::Tensor down_;  // width × hidden
};

}  // namespace omninorm::lab
