#include "lab/model/initialise.h"

#include <ATen/CPUGeneratorImpl.h>

#include <cmath>
#include <string>

#include "lab/model/counter_random.h"
#include "omninorm/error.h"

namespace omninorm::lab {

void initialise(torch::nn::Module& model, std::string_view init, std::int64_t seed) {
  if (init != "normal-0.02" && init != "fan-in") {
    throw Error("[init] expected normal-0.02 or fan-in, got '" + std::string(init) + "'");
  }
  const torch::NoGradGuard no_grad;
  for (auto& parameter : model.named_parameters()) {
    auto& value = parameter.value();
    if (value.dim() < 2) {
      continue;
    }
    const double deviation =
        init == "fan-in" ? 1.0 / std::sqrt(static_cast<double>(value.size(-1))) : 0.02;
    // Always drawn on the CPU in f32, so that no device or dtype changes the start.
    auto generator =
        at::make_generator<at::CPUGeneratorImpl>(random_word(seed, stable_hash(parameter.key())));
    value.copy_(
        at::randn(value.sizes(), generator, at::TensorOptions().dtype(at::kFloat)).mul_(deviation));
  }
}

}  // namespace omninorm::lab
