#include "tests/fuzz/call.h"

#include <fuzzer/FuzzedDataProvider.h>

#include <algorithm>
#include <initializer_list>
#include <limits>
#include <utility>

#include "omninorm/dtype.h"

namespace omninorm::fuzz {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

using Sizes = std::vector<std::int64_t>;

// True one time in `of`; false once the bytes are spent, so that short inputs are plain calls.
bool seldom(FuzzedDataProvider& bytes, int of) {
  return bytes.ConsumeIntegralInRange<int>(0, of - 1) == of - 1;
}

template <class T>
T pick(FuzzedDataProvider& bytes, std::initializer_list<T> from) {
  return *(from.begin() + bytes.ConsumeIntegralInRange<std::size_t>(0, from.size() - 1));
}

std::int64_t size(FuzzedDataProvider& bytes) {
  if (seldom(bytes, 8)) return pick<std::int64_t>(bytes, {0, 1, 16, 17, 33, 64, 65, 130, 300});
  if (seldom(bytes, 200)) {
    return pick<std::int64_t>(bytes, {-1, std::int64_t{1} << 31, std::int64_t{1} << 40,
                                      std::numeric_limits<std::int64_t>::max(),
                                      std::numeric_limits<std::int64_t>::min()});
  }
  return bytes.ConsumeIntegralInRange<std::int64_t>(1, 9);
}

void set_sizes(omninorm_tensor& tensor, const Sizes& sizes) {
  tensor.rank = static_cast<std::int32_t>(sizes.size());
  std::uint64_t stride = 1;
  for (std::size_t i = sizes.size(); i-- > 0;) {
    tensor.sizes[i] = sizes[i];
    tensor.strides[i] = static_cast<std::int64_t>(stride);
    stride *= sizes[i] > 0 ? static_cast<std::uint64_t>(sizes[i]) : 1;
  }
}

// How a tensor of x's shape lies in memory.
void lay_out(FuzzedDataProvider& bytes, omninorm_tensor& tensor) {
  const auto rank = static_cast<std::size_t>(std::clamp(tensor.rank, 0, 8));
  const auto extent = [&](std::size_t i) {
    return static_cast<std::uint64_t>(std::max<std::int64_t>(tensor.sizes[i], 1));
  };
  switch (bytes.ConsumeIntegralInRange<int>(0, 9)) {
    case 0:
    case 1: {  // channels last
      if (rank < 2) return;
      std::uint64_t stride = extent(1);
      tensor.strides[1] = 1;
      for (std::size_t i = rank; i-- > 2;) {
        tensor.strides[i] = static_cast<std::int64_t>(stride);
        stride *= extent(i);
      }
      tensor.strides[0] = static_cast<std::int64_t>(stride);
      return;
    }
    case 2:  // padded rows
      for (std::size_t i = 0; i + 1 < rank; ++i) {
        tensor.strides[i] =
            static_cast<std::int64_t>(static_cast<std::uint64_t>(tensor.strides[i]) * (i + 2));
      }
      return;
    case 3:
      if (rank > 0) tensor.strides[0] = -tensor.strides[0];
      return;
    case 4:
      if (rank > 0) tensor.strides[rank - 1] = -tensor.strides[rank - 1];
      return;
    case 5: {  // the dimensions in another order
      const auto a = bytes.ConsumeIntegralInRange<std::size_t>(0, rank > 0 ? rank - 1 : 0);
      if (rank > 1) std::swap(tensor.strides[a], tensor.strides[rank - 1]);
      return;
    }
    case 6:
      for (std::size_t i = 0; i < rank; ++i) {
        tensor.strides[i] = bytes.ConsumeIntegralInRange<std::int64_t>(-20, 40);
      }
      return;
    default:
      return;
  }
}

// Something that is wrong, or nearly.
void twist(FuzzedDataProvider& bytes, Operand& operand) {
  omninorm_tensor& tensor = operand.tensor;
  const auto dim = bytes.ConsumeIntegralInRange<std::size_t>(0, 7);
  switch (bytes.ConsumeIntegralInRange<int>(0, 7)) {
    case 0:
      tensor.dtype = pick<std::int32_t>(bytes, {0, 1, 2, 3, 4, -1});
      return;
    case 1:
      tensor.rank = bytes.ConsumeIntegralInRange<std::int32_t>(-1, 9);
      return;
    case 2:
      tensor.sizes[dim] = size(bytes);
      return;
    case 3:
      tensor.strides[dim] = bytes.ConsumeBool() ? bytes.ConsumeIntegralInRange<std::int64_t>(-3, 3)
                                                : bytes.ConsumeIntegral<std::int64_t>();
      return;
    case 4:
      operand.null = true;
      return;
    case 5:
      operand.misaligned = true;
      return;
    case 6:
      operand.given = !operand.given;
      return;
    default:
      tensor.struct_size = bytes.ConsumeIntegralInRange<std::size_t>(0, sizeof tensor + 8);
  }
}

double eps(FuzzedDataProvider& bytes) {
  if (seldom(bytes, 60)) return pick<double>(bytes, {-1.0, kInf, kNaN, 1e300});
  return pick<double>(bytes, {1e-5, 1e-5, 1e-3, 0.5, 0.0});
}

void read_options(FuzzedDataProvider& bytes, Call& call, std::int64_t channels) {
  const double chosen_eps = eps(bytes), offset = seldom(bytes, 4) ? 1.0 : 0.0;
  const std::int32_t policy = seldom(bytes, 6) ? bytes.ConsumeIntegralInRange(-1, 2) : 0;
  const std::int32_t activation = seldom(bytes, 60) ? 3 : pick<std::int32_t>(bytes, {0, 1, 2});
  const std::int32_t dims = seldom(bytes, 4) ? bytes.ConsumeIntegralInRange(-1, 9) : 1;
  std::int64_t groups = bytes.ConsumeIntegralInRange<std::int64_t>(1, 8);
  if (channels > 0 && channels % groups != 0 && !seldom(bytes, 30)) groups = 1;
  if (seldom(bytes, 100)) groups = bytes.ConsumeIntegral<std::int64_t>();
  const double momentum = seldom(bytes, 60) ? 2.0 : pick<double>(bytes, {0.1, 0.0, 1.0});
  call.grouped_by_channel = bytes.ConsumeBool();
  call.evaluation = seldom(bytes, 3);
  call.layer_norm = {sizeof call.layer_norm, chosen_eps, offset, policy, dims};
  const double partial = seldom(bytes, 5) ? pick<double>(bytes, {0.5, 0.25, 0.01, 0.0, 1.5}) : 1.0;
  call.rms_norm = {sizeof call.rms_norm, chosen_eps, offset, policy, dims, partial};
  call.grouped = {sizeof call.grouped,     chosen_eps,        groups, bytes.ConsumeBool(),
                  call.grouped_by_channel, !seldom(bytes, 8), policy, offset};
  call.group_norm = {sizeof call.group_norm, groups, chosen_eps, offset, activation};
  call.instance_norm = {sizeof call.instance_norm, chosen_eps, momentum, offset,
                        call.evaluation,           activation};
  call.batch_norm = {sizeof call.batch_norm, chosen_eps, momentum,  seldom(bytes, 5),
                     !call.evaluation,       offset,     activation};
}

struct Shapes {
  Sizes x, affine, statistics;
};

Shapes shapes_of(const Call& call, const Sizes& x) {
  Shapes shapes{x, {}, {}};
  const bool by_channel = call.function == kGroupNorm || call.function == kInstanceNorm ||
                          call.function == kBatchNorm || call.function >= kOps ||
                          (call.function == kGroupedLayerNorm && call.grouped_by_channel);
  if (by_channel) {
    if (x.size() < 2) return shapes;
    shapes.affine = {x[1]};
    const bool pools = call.function == kBatchNorm || call.function >= kOps ||
                       (call.function == kInstanceNorm && call.evaluation);
    if (pools) {
      shapes.statistics = {x[1]};
    } else if (call.function == kInstanceNorm) {
      shapes.statistics = {x[0], x[1]};
    } else {
      shapes.statistics = {x[0]};
      if (call.function == kGroupedLayerNorm) {
        shapes.statistics.insert(shapes.statistics.end(), x.begin() + 2, x.end());
      }
      shapes.statistics.push_back(call.function == kGroupNorm ? call.group_norm.num_groups
                                                              : call.grouped.groups);
    }
    return shapes;
  }
  const bool grouped = call.function == kGroupedLayerNorm;
  const std::int64_t dims = grouped ? 1 : call.layer_norm.normalized_dims;
  const auto kept = static_cast<std::ptrdiff_t>(std::clamp<std::int64_t>(
      static_cast<std::int64_t>(x.size()) - dims, 0, static_cast<std::int64_t>(x.size())));
  shapes.affine.assign(x.begin() + kept, x.end());
  shapes.statistics.assign(x.begin(), x.begin() + kept);
  if (grouped) shapes.statistics.push_back(call.grouped.groups);
  return shapes;
}

struct Wanted {
  Role role;
  bool output;
  bool must;
};

std::vector<Wanted> wanted(const Call& call) {
  const bool adds = call.function == kAddRmsNorm || call.function == kAddLayerNorm;
  const bool runs =
      call.function == kInstanceNorm || call.function == kBatchNorm || call.function == kNormalize;
  switch (call.function) {
    case kMoments:
      return {{kX, false, true}, {kFirst, true, true}, {kSecond, true, true}};
    case kMerge:
      return {{kFirst, true, true},
              {kSecond, true, true},
              {kOtherFirst, false, true},
              {kOtherSecond, false, true}};
    default:
      break;
  }
  std::vector<Wanted> list = {{adds && call.backward ? kSum : kX, false, true},
                              {kWeight, false, false},
                              {kBias, false, false}};
  const bool by_running = call.evaluation && runs;
  const bool updates = !call.evaluation && !call.backward;  // training's backward looks away
  if (runs) list.push_back({kRunningMean, updates, call.evaluation});
  if (runs) list.push_back({kRunningVar, updates, call.evaluation});
  if (call.function == kNormalize || call.function >= kBackwardSums) {
    const bool output = call.function == kBackwardSums;
    list.push_back({kFirst, output, true});
    list.push_back({kSecond, output, true});
  }
  if (!call.backward) {
    if (adds) list.push_back({kResidual, false, true});
    if (adds) list.push_back({kSum, true, true});
    list.push_back({kY, true, true});
  } else {
    list.push_back({kDy, false, true});
    if (adds) list.push_back({kDsum, false, false});
    if (call.function != kBackwardSums) list.push_back({kDx, true, false});
    if (call.function != kBackwardSums) list.push_back({kDweight, true, false});
    if (call.function != kBackwardSums) list.push_back({kDbias, true, false});
  }
  const bool uncentred = call.function == kRmsNorm || call.function == kAddRmsNorm ||
                         (call.function == kGroupedLayerNorm && call.grouped.center == 0);
  if (call.backward && by_running) return list;
  if (!uncentred) list.push_back({kMean, !call.backward, call.backward});
  list.push_back({kRstd, !call.backward, call.backward});
  return list;
}

bool is_affine(Role role) {
  return role == kWeight || role == kBias || role == kDweight || role == kDbias ||
         role == kRunningMean || role == kRunningVar || role >= kFirst;
}

// Whose memory this one lies in: mostly its own; x's for y and dy's for dx, as in-place calls have
// it; or anyone's, a little further on.
void place(FuzzedDataProvider& bytes, Call& call, Role role) {
  Operand& operand = call.operands[role];
  operand.root = role;
  const Role partner = role == kDx                  ? (bytes.ConsumeBool() ? kDy : kDsum)
                       : role == kY || role == kSum ? (bytes.ConsumeBool() ? kX : kResidual)
                                                    : role;
  if (partner != role && call.operands[partner].given && seldom(bytes, 4)) {
    const omninorm_tensor& other = call.operands[partner].tensor;
    operand.root = call.operands[partner].root;
    operand.from_root = call.operands[partner].from_root;
    if (!seldom(bytes, 4)) std::copy_n(other.strides, 8, operand.tensor.strides);
    return;
  }
  if (!seldom(bytes, 25)) return;
  const auto other = static_cast<Role>(bytes.ConsumeIntegralInRange<int>(0, kRoles - 1));
  if (!call.operands[other].given || other == role) return;
  operand.root = call.operands[other].root;
  operand.from_root =
      call.operands[other].from_root + bytes.ConsumeIntegralInRange<std::int64_t>(-70, 70) *
                                           static_cast<std::int64_t>(operand.element());
}

void read_operands(FuzzedDataProvider& bytes, Call& call, const Shapes& shapes) {
  const std::int32_t dtype = pick<std::int32_t>(bytes, {0, 0, 1, 2, 3});
  const std::int32_t wide = dtype == OMNINORM_F64 ? OMNINORM_F64 : OMNINORM_F32;
  const std::int32_t weight = bytes.ConsumeBool() ? dtype : wide;
  const std::int32_t y = weight != dtype && bytes.ConsumeBool() ? wide : dtype;
  for (const Wanted& want : wanted(call)) {
    Operand& operand = call.operands[want.role];
    operand.given = want.must || bytes.ConsumeBool();
    operand.output = want.output;
    omninorm_tensor& tensor = operand.tensor;
    tensor.struct_size = sizeof tensor;
    const bool statistics = want.role == kMean || want.role == kRstd;
    const Sizes& sizes = is_affine(want.role) ? shapes.affine
                         : statistics         ? shapes.statistics
                                              : shapes.x;
    set_sizes(tensor, sizes.size() > 8 ? Sizes(8, 1) : sizes);
    const bool running = want.role == kRunningMean || want.role == kRunningVar;
    tensor.dtype = want.role >= kFirst                   ? OMNINORM_F64
                   : running || statistics               ? wide
                   : is_affine(want.role)                ? weight
                   : want.role == kY || want.role == kDy ? y
                                                         : dtype;
    if (!is_affine(want.role) && !statistics) lay_out(bytes, tensor);
    if (seldom(bytes, 40)) twist(bytes, operand);
    place(bytes, call, want.role);
  }
  // An argument that this op does not have.
  if (seldom(bytes, 60)) {
    const auto role = static_cast<Role>(bytes.ConsumeIntegralInRange<int>(0, kRoles - 1));
    Operand& operand = call.operands[role];
    if (operand.given) return;
    operand.given = true;
    operand.root = role;
    operand.tensor.struct_size = sizeof operand.tensor;
    set_sizes(operand.tensor, shapes.affine);
  }
}

}  // namespace

Call read_call(FuzzedDataProvider& bytes) {
  Call call;
  call.function = static_cast<Function>(bytes.ConsumeIntegralInRange<int>(0, kFunctions - 1));
  call.backward = bytes.ConsumeBool();
  if (call.function >= kOps) call.backward = call.function >= kBackwardSums;
  call.odd_values = seldom(bytes, 6);
  call.order = bytes.ConsumeIntegralInRange(0, 3);
  call.workspace = bytes.ConsumeIntegralInRange(0, 2);
  call.target = bytes.ConsumeIntegralInRange<std::size_t>(0, 3);
  call.seed = bytes.ConsumeIntegral<std::uint32_t>();
  call.threads = seldom(bytes, 60) ? bytes.ConsumeIntegralInRange(-1, 0) : 3;
  call.counts_batches = bytes.ConsumeBool();
  call.batches = seldom(bytes, 10) ? bytes.ConsumeIntegral<std::int64_t>() : 3;
  if (seldom(bytes, 100))
    call.wrong_struct_size = bytes.ConsumeIntegralInRange<std::size_t>(1, 200);
  Sizes x(static_cast<std::size_t>(seldom(bytes, 40) ? bytes.ConsumeIntegralInRange(0, 8)
                                                     : bytes.ConsumeIntegralInRange(2, 4)));
  for (std::int64_t& entry : x) entry = size(bytes);
  read_options(bytes, call, x.empty() ? 0 : x.size() > 1 && bytes.ConsumeBool() ? x[1] : x.back());
  std::uint64_t count = 1;
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (i != 1) count *= static_cast<std::uint64_t>(x[i]);
  }
  call.count =
      seldom(bytes, 20) ? bytes.ConsumeIntegral<std::int64_t>() : static_cast<std::int64_t>(count);
  call.other_count = seldom(bytes, 20) ? bytes.ConsumeIntegral<std::int64_t>() : 7;
  read_operands(bytes, call, shapes_of(call, x));
  return call;
}

}  // namespace omninorm::fuzz
