// The page's own files and the chart library, put into the program by lab/report/assets.cmake.
#pragma once

#include <string_view>

namespace omninorm::lab::report {

std::string_view template_html();
std::string_view template_css();
std::string_view template_charts_js();  // data to charts; comes before template_js
std::string_view template_js();
std::string_view chart_library();  // Chart.js, MIT licence

}  // namespace omninorm::lab::report
