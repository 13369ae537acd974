// The same Transformer written out a second time, in f64 and in plain formulas: loops over heads,
// softmax by hand, one line for each placement's equation. Shares no code with lab/model.
#pragma once

#include <torch/torch.h>

#include <map>
#include <string>

#include "lab/experiment/settings.h"

namespace omninorm::lab::testing {

using Parameters = std::map<std::string, at::Tensor>;

Parameters parameters_of(const torch::nn::Module& model);

// tokens: batch × context. Returns logits, batch × context × 256, f64.
at::Tensor reference_logits(const Settings& settings, const Parameters& parameters,
                            const at::Tensor& tokens);

}  // namespace omninorm::lab::testing
