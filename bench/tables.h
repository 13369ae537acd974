// The results as text for a terminal and as Markdown for docs/benchmarks.md.
#pragma once

#include <filesystem>
#include <string>

#include "bench/results.h"

namespace omninorm::bench {

std::string machine_line(const nlohmann::json& machine);

// Whether --alone was asked for when this was measured.
bool is_alone(const nlohmann::json& machine);

// The heading of a group (op, direction, dtype), and one line of it; alone: without the columns
// that need others.
std::string group_heading(const CellResult& first, bool alone);
std::string table_line(const CellResult& result, bool alone);

// Geometric means and the worst cell of each group.
std::string summary(const Results& results);

// Replaces what stands between "<!-- bench:kernels begin -->" and "<!-- bench:kernels end -->" by
// all tables; where nobody else was timed (--alone), between "bench:limit" lines by shares of the
// limit. Throws Error when the file has no such lines, system_error when it cannot be written.
void write_markdown(const Results& results, const std::filesystem::path& file);

}  // namespace omninorm::bench
