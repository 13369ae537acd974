// Pieces of the live lines.
#pragma once

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>

namespace omninorm::cli {

constexpr auto redraw_interval = std::chrono::milliseconds(100);

// Columns of the terminal that the file goes to; 80 where it does not tell.
int terminal_width(std::FILE* out);

// Is it one on which lines can be redrawn?
bool live_terminal(std::FILE* out);

// 75 -> "1:15", 3675 -> "1:01:15".
std::string clock_time(double seconds);

// "[=====     ]", `width` between the brackets.
std::string bar(std::int64_t step, std::int64_t steps, int width);

}  // namespace omninorm::cli
