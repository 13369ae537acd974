#include "lab/model/sublayers.h"

#include <algorithm>

namespace omninorm::lab {

at::Tensor rotary_table(std::int64_t context, std::int64_t head_width, at::ScalarType dtype,
                        at::Device device) {
  // Angles in f64: in f32 the phase of a far position is off by more than one rounding.
  const auto options = at::TensorOptions().dtype(at::kDouble);
  const auto exponent = at::arange(0, head_width, 2, options) / static_cast<double>(head_width);
  const auto frequency = at::pow(10000.0, exponent).reciprocal();
  const auto angle = at::outer(at::arange(context, options), frequency);
  const auto table = at::polar(at::ones_like(angle), angle);
  return table.to(device, dtype == at::kDouble ? at::kComplexDouble : at::kComplexFloat);
}

at::Tensor rotate(const at::Tensor& x, const at::Tensor& table) {
  const auto wide = x.scalar_type() == at::kDouble ? x : x.to(at::kFloat);
  const auto pairs = at::view_as_complex(wide.unflatten(-1, {x.size(-1) / 2, 2}));
  // A complex product is the rotation: one pass instead of six, and autograd knows it.
  return at::view_as_real(pairs * table.unsqueeze(1)).flatten(-2).to(x.scalar_type());
}

Attention::Attention(const Settings& settings)
    : heads_(settings.heads), dropout_(settings.dropout) {
  const auto width = settings.width;
  const auto head_width = width / heads_;
  qkv_ = register_parameter("qkv", at::empty({3 * width, width}));
  out_ = register_parameter("out", at::empty({width, width}));
  norm_q_ = norm_k_ = identity;
  if (settings.qk_norm) {
    norm_q_ = make_norm(*this, "norm_q", settings.norm, head_width, settings.norm_eps,
                        settings.norm_groups);
    norm_k_ = make_norm(*this, "norm_k", settings.norm, head_width, settings.norm_eps,
                        settings.norm_groups);
  }
}

const at::Tensor& Attention::rotary(const at::Tensor& x) {
  const bool is_double = x.scalar_type() == at::kDouble;
  const auto dtype = is_double ? at::kComplexDouble : at::kComplexFloat;
  if (!rotary_.defined() || rotary_.size(0) != x.size(1) || rotary_.scalar_type() != dtype ||
      rotary_.device() != x.device()) {
    rotary_ = rotary_table(x.size(1), x.size(3), x.scalar_type(), x.device());
  }
  return rotary_;
}

at::Tensor Attention::forward(const at::Tensor& x) {
  const auto packed = at::linear(x, qkv_).unflatten(-1, {3, heads_, x.size(-1) / heads_});
  const auto parts = packed.unbind(2);
  const auto& table = rotary(parts[0]);
  // Under autocast a norm may return f32 where the projection gave bf16: bring all three together.
  const auto dtype = parts[2].scalar_type();
  const auto q = rotate(norm_q_(parts[0]), table).to(dtype).transpose(1, 2);
  const auto k = rotate(norm_k_(parts[1]), table).to(dtype).transpose(1, 2);
  const auto v = parts[2].transpose(1, 2);
  const auto mixed = at::scaled_dot_product_attention(q, k, v, {}, is_training() ? dropout_ : 0.0,
                                                      /*is_causal=*/true);
  const auto y = at::linear(mixed.transpose(1, 2).flatten(-2), out_);
  return at::dropout(y, dropout_, is_training() && dropout_ > 0);
}

std::int64_t Mlp::hidden_width(const Settings& settings) {
  if (settings.mlp == "swiglu") {
    // 8*width/3 to the nearest multiple of 8.
    return std::max<std::int64_t>(8, (settings.width + 1) / 3 * 8);
  }
  return 4 * settings.width;
}

Mlp::Mlp(const Settings& settings) : gated_(settings.mlp == "swiglu"), dropout_(settings.dropout) {
  const auto hidden = hidden_width(settings);
  up_ = register_parameter("up", at::empty({gated_ ? 2 * hidden : hidden, settings.width}));
  down_ = register_parameter("down", at::empty({settings.width, hidden}));
}

at::Tensor Mlp::forward(const at::Tensor& x) {
  auto h = at::linear(x, up_);
  if (gated_) {
    const auto halves = h.chunk(2, -1);
    h = at::silu(halves[0]) * halves[1];
  } else {
    h = at::gelu(h);
  }
  return at::dropout(at::linear(h, down_), dropout_, is_training() && dropout_ > 0);
}

}  // namespace omninorm::lab
