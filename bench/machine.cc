#include "bench/machine.h"

#include <malloc.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <limits>
#include <memory>
#include <thread>

#include "bench/backend.h"
#include "omninorm/cpu.h"
#include "omninorm/version.h"

namespace omninorm::bench {
namespace {

// The first line of `path` that starts with `key`, after its colon.
std::string field(const char* path, const std::string& key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    const auto colon = line.find(':');
    if (line.rfind(key, 0) != 0 || colon == std::string::npos) continue;
    const auto start = line.find_first_not_of(" \t", colon + 1);
    return start == std::string::npos ? std::string() : line.substr(start);
  }
  return {};
}

// The commit of the checkout that this program was built in, "+" where it has changes; "" outside.
std::string git_commit() {
  std::error_code error;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error || self.string().find('\'') != std::string::npos) return {};
  const std::string command = "git -C '" + self.parent_path().string() +
                              "' describe --always --dirty=+ --abbrev=12 --exclude='*' 2>/dev/null";
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> pipe(popen(command.c_str(), "r"), pclose);
  char line[128] = "";
  if (!pipe || std::fgets(line, sizeof line, pipe.get()) == nullptr) return {};
  const std::string text = line;
  return text.substr(0, text.find('\n'));
}

std::string now_utc() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  char text[32];
  return {text, std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts)};
}

}  // namespace

int usable_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
  return static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
}

double load_average() {
  std::ifstream file("/proc/loadavg");
  double load = 0;
  file >> load;
  return load;
}

std::size_t available_memory() {
  const std::string text = field("/proc/meminfo", "MemAvailable");
  if (text.empty()) return std::numeric_limits<std::size_t>::max();
  return static_cast<std::size_t>(std::stoull(text)) * 1024;
}

std::size_t private_cache_bytes() {
#if defined(_SC_LEVEL2_CACHE_SIZE)
  const long bytes = sysconf(_SC_LEVEL2_CACHE_SIZE);
  if (bytes > 0) return static_cast<std::size_t>(bytes);
#endif
  return std::size_t{1} << 20;
}

void keep_freed_memory() {
#if defined(__GLIBC__)
  mallopt(M_MMAP_MAX, 0);
  mallopt(M_TRIM_THRESHOLD, -1);  // never
  mallopt(M_TOP_PAD, 64 << 20);
#endif
}

void release_freed_memory() {
#if defined(__GLIBC__)
  malloc_trim(0);
#endif
}

nlohmann::json describe_machine() {
  return {{"cpu", field("/proc/cpuinfo", "model name")},
          {"cores", usable_cores()},
          {"threads", threads()},
          {"simd", cpu_target()},
          {"omninorm", OMNINORM_VERSION},
          {"torch", torch_version()},
          {"onednn", onednn_version()},
          {"private_cache_bytes", private_cache_bytes()},
          {"compiler", "g++ " __VERSION__},
          {"git", git_commit()},
          {"load", load_average()},
          {"date", now_utc()}};
}

}  // namespace omninorm::bench
