// One cell from memory to figures.
#pragma once

#include <atomic>

#include "bench/measure.h"
#include "bench/results.h"

namespace omninorm::bench {

// Makes the memory, checks every side's answer against double precision, then times all sides.
// A wrong answer of ours is not timed. When `stop` becomes true the result has no sides.
CellResult run_cell(const Cell& cell, const Limits& limits, const std::atomic<bool>& stop);

}  // namespace omninorm::bench
