// When outputs are written past the cache (non-temporal stores): a line is then not read before it
// is written, which saves a third of a forward's traffic, but costs dearly where the line would
// have stayed in cache for its reader.
#pragma once

#include <cstdint>

namespace omninorm::internal {

// Whether a call whose operands have this many bytes together streams its outputs.
bool worth_streaming(std::int64_t operand_bytes);

// The bytes from which on it is worth it; measured, see docs/benchmarks.md. For tests: a value of
// one's own, or -1 for the measured one again. Not while ops run.
std::int64_t streaming_crossover();
void set_streaming_crossover(std::int64_t bytes);

}  // namespace omninorm::internal
