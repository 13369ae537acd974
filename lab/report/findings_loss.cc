// Sentences on how the runs ended. Thresholds stand beside their reasons.
#include <algorithm>
#include <map>

#include "lab/report/findings.h"
#include "lab/report/summary.h"

namespace omninorm::lab::report {
std::vector<Outcome> ranked(const Experiment& experiment,
                            const std::vector<std::size_t>& condition) {
  std::vector<Outcome> outcomes;
  for (std::size_t member : condition) {
    const auto losses = finished_losses(experiment, experiment.variants[member]);
    if (!losses.empty()) outcomes.push_back({member, describe(losses)});
  }
  std::stable_sort(outcomes.begin(), outcomes.end(),
                   [](const auto& a, const auto& b) { return a.loss.mean < b.loss.mean; });
  return outcomes;
}

std::size_t leaders(const std::vector<Outcome>& outcomes) {
  std::size_t count = 0;
  while (count < outcomes.size() &&
         loss_text(outcomes[count].loss.mean) == loss_text(outcomes[0].loss.mean))
    ++count;
  return count;
}

namespace {

std::string next_words(const Experiment& experiment, const Outcome& best, const Outcome& next) {
  std::map<std::int64_t, double> base;
  for (std::size_t run : experiment.variants[best.variant].runs)
    if (experiment.runs[run].done())
      base[experiment.runs[run].seed] = experiment.final_loss(experiment.runs[run]);
  std::vector<double> a, b;
  for (std::size_t run : experiment.variants[next.variant].runs) {
    const auto found = base.find(experiment.runs[run].seed);
    if (!experiment.runs[run].done() || found == base.end()) continue;
    a.push_back(found->second);
    b.push_back(experiment.final_loss(experiment.runs[run]));
  }
  const auto difference = paired_difference(a, b);
  if (!difference) return "";
  const std::string name = primary_title(experiment, experiment.variants[next.variant]);
  const std::string interval = fmt::format("95 % interval {} to {}", signed_text(difference->low),
                                           signed_text(difference->high));
  if (difference->holds_zero())
    return fmt::format(" No difference to the next, {}, is shown ({}, {}).", name,
                       signed_text(difference->mean), interval);
  return fmt::format(" The next, {}, lay {} higher ({}).", name, signed_text(difference->mean),
                     interval);
}

std::string outcome_in(const Experiment& experiment, const std::vector<std::size_t>& condition) {
  const auto outcomes = ranked(experiment, condition);
  if (outcomes.empty()) return "";
  const std::string metric = experiment.by_validation ? "validation loss" : "training loss";
  const std::string mean = experiment.several_seeds() ? "mean " : "";
  const auto name = [&](const Outcome& outcome) {
    return primary_title(experiment, experiment.variants[outcome.variant]);
  };
  const std::string where = under(experiment, experiment.variants[condition[0]]);
  const std::string start =
      (experiment.open() ? "so far, " : "") + (where.empty() ? "" : where + ", ");
  if (outcomes.size() == 1) {
    const bool alone = condition.size() == 1;
    return capitalised(fmt::format("{}{}{} ended at a {}{} of {}.", start, alone ? "" : "only ",
                                   name(outcomes[0]), mean, metric,
                                   loss_text(outcomes[0].loss.mean)));
  }
  const std::size_t leading = leaders(outcomes);
  std::vector<std::string> others;
  for (std::size_t i = leading; i < outcomes.size() && i < leading + 5; ++i)
    others.push_back(fmt::format("{} ({})", name(outcomes[i]), loss_text(outcomes[i].loss.mean)));
  if (leading > 1) {
    std::vector<std::string> alike;
    for (std::size_t i = 0; i < leading; ++i) alike.push_back(name(outcomes[i]));
    return capitalised(
        fmt::format("{}{} ended at the same {}{}, {}: there is no difference to three decimals{}.",
                    start, list_text(alike), mean, metric, loss_text(outcomes[0].loss.mean),
                    others.empty() ? "" : "; higher were " + list_text(others)));
  }
  std::string text =
      fmt::format("{}{} had the lowest {}{}, {}, before {}.", start, name(outcomes[0]), mean,
                  metric, loss_text(outcomes[0].loss.mean), list_text(others));
  return capitalised(text + next_words(experiment, outcomes[0], outcomes[1]));
}

std::string failure_of(const Experiment& experiment, const Run& run) {
  const std::string name = run_title(experiment, run);
  const std::string why = run.reason.empty() ? "" : fmt::format(" ({})", run.reason);
  if (run.status == "diverged")
    return fmt::format("{} diverged at step {}{}.", name, count_text(double(run.steps)), why);
  if (run.status == "stuck")
    return fmt::format("{} got stuck at a training loss of {}{}.", name, loss_text(run.train_loss),
                       why);
  if (run.status == "failed") return fmt::format("{} failed{}.", name, why);
  if (run.status == "stopped")
    return fmt::format("{} was stopped at step {}{}.", name, count_text(double(run.steps)), why);
  return "";
}

}  // namespace

std::vector<double> finished_losses(const Experiment& experiment, const VariantGroup& variant) {
  std::vector<double> losses;
  for (std::size_t index : variant.runs) {
    const Run& run = experiment.runs[index];
    const double loss = experiment.final_loss(run);
    if (run.done() && std::isfinite(loss)) losses.push_back(loss);
  }
  return losses;
}

std::vector<std::string> outcome_sentences(const Experiment& experiment) {
  std::vector<std::string> sentences;
  const auto conditions = experiment.conditions();
  if (conditions.size() <= kConditionsTold) {
    for (const auto& condition : conditions) {
      std::string sentence = outcome_in(experiment, condition);
      if (!sentence.empty()) sentences.push_back(std::move(sentence));
    }
    return sentences;
  }
  std::map<std::string, std::size_t> wins;
  std::size_t compared = 0, alike = 0;
  for (const auto& condition : conditions) {
    const auto outcomes = ranked(experiment, condition);
    if (outcomes.size() < 2) continue;
    ++compared;
    if (leaders(outcomes) > 1)
      ++alike;
    else
      ++wins[primary_title(experiment, experiment.variants[outcomes[0].variant])];
  }
  std::vector<std::pair<std::size_t, std::string>> order;
  for (auto& [name, count] : wins) order.emplace_back(count, name);
  std::stable_sort(order.begin(), order.end(),
                   [](const auto& a, const auto& b) { return a.first > b.first; });
  std::vector<std::string> words;
  for (auto& [count, name] : order) words.push_back(fmt::format("{} in {}", name, count));
  if (compared > 0)
    sentences.push_back(fmt::format(
        "Over {} in which two or more variants finished, {}{}{}.", plural(compared, "condition"),
        words.empty() ? "" : "the lowest loss was had by " + list_text(words),
        words.empty() || alike == 0 ? "" : "; ",
        alike == 0 ? "" : fmt::format("in {} there is no difference to three decimals", alike)));
  return sentences;
}

std::vector<std::string> failure_sentences(const Experiment& experiment) {
  std::vector<std::string> sentences;
  for (const Run& run : experiment.runs) {
    std::string sentence = failure_of(experiment, run);
    if (!sentence.empty()) sentences.push_back(std::move(sentence));
  }
  constexpr std::size_t kTold = 6;
  if (sentences.size() > kTold) {
    const std::size_t rest = sentences.size() - kTold;
    sentences.resize(kTold);
    sentences.push_back(
        fmt::format("{} more did not finish; the table of outcomes names them.", rest));
  }
  return sentences;
}

std::vector<std::string> sensitivity_sentences(const Experiment& experiment) {
  std::size_t lr = 0;
  while (lr < experiment.axes.size() && experiment.axes[lr].name != "lr") ++lr;
  if (lr == experiment.axes.size() || experiment.axes[lr].values.size() < 2) return {};
  // With more axes than the primary one and lr, the lines would be too many to read.
  if (experiment.axes.size() > 2) return {};
  std::map<std::vector<std::size_t>, std::vector<std::size_t>> lines;
  for (std::size_t i = 0; i < experiment.variants.size(); ++i) {
    std::vector<std::size_t> rest = experiment.variants[i].values;
    rest.erase(rest.begin() + static_cast<std::ptrdiff_t>(lr));
    lines[rest].push_back(i);
  }
  std::vector<std::string> parts;
  for (const auto& [rest, members] : lines) {
    const VariantGroup* best = nullptr;
    const VariantGroup* worst = nullptr;
    double low = kNan, high = kNan;
    bool complete = true;
    for (std::size_t member : members) {
      const VariantGroup& variant = experiment.variants[member];
      const auto losses = finished_losses(experiment, variant);
      complete = complete && losses.size() == variant.runs.size();
      if (losses.empty()) continue;
      const double loss = describe(losses).mean;
      if (!(loss >= low)) low = loss, best = &variant;
      if (!(loss <= high)) high = loss, worst = &variant;
    }
    const std::size_t other = lr == 0 ? 1 : 0;
    const std::string name =
        experiment.axes.size() < 2
            ? "the loss"
            : value_title(experiment.axes[other].name, experiment.axes[other].values[rest[0]]);
    const std::string rate = best == nullptr ? "" : experiment.axes[lr].values[best->values[lr]];
    if (best == nullptr)
      parts.push_back(name + " finished at none of them");
    else if (!complete)
      parts.push_back(fmt::format("{} did not finish at all of them (best {} at {})", name,
                                  loss_text(low), rate));
    else if (best != worst)
      parts.push_back(fmt::format("{} by {} (best {} at {})", name,
                                  fmt::format("{:.3f}", high - low), loss_text(low), rate));
  }
  if (parts.empty()) return {};
  return {
      fmt::format("Over the learning rates tried, final losses differed: {}.", list_text(parts))};
}

std::vector<std::string> comparison_sentences(const Experiment& experiment) {
  const auto found = comparisons(experiment);
  if (found.empty()) return {};
  std::map<std::size_t, std::vector<std::string>> by_base;
  std::size_t shown = 0, intervals = 0, left_out = 0;
  for (const Comparison& comparison : found) {
    const std::string name = primary_title(experiment, experiment.variants[comparison.variant]);
    left_out += comparison.left_out;
    auto& parts = by_base[comparison.base];
    if (!comparison.difference) {
      parts.push_back(name + " has too few finished pairs for an interval");
      continue;
    }
    const PairedDifference& difference = *comparison.difference;
    ++intervals;
    shown += difference.holds_zero() ? 0 : 1;
    parts.push_back(fmt::format("{} {} ({} to {}; {})", name, signed_text(difference.mean),
                                signed_text(difference.low), signed_text(difference.high),
                                difference.holds_zero()
                                    ? "no difference shown"
                                    : (difference.mean < 0 ? "lower" : "higher")));
  }
  std::vector<std::string> sentences;
  if (by_base.size() <= kConditionsTold) {
    for (const auto& [base, parts] : by_base) {
      const std::string where = under(experiment, experiment.variants[base]);
      sentences.push_back(capitalised(fmt::format(
          "{}{}paired difference in final loss to {}, with its 95 % interval over seeds: {}.",
          where, where.empty() ? "" : ", ", primary_title(experiment, experiment.variants[base]),
          list_text(parts))));
    }
  } else {
    sentences.push_back(fmt::format(
        "Of {} against the first value of {}, {} had a 95 % interval without zero; for the others "
        "no "
        "difference is shown.",
        plural(intervals, "paired difference"), axis_title(experiment.axes[0].name), shown));
  }
  if (intervals > 1)
    sentences.push_back(
        fmt::format("Each interval misses the true difference one time in twenty; there are {}, "
                    "not corrected for.",
                    intervals));
  if (left_out > 0)
    sentences.push_back(
        fmt::format("{} left out of the differences because one side did not finish, which "
                    "flatters the variant "
                    "that failed.",
                    left_out == 1 ? std::string("One pair of runs is")
                                  : fmt::format("{} pairs of runs are", left_out)));
  return sentences;
}

}  // namespace omninorm::lab::report
