// A decoder-only Transformer over bytes. Variants of one experiment are built by this one code and
// differ in nothing but their settings; the placement is read from the table in placement.h.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "lab/experiment/settings.h"
#include "lab/model/forward_observer.h"
#include "lab/model/make_norm.h"
#include "lab/model/placement.h"
#include "lab/model/sublayers.h"

namespace omninorm::lab {

inline constexpr std::int64_t kVocabulary = 256;  // bytes

// The norms around one sublayer; identity where the placement has none.
struct SublayerNorms {
  SublayerNorms(torch::nn::Module& parent, const std::string& sublayer, const Placement& placement,
                const Settings& settings);

  Norm before;     // F(N(x))
  Norm after;      // N(F(..))
  Norm after_sum;  // N(x + F(..))
};

class Block : public torch::nn::Module {
 public:
  Block(const Settings& settings, const Placement& placement, std::int64_t index);

  // x: batch × context × width, the residual stream.
  at::Tensor forward(const at::Tensor& x, ForwardObserver* observer);

 private:
  std::int64_t index_;
  std::shared_ptr<Attention> attention_;
  std::shared_ptr<Mlp> mlp_;
  SublayerNorms around_attention_, around_mlp_;
};

class Transformer : public torch::nn::Module {
 public:
  // Parameters are not initialised except the norms' (weight 1, bias 0): see initialise.h.
  explicit Transformer(const Settings& settings);

  // tokens: batch × context, int64, 0..255. Returns logits, batch × context × 256.
  at::Tensor forward(const at::Tensor& tokens, ForwardObserver* observer = nullptr);

 private:
  double dropout_;
  at::Tensor embedding_;  // 256 × width
  at::Tensor output_;     // 256 × width; the embedding itself when tied
  Norm embedding_norm_, final_norm_;
  std::vector<std::shared_ptr<Block>> blocks_;
};

}  // namespace omninorm::lab
