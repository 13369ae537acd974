// A folder of its own for each test, and experiments read back from it.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "lab/report/analysis.h"
#include "lab/report/summary.h"
#include "tests/report/synthetic.h"

namespace omninorm::lab::report {

class ReportFolder : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
    folder = std::filesystem::temp_directory_path() /
             ("omninorm-report-" + std::to_string(::getpid()) + "-" + test->name());
    std::filesystem::remove_all(folder);
    std::filesystem::create_directories(folder);
  }
  void TearDown() override { std::filesystem::remove_all(folder); }

  // Writes the runs with their plan and reads them back.
  Experiment load(const std::vector<synthetic::SyntheticAxis>& axes,
                  const std::vector<synthetic::SyntheticRun>& runs,
                  const nlohmann::json& more = {}) {
    for (const auto& run : runs) synthetic::write_run(folder, run);
    synthetic::write_plan(folder, axes, runs, more);
    return load_experiment(folder);
  }

  static std::string read(const std::filesystem::path& file) {
    std::ifstream stream(file, std::ios::binary);
    return {std::istreambuf_iterator<char>(stream), {}};
  }

  std::filesystem::path folder;
};

// A run of a placement, and of a learning rate unless it is "".
inline synthetic::SyntheticRun placed(const std::string& placement, double loss,
                                      const std::string& lr = "", std::int64_t seed = 1) {
  synthetic::SyntheticRun run;
  run.varied = {{"placement", placement}};
  if (!lr.empty()) run.varied.emplace_back("lr", lr);
  run.final_loss = loss;
  run.seed = seed;
  return run;
}

}  // namespace omninorm::lab::report
