// Every op of the table is measured, its answer is checked, and what was written is read back.
#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "bench/backend.h"
#include "bench/run_cell.h"
#include "bench/tables.h"

namespace omninorm::bench {
namespace {

// Both layouts, all dtypes; 64 channels, so that groups of 8 and of all channels differ.
std::vector<Cell> tiny_cells(const Op& op) {
  Selection selection;
  selection.ops = {std::string(op.name)};
  selection.shapes = {parse_shape("5x64"), parse_shape("3x64x2x3")};
  return cells(selection);
}

class EveryOp : public testing::TestWithParam<std::string> {};

TEST_P(EveryOp, IsMeasuredInEveryCell) {
  set_threads(1);
  const std::atomic<bool> go{false};
  const Limits limits{.rounds = 2, .seconds_per_side = 0, .tries = 1};
  const auto list = tiny_cells(find_op(GetParam()));
  ASSERT_GE(list.size(), 6u);
  for (const Cell& cell : list) {
    const CellResult result = run_cell(cell, limits, false, go);
    EXPECT_EQ(result.not_timed, "") << name(cell);
    for (const char* side : {"omninorm", "copy", "threads"}) {
      EXPECT_NE(find_side(result.measurement.sides, side), nullptr) << name(cell) << " " << side;
    }
    if (has_torch()) {
      EXPECT_NE(find_side(result.measurement.sides, "torch"), nullptr) << name(cell);
    }
  }
}

TEST(Alone, LeavesOthersOut) {
  set_threads(1);
  const std::atomic<bool> go{false};
  const Limits limits{.rounds = 2, .seconds_per_side = 0, .tries = 1};
  const CellResult result = run_cell(tiny_cells(find_op("layer_norm"))[0], limits, true, go);
  EXPECT_EQ(result.not_timed, "");
  std::vector<std::string> names;
  for (const SideTime& side : result.measurement.sides) names.push_back(side.name);
  EXPECT_EQ(names, (std::vector<std::string>{"copy", "copy_streaming", "threads", "omninorm"}));
}

// Changes the first element, which is looked at in every cell, by far more than rounding.
void corrupt(const ConstTensor& tensor) {
  auto* data = static_cast<float*>(const_cast<void*>(tensor.data));
  data[0] = data[0] * 1.1f + 1.0f;
}

TEST_P(EveryOp, WrongAnswersAreRefused) {
  Executor& executor = bench_executor();
  for (const Cell& cell : tiny_cells(find_op(GetParam()))) {
    if (cell.dtype != DType::f32) continue;
    const Problem problem(cell, executor);
    std::vector<Side> sides{library_side(problem, executor)};
    CellResult right;
    check_answers(problem, sides, right);
    EXPECT_FALSE(right.wrong) << name(cell) << ": " << right.not_timed;

    const auto refused = [&](ConstTensor Outputs::*output) {
      const auto outputs = sides[0].outputs;
      std::vector<Side> wrong{sides[0]};
      wrong[0].outputs = [=] {
        const Outputs result = outputs();
        corrupt(result.*output);
        return result;
      };
      CellResult checked;
      check_answers(problem, wrong, checked);
      EXPECT_TRUE(checked.wrong) << name(cell);
      EXPECT_NE(checked.not_timed.find("omninorm is wrong"), std::string::npos);
    };
    refused(&Outputs::matrix);
    if (problem.forward()) {
      if (!problem.op.residual.empty()) refused(&Outputs::sum);
    } else {
      refused(&Outputs::dweight);
      if (problem.op.has_bias) refused(&Outputs::dbias);
    }
  }
}

std::vector<std::string> op_names() {
  std::vector<std::string> names;
  for (const Op& op : op_table()) names.emplace_back(op.name);
  return names;
}

INSTANTIATE_TEST_SUITE_P(Bench, EveryOp, testing::ValuesIn(op_names()),
                         [](const auto& info) { return info.param; });

TEST(Check, AResultThatIsMissingIsWrong) {
  Cell cell;
  cell.op = "add_rms_norm";
  cell.shape = parse_shape("4x64");
  const Problem problem(cell, bench_executor());
  const Side side = library_side(problem, bench_executor());
  Outputs outputs = side.outputs();
  const Truth truth(problem);
  EXPECT_LT(truth.largest_error(outputs), 1e-5);
  outputs.sum = {};
  EXPECT_GT(truth.largest_error(outputs), 1e300);
}

TEST(Check, ASideOfOthersThatThrowsIsTakenOut) {
  Cell cell;
  cell.op = "rms_norm";
  cell.shape = parse_shape("4x64");
  const Problem problem(cell, bench_executor());
  std::vector<Side> sides{library_side(problem, bench_executor())};
  sides.push_back({"torch", [] {}, []() -> Outputs { throw std::runtime_error("no\nat line 1"); }});
  CellResult result;
  check_answers(problem, sides, result);
  ASSERT_EQ(sides.size(), 1u);
  EXPECT_EQ(sides[0].name, "omninorm");
  ASSERT_EQ(result.notes.size(), 1u);
  EXPECT_EQ(result.notes[0], "torch cannot do this: no");
}

// The program's output.
std::string run(const std::string& arguments, int& code) {
  const std::string command = std::string(OMNINORM_BENCH_BINARY) + " " + arguments + " 2>&1";
  std::FILE* pipe = popen(command.c_str(), "r");
  std::string output;
  char part[4096];
  while (std::fgets(part, sizeof part, pipe) != nullptr) output += part;
  code = pclose(pipe);
  return output;
}

class Program : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (std::filesystem::temp_directory_path() / "omninorm-bench-XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::filesystem::path folder_;
};

TEST_F(Program, LoadPrintsWhatWasMeasured) {
  const std::string json = (folder_ / "new.json").string();
  int code = 0;
  const std::string measured = run(
      "--op group_norm --op add_layer_norm --shape 2x64x3x3 --shape 4x64 --dtype bf16 --rounds 2 "
      "--seconds 0 --threads 1 --json " +
          json,
      code);
  ASSERT_EQ(code, 0) << measured;
  const std::string loaded = run("--load " + json + " --compare " + json, code);
  ASSERT_EQ(code, 0) << loaded;
  const auto tables = measured.find("\ngroup_norm forward");
  ASSERT_NE(tables, std::string::npos) << measured;
  EXPECT_NE(loaded.find(measured.substr(tables)), std::string::npos) << "measured\n"
                                                                     << measured << "\nloaded\n"
                                                                     << loaded;
  EXPECT_NE(loaded.find("  0 of "), std::string::npos) << loaded;
}

// A cell of 64 columns in the first format; seconds of the copy and of ours.
std::string row_cell(const std::string& fields, const std::string& copy, const std::string& ours) {
  const auto side = [](const std::string& seconds) {
    return R"({"seconds": )" + seconds + R"(, "halves": [)" + seconds + ", " + seconds +
           R"(], "calls": 3})";
  };
  return "{" + fields + R"(, "width": 64, "sides": {"copy": )" + side(copy) + R"(, "omninorm": )" +
         side(ours) + "}}";
}

TEST_F(Program, ReadsTheFilesOfTheFirstFormat) {
  const std::string json = (folder_ / "old.json").string();
  std::ofstream(json) << R"({"format": 1, "machine": {"cpu": "x", "threads": 1}, "cells": [)"
                      << row_cell(R"("op": "rms_norm", "direction": "forward", "dtype": "f32",
                           "rows": 512, "bytes": 262144, "steady": true)",
                                  "1e-6", "2e-6")
                      << "]}";
  int code = 0;
  const std::string loaded = run("--load " + json, code);
  EXPECT_EQ(code, 0);
  EXPECT_NE(loaded.find("rms_norm forward f32"), std::string::npos) << loaded;
  EXPECT_NE(loaded.find("512x64"), std::string::npos) << loaded;
  EXPECT_NE(loaded.find("0.50"), std::string::npos) << loaded;
}

TEST_F(Program, WritesSharesOfTheLimitWhereNobodyElseWasTimed) {
  const std::string json = (folder_ / "alone.json").string(), page = folder_ / "page.md";
  const std::string rms = R"("op": "rms_norm", "direction": "forward", "dtype": "f32", )";
  std::ofstream(json)
      << R"({"format": 1, "machine": {"cpu": "x", "private_cache_bytes": 300000, "alone": true},
          "cells": [)"
      << row_cell(rms + R"("rows": 512, "bytes": 262144, "steady": true)", "1e-6", "2e-6") << ","
      << row_cell(rms + R"("rows": 1024, "bytes": 524288, "steady": false)", "1e-6", "10e-6") << ","
      << row_cell(rms + R"("rows": 1, "bytes": 512, "steady": true)", "1e-6", "90e-6") << ","
      << row_cell(R"("op": "layer_norm", "direction": "backward", "dtype": "bf16",
                     "rows": 64, "bytes": 512, "steady": true)",
                  "3e-6", "4e-6")
      << "]}";
  const std::string other = "<!-- bench:kernels begin -->\nkept\n<!-- bench:kernels end -->\n";
  std::ofstream(page) << other << "<!-- bench:limit begin -->\nold\n<!-- bench:limit end -->\n";
  int code = 0;
  const std::string output = run("--load " + json + " --markdown " + page, code);
  EXPECT_EQ(code, 0) << output;
  std::stringstream text;
  text << std::ifstream(page).rdbuf();
  const std::string now = text.str();
  EXPECT_EQ(now.find(other), 0u) << now;
  EXPECT_EQ(now.find("old"), now.npos) << now;
  for (const char* line : {"3 cells, of which 1 unsteady", "|  | forward f32 | backward bf16 |\n",
                           "| norms of rows, in L2 | **0.50**, 0.50 at rms_norm 512x64 | **0.75**, "
                           "0.75 at layer_norm 64x64 |\n",
                           "| norms of rows, past it | **0.10**, 0.10 at rms_norm 1024x64 | - |\n",
                           "| rms_norm | **0.22**, 0.10 at 1024x64 | - |\n",
                           "| layer_norm | - | **0.75**, 0.75 at 64x64 |\n"}) {
    EXPECT_NE(now.find(line), now.npos) << line << "\n" << now;
  }
  std::ofstream(page) << other;
  EXPECT_NE(run("--load " + json + " --markdown " + page, code)
                .find("expected the lines '<!-- bench:limit begin -->'"),
            std::string::npos);
  EXPECT_NE(code, 0);
}

TEST_F(Program, TellsWhatItExpected) {
  int code = 0;
  EXPECT_NE(run("--op layernorm", code).find("[bench] expected an op out of layer_norm, "),
            std::string::npos);
  EXPECT_NE(code, 0);
  EXPECT_NE(run("--op group_norm --shape 4x64", code).find("got none to measure"),
            std::string::npos);
  EXPECT_NE(code, 0);
}

}  // namespace
}  // namespace omninorm::bench
