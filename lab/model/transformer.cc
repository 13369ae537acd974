#include "lab/model/transformer.h"

#include <string>

namespace omninorm::lab {
namespace {

Norm norm_if(bool wanted, torch::nn::Module& parent, const std::string& name,
             const Settings& settings) {
  return wanted ? make_norm(parent, name, settings.norm, settings.width, settings.norm_eps,
                            settings.norm_groups)
                : Norm(identity);
}

// One sublayer in the residual stream, for every placement.
template <class F>
at::Tensor residual_step(const at::Tensor& x, F& sublayer, const SublayerNorms& norms,
                         std::int64_t block, Sublayer kind, ForwardObserver* observer) {
  const at::Tensor branch = norms.after(sublayer.forward(norms.before(x)));
  if (observer != nullptr) {
    observer->on_branch(block, kind, x, branch);
  }
  return norms.after_sum(x + branch);
}

}  // namespace

SublayerNorms::SublayerNorms(torch::nn::Module& parent, const std::string& sublayer,
                             const Placement& placement, const Settings& settings)
    : before(norm_if(placement.before_sublayer, parent, "norm_before_" + sublayer, settings)),
      after(norm_if(placement.after_sublayer, parent, "norm_after_" + sublayer, settings)),
      after_sum(norm_if(placement.after_sum, parent, "norm_after_sum_" + sublayer, settings)) {}

Block::Block(const Settings& settings, const Placement& placement, std::int64_t index)
    : index_(index),
      attention_(register_module("attention", std::make_shared<Attention>(settings))),
      mlp_(register_module("mlp", std::make_shared<Mlp>(settings))),
      around_attention_(*this, "attention", placement, settings),
      around_mlp_(*this, "mlp", placement, settings) {}

at::Tensor Block::forward(const at::Tensor& x, ForwardObserver* observer) {
  const auto h =
      residual_step(x, *attention_, around_attention_, index_, Sublayer::attention, observer);
  auto y = residual_step(h, *mlp_, around_mlp_, index_, Sublayer::mlp, observer);
  if (observer != nullptr) {
    observer->on_block(index_, y);
  }
  return y;
}

Transformer::Transformer(const Settings& settings) : dropout_(settings.dropout) {
  const Placement& placement = find_placement(settings.placement);
  embedding_ = register_parameter("embedding", at::empty({kVocabulary, settings.width}));
  embedding_norm_ = norm_if(settings.embedding_norm, *this, "embedding_norm", settings);
  for (std::int64_t i = 0; i < settings.layers; ++i) {
    blocks_.push_back(register_module("block" + std::to_string(i),
                                      std::make_shared<Block>(settings, placement, i)));
  }
  final_norm_ = norm_if(placement.final_norm, *this, "final_norm", settings);
  if (!settings.tied) {
    output_ = register_parameter("output", at::empty({kVocabulary, settings.width}));
  }
}

at::Tensor Transformer::forward(const at::Tensor& tokens, ForwardObserver* observer) {
  auto x = embedding_norm_(at::embedding(embedding_, tokens));
  x = at::dropout(x, dropout_, is_training() && dropout_ > 0);
  for (const auto& block : blocks_) {
    x = block->forward(x, observer);
  }
  x = final_norm_(x);
  if (observer != nullptr) {
    observer->on_output(x);
  }
  return at::linear(x, output_.defined() ? output_ : embedding_);
}

}  // namespace omninorm::lab
