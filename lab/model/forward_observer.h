// What a forward pass shows to whoever wants to see inside. Passed only on the steps that are
// probed; all other steps pay nothing.
#pragma once

#include <ATen/Tensor.h>

#include <cstdint>

namespace omninorm::lab {

enum class Sublayer : std::uint8_t { attention, mlp };

class ForwardObserver {
 public:
  virtual ~ForwardObserver() = default;

  // Just before the sum: `branch` as it is added (after its output norm, if it has one) to
  // `residual`. Both batch × context × width. Blocks count from 0.
  virtual void on_branch(std::int64_t block, Sublayer sublayer, const at::Tensor& residual,
                         const at::Tensor& branch) = 0;

  // The residual stream as it leaves a block: batch × context × width.
  virtual void on_block(std::int64_t block, const at::Tensor& residual) = 0;

  // What enters the output layer: batch × context × width.
  virtual void on_output(const at::Tensor& x) = 0;
};

}  // namespace omninorm::lab
