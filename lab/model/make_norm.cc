#include "lab/model/make_norm.h"

#include "omninorm/error.h"
#include "torch/modules.h"

namespace omninorm::lab {

at::Tensor identity(const at::Tensor& x) { return x; }

Norm make_norm(torch::nn::Module& parent, const std::string& name, const std::string& choice,
               std::int64_t width, double eps, std::int64_t groups) {
  const auto registered = [&](const auto& norm) -> Norm {
    return [norm = parent.register_module(name, norm)](const at::Tensor& x) {
      return norm->forward(x);
    };
  };
  if (choice == "rms_norm") return registered(RMSNorm(RMSNormModuleOptions(width).eps(eps)));
  if (choice == "layer_norm") return registered(LayerNorm(LayerNormModuleOptions(width).eps(eps)));
  if (choice == "grouped_layer_norm") {
    return registered(GroupedLayerNorm(GroupedLayerNormModuleOptions(groups, width).eps(eps)));
  }
  if (choice == "none") {
    return identity;
  }
  throw Error("[norm] expected rms_norm, layer_norm, grouped_layer_norm or none, got '" + choice +
              "'");
}

}  // namespace omninorm::lab
