// Times sides against each other: A B C D, A B C D, ... in one run, the minimum of each.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "bench/problem.h"

namespace omninorm::bench {

struct Limits {
  int rounds = 5;                    // at least
  double seconds_per_side = 0.03;    // timed, at least, for each side
  double seconds_per_cell = 3;       // no further round after this, once `rounds` are done
  double largest_drift = 0.15;       // of the control between the halves of a run
  double largest_handover = 0.2e-3;  // seconds, of an empty task to every thread
  int tries = 3;                     // before a cell is kept although its controls were bad
};

struct SideTime {
  std::string name;
  double seconds = 0;         // of one call: the smallest sample
  double halves[2] = {0, 0};  // the same over the first and the second half of the rounds
  std::int64_t calls = 0;
};

struct Measurement {
  std::vector<SideTime> sides;
  double drift = 0;     // of the copy: larger half / smaller half - 1
  double handover = 0;  // seconds, of an empty task to every thread
  int tries = 0;
  bool steady = false;  // both within their limits
};

// How far apart the two halves are, as a share: the noise of a minimum over half the rounds.
double half_difference(const SideTime& side);

// Two controls decide whether the machine held still; if not, all is measured again. One is the
// copy (the faster of the sides whose name starts with "copy"): its halves must agree. The other,
// the side "threads", hands every thread an empty task: milliseconds instead of microseconds mean
// that the threads have no cores of their own, which a copy too small to be shared cannot show.
// When `stop` becomes true the current sample is the last and the result has no sides.
Measurement measure(const std::vector<Side>& sides, const Limits& limits,
                    const std::atomic<bool>& stop);

// The side of that name, or null; "copy" is the faster of the two copies.
const SideTime* find_side(const std::vector<SideTime>& sides, const std::string& name);

}  // namespace omninorm::bench
