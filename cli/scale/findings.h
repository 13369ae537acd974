// What a profile says in words: plain text, names of columns between back quotes where `rich`.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cli/scale/profile.h"
#include "lab/report/summary.h"

namespace omninorm::cli {

// How far the mean lies from the fitted one, in fitted standard deviations; none where that is not
// known or 0.
std::optional<double> moved(const ColumnProfile& column);

// What to know of one column, most important first: "constant when fitted", "12 values ...".
std::vector<std::string> column_notes(const ColumnProfile& column, const Scaler& scaler);

// Whether outliers are more than such a column has by itself, or lie farther out.
bool has_outliers(const ColumnProfile& column);

// Whether it lies elsewhere than the fitted one: mean, spread, outliers, infinities.
bool unexpected(const ColumnProfile& column);

std::string profile_headline(const TableProfile& profile);

// By topic; empty where nothing stands out.
std::vector<lab::report::Fact> profile_findings(const TableProfile& profile, const Scaler& scaler);

}  // namespace omninorm::cli
