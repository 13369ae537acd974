// The report's own files, put into the program by lab/CMakeLists.txt.
#pragma once

#include <string_view>

namespace omninorm::lab::report {

std::string_view template_html();
std::string_view template_css();
std::string_view template_charts_js();  // data to charts; comes before template_js
std::string_view template_js();

}  // namespace omninorm::lab::report
