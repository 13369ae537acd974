// omninorm_bench: the norms against a copy of the same bytes, PyTorch and oneDNN.
// docs/benchmarks.md says how it measures.
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <exception>
#include <filesystem>
#include <string>
#include <vector>

#include "bench/backend.h"
#include "bench/machine.h"
#include "bench/run_cell.h"
#include "bench/tables.h"
#include "omninorm/cpu.h"
#include "omninorm/error.h"

namespace omninorm::bench {
namespace {

std::atomic<bool> stop{false};
std::atomic<std::time_t> stopped_at{0};

// The first Ctrl-C ends the cell in progress and prints what there is; one more, a second or two
// later (a wrapper may pass on the first one again), ends at once.
void on_interrupt(int) {
  const std::time_t now = std::time(nullptr);
  if (!stop) stopped_at = now;
  if (stop && now > stopped_at + 1) _exit(130);
  stop = true;
}

struct Options {
  std::vector<std::string> ops, shapes, dtypes, directions, layouts;
  std::vector<std::int64_t> group_channels;
  std::string json, load, compare, markdown, target;
  int threads = 0;
  double seconds = 0.03;
  int rounds = 5;
  bool quick = false;
  bool alone = false;
  bool fresh_memory = false;
};

constexpr const char* kDescription =
    "Times every norm, forward and backward, beside a copy of the bytes that must move and beside\n"
    "PyTorch and oneDNN, interleaved in one run (A B C D, A B C D, ...), and prints the minimum "
    "of\n"
    "each. Every answer is checked in double precision before it is timed.\n"
    "\n"
    "  /limit     copy's time over ours: 1.00 is the speed of memory\n"
    "  /PyTorch   PyTorch's time over ours: 2.00 is twice as fast; /oneDNN likewise\n"
    "  /kernel    our time over that of the kernel alone, for one row\n"
    "  /separate  our time over that of an addition and then our norm\n"
    "  fresh      with results in memory that was never touched\n"
    "  ~          the copy itself did not hold still: do not trust this line\n";

constexpr const char* kExamples =
    "Examples:\n"
    "  omninorm_bench --quick                          a few shapes\n"
    "  omninorm_bench --op rms_norm --shape 4096x768 --direction backward\n"
    "  omninorm_bench --op group_norm --shape 8x64x56x56 --layout nhwc --group-channels 16\n"
    "  omninorm_bench --json new.json --compare old.json\n"
    "  omninorm_bench --load new.json --markdown docs/benchmarks.md\n"
    "  omninorm_bench --train --help                   training speed against eager PyTorch\n"
    "  omninorm_bench --scalers --help                 the data scalers against scikit-learn\n"
    "\n"
    "Leave the machine alone while it runs; a figure is only worth something beside the copy\n"
    "that was timed with it.\n";

void add_options(CLI::App& app, Options& options) {
  app.add_flag("--quick", options.quick,
               "one shape an op, in minutes; images are nhwc, dtype is f32");
  app.add_flag(
      "--alone", options.alone,
      "the C++ API beside the copy, without PyTorch and oneDNN: all cells in half an hour");
  app.add_option("--op", options.ops,
                 "e.g. layer_norm or batch_norm_evaluation; may be given several times "
                 "(default: all; a wrong name lists them)");
  app.add_option("--shape", options.shapes,
                 "ROWSxWIDTH, e.g. 4096x768, or NxCxHxW, e.g. 8x64x56x56; may be given several "
                 "times");
  app.add_option("--dtype", options.dtypes, "f32, bf16 or f16 (default: all)");
  app.add_option("--layout", options.layouts,
                 "of images: nchw or nhwc; rows for ROWSxWIDTH alone (default: all)");
  app.add_option("--group-channels", options.group_channels,
                 "channels of a group, for group_norm and grouped_layer_norm (default: 8 and 64)")
      ->check(CLI::PositiveNumber);
  app.add_option("--direction", options.directions, "forward or backward (default: both)")
      ->check(CLI::IsMember({"forward", "backward"}));
  app.add_option("--threads", options.threads, "threads for every side (default: all usable cores)")
      ->check(CLI::Range(1, 4096));
  app.add_option("--target", options.target, "SIMD target, e.g. AVX2 (default: the best)");
  app.add_option("--seconds", options.seconds,
                 "least time spent timing each side of a cell (default 0.03)")
      ->check(CLI::Range(0.0, 600.0));
  app.add_option("--rounds", options.rounds, "least number of rounds (default 5)")
      ->check(CLI::Range(2, 200));
  app.add_flag("--fresh-memory", options.fresh_memory,
               "leave malloc as it is: operators that allocate large results pay page faults");
  app.add_option("--json", options.json, "write all figures and the machine to this file");
  app.add_option("--compare", options.compare, "say what changed since this --json file");
  app.add_option("--load", options.load, "measure nothing: take the figures of this --json file")
      ->excludes("--quick", "--alone", "--op", "--shape", "--dtype", "--layout", "--group-channels",
                 "--direction", "--threads", "--target");
  app.add_option("--markdown", options.markdown,
                 "write the tables between the markers of this file; of an --alone run, the shares "
                 "of the limit");
}

Selection selection_of(const Options& options) {
  Selection selection;
  selection.ops = options.ops;
  selection.quick = options.quick;
  selection.group_channels = options.group_channels;
  for (const auto& text : options.shapes) selection.shapes.push_back(parse_shape(text));
  for (const auto& text : options.dtypes) selection.dtypes.push_back(parse_dtype(text));
  for (const auto& text : options.layouts) selection.layouts.push_back(parse_layout(text));
  for (const auto& text : options.directions) {
    selection.directions.push_back(text == "forward" ? Direction::forward : Direction::backward);
  }
  return selection;
}

// On a terminal only: which cell, how far, how long.
class Progress {
 public:
  explicit Progress(std::size_t cells) : cells_(cells), shown_(isatty(STDERR_FILENO) == 1) {}

  void show(std::size_t done, const std::string& cell) const {
    if (!shown_) return;
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
    // The cells grow, so the mean so far is a lower bound.
    const std::string left =
        done < 5 ? ""
                 : fmt::format(", at least {:.0f} s left", seconds / static_cast<double>(done) *
                                                               static_cast<double>(cells_ - done));
    fmt::print(stderr, "\r\033[K[{}/{}] {}{}", done + 1, cells_, cell, left);
    std::fflush(stderr);
  }
  void clear() const {
    if (shown_) fmt::print(stderr, "\r\033[K");
  }

 private:
  std::size_t cells_;
  bool shown_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

Results measure_all(const Options& options, const std::vector<Cell>& wanted) {
  Results results;
  results.machine = describe_machine();
  results.machine["alone"] = options.alone;
  fmt::print("{}\n", machine_line(results.machine));
  const double load = load_average();
  if (load > 0.3) {
    fmt::print("The machine is busy (load {:.1f}): expect lines marked ~.\n", load);
  }
  Limits limits;
  limits.seconds_per_side = options.seconds;
  limits.rounds = options.rounds;
  const Progress progress(wanted.size());
  std::string last;
  for (const Cell& cell : wanted) {
    progress.show(results.cells.size(), name(cell));
    CellResult result = run_cell(cell, limits, options.alone, stop);
    progress.clear();
    if (stop) {
      fmt::print("\nStopped; {} of {} cells were measured.\n", results.cells.size(), wanted.size());
      break;
    }
    if (group(cell) != last) fmt::print("{}", group_heading(result, is_alone(results.machine)));
    last = group(cell);
    fmt::print("{}", table_line(result, is_alone(results.machine)));
    std::fflush(stdout);
    results.cells.push_back(std::move(result));
  }
  return results;
}

void print_all(const Results& results) {
  fmt::print("{}\n", machine_line(results.machine));
  std::string last;
  for (const CellResult& result : results.cells) {
    if (group(result.cell) != last)
      fmt::print("{}", group_heading(result, is_alone(results.machine)));
    last = group(result.cell);
    fmt::print("{}", table_line(result, is_alone(results.machine)));
  }
}

int run(const Options& options) {
  Results before;
  if (!options.compare.empty()) before = read_json(options.compare);
  Results results;
  if (!options.load.empty()) {
    results = read_json(options.load);
    print_all(results);
  } else {
    const auto wanted = cells(selection_of(options));
    if (!options.target.empty()) set_cpu_target(options.target);
    if (!options.fresh_memory) keep_freed_memory();
    set_threads(options.threads > 0 ? options.threads : usable_cores());
    results = measure_all(options, wanted);
  }
  fmt::print("{}", summary(results));
  if (!options.json.empty()) write_json(results, options.json);
  if (!options.compare.empty()) {
    fmt::print("\nSince {} ({}):\n{}", options.compare, machine_line(before.machine),
               compare(before, results));
  }
  if (!options.markdown.empty() && stop) {
    fmt::print("{} is left as it was.\n", options.markdown);
  } else if (!options.markdown.empty()) {
    write_markdown(results, options.markdown);
  }
  for (const CellResult& result : results.cells) {
    if (result.wrong) return 1;  // speed is no test; a wrong answer is
  }
  return stop ? 130 : 0;
}

// A program that was built beside this one.
std::string sibling(const char* program) {
  std::error_code error;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", error);
  return (self.parent_path() / program).string();
}

// Runs a Python program of this folder with a program of ours to drive, and our arguments but
// `mode`.
int run_python(int argc, char** argv, const char* mode, const char* script_name, std::string flag,
               const char* driven) {
  const char* python = std::getenv("OMNINORM_PYTHON");
  std::vector<char*> args;
  std::string program = python != nullptr && *python != '\0' ? python : OMNINORM_BENCH_PYTHON;
  std::string script = OMNINORM_BENCH_SOURCES "/" + std::string(script_name);
  args.push_back(program.data());
  args.push_back(script.data());
  std::string path = sibling(driven);
  args.push_back(flag.data());
  args.push_back(path.data());
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], mode) != 0) args.push_back(argv[i]);
  }
  args.push_back(nullptr);
  setenv("KINETO_LOG_LEVEL", "99", 0);  // else torch's profiler reports each start and stop
  execvp(args[0], args.data());
  fmt::print(
      stderr,
      "omninorm_bench: cannot run '{}' ({}); set OMNINORM_PYTHON to a Python that has torch\n",
      program, std::strerror(errno));
  return 2;
}

// The training benchmark is a Python program, since what it measures against is one.
int run_train(int argc, char** argv) {
  if (!has_torch()) {
    fmt::print(stderr, "omninorm_bench: --train needs a build with torch (OMNINORM_TORCH=ON)\n");
    return 2;
  }
  return run_python(argc, argv, "--train", "train_throughput.py", "--lab", "omninorm_train_bench");
}

int main_guarded(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--train") == 0) return run_train(argc, argv);
    if (std::strcmp(argv[i], "--scalers") == 0) {  // so is this one
      return run_python(argc, argv, "--scalers", "scaler_speed.py", "--program",
                        "omninorm_scaler_bench");
    }
  }
  Options options;
  CLI::App app(kDescription, "omninorm_bench");
  app.footer(kExamples);
  add_options(app, options);
  bool train = false, scalers = false;  // taken above; here for --help
  app.add_flag("--train", train, "training speed against eager PyTorch: see --train --help");
  app.add_flag("--scalers", scalers, "the data scalers against scikit-learn: see --scalers --help");
  CLI11_PARSE(app, argc, argv);
  std::signal(SIGINT, on_interrupt);
  try {
    return run(options);
  } catch (const std::exception& error) {
    fmt::print(stderr, "omninorm_bench: {}\n", error.what());
    return 2;
  }
}

}  // namespace
}  // namespace omninorm::bench

int main(int argc, char** argv) { return omninorm::bench::main_guarded(argc, argv); }
