// Runs the real `omninorm` in a folder of the test's own.
#pragma once

#include <sys/stat.h>
#include <sys/wait.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "tests/lab/temp_folder.h"

namespace omninorm::testing {

struct Outcome {
  int code = -1;
  std::string out, err;
};

class Command {
 public:
  // `arguments` and `before` ("ulimit -f 1;") are read by a shell.
  Outcome run(const std::string& arguments, const std::string& before = "") const {
    return shell(before + " exec '" OMNINORM_BINARY "' " + arguments);
  }

  Outcome shell(const std::string& line) const {
    const auto out = logs_.path() / "out", err = logs_.path() / "err";
    const std::string command = "cd '" + folder_.path().string() + "' && ( " + line + " ) >'" +
                                out.string() + "' 2>'" + err.string() + "' </dev/null";
    const int status = std::system(command.c_str());
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, read_text(out), read_text(err)};
  }

  // A shell script that can be run.
  std::filesystem::path program(const std::string& name, const std::string& script) const {
    const auto file = folder_.write(name, "#!/bin/sh\n" + script + "\n");
    ::chmod(file.c_str(), 0755);
    return file;
  }

  const TempFolder& folder() const { return folder_; }

 private:
  TempFolder folder_, logs_;
};

}  // namespace omninorm::testing
