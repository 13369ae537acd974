// From an op's arguments to a checked NormForward or NormBackward: the one place for shape, dtype
// and layout checks. An op only says which dimensions of x play which part.
#pragma once

#include <array>
#include <cstdint>

#include "omninorm/norm.h"
#include "src/core/norm_problem.h"

namespace omninorm::internal {

// What a dimension of x is in the view. The dimensions of `c` are also the shape of the weight.
enum class Axis : std::uint8_t { n, c, s };

struct NormAxes {
  std::array<Axis, kMaxRank> of{};  // one for each dimension of x
  std::int64_t groups = 1;          // g; above 1 the c dimension must be a single one
  bool pool_n = false;
  // The shape of statistics ends in groups, even where there is one, and weight is per channel.
  bool grouped = false;
  const char* groups_name = "groups";  // of the option, for messages
  bool per_channel = false;            // groups are the channels, of which there may be none
};

struct NormSpec {
  const char* op = "";  // as in messages: "rms_norm"
  NormAxes axes{};
  bool center = true;
  double partial = 1.0;
  NormParameters parameters{};
  Activation activation = Activation::none;
  bool adds = false;             // takes residual, sum and dsum
  bool statistics_only = false;  // forward without y
  bool f64_statistics = false;   // mean, rstd and variance in f64 whatever x is
  bool f64_sums = false;         // dweight and dbias likewise, and without a weight too
};

// What only some ops take; tensors that are not given are left out.
struct ForwardExtras {
  ConstTensor residual{};
  Tensor sum{};
  Tensor variance{};
  Tensor running_mean{}, running_var{};  // [C], outputs: checked here, used by the caller
  ConstTensor given_mean{}, given_variance{};
};
struct BackwardExtras {
  ConstTensor dsum{};
  ConstTensor given_mean{}, given_variance{};
  ConstTensor given_sum_dy{}, given_sum_dy_xhat{};
  double given_count = 0;
};

// The last `normalized_dims` dimensions of x are c, the others n.
NormAxes last_dims(const char* op, const ConstTensor& x, int normalized_dims);

// Dimension 1 of x is c, in `groups` groups, dimension 0 is n and all others are s.
NormAxes channel_dims(const char* op, const ConstTensor& x, std::int64_t groups);
// The same with a group for each channel.
NormAxes single_channels(const char* op, const ConstTensor& x);

// launch: everything is checked. size_query: pointers are not read, so null and overlap are not
// looked at; a null pointer of a given tensor is replaced by one that is not null.
enum class Purpose : std::uint8_t { launch, size_query };

// Sets a problem's pointers to what address(tensor) gives.
template <class Address>
void point(NormForward& problem, const NormForwardArgs& args, const Address& address) {
  problem.x.data = address(args.x);
  problem.weight = address(args.weight);
  problem.bias = address(args.bias);
  problem.y.data = address(args.y);
  problem.mean = address(args.mean);
  problem.rstd = address(args.rstd);
}
template <class Address>
void point(NormBackward& problem, const NormBackwardArgs& args, const Address& address) {
  problem.x.data = address(args.x);
  problem.weight = address(args.weight);
  problem.bias = address(args.bias);
  problem.mean = address(args.mean);
  problem.rstd = address(args.rstd);
  problem.dy.data = address(args.dy);
  problem.dx.data = address(args.dx);
  problem.dweight = address(args.dweight);
  problem.dbias = address(args.dbias);
}

inline const ForwardExtras kNoForwardExtras{};
inline const BackwardExtras kNoBackwardExtras{};

NormForward build_forward(const NormSpec& spec, const NormForwardArgs& args,
                          Purpose purpose = Purpose::launch,
                          const ForwardExtras& extras = kNoForwardExtras);
NormBackward build_backward(const NormSpec& spec, const NormBackwardArgs& args,
                            Purpose purpose = Purpose::launch,
                            const BackwardExtras& extras = kNoBackwardExtras);

}  // namespace omninorm::internal
