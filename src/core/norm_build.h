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
  bool pool_s = true;
};

struct NormSpec {
  const char* op = "";  // as in messages: "rms_norm"
  NormAxes axes{};
  bool center = true;
  double partial = 1.0;
  NormParameters parameters{};
};

// The last `normalized_dims` dimensions of x are c, the others n.
NormAxes last_dims(const char* op, const ConstTensor& x, int normalized_dims);

// launch: everything is checked. size_query: pointers are not read, so null and overlap are not
// looked at; a null pointer of a given tensor is replaced by one that is not null.
enum class Purpose : std::uint8_t { launch, size_query };

NormForward build_forward(const NormSpec& spec, const NormForwardArgs& args,
                          Purpose purpose = Purpose::launch);
NormBackward build_backward(const NormSpec& spec, const NormBackwardArgs& args,
                            Purpose purpose = Purpose::launch);

}  // namespace omninorm::internal
