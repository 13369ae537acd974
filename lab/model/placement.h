// Where a Transformer block puts its norms: one table. A new placement is one row here.
#pragma once

#include <span>
#include <string_view>

namespace omninorm::lab {

// x is the residual stream, F a sublayer (attention or MLP), N a norm of its own.
struct Placement {
  std::string_view name;
  std::string_view equation;
  std::string_view summary;  // one line
  std::string_view source;   // paper or project
  bool before_sublayer;      // F(N(x))
  bool after_sublayer;       // N(F(..)), before the sum
  bool after_sum;            // N(x + F(x))
  bool final_norm;           // one more N before the output layer
};

std::span<const Placement> placements();

// Throws omninorm::Error that lists the valid names and suggests the nearest.
const Placement& find_placement(std::string_view name);

// The norms that a model can be built with, for `omninorm list` and for settings.
struct NormChoice {
  std::string_view name;
  std::string_view summary;
};
std::span<const NormChoice> norm_choices();

// Why a model cannot be built with a norm that the library has; "" for any other name.
std::string_view why_no_norm(std::string_view name);

}  // namespace omninorm::lab
