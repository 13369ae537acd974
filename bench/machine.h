// Where and on what a figure was taken.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>

namespace omninorm::bench {

// cpu, cores, threads, simd target, torch version, compiler, git commit, load average.
nlohmann::json describe_machine();

int usable_cores();              // that this process may run on
double load_average();           // of the last minute; 0 where unknown
std::size_t available_memory();  // bytes; a very large number where unknown

// Bytes of the cache that one core has to itself (L2); 1 MiB where unknown.
std::size_t private_cache_bytes();

// Keeps freed memory in the process, so that an operator that allocates its result (all of
// PyTorch's do) is timed without page faults, as the sides with memory of their own are.
void keep_freed_memory();

// Gives it back; called between cells.
void release_freed_memory();

}  // namespace omninorm::bench
