// The parts of the page that C++ makes: the data that the charts are drawn from, and the HTML that
// is there without JavaScript.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "lab/report/analysis.h"
#include "lab/report/summary.h"

namespace omninorm::lab::report {

// Numbers have five digits, what is not finite is null.
nlohmann::json page_data(const Experiment& experiment);

std::string facts_html(const std::vector<Fact>& facts);
std::string findings_html(const std::vector<Fact>& findings);
std::string paragraphs_html(const std::vector<std::string>& paragraphs);
std::string list_html(const std::vector<std::string>& items);
std::string outcome_html(const Experiment& experiment);
std::string comparison_html(const Experiment& experiment);  // "" with a single seed
std::string method_html(const Experiment& experiment);
std::string versions_html(const Experiment& experiment);

}  // namespace omninorm::lab::report
