#include "lab/train/provenance.h"

#include <torch/torch.h>
#include <torch/version.h>

#include <array>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <string>

#include "omninorm/cpu.h"
#include "omninorm/version.h"

namespace omninorm::lab {
namespace {

std::string cpu_name() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    const auto colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) {
      return line.substr(colon + 2);
    }
  }
  return "unknown";
}

// What git prints for the source tree; false when it fails (no git, no repository, no commit).
bool git(const std::string& arguments, std::string& output) {
  const std::string command =
      "git -C '" OMNINORM_SOURCE_DIR "' " + arguments + " 2>/dev/null </dev/null";
  std::FILE* pipe = ::popen(command.c_str(), "r");
  if (pipe == nullptr) {
    return false;
  }
  std::array<char, 256> buffer{};
  while (std::fgets(buffer.data(), buffer.size(), pipe) != nullptr) {
    output += buffer.data();
  }
  return ::pclose(pipe) == 0;
}

}  // namespace

nlohmann::json versions() {
  return {
      {"omninorm", OMNINORM_VERSION}, {"torch", TORCH_VERSION}, {"compiler", "g++ " __VERSION__}};
}

nlohmann::json machine() {
  return {{"cpu", cpu_name()}, {"simd", cpu_target()}, {"threads", at::get_num_threads()}};
}

nlohmann::json torch_facts() {
  auto facts = versions();
  facts["threads"] = at::get_num_threads();
  facts["parallel"] = at::get_parallel_info();
  facts["cuda"] = torch::cuda::device_count();
  return facts;
}

nlohmann::json git_state() {
  std::string commit, changes;
  if (!git("rev-parse HEAD", commit) || !git("status --porcelain", changes)) {
    return {{"commit", "unknown"}, {"dirty", nullptr}};
  }
  return {{"commit", commit.substr(0, commit.find('\n'))}, {"dirty", !changes.empty()}};
}

std::string utc_now() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  std::array<char, 32> text{};
  std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text.data();
}

}  // namespace omninorm::lab
