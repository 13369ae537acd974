// One folder a run: run.json, written once at the start, and metrics.jsonl, only ever appended to.
// docs/runs.md says what they hold. The report reads nothing else.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "src/core/atomic_file.h"

namespace omninorm::lab {

// A number as records hold it: JSON has no nan, inf or -inf, so those are strings of that name.
nlohmann::json number(double value);

// The number in a record, from either form; NaN for anything else.
double number_of(const nlohmann::json& value);

// Writes a run. Every record is one line, handed to the kernel as it is written, so a kill loses at
// most the line in flight. Throws std::system_error with the path when the disk is full or the
// folder is not writable; what was written stays, and no part of a line is left behind.
class RunWriter {
 public:
  // Makes the folder. The files of an earlier attempt are kept beside the new ones as
  // metrics.attempt-K.jsonl and run.attempt-K.json.
  RunWriter(const std::filesystem::path& folder, const nlohmann::json& run);
  ~RunWriter();
  RunWriter(const RunWriter&) = delete;
  RunWriter& operator=(const RunWriter&) = delete;

  void append(const nlohmann::json& record);

 private:
  int descriptor_ = -1;
  std::int64_t size_ = 0;  // bytes of whole lines written so far
  std::filesystem::path path_;
};

struct RunRecords {
  nlohmann::json run;                   // run.json
  std::vector<nlohmann::json> records;  // metrics.jsonl
  std::string status;                   // of the "end" record, else "unfinished"
  std::vector<std::string> notes;       // e.g. "the last line of metrics.jsonl is cut; left out"
};

// Reads a run, finished or not. Throws omninorm::Error when run.json is missing or not JSON.
RunRecords read_run(const std::filesystem::path& folder);

// True when the run has ended by itself (done, diverged or stuck) with these very settings, and, if
// given, on the same data.
bool is_finished(const std::filesystem::path& folder, const nlohmann::json& settings,
                 std::string_view data_sha256 = {});

// Holds an experiment's folder for this process, also against another run in it that is under way;
// a second process gets an omninorm::Error that names the first one's process id. Makes the folder.
class FolderLock {
 public:
  explicit FolderLock(const std::filesystem::path& folder);
  ~FolderLock();
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

 private:
  int descriptor_ = -1;
};

}  // namespace omninorm::lab
