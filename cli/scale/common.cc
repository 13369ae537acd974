#include "cli/scale/common.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <filesystem>
#include <system_error>

#include "cli/program.h"
#include "cli/progress_text.h"
#include "cli/table/byte_source.h"
#include "cli/table/cells.h"

namespace omninorm::cli {
namespace {

// "1.2 GB".
std::string byte_text(double bytes) {
  constexpr const char* units[] = {"bytes", "kB", "MB", "GB", "TB"};
  std::size_t unit = 0;
  for (; bytes >= 1000 && unit + 1 < std::size(units); ++unit) bytes /= 1000;
  return fmt::format("{:.{}f} {}", bytes, unit < 3 ? 0 : 1, units[unit]);
}

char delimiter_of(const std::string& word) {
  if (word.empty()) return 0;
  if (word == "tab" || word == "\\t") return '\t';
  if (word == "space") return ' ';
  const auto c = static_cast<unsigned char>(word[0]);
  // What numbers are made of would split them; the others have a meaning of their own.
  const bool possible = word.size() == 1 && c >= ' ' && c < 0x7f && !std::isalnum(c) &&
                        std::string_view("+-.\"").find(word[0]) == std::string_view::npos;
  if (!possible && word != "\t") {
    throw UsageError(
        fmt::format("--delimiter expected one character of ASCII that is no letter, digit, quote, "
                    "point or sign, or tab or space, got {}",
                    shown(word)));
  }
  return word[0];
}

}  // namespace

void TableFlags::add_to(CLI::App& app) {
  app.add_option("--delimiter", delimiter,
                 "what stands between cells: one character, tab or space [comma; tab for .tsv]")
      ->type_name("CHAR");
  app.add_flag("--no-header", no_header, "the first line is a row, and columns go by place");
  app.add_option("--na", na,
                 "a word that stands for a missing number, as the empty cell does; again for more")
      ->type_name("WORD")
      ->expected(1)
      ->take_all();
  app.add_option("--from", from, "the format that is read [by the name, or else the first bytes]")
      ->type_name("FORMAT");
  app.add_flag("--quiet", quiet, "print errors only");
}

ReadOptions TableFlags::options() const {
  ReadOptions options;
  options.delimiter = delimiter_of(delimiter);
  options.header = !no_header;
  for (const std::string& word : na) options.missing.emplace_back(trimmed(word));  // as cells are
  return options;
}

CLI::Option* add_columns_flag(CLI::App& app, const std::string& name,
                              std::vector<std::string>& columns, const std::string& help) {
  return app.add_option(name, columns, help)->type_name("NAMES")->expected(1)->take_all();
}

std::unique_ptr<Scaler> read_state(const std::string& path) {
  const auto source = open_bytes(path);
  std::string text;
  char chunk[1 << 16];
  while (const std::size_t count = source->read(chunk)) text.append(chunk, count);
  try {
    return load_scaler(text);
  } catch (const Error& error) {
    throw UsageError(source->name() + ": " + error.what());
  }
}

void write_state(const Scaler& scaler, const std::string& path) {
  if (path == "-") {
    fmt::print("{}", scaler.to_json());
  } else {
    save_scaler(scaler, path);
  }
}

void check_output(const std::string& flag, const std::string& out,
                  const std::vector<std::string>& inputs) {
  namespace fs = std::filesystem;
  std::error_code error;
  if (out == "-" || !fs::is_regular_file(out, error)) return;
  for (const std::string& input : inputs) {
    if (!fs::equivalent(out, input == "-" ? "/dev/stdin" : input, error)) continue;
    throw UsageError(fmt::format("{} expected another file than {}, which is read, got {}", flag,
                                 input == "-" ? "standard input's" : input, out));
  }
}

void note(bool quiet, const std::string& line) {
  if (!quiet) fmt::print(stderr, "note: {}\n", line);
}

ByteProgress::ByteProgress(bool quiet, const std::string& name, const std::string& output)
    : live_(!quiet && live_terminal(stderr) && !(output == "-" && ::isatty(STDOUT_FILENO) == 1)),
      name_(name == "-" ? "standard input" : name) {}

ByteProgress::~ByteProgress() {
  if (drawn_) std::fputs("\r\x1b[K", stderr);
}

void ByteProgress::show(const TableReader& reader) {
  if (!live_) return;
  const Clock::time_point now = Clock::now();
  if (now - last_draw_ < redraw_interval) return;
  last_draw_ = now;
  drawn_ = true;
  fmt::print(stderr, "\r\x1b[K{}",
             progress_line(name_, reader.bytes_read(), reader.bytes().value_or(0),
                           std::chrono::duration<double>(now - start_).count(),
                           terminal_width(stderr) - 1));
  std::fflush(stderr);
}

// The parts in order of worth; what does not fit is left out, so that the line never wraps.
std::string progress_line(const std::string& name, std::int64_t read, std::int64_t bytes,
                          double seconds, int width) {
  const double speed = static_cast<double>(read) / std::max(seconds, 1e-3);
  std::vector<std::string> parts;
  if (bytes > 0) {
    parts.push_back(fmt::format(
        "{:3}% of {}",
        std::min<std::int64_t>(100, static_cast<std::int64_t>(100.0 * static_cast<double>(read) /
                                                              static_cast<double>(bytes))),
        byte_text(static_cast<double>(bytes))));
    if (read > 0) {
      parts.push_back(clock_time(static_cast<double>(bytes - read) / speed) + " left");
    }
  } else {
    parts.push_back(byte_text(static_cast<double>(read)));
  }
  parts.push_back(byte_text(speed) + "/s");
  parts.push_back(name);
  std::string line;
  for (const std::string& part : parts) {
    if (std::ssize(line) + std::ssize(part) + 2 > width) break;
    line += (line.empty() ? "" : "  ") + part;
  }
  const int bar_width = std::min<int>(30, width - static_cast<int>(line.size()) - 3);
  if (bytes > 0 && bar_width >= 5) line = bar(read, bytes, bar_width) + " " + line;
  return line;
}

}  // namespace omninorm::cli
