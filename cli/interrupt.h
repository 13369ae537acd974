// Ctrl-C and the like as an exception, so that unfinished files are removed on the way out.
#pragma once

namespace omninorm::cli {

// run_program (cli/program.h) ends with 128 and the signal's number: 130 for Ctrl-C.
struct Interrupted {
  int signal;
};

// From now on SIGINT, SIGTERM and SIGHUP are noted, and end the calls of the system that wait. A
// second one ends the process at once.
void catch_interrupts();

// Throws Interrupted after a signal.
void check_interrupt();

}  // namespace omninorm::cli
