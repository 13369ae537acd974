// Where a run's numbers come from: programs, machine, source.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace omninorm::lab {

// {"omninorm", "torch", "compiler"}
nlohmann::json versions();

// {"cpu", "simd", "threads"}; threads are torch's.
nlohmann::json machine();

// What `omninorm-lab --versions` prints: versions(), "threads", "parallel" (torch's own words),
// "cuda" (devices that torch finds).
nlohmann::json torch_facts();

// {"commit", "dirty"} of the source tree that this program was built from, as it is now;
// "unknown" and null where there is none.
nlohmann::json git_state();

// "2026-11-22T10:00:00Z"
std::string utc_now();

}  // namespace omninorm::lab
