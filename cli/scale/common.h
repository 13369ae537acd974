// What the verbs of `omninorm scale` share: flags of tables, scalers' files, what is said on the
// way.
#pragma once

#include <CLI/CLI.hpp>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "cli/table/table.h"
#include "omninorm/scaler.h"

namespace omninorm::cli {

// How tables are read, as flags.
struct TableFlags {
  std::string delimiter, from;
  bool no_header = false, quiet = false;
  std::vector<std::string> na;

  void add_to(CLI::App& app);
  ReadOptions options() const;  // UsageError for a delimiter that cannot be one
};

// A list of names; the flag is repeated for each, as names may hold any character.
CLI::Option* add_columns_flag(CLI::App& app, const std::string& name,
                              std::vector<std::string>& columns, const std::string& help);

// "-" is standard input. UsageError for what holds no scaler.
std::unique_ptr<Scaler> read_state(const std::string& path);

// "-" is standard output.
void write_state(const Scaler& scaler, const std::string& path);

// UsageError for an output that would take the place of a file that is read. "-" is standard input
// and output.
void check_output(const std::string& flag, const std::string& out,
                  const std::vector<std::string>& inputs);

// A line for people on standard error.
void note(bool quiet, const std::string& line);

// How much of a file is read, on standard error if that is a terminal.
class ByteProgress {
 public:
  // Nothing is shown where the table itself goes to the terminal.
  ByteProgress(bool quiet, const std::string& name, const std::string& output);
  ~ByteProgress();
  ByteProgress(const ByteProgress&) = delete;
  ByteProgress& operator=(const ByteProgress&) = delete;

  void show(const TableReader& reader);

 private:
  using Clock = std::chrono::steady_clock;

  bool live_;
  bool drawn_ = false;
  std::string name_;
  Clock::time_point start_ = Clock::now(), last_draw_ = start_;
};

// The line of ByteProgress, at most `width` wide; `bytes` 0: not known.
std::string progress_line(const std::string& name, std::int64_t read, std::int64_t bytes,
                          double seconds, int width);

}  // namespace omninorm::cli
