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

// Gigabytes (1e9) a second of the bytes that must move.
double bandwidth(const CellResult& result, const SideTime& side);

// Copy's time over the side's: 1 is the speed of a copy. Empty where either was not timed.
std::optional<double> versus_copy(const CellResult& result, const std::string& side);

// PyTorch's time over the side's: 2 is twice as fast. The C++ API is held against the faster of
// PyTorch's operator and the CPU function under it; the operator against the operator.
std::optional<double> versus_torch(const CellResult& result, const std::string& side);

void write_json(const Results& results, const std::filesystem::path& file);  // throws system_error
Results read_json(const std::filesystem::path& file);                        // throws Error

// What changed beyond noise, in words, one line a cell; times are taken relative to the copy of
// their own run, so that two runs on one machine in different moods can be compared.
std::string compare(const Results& before, const Results& now);

}  // namespace omninorm::bench
