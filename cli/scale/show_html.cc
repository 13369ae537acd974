#include "cli/scale/show_html.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "cli/scale/findings.h"
#include "cli/scale/page_assets.h"
#include "cli/scale/profile.h"
#include "lab/page/html.h"
#include "lab/page/page.h"
#include "lab/report/page.h"
#include "lab/report/words.h"

namespace omninorm::cli {
namespace {

using lab::escape_html;
using lab::report::count_text;
using lab::report::Fact;
using nlohmann::json;

constexpr std::size_t most_columns = 1000;  // about 1.5 MB of page

json exact(double value) { return std::isfinite(value) ? json(value) : json(nullptr); }

json bins_json(const Histogram& bins) {
  return {{"low", exact(bins.low)},
          {"high", exact(bins.high)},
          {"counts", bins.counts},
          {"below", bins.below},
          {"above", bins.above}};
}

bool is_min_max(const Scaler& scaler) {
  return dynamic_cast<const MinMaxScaler*>(&scaler) != nullptr;
}

// What is shaded in a histogram before: mean and one deviation around it, or the fitted range.
struct Marks {
  double low, middle, high;
};

Marks marks_of(const ColumnProfile& column, const Scaler& scaler) {
  const FittedColumn& fitted = column.fitted;
  if (is_min_max(scaler)) return {fitted.minimum, std::nan(""), fitted.maximum};
  return {fitted.mean - fitted.deviation, fitted.mean, fitted.mean + fitted.deviation};
}

// The same, scaled.
Marks scaled(const Marks& marks, const Scaler& scaler, std::int64_t j) {
  double values[] = {marks.low, marks.middle, marks.high};
  const std::int64_t columns[] = {j};
  const Tensor x(values, {3, 1});
  scaler.transform(x, x, columns);
  return {values[0], values[1], values[2]};
}

json marks_json(const Marks& marks) {
  return {{"low", exact(marks.low)}, {"middle", exact(marks.middle)}, {"high", exact(marks.high)}};
}

json column_json(const ColumnProfile& column, const Scaler& scaler, std::int64_t j) {
  const Marks marks = marks_of(column, scaler);
  const auto far = moved(column);
  return {{"name", column.name},
          {"values", column.before.values},
          {"missing", column.before.missing},
          {"infinite", column.before.infinite},
          {"minimum", exact(column.before.minimum)},
          {"maximum", exact(column.before.maximum)},
          {"mean", exact(column.before.mean)},
          {"deviation", exact(column.before.deviation())},
          {"below", column.below},
          {"above", column.above},
          {"moved", far ? exact(*far) : json(nullptr)},
          {"odd", has_outliers(column)},
          {"notes", column_notes(column, scaler)},
          {"before", bins_json(column.bins_before)},
          {"after", bins_json(column.bins_after)},
          {"marks", marks_json(marks)},
          {"after_marks", marks_json(scaled(marks, scaler, j))}};
}

// A histogram as a small picture, which needs no JavaScript. What lies beyond stands at the ends.
std::string spark_html(const Histogram& bins, const char* kind) {
  std::vector<std::int64_t> counts = bins.counts;
  counts.insert(counts.begin(), bins.below);
  counts.push_back(bins.above);
  const double highest = double(std::max<std::int64_t>(1, std::ranges::max(counts)));
  std::string path;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    if (counts[i] == 0) continue;
    // A single value among millions is there to be seen.
    const double height = std::max(0.6, 20 * double(counts[i]) / highest);
    path += fmt::format("M{} 20v-{:.3g}h1v{:.3g}z", i, height, height);
  }
  return fmt::format(
      "<td><svg class=\"spark\" viewBox=\"0 0 {} 20\" preserveAspectRatio=\"none\" "
      "aria-hidden=\"true\"><path class=\"{}\" d=\"{}\"/></svg></td>",
      counts.size(), kind, path);
}

std::string cell(const std::string& text, const char* kind = " class=\"number\"") {
  return fmt::format("<td{}>{}</td>", kind, escape_html(text));
}

// Far from 0, as many digits as tell the column's values apart.
std::string number_cell(double value, const Figures& figures) {
  if (figures.values == 0 || !std::isfinite(value)) return cell("–");
  const double share = std::fabs(value) / figures.deviation();
  const double more = share > 1 && std::isfinite(share) ? std::ceil(std::log10(share)) : 0;
  return cell(fmt::format("{:.{}g}", value, std::clamp(static_cast<int>(more) + 3, 5, 15)));
}

std::string table_of(const TableProfile& profile, const std::vector<std::size_t>& shown,
                     const Scaler& scaler) {
  std::string rows;
  for (const std::size_t j : shown) {
    const ColumnProfile& column = profile.columns[j];
    const Figures &before = column.before, &after = column.after;
    rows += fmt::format("<tr><th scope=\"row\" title=\"{0}\">{0}</th>", escape_html(column.name)) +
            spark_html(column.bins_before, "before") + spark_html(column.bins_after, "after") +
            cell(count_text(double(before.values))) + cell(count_text(double(before.missing)));
    for (const Figures* figures : {&before, &after}) {
      rows += number_cell(figures->mean, *figures) + number_cell(figures->deviation(), *figures) +
              number_cell(figures->minimum, *figures) + number_cell(figures->maximum, *figures);
    }
    rows += cell(count_text(double(column.below + column.above)),
                 has_outliers(column) ? " class=\"number flag\"" : " class=\"number\"") +
            cell(fmt::format("{}", fmt::join(column_notes(column, scaler), "; ")), "") + "</tr>";
  }
  return lab::table_html(
      {"Column", "Before", "After", "Values", "Missing", "Mean", "sd", "Minimum", "Maximum",
       "Mean after", "sd after", "Minimum after", "Maximum after", "Outliers", "Notes"},
      rows, "Figures of each column before and after scaling");
}

// The columns with most to tell, in the scaler's order.
std::vector<std::size_t> shown_columns(const TableProfile& profile) {
  std::vector<std::size_t> all(profile.columns.size());
  for (std::size_t j = 0; j < all.size(); ++j) all[j] = j;
  if (all.size() <= most_columns) return all;
  const auto share = [&](std::size_t j) {
    const ColumnProfile& c = profile.columns[j];
    const double outliers =
        double(c.below + c.above) / double(std::max<std::int64_t>(1, c.before.values));
    return unexpected(c) ? 1 + outliers + std::fabs(moved(c).value_or(0)) : 0.0;
  };
  std::ranges::stable_sort(all, [&](std::size_t a, std::size_t b) { return share(a) > share(b); });
  all.resize(most_columns);
  std::ranges::sort(all);
  return all;
}

const char* kind_words(const Scaler& scaler) {
  if (is_min_max(scaler)) return "min-max";
  return dynamic_cast<const RunningScaler*>(&scaler) != nullptr ? "running z-score" : "z-score";
}

std::string how_html(const Scaler& scaler) {
  const std::string fitted = is_min_max(scaler)
                                 ? "the fitted range, and the target range it goes to"
                                 : "the fitted mean (dashed) and one standard deviation around it";
  return fmt::format(
      "How many values lie where, <span class=\"key before\"></span>before and <span class=\"key "
      "after\"></span>after scaling. <span class=\"key fitted\"></span>Shaded: {}. <span "
      "class=\"key beyond\"></span>Bars apart at the ends: all values beyond the axis. The axis "
      "before fits each column's bulk; the one after {}.",
      fitted,
      is_min_max(scaler) ? "is the same for all: the target range and a quarter to both sides"
                         : "is the same for all columns that are brought to mean 0 and deviation "
                           "1: five deviations to both sides");
}

std::string terms_html(const Scaler& scaler) {
  std::vector<Fact> terms = {
      {"Outliers",
       fmt::format("Values {}. {} A column stands out where they are more than that, or lie twice "
                   "as far away.",
                   outlier_words(scaler),
                   is_min_max(scaler) ? "Of values like the n fitted ones about 2 in n are."
                                      : "Of normally distributed values one in 1.7 million is.")},
      {"sd", "Standard deviation, divided by n; of this table's values, not of the fitted ones."},
      {"Constant when fitted",
       "The fitted values had no spread to divide by. The scale is 1: what differs from the "
       "fitted value differs as much after scaling."},
      {"Missing", "Empty cells, nulls and NaN. They are left out here, and kept by transform."}};
  if (!is_min_max(scaler)) {
    terms.push_back({"Moved",
                     "Mean of this table less the fitted mean, in fitted standard "
                     "deviations. Named from half a deviation on."});
  }
  return lab::report::facts_html(terms);
}

std::vector<Fact> facts_of(const Scaler& scaler, const std::string& options,
                           const std::string& file, const TableProfile& profile) {
  const FittedOn& on = scaler.fitted_on();
  std::vector<Fact> facts = {{"Scaler", fmt::format("{}; {}", kind_words(scaler), options)}};
  std::string fitted = count_text(double(scaler.rows())) + " rows";
  if (!on.dtype.empty()) fitted += " of " + on.dtype;
  if (!on.time.empty()) fitted += ", " + on.time;
  facts.push_back({"Fitted on", fitted});
  if (!on.sources.empty()) {
    std::vector<std::string> sources(
        on.sources.begin(),
        on.sources.begin() + std::min<std::ptrdiff_t>(3, std::ssize(on.sources)));
    if (on.sources.size() > 3) sources.push_back(fmt::format("{} more", on.sources.size() - 3));
    facts.push_back({"From", lab::report::list_text(sources)});
  }
  facts.push_back(
      {"This table", fmt::format("{}, {} rows", file, count_text(double(profile.rows)))});
  return facts;
}

}  // namespace

ScalePage scale_page(const Scaler& scaler, const std::string& scaler_name,
                     const std::string& options, const std::string& file, const TableFlags& flags) {
  const TableProfile profile = profile_table(scaler, file, flags);
  const std::vector<std::size_t> shown = shown_columns(profile);
  json columns = json::array();
  for (const std::size_t j : shown) {
    columns.push_back(column_json(profile.columns[j], scaler, static_cast<std::int64_t>(j)));
  }
  std::string warnings, findings;
  if (shown.size() < profile.columns.size()) {
    warnings = fmt::format(
        "<div class=\"warning\" role=\"note\"><p>The page has {} of {} columns: those with most to "
        "tell, in the scaler's order.</p></div>",
        count_text(double(shown.size())), count_text(double(profile.columns.size())));
  }
  if (const auto found = profile_findings(profile, scaler); !found.empty()) {
    findings =
        "<section aria-labelledby=\"findings\"><h2 id=\"findings\">What stands out</h2><dl "
        "class=\"findings\">" +
        lab::report::findings_html(found) + "</dl></section>";
  }
  ScalePage page;
  page.headline = profile_headline(profile);
  const std::string title =
      profile.columns.size() == 1
          ? fmt::format("{} before and after {} scaling", profile.columns[0].name,
                        kind_words(scaler))
          : fmt::format("{} columns before and after {} scaling",
                        count_text(double(profile.columns.size())), kind_words(scaler));
  page.html = lab::fill_page(
      page::columns_html(),
      {{"title", escape_html(title)},
       {"scaler", escape_html(scaler_name)},
       {"file", escape_html(file)},
       {"headline", escape_html(page.headline)},
       {"warnings", warnings},
       {"facts", lab::report::facts_html(facts_of(scaler, options, file, profile))},
       {"findings", findings},
       {"how", how_html(scaler)},
       {"table", table_of(profile, shown, scaler)},
       {"terms", terms_html(scaler)},
       {"css", std::string(page::columns_css())},
       {"data", lab::script_json({{"columns", columns},
                                  {"outliers", is_min_max(scaler) ? "outside the fitted range"
                                                                  : "beyond 5 sd"}})},
       {"script", std::string(page::columns_js())}});
  return page;
}

std::string page_name(const std::string& file) {
  std::filesystem::path name = std::filesystem::path(file).filename();
  if (name.extension() == ".gz" || name.extension() == ".zst") name = name.stem();
  return name.stem().string() + ".html";
}

}  // namespace omninorm::cli
