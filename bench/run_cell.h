// One cell from memory to figures.
#pragma once

#include <atomic>
#include <vector>

#include "bench/measure.h"
#include "bench/problem.h"
#include "bench/results.h"

namespace omninorm::bench {

// Every side's answer against double precision. A wrong one of ours fills not_timed and sets wrong;
// one of others', a note. A side of others' that throws is taken out, with a note.
void check_answers(const Problem& problem, std::vector<Side>& sides, CellResult& result);

// Makes the memory, checks every side's answer against double precision, then times all sides.
// A wrong answer of ours is not timed. `alone` leaves out PyTorch, oneDNN and the operator: the
// C++ API beside the copy. When `stop` becomes true the result has no sides.
CellResult run_cell(const Cell& cell, const Limits& limits, bool alone,
                    const std::atomic<bool>& stop);

}  // namespace omninorm::bench
