// Pieces of HTML.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace omninorm::lab {

// Text for HTML, in elements and in quoted attributes. Bytes that are not UTF-8 are replaced.
std::string escape_html(std::string_view text);
// The same, with `code` between back quotes set as code.
std::string rich_html(std::string_view text);

// A table that scrolls sideways where it has to. `rows` is HTML.
std::string table_html(const std::vector<std::string>& heads, const std::string& rows,
                       const std::string& caption);

}  // namespace omninorm::lab
