#include "lab/page/html.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

namespace omninorm::lab {
namespace {

std::string valid_utf8(std::string_view text) {
  using nlohmann::json;
  const std::string dumped =
      json(std::string(text)).dump(-1, ' ', false, json::error_handler_t::replace);
  return json::parse(dumped).get<std::string>();
}

}  // namespace

std::string escape_html(std::string_view text) {
  std::string safe;
  for (char letter : valid_utf8(text)) {
    switch (letter) {
      case '&':
        safe += "&amp;";
        break;
      case '<':
        safe += "&lt;";
        break;
      case '>':
        safe += "&gt;";
        break;
      case '"':
        safe += "&quot;";
        break;
      case '\'':
        safe += "&#39;";
        break;
      default:
        safe += letter;
    }
  }
  return safe;
}

std::string rich_html(std::string_view text) {
  std::string html;
  bool code = false;
  for (char letter : escape_html(text)) {
    if (letter == '`') {
      html += code ? "</code>" : "<code>";
      code = !code;
    } else {
      html += letter;
    }
  }
  return code ? html + "</code>" : html;
}

std::string table_html(const std::vector<std::string>& heads, const std::string& rows,
                       const std::string& caption) {
  std::string html = fmt::format(
      "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{0}\"><table><caption>{0}"
      "</caption><thead><tr>",
      escape_html(caption));
  for (const std::string& head : heads)
    html += fmt::format("<th scope=\"col\">{}</th>", escape_html(head));
  return html + "</tr></thead><tbody>" + rows + "</tbody></table></div>";
}

}  // namespace omninorm::lab
