// The verbs of `omninorm scale`: each takes a command line whose argv[1] is the verb.
#pragma once

namespace omninorm::cli {

int run_scale_fit(int argc, char** argv);
int run_scale_transform(int argc, char** argv);
int run_scale_inverse(int argc, char** argv);
int run_scale_merge(int argc, char** argv);
int run_scale_show(int argc, char** argv);

}  // namespace omninorm::cli
