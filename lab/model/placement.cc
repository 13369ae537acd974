#include "lab/model/placement.h"

#include <array>
#include <string>
#include <vector>

#include "lab/experiment/settings.h"
#include "omninorm/error.h"

namespace omninorm::lab {
namespace {

constexpr std::array placement_table = {
    Placement{.name = "post",
              .equation = "x' = N(x + F(x))",
              .summary = "Post-LN: the sum is normalised; no path from end to end without a norm",
              .source = "Vaswani et al., Attention Is All You Need (2017)",
              .before_sublayer = false,
              .after_sublayer = false,
              .after_sum = true,
              .final_norm = false},
    Placement{.name = "pre",
              .equation = "x' = x + F(N(x)), final N",
              .summary = "Pre-LN: each sublayer's input is normalised; the residual stream is free",
              .source = "GPT-2, Llama",
              .before_sublayer = true,
              .after_sublayer = false,
              .after_sum = false,
              .final_norm = true},
    Placement{.name = "peri",
              .equation = "x' = x + N_out(F(N_in(x))), final N",
              .summary = "Peri-LN: each sublayer's input and output are normalised",
              .source = "Peri-LN, arXiv 2502.02732; OLMo-core PeriNormTransformerBlock",
              .before_sublayer = true,
              .after_sublayer = true,
              .after_sum = false,
              .final_norm = true},
    Placement{.name = "output",
              .equation = "x' = x + N(F(x)), final N",
              .summary = "Output-LN: each sublayer's output is normalised (QK-norm not included)",
              .source = "OLMo2, EXAONE4; HF modeling_olmo2.py",
              .before_sublayer = false,
              .after_sublayer = true,
              .after_sum = false,
              .final_norm = true},
};

constexpr std::array norm_table = {
    NormChoice{"rms_norm", "x / sqrt(mean(x^2) + eps) * weight"},
    NormChoice{"layer_norm", "(x - mean(x)) / sqrt(var(x) + eps) * weight + bias"},
    NormChoice{"grouped_layer_norm", "layer_norm of each of norm_groups groups of channels (LN-G)"},
    NormChoice{"none", "no norm anywhere: what the norms are for, seen by leaving them out"},
};

}  // namespace

std::span<const Placement> placements() { return placement_table; }

const Placement& find_placement(std::string_view name) {
  std::vector<std::string> names;
  for (const Placement& placement : placement_table) {
    if (placement.name == name) return placement;
    names.emplace_back(placement.name);
  }
  throw Error("[placement] expected a known placement, got '" + std::string(name) + "'; " +
              suggestion(name, names));
}

std::span<const NormChoice> norm_choices() { return norm_table; }

std::string_view why_no_norm(std::string_view name) {
  if (name == "batch_norm") {
    return "batch_norm pools over tokens, so that a causal model would see later ones";
  }
  if (name == "instance_norm" || name == "group_norm") {
    return "it pools over positions, so that a causal model would see later ones; "
           "grouped_layer_norm is its form for one position";
  }
  if (name == "add_rms_norm" || name == "add_layer_norm") {
    return "it is the same norm with the residual's addition in one pass";
  }
  return {};
}

}  // namespace omninorm::lab
