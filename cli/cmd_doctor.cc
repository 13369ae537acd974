#include <fmt/format.h>
#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "cli/cmd_compare.h"
#include "cli/copy_speed.h"
#include "cli/parse.h"
#include "cli/program.h"
#include "cli/verbs.h"
#include "lab/data/text.h"
#include "omninorm/cpu.h"
#include "omninorm/executor.h"
#include "omninorm/version.h"
#include "src/core/kernel_list.h"
#include "src/core/norm_build.h"

namespace omninorm::cli {
namespace {

using nlohmann::json;

std::string cpu_model() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (line.starts_with("model name"))
      return line.substr(std::min(line.find(':') + 2, line.size()));
  }
  return "unknown";
}

json threads() {
  const bool openmp = &default_executor() != &serial_executor();
  return {{"count", default_executor().concurrency()}, {"openmp", openmp}};
}

json copy_speed() {
  const auto measured = [](std::size_t bytes) {
    const CopySpeed speed = measure_copy(bytes, 0.25);
    return json{{"bytes", speed.bytes}, {"gigabytes_per_second", speed.gigabytes_per_second}};
  };
  return {{"in_cache", measured(bytes_in_cache())}, {"past_cache", measured(bytes_past_cache())}};
}

// The first kernel of the list that takes the problem, and why those before it declined.
template <class Problem>
json kernel_choice(std::string_view what, std::span<const internal::Kernel<Problem>> kernels,
                   const Problem& problem) {
  json declined = json::object();
  for (const auto& kernel : kernels) {
    const char* const reason = kernel.decline(problem);
    if (reason == nullptr) return {{"case", what}, {"kernel", kernel.name}, {"declined", declined}};
    declined[kernel.name] = reason;
  }
  return {{"case", what}, {"kernel", nullptr}, {"declined", declined}};
}

// What the kernel list says for a few typical calls. Nothing runs, so no memory stands behind them.
json kernels() {
  using namespace internal;
  json choices = json::array();
  for (const DType dtype : {DType::f32, DType::bf16, DType::f64}) {
    static constexpr std::array<std::int64_t, 2> shape = {64, 512};
    const auto tensor = [&](std::span<const std::int64_t> sizes, DType type) {
      return Tensor(nullptr, type, sizes, {});
    };
    const DType statistics = dtype == DType::f64 ? DType::f64 : DType::f32;
    const std::span<const std::int64_t> rows(shape.data(), 1), width(shape.data() + 1, 1);
    const Tensor x = tensor(shape, dtype), weight = tensor(width, dtype),
                 rstd = tensor(rows, statistics);
    NormSpec spec;
    spec.op = "rms_norm";
    spec.axes = last_dims(spec.op, x, 1);
    spec.center = false;
    spec.parameters.eps = 1e-6;
    NormForwardArgs forward;
    forward.x = x;
    forward.weight = weight;
    forward.y = x;
    forward.rstd = rstd;
    NormBackwardArgs backward;
    backward.x = x;
    backward.weight = weight;
    backward.rstd = rstd;
    backward.dy = x;
    backward.dx = x;
    backward.dweight = weight;
    const std::string what = fmt::format("rms_norm 64 x 512 {}", name(dtype));
    choices.push_back(kernel_choice(what + " forward", forward_kernels(),
                                    build_forward(spec, forward, Purpose::size_query)));
    choices.push_back(kernel_choice(what + " backward", backward_kernels(),
                                    build_backward(spec, backward, Purpose::size_query)));
  }
  return choices;
}

// Asks omninorm-lab, if there is one.
json lab_program() {
  std::string path;
  try {
    path = find_lab_program().string();
  } catch (const std::exception& error) {
    return {{"path", nullptr}, {"problem", error.what()}};
  }
  const json broken = {{"path", path}, {"problem", "it does not answer --versions"}};
  std::FILE* const pipe = ::popen((shell_word(path) + " --versions 2>/dev/null").c_str(), "r");
  if (pipe == nullptr) return broken;
  std::string answer;
  std::array<char, 4096> block;
  while (const std::size_t count = std::fread(block.data(), 1, block.size(), pipe)) {
    answer.append(block.data(), count);
  }
  const int status = ::pclose(pipe);
  const json versions = json::parse(answer, nullptr, /*allow_exceptions=*/false);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0 || !versions.is_object()) return broken;
  return {{"path", path}, {"versions", versions}};
}

json examine() {
  return {{"omninorm", OMNINORM_VERSION},
          {"cpu", cpu_model()},
          {"simd", {{"in_use", cpu_target()}, {"available", cpu_targets()}}},
          {"threads", threads()},
          {"copy", copy_speed()},
          {"kernels", kernels()},
          {"lab", lab_program()},
          {"cache_folder", lab::cache_folder().string()}};
}

std::string size_words(double bytes) {
  return bytes >= 1 << 20 ? fmt::format("{:.0f} MiB", bytes / (1 << 20))
                          : fmt::format("{:.0f} KiB", bytes / (1 << 10));
}

std::string copy_words(const json& speed) {
  return fmt::format("{:.1f} GB/s ({})", speed.at("gigabytes_per_second").get<double>(),
                     size_words(speed.at("bytes").get<double>()));
}

std::string as_text(const json& found) {
  std::string text;
  const auto row = [&](std::string_view what, const std::string& value) {
    text += fmt::format("{:<12} {}\n", what, value);
  };
  const auto words = [](const json& value) { return value.get<std::string>(); };
  row("omninorm", words(found["omninorm"]));
  row("cpu", words(found["cpu"]));
  row("simd",
      fmt::format("{} in use, of {}", words(found["simd"]["in_use"]),
                  fmt::join(found["simd"]["available"].get<std::vector<std::string>>(), ", ")));
  row("threads", fmt::format("{}{}", found["threads"]["count"].get<int>(),
                             found["threads"]["openmp"].get<bool>() ? " (OpenMP)"
                                                                    : " (built without OpenMP)"));
  row("copy",
      fmt::format("in cache {}, past it {}; read plus written, plain stores",
                  copy_words(found["copy"]["in_cache"]), copy_words(found["copy"]["past_cache"])));
  for (const json& choice : found["kernels"]) {
    std::string value = fmt::format("{}: {}", words(choice["case"]),
                                    choice["kernel"].is_null() ? "none" : words(choice["kernel"]));
    for (const auto& [kernel, reason] : choice["declined"].items()) {
      value += fmt::format(" ({} declines: {})", kernel, words(reason));
    }
    row("kernel", value);
  }
  const json& lab = found["lab"];
  if (lab.contains("problem")) {
    row("lab", (lab["path"].is_null() ? "" : words(lab["path"]) + ": ") + words(lab["problem"]));
  } else {
    row("lab",
        fmt::format("{}, torch {}", words(lab["path"]), lab["versions"].value("torch", "unknown")));
  }
  row("cache", words(found["cache_folder"]));
  return text;
}

}  // namespace

int run_doctor(int argc, char** argv) {
  CLI::App app("What this machine and this build can do; measures for about a second.",
               "omninorm doctor");
  bool as_json = false;
  app.add_flag("--json", as_json, "as one JSON object");
  parse_arguments(app, argc, argv);
  const json found = examine();
  std::fputs((as_json ? found.dump(2) + "\n" : as_text(found)).c_str(), stdout);
  return exit_done;
}

}  // namespace omninorm::cli
