// report_sample NAME FOLDER: writes a synthetic experiment and its report, for the browser tests
// and for looking at. Prints the report's path.
#include <cstdio>
#include <exception>

#include "lab/report/report.h"
#include "tests/report/synthetic.h"

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr,
                 "usage: report_sample default|seeds|axes|single|unfinished|hostile|long FOLDER\n");
    return 2;
  }
  try {
    omninorm::lab::report::synthetic::write_experiment(argv[2], argv[1]);
    const auto result = omninorm::lab::write_report(argv[2]);
    std::printf("%s\n", result.file.c_str());
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
