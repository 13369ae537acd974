// A call of the C interface made of a fuzzer's bytes: which function, its options, its tensors'
// types, sizes and strides, which of them share memory, and the memory itself, exactly as much as
// the tensors reach.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "omninorm/c.h"

class FuzzedDataProvider;

namespace omninorm::fuzz {

enum Function : int {
  kLayerNorm,
  kRmsNorm,
  kGroupedLayerNorm,
  kGroupNorm,
  kInstanceNorm,
  kBatchNorm,
  kAddRmsNorm,
  kAddLayerNorm,
  kOps,
  kMoments = kOps,
  kMerge,
  kNormalize,
  kBackwardSums,
  kBackwardInput,
  kFunctions,
};

// The tensors of every call; sum is an output of forward and an input of backward.
enum Role : int {
  kX,
  kResidual,
  kSum,
  kWeight,
  kBias,
  kY,
  kMean,
  kRstd,
  kRunningMean,
  kRunningVar,
  kDy,
  kDsum,
  kDx,
  kDweight,
  kDbias,
  kFirst,   // moments.mean, sums.dy
  kSecond,  // moments.m2, sums.dy_xhat
  kOtherFirst,
  kOtherSecond,
  kRoles,
};

struct Operand {
  bool given = false;
  bool output = false;
  bool null = false;           // no memory, where there must be some
  bool misaligned = false;     // by one byte
  Role root = kX;              // whose memory it lies in
  std::int64_t from_root = 0;  // bytes between their first elements
  omninorm_tensor tensor{};

  std::int64_t elements() const;  // -1: more than can be
  std::size_t element() const;
};

struct Call {
  Function function = kLayerNorm;
  bool backward = false;
  bool odd_values = false;  // NaN, Inf, the largest and the smallest among the inputs
  bool grouped_by_channel = false;
  bool evaluation = false;
  int order = 0;      // of tasks; 0: the library's own executor
  int workspace = 0;  // 0: none, 1: what was asked for, 2: a byte less
  std::size_t target = 0;
  std::uint32_t seed = 0;
  std::int64_t count = 0;  // of moments and sums
  std::int64_t other_count = 0;
  std::int64_t batches = 0;
  bool counts_batches = false;
  std::size_t wrong_struct_size = 0;  // 0: the right ones
  int threads = 3;

  omninorm_layer_norm_options layer_norm = OMNINORM_LAYER_NORM_OPTIONS_INIT;
  omninorm_rms_norm_options rms_norm = OMNINORM_RMS_NORM_OPTIONS_INIT;
  omninorm_grouped_layer_norm_options grouped = OMNINORM_GROUPED_LAYER_NORM_OPTIONS_INIT;
  omninorm_group_norm_options group_norm = OMNINORM_GROUP_NORM_OPTIONS_INIT;
  omninorm_instance_norm_options instance_norm = OMNINORM_INSTANCE_NORM_OPTIONS_INIT;
  omninorm_batch_norm_options batch_norm = OMNINORM_BATCH_NORM_OPTIONS_INIT;

  Operand operands[kRoles];

  // Are all tensors small enough to be there?
  bool fits() const;
};

Call read_call(FuzzedDataProvider& bytes);

// The memory of a call's tensors: a block for each that has its own, with not a byte more.
class Memory {
 public:
  explicit Memory(Call& call);  // sets the tensors' data

  std::vector<std::vector<std::byte>> snapshot() const;
  void restore(const std::vector<std::vector<std::byte>>& snapshot);
  // Empty, or what was written: bytes that no element of an output holds, or (`none`) any at all.
  std::string damage(const std::vector<std::vector<std::byte>>& before, bool none) const;

 private:
  struct Block {
    std::unique_ptr<std::byte[]> bytes;
    std::size_t size = 0;
    std::vector<bool> outputs;  // a byte of an output's element
  };
  void allocate(Call& call, Role root);
  void fill(const Call& call);

  std::vector<Block> blocks_;
};

// The elements in row-major order.
std::vector<double> values(const Operand& operand);

}  // namespace omninorm::fuzz
