// What is measured inside the model on every K-th step; the record is described in docs/runs.md.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "lab/model/forward_observer.h"

namespace omninorm::lab {

// The largest finite FP16 number.
inline constexpr double kMaxFloat16 = 65504;

// Watches one forward pass.
class Probe : public ForwardObserver {
 public:
  explicit Probe(std::int64_t layers);

  void on_branch(std::int64_t block, Sublayer sublayer, const at::Tensor& residual,
                 const at::Tensor& branch) override;
  void on_block(std::int64_t block, const at::Tensor& residual) override;
  void on_output(const at::Tensor& x) override;

  // Puts each block's gradient norm into its layer: norms[i] belongs to the parameter names[i].
  void add_gradients(const std::vector<std::string>& names, const std::vector<double>& norms);

  // What the calls above took, in seconds.
  double seconds() const { return seconds_; }

  // {"layers": [...], "output": {...}}
  nlohmann::json record() const;

 private:
  nlohmann::json layers_ = nlohmann::json::array();
  nlohmann::json output_ = nlohmann::json::object();
  double seconds_ = 0;
};

}  // namespace omninorm::lab
