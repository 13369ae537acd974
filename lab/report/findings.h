// Helpers that the sentences share.
#pragma once

#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "lab/report/statistics.h"
#include "lab/report/words.h"

namespace omninorm::lab::report {

inline constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

// Conditions told one by one; beyond that one sentence stands for all.
inline constexpr std::size_t kConditionsTold = 3;

// "at lr 0.003", "with fan-in" or "".
inline std::string under(const Experiment& experiment, const VariantGroup& variant) {
  const std::string condition = condition_title(experiment, variant);
  if (condition.empty()) return "";
  return (condition.rfind("lr ", 0) == 0 ? "at " : "with ") + condition;
}

inline std::string capitalised(std::string text) {
  if (!text.empty() && text[0] >= 'a' && text[0] <= 'z') text[0] = static_cast<char>(text[0] - 32);
  return text;
}

// A figure of each run, the median over the seeds that have it.
template <typename Figure>
double over_seeds(const Experiment& experiment, const VariantGroup& variant, Figure figure_of) {
  std::vector<double> values;
  for (std::size_t run : variant.runs) {
    const double value = figure_of(experiment.runs[run]);
    if (std::isfinite(value)) values.push_back(value);
  }
  return median(values);
}

struct Outcome {
  std::size_t variant = 0;
  Spread loss;
};

// How many of `ranked` lead with a loss that prints as the lowest does: 1 where one is lower.
std::size_t leaders(const std::vector<Outcome>& outcomes);

// The variants of a condition of which a run finished, the lowest mean final loss first.
std::vector<Outcome> ranked(const Experiment& experiment,
                            const std::vector<std::size_t>& condition);

}  // namespace omninorm::lab::report
