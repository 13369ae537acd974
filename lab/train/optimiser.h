// AdamW (Loshchilov and Hutter, "Decoupled weight decay regularization", 2019) in torch's fused
// step.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <string>
#include <vector>

#include "lab/experiment/settings.h"

namespace omninorm::lab {

inline constexpr double kAdamEps = 1e-8;

struct GradientNorms {
  double total = 0;               // over all parameters
  std::vector<double> parameter;  // in the order of Optimiser::names()
};

class Optimiser {
 public:
  // Decay goes to every matrix, embedding and output layer among them, and to no vector (norm
  // weights and biases).
  Optimiser(torch::nn::Module& model, const Settings& settings);

  const std::vector<std::string>& names() const { return names_; }
  bool decays(std::size_t parameter) const { return parameters_[parameter].dim() >= 2; }

  // Of the gradients as backward left them; a parameter without gradient counts 0.
  GradientNorms gradient_norms() const;

  // One step with gradients scaled by min(1, clip / total): torch divides by the scale inside the
  // fused step, so clipping costs no pass of its own.
  void step(double lr, const GradientNorms& norms);

  // Frees the gradients.
  void zero_grad();

 private:
  struct Group {
    double decay = 0;
    std::vector<at::Tensor> parameters, first_moments, second_moments, step_counts;
  };

  double beta1_, beta2_, clip_;
  std::vector<std::string> names_;
  std::vector<at::Tensor> parameters_;
  Group matrices_, vectors_;
  at::Tensor steps_done_;  // one count shared by all parameters
};

}  // namespace omninorm::lab
