#include "lab/page/page.h"

#include "lab/page/page_assets.h"

namespace omninorm::lab {

std::string fill_page(std::string_view page, std::map<std::string_view, std::string> parts) {
  parts.emplace("page_css", page_css());
  parts.emplace("page_script", page_script());
  parts.emplace("chart_library", chart_library());
  std::string filled;
  while (true) {
    const std::size_t open = page.find("{{");
    if (open == std::string_view::npos) return filled.append(page);
    const std::size_t close = page.find("}}", open);
    filled.append(page.substr(0, open));
    filled.append(parts.at(page.substr(open + 2, close - open - 2)));
    page.remove_prefix(close + 2);
  }
}

std::string script_json(const nlohmann::json& data) {
  std::string safe;
  for (char letter : data.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)) {
    if (letter == '<')
      safe += "\\u003c";
    else
      safe += letter;
  }
  return safe;
}

}  // namespace omninorm::lab
