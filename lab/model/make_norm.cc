#include "lab/model/make_norm.h"

#include "omninorm/error.h"
#include "torch/modules.h"

namespace omninorm::lab {

at::Tensor identity(const at::Tensor& x) { return x; }

Norm make_norm(torch::nn::Module& parent, const std::string& name, const std::string& choice,
               std::int64_t width, double eps) {
  if (choice == "rms_norm") {
    const RMSNorm norm(RMSNormModuleOptions(width).eps(eps));
    return [norm = parent.register_module(name, norm)](const at::Tensor& x) {
      return norm->forward(x);
    };
  }
  if (choice == "layer_norm") {
    const LayerNorm norm(LayerNormModuleOptions(width).eps(eps));
    return [norm = parent.register_module(name, norm)](const at::Tensor& x) {
      return norm->forward(x);
    };
  }
  if (choice == "none") {
    return identity;
  }
  throw Error("[norm] expected rms_norm, layer_norm or none, got '" + choice + "'");
}

}  // namespace omninorm::lab
