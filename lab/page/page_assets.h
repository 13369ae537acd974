// What every page has, put into the program by lab/page/assets.cmake.
#pragma once

#include <string_view>

namespace omninorm::lab {

std::string_view page_css();
std::string_view page_script();    // what scripts of pages share; comes behind chart_library
std::string_view chart_library();  // Chart.js, MIT licence

}  // namespace omninorm::lab
