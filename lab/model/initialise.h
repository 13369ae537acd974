// Initial values from (seed, parameter name) and nothing else: models that differ in a switch start
// equal in every parameter that both have.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <string_view>

namespace omninorm::lab {

// Fills every matrix of `model` in place; vectors (norm weights and biases) stay 1 and 0.
//   normal-0.02: N(0, 0.02) for all matrices.
//   fan-in: N(0, 1/sqrt(fan_in)), fan_in the width of what the matrix multiplies; the embedding,
//     whose use as an output layer multiplies the width, takes 1/sqrt(width).
// The residual projections are not scaled by 1/sqrt(2*layers): that changes Pre but not Peri, so it
// would vary with the placement.
void initialise(torch::nn::Module& model, std::string_view init, std::int64_t seed);

}  // namespace omninorm::lab
