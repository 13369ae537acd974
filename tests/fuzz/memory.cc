#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "omninorm/dtype.h"
#include "tests/fuzz/call.h"

namespace omninorm::fuzz {
namespace {

// Small enough for thousands of calls a second.
constexpr std::int64_t kMostElements = 4096;
constexpr std::int64_t kMostBytes = std::int64_t{1} << 20;

using Wide = __int128;
constexpr Wide kFar = kMostBytes * 2;  // as good as any that is further

std::size_t rank_of(const omninorm_tensor& tensor) {
  return static_cast<std::size_t>(std::clamp<std::int32_t>(tensor.rank, 0, OMNINORM_MAX_RANK));
}

// Bytes from the first element to the lowest and behind the highest one.
struct Reach {
  Wide low = 0, high = 0;
};

Reach reach(const Operand& operand) {
  Reach result;
  if (operand.elements() == 0) return result;
  const Wide element = static_cast<Wide>(operand.element());
  result.high = element;
  for (std::size_t i = 0; i < rank_of(operand.tensor); ++i) {
    const Wide elements = static_cast<Wide>(operand.tensor.strides[i]) *
                          (static_cast<Wide>(operand.tensor.sizes[i]) - 1);
    (elements < 0 ? result.low : result.high) += std::clamp(elements, -kFar, kFar) * element;
  }
  return result;
}

// Calls use(offset in bytes) for each element, row-major.
template <class Use>
void for_each_element(const Operand& operand, const Use& use) {
  const std::int64_t count = operand.elements();
  const omninorm_tensor& tensor = operand.tensor;
  for (std::int64_t i = 0; i < count; ++i) {
    std::int64_t rest = i, offset = 0;
    for (std::size_t dim = rank_of(tensor); dim-- > 0;) {
      offset += rest % tensor.sizes[dim] * tensor.strides[dim];
      rest /= tensor.sizes[dim];
    }
    use(i, offset * static_cast<std::int64_t>(operand.element()));
  }
}

double load(const std::byte* from, std::int32_t dtype) {
  const auto as = [&]<class T>(T value) {
    std::memcpy(&value, from, sizeof value);
    return value;
  };
  switch (dtype) {
    case OMNINORM_BF16:
      return static_cast<double>(to_float(as(bfloat16{})));
    case OMNINORM_F16:
      return static_cast<double>(to_float(as(float16{})));
    case OMNINORM_F64:
      return as(0.0);
    default:
      return static_cast<double>(as(0.0f));
  }
}

void store(std::byte* to, std::int32_t dtype, double value) {
  const auto put = [&](auto bits) { std::memcpy(to, &bits, sizeof bits); };
  const auto single = static_cast<float>(value);
  switch (dtype) {
    case OMNINORM_BF16:
      return put(to_bfloat16(single));
    case OMNINORM_F16:
      return put(to_float16(single));
    case OMNINORM_F64:
      return put(value);
    default:
      return put(single);
  }
}

// Numbers that every type holds and whose sums fp32 holds; variances and rstds are powers of 4, so
// that nothing is near a tie that it is not on.
double number(Role role, bool odd, std::uint32_t& state) {
  state = state * 1664525u + 1013904223u;
  const std::uint32_t random = state >> 16;
  if (role == kRstd || role == kRunningVar) {
    static constexpr double kPositive[] = {0.25, 1, 4};
    if (!odd || random % 8 != 0) return kPositive[random % 3];
  }
  if (odd && random % 16 == 0) {
    static constexpr double kOdd[] = {std::numeric_limits<double>::quiet_NaN(),
                                      std::numeric_limits<double>::infinity(),
                                      -std::numeric_limits<double>::infinity(),
                                      3e38,
                                      -1e30,
                                      1e-30,
                                      1e-42,
                                      0.0};
    return kOdd[random / 16 % std::size(kOdd)];
  }
  return (static_cast<double>(random % 17) - 8) / 4;
}

}  // namespace

std::size_t Operand::element() const {
  switch (tensor.dtype) {
    case OMNINORM_BF16:
    case OMNINORM_F16:
      return 2;
    case OMNINORM_F32:
      return 4;
    default:
      return 8;
  }
}

std::int64_t Operand::elements() const {
  Wide count = 1;
  for (std::size_t i = 0; i < rank_of(tensor); ++i) {
    if (tensor.sizes[i] <= 0) return 0;
    if (count <= kMostBytes) count *= tensor.sizes[i];
  }
  return count > kMostBytes ? -1 : static_cast<std::int64_t>(count);
}

bool Call::fits() const {
  return std::all_of(std::begin(operands), std::end(operands), [](const Operand& operand) {
    if (!operand.given) return true;
    const std::int64_t count = operand.elements();
    const Reach far = reach(operand);
    return count >= 0 && count <= kMostElements && far.high - far.low <= kMostBytes;
  });
}

Memory::Memory(Call& call) {
  for (int role = 0; role < kRoles; ++role) allocate(call, static_cast<Role>(role));
  fill(call);
}

// The block of all tensors that lie in the memory of `root`.
void Memory::allocate(Call& call, Role root) {
  Wide low = 0, high = 0;
  bool misaligned = false;
  for (const Operand& operand : call.operands) {
    if (!operand.given || operand.root != root) continue;
    const Reach far = reach(operand);
    low = std::min(low, far.low + operand.from_root);
    high = std::max(high, far.high + operand.from_root);
    misaligned |= operand.misaligned;
  }
  Block block;
  const std::size_t shift = misaligned ? 1 : 0;
  block.size = static_cast<std::size_t>(high - low) + shift;
  block.bytes = std::make_unique_for_overwrite<std::byte[]>(block.size);
  std::memset(block.bytes.get(), 0xff, block.size);
  block.outputs.assign(block.size, false);
  const auto first = static_cast<std::int64_t>(-low) + static_cast<std::int64_t>(shift);
  for (Operand& operand : call.operands) {
    if (!operand.given || operand.root != root) continue;
    const std::int64_t at = first + operand.from_root;
    operand.tensor.data = block.bytes.get() + at;
    if (!operand.output || operand.null) continue;
    for_each_element(operand, [&](std::int64_t, std::int64_t offset) {
      const auto begin = block.outputs.begin() + at + offset;
      std::fill(begin, begin + static_cast<std::ptrdiff_t>(operand.element()), true);
    });
  }
  blocks_.push_back(std::move(block));
}

void Memory::fill(const Call& call) {
  std::uint32_t state = call.seed;
  for (int role = 0; role < kRoles; ++role) {
    const Operand& operand = call.operands[role];
    const bool read =
        !operand.output || role == kRunningMean || role == kRunningVar || call.function == kMerge;
    if (!operand.given || !read || operand.null) continue;
    for_each_element(operand, [&](std::int64_t, std::int64_t offset) {
      store(static_cast<std::byte*>(operand.tensor.data) + offset, operand.tensor.dtype,
            number(static_cast<Role>(role), call.odd_values, state));
    });
  }
}

std::vector<std::vector<std::byte>> Memory::snapshot() const {
  std::vector<std::vector<std::byte>> all;
  for (const Block& block : blocks_) {
    all.emplace_back(block.bytes.get(), block.bytes.get() + block.size);
  }
  return all;
}

void Memory::restore(const std::vector<std::vector<std::byte>>& snapshot) {
  for (std::size_t i = 0; i < blocks_.size(); ++i) {
    std::copy(snapshot[i].begin(), snapshot[i].end(), blocks_[i].bytes.get());
  }
}

std::string Memory::damage(const std::vector<std::vector<std::byte>>& before, bool none) const {
  for (std::size_t i = 0; i < blocks_.size(); ++i) {
    for (std::size_t at = 0; at < blocks_[i].size; ++at) {
      if (blocks_[i].bytes[at] == before[i][at] || (!none && blocks_[i].outputs[at])) continue;
      return "byte " + std::to_string(at) + " of the memory of tensor " + std::to_string(i);
    }
  }
  return "";
}

std::vector<double> values(const Operand& operand) {
  std::vector<double> result;
  for_each_element(operand, [&](std::int64_t, std::int64_t offset) {
    result.push_back(
        load(static_cast<const std::byte*>(operand.tensor.data) + offset, operand.tensor.dtype));
  });
  return result;
}

}  // namespace omninorm::fuzz
