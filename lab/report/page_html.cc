#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "lab/report/page.h"
#include "lab/report/words.h"

namespace omninorm::lab::report {
namespace {

using nlohmann::json;

std::string cell(const std::string& text, const char* kind = "") {
  return fmt::format("<td{}>{}</td>", kind, escape_html(text));
}

constexpr const char* kNumber = " class=\"number\"";

std::string loss_or_dash(double loss) { return std::isnan(loss) ? "–" : loss_text(loss); }

std::string status_html(const Run& run) {
  const std::string title =
      run.reason.empty() ? "" : fmt::format(" title=\"{}\"", escape_html(run.reason));
  return fmt::format("<td><span class=\"status {}\"{}>{}</span></td>", escape_html(run.status),
                     title, escape_html(run.status));
}

// The lowest final loss of a condition's finished runs.
double lowest(const Experiment& experiment, const std::vector<std::size_t>& condition) {
  double low = std::numeric_limits<double>::infinity();
  for (std::size_t member : condition)
    for (std::size_t run : experiment.variants[member].runs)
      if (experiment.runs[run].done())
        low = std::fmin(low, experiment.final_loss(experiment.runs[run]));
  return low;
}

std::string outcome_row(const Experiment& experiment, const Run& run, const VariantGroup& variant,
                        double low) {
  const std::size_t colour = variant.values.empty() ? 0 : variant.values[0];
  // With several seeds the lowest single run is luck; the differences below tell instead.
  const bool best = !experiment.several_seeds() && run.done() &&
                    loss_text(experiment.final_loss(run)) == loss_text(low);
  std::string row =
      fmt::format("<tr><th scope=\"row\"><i class=\"key c{}\"></i>{}</th>{}", colour % 8,
                  escape_html(run_title(experiment, run)), status_html(run));
  const auto loss = [&](double value, bool compared) {
    row += cell(loss_or_dash(value), best && compared ? " class=\"number best\"" : kNumber);
  };
  loss(run.valid_loss, experiment.by_validation);
  loss(run.train_loss, !experiment.by_validation);
  row += cell(count_text(double(run.steps)), kNumber);
  row += cell(std::isfinite(run.seconds) ? seconds_text(run.seconds) : "–", kNumber);
  row +=
      cell(std::isfinite(run.tokens_per_second) ? count_text(run.tokens_per_second) : "–", kNumber);
  return row + "</tr>";
}

std::string text_of(const json& run, const char* object, const char* name) {
  if (!run.contains(object) || !run[object].is_object() || !run[object].contains(name)) return "–";
  const json& value = run[object][name];
  return value.is_string() ? value.get<std::string>() : value.dump();
}

}  // namespace

std::string facts_html(const std::vector<Fact>& facts) {
  std::string html;
  for (const Fact& fact : facts)
    html += fmt::format("<div><dt>{}</dt><dd>{}</dd></div>", escape_html(fact.name),
                        rich_html(fact.text));
  return html;
}

std::string findings_html(const std::vector<Fact>& findings) {
  std::string html;
  std::string topic;
  for (const Fact& finding : findings) {
    if (finding.name != topic) {
      if (!topic.empty()) html += "</dd></div>";
      topic = finding.name;
      html += fmt::format("<div><dt>{}</dt><dd>", escape_html(topic));
    }
    html += fmt::format("<p>{}</p>", rich_html(finding.text));
  }
  return topic.empty() ? html : html + "</dd></div>";
}

std::string paragraphs_html(const std::vector<std::string>& paragraphs) {
  std::string html;
  for (const std::string& paragraph : paragraphs)
    html += fmt::format("<p>{}</p>", rich_html(paragraph));
  return html;
}

std::string list_html(const std::vector<std::string>& items) {
  std::string html;
  for (const std::string& item : items) html += fmt::format("<li>{}</li>", rich_html(item));
  return html;
}

std::string outcome_html(const Experiment& experiment) {
  std::string rows;
  for (const auto& condition : experiment.conditions()) {
    const double low = lowest(experiment, condition);
    for (std::size_t member : condition)
      for (std::size_t run : experiment.variants[member].runs)
        rows += outcome_row(experiment, experiment.runs[run], experiment.variants[member], low);
  }
  for (const std::string& label : experiment.not_started)
    rows += fmt::format(
        "<tr><th scope=\"row\">{}</th><td><span class=\"status\">not started</span></td>"
        "<td class=\"number\">–</td><td class=\"number\">–</td><td class=\"number\">0</td>"
        "<td class=\"number\">–</td><td class=\"number\">–</td></tr>",
        escape_html(label));
  return table_html(
      {"Variant", "Status", "Validation loss", "Training loss", "Steps", "Time", "Tokens/s"}, rows,
      "Outcome of each run");
}

std::string comparison_html(const Experiment& experiment) {
  const auto found = comparisons(experiment);
  if (found.empty()) return "";
  std::string rows;
  for (const Comparison& comparison : found) {
    const VariantGroup& variant = experiment.variants[comparison.variant];
    const VariantGroup& base = experiment.variants[comparison.base];
    const Spread spread = describe(finished_losses(experiment, variant));
    rows += fmt::format(
        "<tr><th scope=\"row\">{}</th>{}{}{}", escape_html(variant_title(experiment, variant)),
        cell(variant_title(experiment, base)), cell(loss_or_dash(spread.mean), kNumber),
        cell(loss_or_dash(spread.sd), kNumber));
    if (comparison.difference) {
      const PairedDifference& difference = *comparison.difference;
      rows +=
          cell(std::to_string(difference.pairs), kNumber) +
          cell(signed_text(difference.mean), kNumber) +
          cell(fmt::format("{} to {}", signed_text(difference.low), signed_text(difference.high)),
               kNumber) +
          cell(difference.holds_zero() ? "no difference shown"
                                       : (difference.mean < 0 ? "lower" : "higher"));
    } else {
      rows +=
          "<td class=\"number\">–</td><td class=\"number\">–</td><td class=\"number\">–</td>"
          "<td>too few finished pairs</td>";
    }
    rows += "</tr>";
  }
  return "<h2>Differences over seeds</h2>" +
         table_html({"Variant", "Against", "Mean loss", "sd", "Pairs", "Difference",
                     "95 % interval", "Reads as"},
                    rows, "Paired differences in final loss, seed by seed (paired t)");
}

std::string method_html(const Experiment& experiment) {
  std::string text = fmt::format(
      "Runs of one seed start from the same weights wherever they have the same parameters, and "
      "see "
      "the same batches; they differ in nothing but what is varied. Losses are in nats per byte. "
      "The "
      "final training loss is the mean over the last {} (a tenth of the run, at most 100); the "
      "validation loss is that of fixed held-out batches. Best means the lowest {} among finished "
      "runs "
      "of one condition.",
      plural(experiment.train_window, "step"),
      experiment.by_validation ? "validation loss" : "training loss");
  double most = 0;
  for (const Run& run : experiment.runs)
    if (std::isfinite(run.probe_share)) most = std::max(most, run.probe_share);
  if (most > 0)
    text += fmt::format(" Probing took at most {} of a run's time.", percent_text(most));
  std::string html = "<p>" + escape_html(text) + "</p>";
  const json& plan = experiment.plan;
  if (plan.contains("steps_reason") && plan["steps_reason"].is_string())
    html += "<p>Length: " + escape_html(plan["steps_reason"].get<std::string>()) + "</p>";
  if (plan.contains("command") && plan["command"].is_string())
    html += "<p>This command repeats it:</p><pre tabindex=\"0\"><code>" +
            escape_html(plan["command"].get<std::string>()) + "</code></pre>";
  return html;
}

std::string versions_html(const Experiment& experiment) {
  std::string rows;
  for (const Run& run : experiment.runs) {
    std::string commit = text_of(run.run, "git", "commit");
    if (commit.size() > 12) commit.resize(12);
    if (text_of(run.run, "git", "dirty") == "true") commit += " + changes";
    const std::string started =
        run.run.contains("started") && run.run["started"].is_string() ? run.run["started"] : "–";
    rows += fmt::format("<tr><th scope=\"row\">{}</th>", escape_html(run_title(experiment, run))) +
            cell(text_of(run.run, "versions", "omninorm")) + cell(commit) +
            cell(text_of(run.run, "versions", "torch")) +
            cell(text_of(run.run, "versions", "compiler")) +
            cell(text_of(run.run, "machine", "cpu")) + cell(text_of(run.run, "machine", "simd")) +
            cell(text_of(run.run, "machine", "threads"), kNumber) + cell(started) + "</tr>";
  }
  return table_html(
      {"Run", "omninorm", "Commit", "torch", "Compiler", "Processor", "SIMD", "Threads", "Started"},
      rows, "Versions and machine of each run");
}

}  // namespace omninorm::lab::report
