// When outputs are written past the cache (non-temporal stores): a line is then not read before it
// is written, which saves a third of a forward's traffic, but costs dearly where the line would
// have stayed in cache for its reader.
#pragma once

#include <cstdint>

namespace omninorm::internal {

// How a call goes through memory. forward, backward: each operand once, a later pass over it finds
// it in the core's own cache. steps: the whole tensor again for each step.
enum class Traffic : std::uint8_t { forward, backward, steps };

// Whether a call whose operands have this many bytes together streams its outputs.
bool worth_streaming(Traffic traffic, std::int64_t operand_bytes);

// Whether operands of this many bytes fit the cache that a core has for itself, with room for
// weights.
bool in_private_cache(std::int64_t operand_bytes);

// For tests: a crossover of one's own for all traffic, or -1 for the measured ones again. Not while
// ops run.
void set_streaming_crossover(std::int64_t bytes);

}  // namespace omninorm::internal
