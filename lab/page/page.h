// Pages that are one file: a template with style, script, charts and data in it.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace omninorm::lab {

// Replaces {{name}} in one pass: what is put in is never looked at again, whatever it holds.
// {{page_css}}, {{page_script}} and {{chart_library}} are there without being given.
std::string fill_page(std::string_view page, std::map<std::string_view, std::string> parts);

// JSON for a <script> element: no "<" in it, so no text can end the element.
std::string script_json(const nlohmann::json& data);

}  // namespace omninorm::lab
