// Sentences on what the probes saw. Thresholds stand beside their reasons.
#include <algorithm>
#include <map>

#include "lab/report/findings.h"
#include "lab/report/read_record.h"
#include "lab/report/summary.h"

namespace omninorm::lab::report {
namespace {

// From a factor of 3 a variance is said to grow: a batch's variance wanders by less than that.
// Only within a factor of 1.3 is it said to stay.
constexpr double kGrowth = 3;
constexpr double kSteady = 1.3;
// Gradient norms within a factor of 10 over the blocks are ordinary in a trained Transformer.
constexpr double kUneven = 10;
// Fewer probes than this give no figure for the norms' share of the time.
constexpr std::size_t kTimedProbes = 5;

// Only where a run ended by itself and was probed at its end, within a tenth, can its probes tell
// of its course and its end.
bool probed_to_the_end(const Run& run) {
  if (!run.done() && run.status != "stuck") return false;
  const std::int64_t end = std::max(run.planned, run.steps);
  return run.probes.size() >= 2 && run.probes.back().step > run.probes.front().step &&
         10 * run.probes.back().step >= 9 * end;
}

struct Growth {
  double first = kNan, last = kNan, low = kNan, high = kNan;
  bool known() const { return first > 0 && last > 0; }
  double factor() const { return last / first; }
};

// Of the residual stream behind the last block, over the probes of a run.
Growth last_block_growth(const Run& run) {
  Growth growth;
  if (!probed_to_the_end(run)) return growth;
  for (const Probe& probe : run.probes) {
    if (probe.layers.empty()) continue;
    const double variance = probe.layers.back().residual_variance;
    if (!std::isfinite(variance) || variance <= 0) continue;
    if (std::isnan(growth.first)) growth.first = growth.low = growth.high = variance;
    growth.last = variance;
    growth.low = std::min(growth.low, variance);
    growth.high = std::max(growth.high, variance);
  }
  return growth;
}

Growth over_time(const Experiment& experiment, const VariantGroup& variant) {
  const auto of = [&](double Growth::*field) {
    return over_seeds(experiment, variant,
                      [&](const Run& run) { return last_block_growth(run).*field; });
  };
  return {of(&Growth::first), of(&Growth::last), of(&Growth::low), of(&Growth::high)};
}

// From the first block to the last, at the last probe.
Growth over_depth(const Experiment& experiment, const VariantGroup& variant) {
  const auto of = [&](bool last) {
    return over_seeds(experiment, variant, [&](const Run& run) {
      if (!probed_to_the_end(run) || run.probes.back().layers.size() < 2) return kNan;
      const auto& layers = run.probes.back().layers;
      return (last ? layers.back() : layers.front()).residual_variance;
    });
  };
  return {of(false), of(true), kNan, kNan};
}

std::string growth_words(const std::string& name, const Growth& growth) {
  const std::string ends = fmt::format("from {} to {}", figure(growth.first), figure(growth.last));
  if (growth.factor() >= kGrowth)
    return fmt::format("{}'s grew {} (×{})", name, ends, figure(growth.factor()));
  if (growth.factor() <= 1 / kGrowth) return fmt::format("{}'s fell {}", name, ends);
  const double wander = growth.high / growth.low;
  if (wander < kSteady)
    return fmt::format("{}'s stayed near {} ({})", name, figure(growth.last), ends);
  if (growth.high < kSteady * std::max(growth.first, growth.last) &&
      growth.low > std::min(growth.first, growth.last) / kSteady)
    return fmt::format("{}'s went {}", name, ends);
  return fmt::format("{}'s went {}, between {} and {}", name, ends, figure(growth.low),
                     figure(growth.high));
}

// The condition whose variants differ most in `size`.
template <typename Size>
std::size_t widest(const std::vector<std::vector<std::size_t>>& conditions, Size size) {
  std::size_t best = 0;
  double contrast = -1;
  for (std::size_t i = 0; i < conditions.size(); ++i) {
    double low = kNan, high = kNan;
    for (std::size_t member : conditions[i]) {
      const double value = size(member);
      low = std::fmin(low, value);
      high = std::fmax(high, value);
    }
    if (high / low > contrast) {
      contrast = high / low;
      best = i;
    }
  }
  return best;
}

std::string growth_in(const Experiment& experiment, const std::vector<std::size_t>& condition) {
  std::vector<std::pair<double, std::string>> told;
  for (std::size_t member : condition) {
    const VariantGroup& variant = experiment.variants[member];
    const Growth growth = over_time(experiment, variant);
    if (!growth.known()) continue;
    told.emplace_back(growth.factor(), growth_words(primary_title(experiment, variant), growth));
  }
  if (told.empty()) return "";
  std::stable_sort(told.begin(), told.end(),
                   [](const auto& a, const auto& b) { return a.first > b.first; });
  // More than six: the three that grew most and the one that grew least.
  if (told.size() > 6) told.erase(told.begin() + 3, told.end() - 1);
  std::vector<std::string> words;
  for (auto& [factor, text] : told) words.push_back(text);
  const std::string where = under(experiment, experiment.variants[condition[0]]);
  return fmt::format("Residual variance behind the last block during training{}{}: {}.",
                     where.empty() ? "" : ", ", where, list_text(words));
}

}  // namespace

std::vector<std::string> growth_sentences(const Experiment& experiment) {
  auto conditions = experiment.conditions();
  if (conditions.size() > kConditionsTold) {
    const std::size_t chosen = widest(conditions, [&](std::size_t member) {
      return over_time(experiment, experiment.variants[member]).factor();
    });
    conditions = {conditions[chosen]};
  }
  std::vector<std::string> sentences;
  for (const auto& condition : conditions) {
    std::string sentence = growth_in(experiment, condition);
    if (!sentence.empty()) sentences.push_back(std::move(sentence));
  }
  return sentences;
}

std::string depth_sentence(const Experiment& experiment) {
  const VariantGroup* most = nullptr;
  const VariantGroup* least = nullptr;
  Growth high, low;
  for (const VariantGroup& variant : experiment.variants) {
    const Growth growth = over_depth(experiment, variant);
    if (!growth.known()) continue;
    if (most == nullptr || growth.factor() > high.factor()) most = &variant, high = growth;
    if (least == nullptr || growth.factor() < low.factor()) least = &variant, low = growth;
  }
  if (most == nullptr) return "";
  const auto words = [&](const VariantGroup& variant, const Growth& growth) {
    return fmt::format("{} (from {} to {}, ×{})", variant_title(experiment, variant),
                       figure(growth.first), figure(growth.last), figure(growth.factor()));
  };
  if (most == least)
    return fmt::format("From the first block to the last, variance at the end of the run: {}.",
                       words(*most, high));
  if (high.factor() < kGrowth && low.factor() > 1 / kGrowth)
    return fmt::format(
        "From the first block to the last, no variant's variance changed by more "
        "than a factor of {} at the end of the run.",
        figure(std::max(high.factor(), 1 / low.factor())));
  return fmt::format(
      "From the first block to the last at the end of the run, variance grew most in {} and least "
      "in {}.",
      words(*most, high), words(*least, low));
}

std::string gradient_sentence(const Experiment& experiment) {
  struct Unevenness {
    double ratio = kNan, low = kNan, high = kNan;
    std::size_t low_block = 0, high_block = 0;
  };
  // The median over the last quarter of the probes: one batch's gradient is noise.
  const auto of = [&](const VariantGroup& variant) {
    Unevenness found;
    const Run& first = experiment.runs[variant.runs[0]];
    const std::size_t blocks = first.probes.empty() ? 0 : first.probes.back().layers.size();
    for (std::size_t block = 0; block < blocks; ++block) {
      const double norm = over_seeds(experiment, variant, [&](const Run& run) {
        std::vector<double> values;
        if (!probed_to_the_end(run)) return kNan;
        for (std::size_t i = run.probes.size() - run.probes.size() / 4; i <= run.probes.size();
             ++i) {
          if (i == 0 || block >= run.probes[i - 1].layers.size()) continue;
          const double value = run.probes[i - 1].layers[block].grad_norm;
          if (std::isfinite(value)) values.push_back(value);
        }
        return median(values);
      });
      if (!std::isfinite(norm)) continue;
      if (!(norm >= found.low)) found.low = norm, found.low_block = block + 1;
      if (!(norm <= found.high)) found.high = norm, found.high_block = block + 1;
    }
    found.ratio = found.low > 0 ? found.high / found.low
                                : (found.high > 0 ? std::numeric_limits<double>::infinity() : kNan);
    return found;
  };
  const VariantGroup* most = nullptr;
  const VariantGroup* least = nullptr;
  Unevenness high, low;
  for (const VariantGroup& variant : experiment.variants) {
    const Unevenness found = of(variant);
    if (std::isnan(found.ratio) || found.low_block == found.high_block) continue;
    if (most == nullptr || found.ratio > high.ratio) most = &variant, high = found;
    if (least == nullptr || found.ratio < low.ratio) least = &variant, low = found;
  }
  if (most == nullptr) return "";
  if (high.ratio < kUneven)
    return fmt::format(
        "Gradient norms lay within a factor of {} over the blocks in every variant, late in the "
        "run.",
        figure(high.ratio));
  std::string text = fmt::format(
      "Late in the run gradient norms were most uneven over the blocks in {}: {} in block {} "
      "against "
      "{} in block {}",
      variant_title(experiment, *most), figure(high.low), high.low_block, figure(high.high),
      high.high_block);
  if (most != least)
    text += fmt::format("; most even in {} (within a factor of {})",
                        variant_title(experiment, *least), figure(low.ratio));
  return text + ".";
}

std::string headroom_sentence(const Experiment& experiment) {
  const VariantGroup* most = nullptr;
  double share = kNan, value = kNan;
  for (const VariantGroup& variant : experiment.variants) {
    for (std::size_t index : variant.runs) {
      for (const Probe& probe : experiment.runs[index].probes) {
        for (const LayerFigures& layer : probe.layers) {
          if (!std::isfinite(layer.max_abs) || layer.max_abs <= value) continue;
          value = layer.max_abs;
          share = layer.max_abs / 65504;
          most = &variant;
        }
      }
    }
  }
  if (most == nullptr) return "";
  if (share >= 1)
    return fmt::format("The residual stream of {} reached {}, past FP16's largest number, 65,504.",
                       variant_title(experiment, *most), figure(value));
  return fmt::format(
      "The largest activation of any probe was {}, in {}: {} of FP16's largest number, 65,504.",
      figure(value), variant_title(experiment, *most), percent_text(share));
}

std::string spike_sentence(const Experiment& experiment) {
  std::vector<std::string> words;
  for (const VariantGroup& variant : experiment.variants) {
    std::size_t count = 0;
    for (std::size_t run : variant.runs) count += experiment.runs[run].spikes.size();
    if (count > 0)
      words.push_back(fmt::format("{} in {}", count, variant_title(experiment, variant)));
  }
  if (words.empty()) return "";
  if (words.size() > 6) {
    const std::size_t rest = words.size() - 5;
    words.resize(5);
    words.push_back(fmt::format("more in {} other variants", rest));
  }
  return fmt::format("Spikes of loss or gradient norm: {}.", list_text(words));
}

std::string cost_sentence(const Experiment& experiment) {
  const VariantGroup* most = nullptr;
  const VariantGroup* least = nullptr;
  double high = kNan, low = kNan;
  for (const VariantGroup& variant : experiment.variants) {
    const double share = over_seeds(experiment, variant, [](const Run& run) {
      return norm_shares(run).size() < kTimedProbes ? kNan : run.norm_share;
    });
    if (!std::isfinite(share)) continue;
    if (!(share <= high)) high = share, most = &variant;
    if (!(share >= low)) low = share, least = &variant;
  }
  if (most == nullptr) return "";
  if (most == least)
    return fmt::format("Norms took {} of a step's time in {}.", percent_text(high),
                       variant_title(experiment, *most));
  return fmt::format("Norms took from {} of a step's time ({}) to {} ({}).", percent_text(low),
                     variant_title(experiment, *least), percent_text(high),
                     variant_title(experiment, *most));
}

}  // namespace omninorm::lab::report
