// What the report says in words, made from the data alone. Plain text; commands stand between back
// quotes.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "lab/report/analysis.h"
#include "lab/report/statistics.h"

namespace omninorm::lab::report {

struct Fact {
  std::string name;
  std::string text;
};

struct Summary {
  std::string title;
  std::string headline;               // the result in one sentence
  std::vector<Fact> compared;         // axes, model, data, steps, machine
  std::vector<std::string> warnings;  // shortened, unfinished: before all else
  std::vector<Fact> happened;         // by topic
  std::vector<std::string> limits;    // what these runs cannot show
};

Summary summarise(const Experiment& experiment);

// One variant against the first value of the primary axis under the same condition, seed by seed.
struct Comparison {
  std::size_t variant = 0;
  std::size_t base = 0;
  std::size_t left_out = 0;                    // seeds at which one of the two did not finish
  std::optional<PairedDifference> difference;  // of the final loss; none below two pairs
};

// Empty with a single seed.
std::vector<Comparison> comparisons(const Experiment& experiment);

// Final losses of a variant's finished runs.
std::vector<double> finished_losses(const Experiment& experiment, const VariantGroup& variant);

// Sentences, each empty (or none) when the data does not bear it.
std::vector<std::string> outcome_sentences(const Experiment& experiment);
std::vector<std::string> failure_sentences(const Experiment& experiment);
std::vector<std::string> growth_sentences(const Experiment& experiment);
std::string depth_sentence(const Experiment& experiment);
std::string gradient_sentence(const Experiment& experiment);
std::vector<std::string> sensitivity_sentences(const Experiment& experiment);
std::string headroom_sentence(const Experiment& experiment);
std::string spike_sentence(const Experiment& experiment);
std::string cost_sentence(const Experiment& experiment);
std::vector<std::string> comparison_sentences(const Experiment& experiment);

}  // namespace omninorm::lab::report
