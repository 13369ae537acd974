// omninorm-lab: the part of the command that needs torch. `omninorm compare` becomes this program.
#include <fmt/format.h>
#include <malloc.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "cli/cmd_compare.h"
#include "cli/program.h"
#include "cli/progress.h"
#include "lab/train/compare.h"
#include "lab/train/provenance.h"
#include "lab/train/stepper.h"
#include "omninorm/error.h"

namespace {

using namespace omninorm;
using namespace omninorm::cli;

std::atomic<bool> stop{false};

// The first Ctrl-C lets the step in progress end, so that everything is written; the second does
// not wait for it.
void on_signal(int) {
  if (stop.exchange(true)) {
    ::_exit(exit_interrupted);
  }
}

void catch_signals() {
  static_assert(std::atomic<bool>::is_always_lock_free);
  struct sigaction action {};
  action.sa_handler = on_signal;
  ::sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
    ::sigaction(number, &action, nullptr);
  }
  // A reader that went away (`| head`) is seen as a failed write instead.
  ::signal(SIGPIPE, SIG_IGN);
}

// Keeps freed memory in the process: each step asks for the same tensors again, and fresh pages
// cost a fault each.
void keep_memory() {
  ::mallopt(M_MMAP_THRESHOLD, 1 << 30);
  ::mallopt(M_TRIM_THRESHOLD, 1 << 30);
}

RunSummary summary_of(const lab::RunOutcome& run) {
  return {run.id,
          run.label,
          run.status,
          run.reason,
          run.train_loss,
          run.valid_loss,
          run.tokens_per_second,
          run.skipped};
}

std::string cell(double value, const char* format) {
  return std::isfinite(value) ? fmt::format(fmt::runtime(format), value) : "-";
}

// 1.25e+30 where a run has blown up: its digits would only break the columns.
std::string loss_cell(double loss) {
  return cell(loss, std::fabs(loss) < 1e4 ? "{:.3f}" : "{:.2e}");
}

// One line a run, for where the live lines were mixed with the progress of steps.
void print_table(const std::vector<lab::RunOutcome>& runs) {
  std::size_t width = 5;
  for (const auto& run : runs) {
    width = std::max(width, run.label.size());
  }
  fmt::print("\n{:<{}}  {:<9} {:>10} {:>10} {:>10}\n", "run", width, "status", "train loss",
             "valid loss", "tokens/s");
  for (const auto& run : runs) {
    fmt::print("{:<{}}  {:<9} {:>10} {:>10} {:>10}\n", run.label, width, run.status,
               loss_cell(run.train_loss), loss_cell(run.valid_loss),
               cell(run.tokens_per_second, "{:.0f}"));
  }
  fmt::print("\n");
}

lab::CompareEvents show_on(Progress& progress) {
  // Nobody reads on: stop as for Ctrl-C, so that nothing is lost.
  const auto guarded = [](const auto& tell) {
    try {
      tell();
    } catch (const std::system_error&) {
      stop = true;
    }
  };
  lab::CompareEvents events;
  events.note = [&, guarded](const std::string& line) { guarded([&] { progress.note(line); }); };
  events.run_begins = [&, guarded](const lab::Variant& variant, std::size_t index,
                                   std::size_t count) {
    guarded([&] {
      progress.begin_run(variant.id, variant.label, static_cast<std::int64_t>(index),
                         static_cast<std::int64_t>(count));
    });
  };
  events.step = [&, guarded](const lab::StepEvent& event) {
    guarded([&] { progress.step(event.step, event.steps, event.loss, event.tokens_per_second); });
  };
  events.run_ends = [&, guarded](const lab::RunOutcome& run) {
    guarded([&] { progress.end_run(summary_of(run)); });
  };
  return events;
}

// A device that is not there is a wrong command line, not a failed run.
void check_devices(const lab::Plan& plan) {
  for (const lab::Variant& variant : plan.variants) {
    try {
      lab::find_device(variant.settings.device);
    } catch (const Error& error) {
      throw UsageError(error.what());
    }
  }
}

int run_comparison(int argc, char** argv) {
  const CompareRequest request = parse_compare(argc, argv);
  if (request.dry_run) {
    std::fputs(describe(request).c_str(), stdout);
    return exit_done;
  }
  check_devices(request.plan);
  catch_signals();
  keep_memory();
  const ProgressMode mode = choose_progress_mode(request.quiet, request.json);
  Progress progress(mode);
  const lab::CompareResult result =
      lab::compare(request.plan, request.command, stop, show_on(progress));
  if (mode == ProgressMode::plain && result.runs.size() > 1) {
    print_table(result.runs);
  }
  if (result.stopped) {
    progress.note(
        "stopped; the same command goes on: runs that ended are kept, and one that was stopped "
        "starts "
        "again from its first step");
  }
  if (!result.report.empty()) {
    progress.result(result.report.string(), result.headline);
  }
  if (result.stopped) {
    return exit_interrupted;
  }
  const auto failed = [](const lab::RunOutcome& run) { return run.status == "failed"; };
  return std::ranges::any_of(result.runs, failed) ? exit_failed : exit_done;
}

int run_program_body(int argc, char** argv) {
  const std::string_view word = argc > 1 ? argv[1] : "";
  if (word == "--versions") {
    fmt::print("{}\n", lab::torch_facts().dump(2));
    return exit_done;
  }
  if (word == "compare") {
    return run_comparison(argc, argv);
  }
  throw UsageError(fmt::format(
      "omninorm-lab is run by omninorm; it takes compare or --versions, got '{}'", word));
}

}  // namespace

int main(int argc, char** argv) {
  return run_program([&] { return run_program_body(argc, argv); });
}
