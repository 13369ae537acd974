// Figures and names as people read them, and text made safe for a page.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "lab/page/html.h"
#include "lab/report/analysis.h"

namespace omninorm::lab::report {

std::string figure(double value);            // three digits: "1,950", "17.3", "0.0123", "3.1e-9"
std::string loss_text(double loss);          // "1.623"; "1.25e30" from 10,000 on; "not finite"
std::string count_text(double count);        // "204,800"
std::string seconds_text(double seconds);    // "18 s", "3.2 min"
std::string signed_text(double difference);  // "+0.010", "−0.004" (a minus sign)
std::string percent_text(double share);      // "6.3 %", "under 0.1 %"

// "a, b and c"
std::string list_text(const std::vector<std::string>& items);
// "1 run", "3 runs"
std::string plural(std::size_t count, const std::string& noun);

std::string axis_title(const std::string& setting);  // "learning rate"
// "Peri", "lr 0.003", "fan-in"
std::string value_title(const std::string& setting, const std::string& value);

// "Peri"; the whole variant where only one setting is varied.
std::string primary_title(const Experiment& experiment, const VariantGroup& variant);
// "lr 0.003, fan-in": the other settings; "" when there are none.
std::string condition_title(const Experiment& experiment, const VariantGroup& variant);
// "Peri at lr 0.003", "Peri with fan-in"
std::string variant_title(const Experiment& experiment, const VariantGroup& variant);
// The same, and the seed where there are several.
std::string run_title(const Experiment& experiment, const Run& run);

}  // namespace omninorm::lab::report
