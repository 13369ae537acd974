#include "lab/report/words.h"

#include <fmt/format.h>

#include <cctype>
#include <cmath>
#include <set>

namespace omninorm::lab::report {
namespace {

std::string grouped(const std::string& digits) {
  std::string text;
  const std::size_t sign = digits[0] == '-' ? 1 : 0;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    if (i > sign && (digits.size() - i) % 3 == 0) text += ',';
    text += digits[i];
  }
  return text;
}

// "3.1e-9" instead of C's "3.1e-09"
std::string scientific(double value, int places) {
  const std::string text = fmt::format("{:.{}e}", value, places);
  const std::size_t exponent = text.find('e') + 1;
  const std::string sign = text[exponent] == '-' ? "-" : "";
  std::size_t digits = exponent + 1;
  while (digits + 1 < text.size() && text[digits] == '0') ++digits;
  return text.substr(0, exponent) + sign + text.substr(digits);
}

// Three decimals; beyond 10,000, where a run has blown up, only the size matters.
std::string loss_digits(double size) {
  return size < 1e4 ? fmt::format("{:.3f}", size) : scientific(size, 2);
}

// Names that read well without their setting in front.
bool names_itself(const std::string& setting) {
  static const std::set<std::string> names = {"placement", "norm", "init",  "mlp",
                                              "dtype",     "data", "device"};
  return names.count(setting) > 0;
}

std::string seed_suffix(const Experiment& experiment, const Run& run) {
  return experiment.several_seeds() ? fmt::format(" (seed {})", run.seed) : "";
}

}  // namespace

std::string figure(double value) {
  if (std::isnan(value)) return "not a number";
  if (std::isinf(value)) return value > 0 ? "infinity" : "−infinity";
  const double size = std::fabs(value);
  if (size == 0) return "0";
  if (size >= 1e7 || size < 1e-3) {
    return scientific(value, 1);
  }
  const int places = 2 - static_cast<int>(std::floor(std::log10(size)));
  if (places > 0) return fmt::format("{:.{}f}", value, places);
  const double unit = std::pow(10.0, -places);
  return grouped(fmt::format("{:.0f}", std::round(value / unit) * unit));
}

std::string loss_text(double loss) {
  if (!std::isfinite(loss)) return "not finite";
  return (loss < 0 ? "-" : "") + loss_digits(std::fabs(loss));
}

std::string count_text(double count) {
  return std::isfinite(count) ? grouped(fmt::format("{:.0f}", count)) : "unknown";
}

std::string seconds_text(double seconds) {
  if (!std::isfinite(seconds)) return "unknown";
  if (seconds < 10) return fmt::format("{:.1f} s", seconds);
  if (seconds < 120) return fmt::format("{:.0f} s", seconds);
  if (seconds < 7200) return fmt::format("{:.1f} min", seconds / 60);
  return fmt::format("{:.1f} h", seconds / 3600);
}

std::string signed_text(double difference) {
  const std::string digits = loss_digits(std::fabs(difference));
  if (digits == "0.000") return digits;
  return (difference < 0 ? "−" : "+") + digits;
}

std::string percent_text(double share) {
  if (share > 0 && share < 0.001) return "under 0.1 %";
  return std::isfinite(share) ? fmt::format("{:.1f} %", share * 100) : "unknown";
}

std::string list_text(const std::vector<std::string>& items) {
  std::string text;
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (i > 0) text += i + 1 == items.size() ? " and " : ", ";
    text += items[i];
  }
  return text;
}

std::string plural(std::size_t count, const std::string& noun) {
  return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

std::string axis_title(const std::string& setting) {
  if (setting == "lr") return "learning rate";
  if (setting == "init") return "initialisation";
  std::string title = setting;
  for (char& letter : title)
    if (letter == '_') letter = ' ';
  return title;
}

std::string value_title(const std::string& setting, const std::string& value) {
  if (setting == "placement" && !value.empty()) {
    std::string title = value;
    title[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(title[0])));
    return title;
  }
  return names_itself(setting) ? value : setting + " " + value;
}

std::string primary_title(const Experiment& experiment, const VariantGroup& variant) {
  if (experiment.axes.empty()) {
    const std::string placement = setting(experiment.runs[variant.runs[0]], "placement");
    return placement.empty() ? "the run" : value_title("placement", placement);
  }
  const ReportAxis& axis = experiment.axes[0];
  return value_title(axis.name, axis.values[variant.values[0]]);
}

std::string condition_title(const Experiment& experiment, const VariantGroup& variant) {
  std::string title;
  for (std::size_t i = 1; i < experiment.axes.size(); ++i) {
    const ReportAxis& axis = experiment.axes[i];
    if (axis.values.size() < 2) continue;
    if (!title.empty()) title += ", ";
    title += value_title(axis.name, axis.values[variant.values[i]]);
  }
  return title;
}

std::string variant_title(const Experiment& experiment, const VariantGroup& variant) {
  const std::string condition = condition_title(experiment, variant);
  const std::string primary = primary_title(experiment, variant);
  if (condition.empty()) return primary;
  return primary + (condition.rfind("lr ", 0) == 0 ? " at " : " with ") + condition;
}

std::string run_title(const Experiment& experiment, const Run& run) {
  for (const VariantGroup& variant : experiment.variants)
    if (variant.values == run.values)
      return variant_title(experiment, variant) + seed_suffix(experiment, run);
  return run.id;
}

}  // namespace omninorm::lab::report
