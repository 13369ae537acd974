// `omninorm scale` in a folder of the test's own.
#pragma once

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "tests/cli/command.h"

namespace omninorm::testing {

class Scale : public ::testing::Test {
 protected:
  Outcome run(const std::string& arguments, const std::string& before = "") const {
    return command_.run("scale " + arguments, before);
  }

  // What a run that goes well prints.
  std::string out(const std::string& arguments) const {
    const Outcome outcome = run(arguments);
    EXPECT_EQ(outcome.code, 0) << arguments << "\n" << outcome.err;
    return outcome.out;
  }

  // What a command line or a file that cannot be is told: one line, exit code 2, nothing printed.
  std::string refused(const std::string& arguments) const {
    const Outcome outcome = run(arguments);
    EXPECT_EQ(outcome.code, 2) << arguments << "\n" << outcome.err;
    EXPECT_THAT(outcome.out, ::testing::IsEmpty()) << arguments;
    EXPECT_THAT(outcome.err, ::testing::StartsWith("omninorm: ")) << arguments;
    EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
    return outcome.err;
  }

  std::string write(const std::string& name, std::string_view text) const {
    command_.folder().write(name, text);
    return name;
  }
  std::string read(const std::string& name) const {
    return read_text(command_.folder().path() / name);
  }
  bool exists(const std::string& name) const {
    return std::filesystem::exists(command_.folder().path() / name);
  }
  Outcome shell(const std::string& line) const { return command_.shell(line); }

  nlohmann::json json(const std::string& name) const { return nlohmann::json::parse(read(name)); }

  // What was fitted, without where and when.
  nlohmann::json state(const std::string& name) const {
    nlohmann::json file = json(name);
    const nlohmann::json rows = file.at("fitted_on").at("rows");
    file.erase("fitted_on");
    file["rows"] = rows;
    return file;
  }

 private:
  Command command_;
};

}  // namespace omninorm::testing
