#include "lab/train/optimiser.h"

#include <algorithm>
#include <cmath>
#include <optional>

namespace omninorm::lab {

Optimiser::Optimiser(torch::nn::Module& model, const Settings& settings)
    : beta1_(settings.beta1), beta2_(settings.beta2), clip_(settings.clip) {
  matrices_.decay = settings.weight_decay;
  for (const auto& item : model.named_parameters()) {
    names_.push_back(item.key());
    parameters_.push_back(item.value());
  }
  if (parameters_.empty()) {
    return;
  }
  steps_done_ = at::zeros({}, parameters_.front().options().dtype(at::kFloat).requires_grad(false));
  for (const auto& parameter : parameters_) {
    Group& group = parameter.dim() >= 2 ? matrices_ : vectors_;
    group.parameters.push_back(parameter);
    group.first_moments.push_back(at::zeros_like(parameter));
    group.second_moments.push_back(at::zeros_like(parameter));
    group.step_counts.push_back(steps_done_);
  }
}

GradientNorms Optimiser::gradient_norms() const {
  std::vector<at::Tensor> gradients;
  for (const auto& parameter : parameters_) {
    const auto& gradient = parameter.grad();
    gradients.push_back(gradient.defined() ? gradient : at::zeros({1}, parameter.options()));
  }
  const auto stacked = at::stack(at::_foreach_norm(gradients)).to(at::kCPU, at::kDouble);
  GradientNorms norms;
  const auto* values = stacked.const_data_ptr<double>();
  norms.parameter.assign(values, values + stacked.numel());
  double sum = 0;
  for (const double norm : norms.parameter) {
    sum += norm * norm;
  }
  norms.total = std::sqrt(sum);
  return norms;
}

void Optimiser::step(double lr, const GradientNorms& norms) {
  const torch::NoGradGuard no_grad;
  steps_done_.add_(1);
  std::optional<at::Tensor> scale;
  if (clip_ > 0 && norms.total > clip_) {
    scale = at::full({}, norms.total / clip_, steps_done_.options());
  }
  for (Group* group : {&matrices_, &vectors_}) {
    std::vector<at::Tensor> gradients;
    std::vector<at::Tensor> parameters, first, second, counts;
    for (std::size_t i = 0; i < group->parameters.size(); ++i) {
      const auto& gradient = group->parameters[i].grad();
      if (gradient.defined()) {
        gradients.push_back(gradient);
        parameters.push_back(group->parameters[i]);
        first.push_back(group->first_moments[i]);
        second.push_back(group->second_moments[i]);
        counts.push_back(group->step_counts[i]);
      }
    }
    if (!gradients.empty()) {
      at::_fused_adamw_(parameters, gradients, first, second, {}, counts, lr, beta1_, beta2_,
                        group->decay, kAdamEps, /*amsgrad=*/false, /*maximize=*/false, scale);
    }
  }
}

void Optimiser::zero_grad() {
  for (auto& parameter : parameters_) {
    parameter.mutable_grad() = at::Tensor();
  }
}

}  // namespace omninorm::lab
