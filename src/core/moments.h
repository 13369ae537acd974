// Statistics beyond one kernel call: running ones, and those of a batch in parts.
#pragma once

#include <cstddef>
#include <cstdint>

#include "omninorm/batch_norm.h"
#include "src/core/norm_build.h"

namespace omninorm::internal {

// What a training call updates; mean not given: nothing.
struct Running {
  Tensor mean{};
  Tensor var{};
  double momentum = 0;
};

// Those of the running statistics that this call updates, checked: the weight of the new value is
// `momentum`, or one over the number of batches where there is none.
Running running_to_update(const char* op, const RunningStatistics& running,
                          const std::optional<double>& momentum);

// launch(), then running statistics updated from mean and variance, which are kept in f64 in the
// workspace until then. A problem without elements leaves them alone.
void launch_training(const NormForward& problem, const Running& running, const Context& context);
std::size_t training_workspace_bytes(const NormForward& problem, const Running& running);

// launch() with the statistics of `moments`, and running statistics updated from them.
void launch_normalize(const NormForward& problem, const BatchNormMoments& moments,
                      const Running& running, const Context& context);
std::size_t normalize_workspace_bytes(const NormForward& problem);

// The problem's outputs mean and variance are those of `moments`; turns variance into m2.
void launch_moments(const NormForward& problem, BatchNormMoments& moments, const Context& context);

// launch() with messages about the workspace that name batch_norm_<call>_workspace().
void launch_part(const NormBackward& problem, const char* call, const Context& context);

// Elements that share statistics.
std::int64_t pooled_elements(const NormView& view);

// What the builder gets to see of running statistics: inputs in evaluation, where they must be
// given, else outputs.
ForwardExtras running_extras(const char* op, const RunningStatistics& running, bool evaluates);
BackwardExtras given_extras(const char* op, const RunningStatistics& running, bool evaluates);

// One more batch, if it has elements.
void count_batch(const RunningStatistics& running, std::int64_t elements);

// Each throws Error. One value has no variance (`shape` is what the message shows); mean and m2
// must be alike f64 [C], `name` being the argument's; moments and sums of a whole batch cover at
// least the part at hand.
void check_spread(const NormView& view, const char* op, const ConstTensor& x);
void check_moments(const char* op, const char* name, const BatchNormMoments& moments);
void check_whole(const NormView& view, const char* op, const BatchNormMoments& moments);
void check_whole(const NormView& view, const char* op, const BatchNormSums& total);

}  // namespace omninorm::internal
