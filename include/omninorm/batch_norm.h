// Batch norm (Ioffe and Szegedy, "Batch Normalization", ICML 2015), and its parts for batches that
// are spread over processes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "omninorm/executor.h"
#include "omninorm/norm.h"

namespace omninorm {

struct BatchNormOptions {
  double eps = 1e-5;  // inside the square root; >= 0. Never tied to the dtype.
  // Weight of the new value in the running statistics, 0 to 1; none: the average of all batches,
  // which needs RunningStatistics::num_batches_tracked.
  std::optional<double> momentum = 0.1;
  bool training = true;        // false, evaluation: normalise with the running statistics
  double weight_offset = 0.0;  // 1 for zero-centred gamma
  Activation activation = Activation::none;
};

// x [N, C] or [N, C, spatial...], any number of spatial dimensions, with strides that say how it
// lies in memory: channels-last is an [N, C, H, W] whose stride along C is 1.
//
// y = activation((x - mean) * rstd * (weight + weight_offset) + bias), mean and biased variance
// over all images and positions of one channel. weight and bias [C]; saves mean and rstd [C] when
// given. Running statistics are optional; one value per channel is an Error, since it has no
// variance.
//
// In evaluation mean and variance are the running ones, which must be given and are only read.
//
// Throws Error.
void batch_norm_forward(const NormForwardArgs& args, const RunningStatistics& running = {},
                        const BatchNormOptions& options = {}, const Context& context = {});

// Fills those of dx, dweight and dbias that are given. With an activation, weight and bias must be
// those of forward. `running` is read in evaluation, where mean and rstd are left out. Throws
// Error.
void batch_norm_backward(const NormBackwardArgs& args, const RunningStatistics& running = {},
                         const BatchNormOptions& options = {}, const Context& context = {});

// Bytes of workspace that the call with these arguments uses (pointers are not read).
std::size_t batch_norm_forward_workspace(const NormForwardArgs& args,
                                         const RunningStatistics& running = {},
                                         const BatchNormOptions& options = {});
std::size_t batch_norm_backward_workspace(const NormBackwardArgs& args,
                                          const RunningStatistics& running = {},
                                          const BatchNormOptions& options = {});

// A batch in parts ("shards": a process each, say), of any sizes, none included. Each process:
//
//   batch_norm_moments(its x) -> the processes exchange moments, each calls merge_moments for all
//   in the same order -> batch_norm_normalize(its x, the merged moments)
//   batch_norm_backward_sums(its x, dy) -> the processes add up count, dy and dy_xhat ->
//   batch_norm_backward_input(its x, dy, the totals)

// Count, mean and sum of squared deviations from it, of each channel.
struct BatchNormMoments {
  std::int64_t count = 0;  // values per channel
  Tensor mean{};           // [C], f64
  Tensor m2{};             // likewise
};

// Fills `moments`, whose tensors the caller provides. Without elements all are 0. Throws Error.
void batch_norm_moments(const ConstTensor& x, BatchNormMoments& moments,
                        const Context& context = {});
std::size_t batch_norm_moments_workspace(const ConstTensor& x);

// `into` becomes the moments of both batches together (Chan, Golub and LeVeque, 1979). A part
// without elements changes nothing, to the bit. Throws Error.
void merge_moments(BatchNormMoments& into, const BatchNormMoments& other);

// Training's forward with the moments of the whole batch: y, mean, rstd, and the running statistics
// where given. Throws Error.
void batch_norm_normalize(const NormForwardArgs& args, const BatchNormMoments& moments,
                          const RunningStatistics& running = {},
                          const BatchNormOptions& options = {}, const Context& context = {});
std::size_t batch_norm_normalize_workspace(const NormForwardArgs& args,
                                           const BatchNormOptions& options = {});

// With dy taken back through the activation, and xhat = (x - mean) * rstd.
struct BatchNormSums {
  std::int64_t count = 0;  // values per channel
  Tensor dy{};             // sum of dy, [C], f64
  Tensor dy_xhat{};        // sum of dy * xhat, likewise
};

// Fills `sums`, whose tensors the caller provides, from x, weight, bias, mean, rstd and dy. They
// are the gradients of bias and weight from this part of the batch, too. Throws Error.
void batch_norm_backward_sums(const NormBackwardArgs& args, BatchNormSums& sums,
                              const BatchNormOptions& options = {}, const Context& context = {});
std::size_t batch_norm_backward_sums_workspace(const NormBackwardArgs& args,
                                               const BatchNormOptions& options = {});

// Fills dx from the sums of the whole batch, and those of dweight and dbias that are given from
// this part of it. Throws Error.
void batch_norm_backward_input(const NormBackwardArgs& args, const BatchNormSums& total,
                               const BatchNormOptions& options = {}, const Context& context = {});
std::size_t batch_norm_backward_input_workspace(const NormBackwardArgs& args,
                                                const BatchNormOptions& options = {});

}  // namespace omninorm
