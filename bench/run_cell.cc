#include "bench/run_cell.h"

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <new>
#include <string_view>

#include "bench/backend.h"
#include "bench/machine.h"

namespace omninorm::bench {
namespace {

bool is_ours(const Side& side) { return side.name.starts_with("omninorm"); }

std::string wrong(const Side& side, double error, double bound) {
  return fmt::format(
      "{} is wrong: its error against double precision is {:.2g}, expected at most {:.2g}",
      side.name, error, bound);
}

}  // namespace

void check_answers(const Problem& problem, std::vector<Side>& sides, CellResult& result) {
  const Truth truth(problem);
  const double bound = sanity_bound(problem.cell.dtype);
  std::vector<std::string> failed;
  for (const Side& side : sides) {
    if (!side.outputs) continue;
    double error = 0;
    try {
      error = truth.largest_error(side.outputs());
    } catch (const std::exception& exception) {
      if (is_ours(side)) throw;
      // PyTorch has no kernel for some dtypes; its message's first line says which.
      const std::string_view text = exception.what();
      result.notes.push_back(
          fmt::format("{} cannot do this: {}", side.name, text.substr(0, text.find('\n'))));
      failed.push_back(side.name);
      continue;
    }
    if (error <= bound) continue;
    if (is_ours(side)) {
      result.wrong = true;
      result.not_timed = wrong(side, error, bound);
      return;
    }
    result.notes.push_back(
        fmt::format("{} is {:.2g} off the double-precision value here", side.name, error));
  }
  std::erase_if(sides, [&](const Side& side) {
    return std::any_of(failed.begin(), failed.end(),
                       [&](const std::string& name) { return side.name.starts_with(name); });
  });
}

CellResult run_cell(const Cell& cell, const Limits& limits, bool alone,
                    const std::atomic<bool>& stop) {
  CellResult result;
  result.cell = cell;
  release_freed_memory();
  const std::size_t needed = memory_needed(cell, has_torch() && !alone);
  const std::size_t available = available_memory();
  if (needed > available / 10 * 9) {
    result.not_timed =
        fmt::format("needs about {:.1f} GB of memory, {:.1f} GB are free",
                    static_cast<double>(needed) * 1e-9, static_cast<double>(available) * 1e-9);
    return result;
  }
  Executor& executor = bench_executor();
  const Problem problem(cell, executor);
  result.bytes = problem.moved_bytes;
  std::vector<Side> sides = copy_sides(problem, executor);
  sides.push_back(handover_side(executor));
  sides.push_back(library_side(problem, executor));
  if (auto side = kernel_side(problem, executor)) sides.push_back(std::move(*side));
  if (!alone) {
    for (Side& side : torch_sides(problem)) sides.push_back(std::move(side));
    for (Side& side : onednn_sides(problem)) sides.push_back(std::move(side));
  }
  check_answers(problem, sides, result);
  if (result.not_timed.empty() && !stop) result.measurement = measure(sides, limits, stop);
  return result;
}

}  // namespace omninorm::bench
