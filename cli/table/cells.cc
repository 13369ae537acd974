#include "cli/table/cells.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <limits>

namespace omninorm::cli {
namespace {

bool blank(char c) { return c == ' ' || c == '\t'; }

// from_chars leaves the value alone where it is too large or too small. Underflow is rounding, as
// everywhere else.
Cell beyond_range(std::string_view digits, double& value) {
  value = std::strtod(std::string(digits).c_str(), nullptr);
  return std::isfinite(value) ? Cell::number : Cell::too_large;
}

}  // namespace

std::string_view trimmed(std::string_view cell) {
  while (!cell.empty() && blank(cell.front())) cell.remove_prefix(1);
  while (!cell.empty() && blank(cell.back())) cell.remove_suffix(1);
  return cell;
}

Cell read_number(std::string_view cell, const std::vector<std::string>& missing, double& value) {
  cell = trimmed(cell);
  if (cell.empty() || (!missing.empty() && std::ranges::find(missing, cell) != missing.end())) {
    value = std::numeric_limits<double>::quiet_NaN();
    return Cell::missing;
  }
  std::string_view digits = cell;
  if (digits.front() == '+' && digits.size() > 1 && digits[1] != '-') digits.remove_prefix(1);
  const char* const end = digits.data() + digits.size();
  const auto [stop, error] = std::from_chars(digits.data(), end, value);
  if (error == std::errc::invalid_argument || stop != end || digits.back() == ')') {
    return Cell::text;  // the bracket: nan(...) of C
  }
  if (error == std::errc::result_out_of_range) return beyond_range(digits, value);
  return std::isnan(value) ? Cell::missing : Cell::number;
}

void append_number(std::string& to, double value, DType dtype) {
  if (std::isnan(value)) return;
  char digits[32];
  const auto end = dtype == DType::f32
                       ? std::to_chars(digits, digits + sizeof digits, to_f32(value))
                       : std::to_chars(digits, digits + sizeof digits, value);
  to.append(digits, end.ptr);
}

std::string shown(std::string_view cell) {
  constexpr std::size_t most = 40;
  std::size_t end = std::min(cell.size(), most);
  // Not in the middle of a character of UTF-8.
  while (end > 0 && end < cell.size() && (cell[end] & 0xc0) == 0x80) --end;
  std::string text = "\"";
  for (const char c : cell.substr(0, end)) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\n') {
      text += "\\n";
    } else if (c == '\r') {
      text += "\\r";
    } else if (c == '\t') {
      text += "\\t";
    } else if (byte < 0x20 || byte == 0x7f) {
      text += fmt::format("\\x{:02x}", byte);
    } else {
      text += c;
    }
  }
  return text + (end < cell.size() ? "...\"" : "\"");
}

std::string shown_list(const std::vector<std::string>& texts) {
  constexpr std::size_t most = 10;
  std::string list;
  for (std::size_t i = 0; i < std::min(texts.size(), most); ++i) {
    list += (i == 0 ? "" : ", ") + shown(texts[i]);
  }
  if (texts.size() > most) list += fmt::format(" and {} more", texts.size() - most);
  return list;
}

}  // namespace omninorm::cli
