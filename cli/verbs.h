// The verbs of `omninorm` beside compare: each takes the whole command line, argv[1] being the
// verb, and gives the exit code. They throw what run_program (cli/program.h) tells.
#pragma once

namespace omninorm::cli {

int run_report(int argc, char** argv);
int run_list(int argc, char** argv);
int run_doctor(int argc, char** argv);
int run_scale(int argc, char** argv);

}  // namespace omninorm::cli
