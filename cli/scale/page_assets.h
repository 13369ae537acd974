// The page's own files, put into the program by cli/CMakeLists.txt.
#pragma once

#include <string_view>

namespace omninorm::cli::page {

std::string_view columns_html();
std::string_view columns_css();
std::string_view columns_js();

}  // namespace omninorm::cli::page
