#include "cli/scale/findings.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "lab/report/words.h"

namespace omninorm::cli {
namespace {

using lab::report::count_text;
using lab::report::Fact;
using lab::report::figure;
using lab::report::plural;

constexpr double far = 0.5;  // standard deviations: what a model will notice

std::int64_t beyond(const ColumnProfile& column) { return column.below + column.above; }

std::string share_text(std::int64_t part, std::int64_t whole) {
  const double percent = 100.0 * static_cast<double>(part) / static_cast<double>(whole);
  if (percent < 0.01) return "under 0.01\u00a0%";
  return percent < 10 ? fmt::format("{:.2g}\u00a0%", percent)
                      : fmt::format("{:.0f}\u00a0%", percent);
}

std::string values_text(std::int64_t count) {
  return count_text(double(count)) + (count == 1 ? " value" : " values");
}

// The spread against the fitted one; none where that is not known or 0.
std::optional<double> spread(const ColumnProfile& column) {
  const double fitted = column.fitted.deviation;
  if (!(fitted > 0) || column.fitted.summary.constant || column.before.values < 2) return {};
  return column.before.deviation() / fitted;
}

bool has_moved(const ColumnProfile& column) { return std::fabs(moved(column).value_or(0)) > far; }

bool has_spread(const ColumnProfile& column) {
  const double ratio = spread(column).value_or(1);
  return ratio > 2 || ratio < 0.5;
}

std::string signed_figure(double value) {
  return (value < 0 ? "−" : "+") + figure(std::fabs(value));
}

const char* outlier_note(const ColumnProfile& column, const Scaler& scaler) {
  if (column.fitted.summary.constant) return "other than the fitted one";
  return column.fitted.deviation >= 0 ? "beyond 5 sd" : outlier_words(scaler);
}

using Words = std::function<std::string(const ColumnProfile&)>;
using Size = std::function<double(const ColumnProfile&)>;

// "3 columns WHAT: `a` (12), `b` (7) and 1 more", those of the greatest size first.
void tell(std::vector<Fact>& facts, const TableProfile& profile, const char* topic,
          const std::string& what, const Size& size, const Words& words) {
  constexpr std::size_t most = 6;
  std::vector<const ColumnProfile*> found;
  for (const ColumnProfile& column : profile.columns) {
    if (size(column) > 0) found.push_back(&column);
  }
  if (found.empty()) return;
  std::ranges::stable_sort(found,
                           [&](const auto* a, const auto* b) { return size(*a) > size(*b); });
  std::vector<std::string> names;
  for (const ColumnProfile* column : found) {
    if (names.size() == most && found.size() > most + 1) {
      names.push_back(fmt::format("{} more", count_text(double(found.size() - most))));
      break;
    }
    const std::string detail = words(*column);
    names.push_back(
        fmt::format("`{}`{}", column->name, detail.empty() ? "" : fmt::format(" ({})", detail)));
  }
  const std::string one = what.starts_with("have") ? "has" + what.substr(4) : what;
  const bool all = found.size() == profile.columns.size() && found.size() > 1;
  facts.push_back(
      {topic, fmt::format("{} {}: {}.", all ? "All columns" : plural(found.size(), "column"),
                          found.size() == 1 ? one : what, lab::report::list_text(names))});
}

}  // namespace

std::optional<double> moved(const ColumnProfile& column) {
  const double fitted = column.fitted.deviation;
  if (!(fitted > 0) || column.fitted.summary.constant || column.before.values == 0) return {};
  return (column.before.mean - column.fitted.mean) / fitted;
}

// Of normal values one in 1.7 million is beyond five deviations; of values like the n fitted ones 2
// in n + 1 leave their range.
bool has_outliers(const ColumnProfile& column) {
  const FittedColumn& fitted = column.fitted;
  if (beyond(column) == 0 || fitted.summary.constant) return beyond(column) > 0;
  const bool range = std::isnan(fitted.deviation);
  const double rate = range ? 2 / (fitted.summary.count + 1) : 5.7e-7;
  const double expected = rate * double(column.before.values);
  const double reach = range ? fitted.high - fitted.low : fitted.high / 2 - fitted.low / 2;
  return double(beyond(column)) > expected + 5 * std::sqrt(expected) ||
         column.before.maximum > fitted.high + reach || column.before.minimum < fitted.low - reach;
}

bool unexpected(const ColumnProfile& column) {
  return has_outliers(column) || has_moved(column) || has_spread(column) ||
         column.before.infinite > 0;
}

std::vector<std::string> column_notes(const ColumnProfile& column, const Scaler& scaler) {
  std::vector<std::string> notes;
  if (column.fitted.summary.count == 0) {
    notes.emplace_back("no values when fitted: scaled to nothing");
  } else if (column.fitted.summary.constant) {
    notes.emplace_back("constant when fitted: the scale is 1");
  }
  if (column.before.values == 0) notes.emplace_back("no values here");
  if (has_moved(column)) {
    notes.push_back(fmt::format("mean moved by {} sd", signed_figure(*moved(column))));
  }
  if (has_spread(column)) {
    notes.push_back(fmt::format("spread {} times the fitted one", figure(*spread(column))));
  }
  if (has_outliers(column)) {
    notes.push_back(fmt::format("{} {} ({})", values_text(beyond(column)),
                                outlier_note(column, scaler),
                                share_text(beyond(column), column.before.values)));
  }
  if (column.before.infinite > 0) {
    notes.push_back(fmt::format("{} infinite", values_text(column.before.infinite)));
  }
  return notes;
}

std::string profile_headline(const TableProfile& profile) {
  const std::size_t all = profile.columns.size();
  if (profile.rows == 0) return "The table has no rows.";
  const auto odd = static_cast<std::size_t>(std::ranges::count_if(profile.columns, unexpected));
  const std::string rows =
      count_text(double(profile.rows)) + (profile.rows == 1 ? " row" : " rows");
  if (odd == 0) return rows + ": nothing stands out.";
  std::vector<std::string> kinds;
  const auto count = [&](const auto& has, const char* words) {
    const auto found = std::ranges::count_if(profile.columns, has);
    if (found > 0) kinds.push_back(all == 1 ? words : fmt::format("{} {}", found, words));
  };
  count(has_moved, "moved");
  count(has_spread, "with another spread");
  count(has_outliers, "with outliers");
  count([](const ColumnProfile& column) { return column.before.infinite > 0; }, "with infinities");
  return fmt::format("{}: {} out: {}.", rows,
                     all == 1 ? "the column stands"
                              : fmt::format("{} of {} columns {}", odd, count_text(double(all)),
                                            odd == 1 ? "stands" : "stand"),
                     lab::report::list_text(kinds));
}

std::vector<Fact> profile_findings(const TableProfile& profile, const Scaler& scaler) {
  std::vector<Fact> facts;
  const auto none = [](const ColumnProfile&) { return std::string(); };
  tell(
      facts, profile, "Moved", "have another mean than the fitted one, in standard deviations",
      [](const auto& c) { return has_moved(c) ? std::fabs(*moved(c)) : 0.0; },
      [](const auto& c) { return signed_figure(*moved(c)); });
  tell(
      facts, profile, "Spread",
      "have a spread of more than twice, or less than half, the fitted one",
      [](const auto& c) { return has_spread(c) ? std::fabs(std::log(*spread(c))) + 1 : 0.0; },
      [](const auto& c) { return figure(*spread(c)) + " times"; });
  tell(
      facts, profile, "Outliers", fmt::format("have values {}", outlier_words(scaler)),
      [](const auto& c) {
        return !has_outliers(c) ? 0.0 : double(beyond(c)) / double(c.before.values);
      },
      [](const auto& c) {
        return fmt::format("{}, {}", count_text(double(beyond(c))),
                           share_text(beyond(c), c.before.values));
      });
  tell(
      facts, profile, "Infinite", "have infinite values, which stay what they are",
      [](const auto& c) { return double(c.before.infinite); },
      [](const auto& c) { return count_text(double(c.before.infinite)); });
  tell(
      facts, profile, "Missing", "have missing values, which stay missing",
      [](const auto& c) { return double(c.before.missing); },
      [](const auto& c) {
        return share_text(c.before.missing, c.before.missing + c.before.values + c.before.infinite);
      });
  tell(
      facts, profile, "Constant", "had one value when fitted, so that the scale is 1",
      [](const auto& c) {
        return c.fitted.summary.constant && c.fitted.summary.count > 0 ? 1.0 : 0.0;
      },
      none);
  tell(
      facts, profile, "Not fitted", "had no value when fitted, so that nothing is left of them",
      [](const auto& c) { return c.fitted.summary.count == 0 ? 1.0 : 0.0; }, none);
  return facts;
}

}  // namespace omninorm::cli
