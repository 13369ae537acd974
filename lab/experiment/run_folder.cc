#include "lab/experiment/run_folder.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cmath>
#include <fstream>
#include <limits>
#include <system_error>

#include "omninorm/error.h"

namespace omninorm::lab {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(int error, const std::string& what) {
  throw std::system_error(error, std::generic_category(), what);
}

// Text in records may come from the user (file names, device errors): bytes that are not UTF-8 are
// replaced, since nlohmann::json throws for them otherwise.
std::string dump(const nlohmann::json& json, int indent) {
  return json.dump(indent, ' ', false, nlohmann::json::error_handler_t::replace);
}

// Moves what an earlier attempt left out of the way, all its files under one number.
void keep_earlier_attempt(const fs::path& folder) {
  constexpr std::array names = {std::array{"metrics", ".jsonl"}, std::array{"run", ".json"}};
  const auto attempt = [&](const auto& name, int number) {
    return folder / fmt::format("{}.attempt-{}{}", name[0], number, name[1]);
  };
  int number = 1;
  while (fs::exists(attempt(names[0], number)) || fs::exists(attempt(names[1], number))) ++number;
  for (const auto& name : names) {
    const fs::path file = folder / fmt::format("{}{}", name[0], name[1]);
    std::error_code error;
    fs::rename(file, attempt(name, number), error);
    if (error && error != std::errc::no_such_file_or_directory) {
      throw std::system_error(error, "cannot rename " + file.string());
    }
  }
}

// False when there is no such file.
bool read_file(const fs::path& path, std::string& content) {
  std::ifstream stream(path, std::ios::binary);
  if (!stream) return false;
  content.assign(std::istreambuf_iterator<char>(stream), {});
  return !stream.bad();
}

void read_records(std::string_view content, RunRecords& result) {
  std::size_t line_number = 0;
  while (!content.empty()) {
    ++line_number;
    const std::size_t end = content.find('\n');
    const bool cut = end == std::string_view::npos;
    const std::string_view line = content.substr(0, end);
    content.remove_prefix(cut ? content.size() : end + 1);
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    nlohmann::json record = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (record.is_object()) {
      result.records.push_back(std::move(record));
    } else if (cut) {
      result.notes.emplace_back("the last line of metrics.jsonl is cut; left out");
    } else {
      result.notes.push_back(
          fmt::format("line {} of metrics.jsonl is not a record; left out", line_number));
    }
  }
}

std::string text_in(const nlohmann::json& object, const char* key) {
  const auto field = object.find(key);
  return field != object.end() && field->is_string() ? field->get<std::string>() : "";
}

}  // namespace

nlohmann::json number(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  return value;
}

double number_of(const nlohmann::json& value) {
  if (value.is_number()) return value.get<double>();
  if (value == "inf") return std::numeric_limits<double>::infinity();
  if (value == "-inf") return -std::numeric_limits<double>::infinity();
  return std::numeric_limits<double>::quiet_NaN();
}

RunWriter::RunWriter(const fs::path& folder, const nlohmann::json& run)
    : path_(folder / "metrics.jsonl") {
  internal::make_folder(folder);
  keep_earlier_attempt(folder);
  internal::write_file_atomically(folder / "run.json", dump(run, 2) + "\n");
  descriptor_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0666);
  if (descriptor_ < 0) fail(errno, "cannot write " + path_.string());
}

RunWriter::~RunWriter() { ::close(descriptor_); }

void RunWriter::append(const nlohmann::json& record) {
  const std::string line = dump(record, -1) + "\n";
  std::string_view rest = line;
  while (!rest.empty()) {
    const ssize_t count = ::write(descriptor_, rest.data(), rest.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) {
      const int error = errno;
      // Cut back to whole lines, so that a later record does not grow onto half a one.
      const int cut = ::ftruncate(descriptor_, size_);
      static_cast<void>(cut);  // a reader copes with a cut last line
      fail(error, "cannot write " + path_.string());
    }
    rest.remove_prefix(static_cast<std::size_t>(count));
  }
  size_ += static_cast<std::int64_t>(line.size());
}

RunRecords read_run(const fs::path& folder) {
  RunRecords result;
  std::string content;
  if (!read_file(folder / "run.json", content)) {
    throw Error(fmt::format("[report] expected {}, found no such readable file",
                            (folder / "run.json").string()));
  }
  result.run = nlohmann::json::parse(content, nullptr, /*allow_exceptions=*/false);
  if (!result.run.is_object()) {
    throw Error(
        fmt::format("[report] expected JSON in {}, got {}", (folder / "run.json").string(),
                    content.empty() ? "an empty file" : fmt::format("{} bytes", content.size())));
  }
  result.status = "unfinished";
  if (!read_file(folder / "metrics.jsonl", content)) {
    result.notes.emplace_back("there is no metrics.jsonl: the run has not begun");
    return result;
  }
  read_records(content, result);
  for (const nlohmann::json& record : result.records) {
    if (text_in(record, "kind") == "end") result.status = text_in(record, "status");
  }
  return result;
}

bool is_finished(const fs::path& folder, const nlohmann::json& settings,
                 std::string_view data_sha256) {
  RunRecords run;
  try {
    run = read_run(folder);
  } catch (const Error&) {
    return false;  // nothing there that could be finished
  }
  const bool ended = run.status == "done" || run.status == "diverged" || run.status == "stuck";
  if (!ended || run.run.value("settings", nlohmann::json()) != settings) return false;
  if (data_sha256.empty()) return true;
  return text_in(run.run.value("data", nlohmann::json::object()), "sha256") == data_sha256;
}

FolderLock::FolderLock(const fs::path& folder) {
  internal::make_folder(folder);
  const fs::path path = folder / ".lock";
  descriptor_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (descriptor_ < 0) fail(errno, "cannot write " + path.string());
  int locked = -1;
  do {
    locked = ::flock(descriptor_, LOCK_EX | LOCK_NB);
  } while (locked != 0 && errno == EINTR);
  if (locked != 0) {
    const int error = errno;
    std::array<char, 32> owner{};
    const ssize_t length = ::pread(descriptor_, owner.data(), owner.size() - 1, 0);
    ::close(descriptor_);
    if (error != EWOULDBLOCK) fail(error, "cannot lock " + path.string());
    throw Error(fmt::format(
        "[compare] expected {} to be free, but {} is writing to it; wait for it to end, or give "
        "another folder with --out",
        folder.string(),
        length > 0 ? fmt::format("process {}", owner.data()) : std::string("another process")));
  }
  // Only for the message above: the lock holds without it, so a full disk does not matter here.
  const std::string pid = std::to_string(::getpid());
  if (::ftruncate(descriptor_, 0) == 0) {
    const ssize_t written = ::pwrite(descriptor_, pid.data(), pid.size(), 0);
    static_cast<void>(written);
  }
}

FolderLock::~FolderLock() { ::close(descriptor_); }

}  // namespace omninorm::lab
