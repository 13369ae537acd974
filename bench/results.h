// What was measured, as data: kept in memory, written as JSON, read back, compared.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "bench/cell.h"
#include "bench/measure.h"

namespace omninorm::bench {

struct CellResult {
  Cell cell;
  std::size_t bytes = 0;  // that must move
  Measurement measurement;
  std::string not_timed;           // why there are no times, else empty
  bool wrong = false;              // not timed because our answer was wrong
  std::vector<std::string> notes;  // e.g. how far PyTorch's own answer is off
};

struct Results {
  nlohmann::json machine;
  std::vector<CellResult> cells;
};

// Sides of ours that the tables compare.
inline constexpr const char* kLibrary = "omninorm";
inline constexpr const char* kOperator = "omninorm_torch";
inline constexpr const char* kKernel = "omninorm_kernel";
inline constexpr const char* kSeparate = "omninorm_separate";

// Gigabytes (1e9) a second of the bytes that must move.
double bandwidth(const CellResult& result, const SideTime& side);

// The time of a side over another's; empty where either was not timed.
std::optional<double> time_ratio(const CellResult& result, const std::string& over,
                                 const std::string& under);

// Share of the limit: the time that the better copy takes to move the same bytes over the side's.
std::optional<double> share_of_limit(const CellResult& result, const std::string& side);

// PyTorch's time over the side's: 2 is twice as fast. The C++ API is held against the faster of
// PyTorch's operator and the CPU function under it; the operator against the operator.
std::optional<double> versus_torch(const CellResult& result, const std::string& side);

void write_json(const Results& results, const std::filesystem::path& file);  // throws system_error
Results read_json(const std::filesystem::path& file);                        // throws Error

// What changed beyond noise, in words, one line a cell; times are taken relative to the copy of
// their own run, so that two runs on one machine in different moods can be compared.
std::string compare(const Results& before, const Results& now);

}  // namespace omninorm::bench
