// RunningScaler against its definition: weights (1 - alpha)^age, summed in long double.
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "tests/core/expect_error.h"
#include "tests/core/targets.h"
#include "tests/scaler/table.h"

namespace omninorm::scaler_tests {
namespace {

struct Weighted {
  long double weight = 0, squares = 0, mean = 0, m2 = 0;
};

// Of column j; a row that is missing, or of weight 0, does not age the others.
Weighted definition(const Table& table, std::int64_t j, double alpha,
                    const std::vector<double>& weights = {}) {
  std::vector<std::pair<long double, long double>> entries;  // weight, value
  for (std::int64_t i = 0; i < table.rows; ++i) {
    const double weight = weights.empty() ? 1 : weights[static_cast<std::size_t>(i)];
    if (std::isnan(table.at(i, j)) || weight == 0) continue;
    for (auto& entry : entries) entry.first *= 1 - static_cast<long double>(alpha);
    entries.emplace_back(weight, table.at(i, j));
  }
  Weighted w;
  for (const auto& [weight, value] : entries) {
    w.weight += weight;
    w.squares += weight * weight;
    w.mean += weight * value;
  }
  w.mean /= w.weight;
  for (const auto& [weight, value] : entries) w.m2 += weight * (value - w.mean) * (value - w.mean);
  return w;
}

TEST(Running, IsItsDefinition) {
  Table table = normal_table(700, 70, 5, 2);
  for (std::size_t i = 0; i < table.values.size(); i += 9) table.values[i] = kNaN;
  std::vector<double> weights(700);
  for (std::size_t i = 0; i < weights.size(); ++i) weights[i] = static_cast<double>(i % 4);
  for (const std::string& target : cpu_targets()) {
    const cases::TargetScope scope(target);
    for (const double alpha : {0.01, 0.5, 0.97}) {
      for (const bool weighted : {false, true}) {
        RunningScaler scaler({.alpha = alpha, .variance = Variance::unbiased});
        partial_fit(scaler, table, weighted ? weights : std::vector<double>{});
        for (const std::int64_t j : {0, 1, 69}) {
          const Weighted want =
              definition(table, j, alpha, weighted ? weights : std::vector<double>{});
          const RunningMoments& m = scaler.moments()[static_cast<std::size_t>(j)];
          EXPECT_NEAR(m.weight / static_cast<double>(want.weight), 1, 1e-13);
          EXPECT_NEAR(m.weight_squares / static_cast<double>(want.squares), 1, 1e-13);
          EXPECT_NEAR(m.mean, static_cast<double>(want.mean), 1e-13 * 7);
          EXPECT_NEAR(m.m2 / static_cast<double>(want.m2), 1, 1e-12);
          const long double divisor = want.weight - want.squares / want.weight;
          EXPECT_NEAR(scaler.variance(j) / static_cast<double>(want.m2 / divisor), 1, 1e-11);
        }
      }
    }
  }
}

TEST(Running, AnyChunksGiveTheSameBits) {
  EXPECT_TRUE(rc::check([] {
    Table table =
        normal_table(150, *rc::gen::inRange(1, 80), 5, 2, *rc::gen::arbitrary<unsigned>());
    for (std::size_t i = 3; i < table.values.size(); i += 11) table.values[i] = kNaN;
    RunningScaler whole({.alpha = 0.05}), parts = whole;
    partial_fit(whole, table);
    for (std::int64_t row = 0; row < table.rows;) {
      const std::int64_t last = std::min<std::int64_t>(table.rows, row + *rc::gen::inRange(1, 100));
      partial_fit(parts, table.part(row, last), {}, DType::f64, Layout::column_major);
      row = last;
    }
    RC_ASSERT(parts.same_state(whole));
    RC_ASSERT(parts.to_json() == whole.to_json());
  }));
}

TEST(Running, FollowsAStreamThatChanges) {
  Table table(4000, 1);
  for (std::int64_t i = 0; i < table.rows; ++i) {
    table.at(i, 0) = (i < 2000 ? 0 : 100) + (i % 2 ? 1 : -1);
  }
  RunningScaler scaler({.alpha = alpha_of_half_life(50)});
  partial_fit(scaler, table);
  EXPECT_NEAR(scaler.summary(0).center, 100, 0.05);
  EXPECT_NEAR(scaler.summary(0).scale, 1, 0.01);
}

TEST(Running, HalfLife) {
  EXPECT_DOUBLE_EQ(alpha_of_half_life(1), 0.5);
  EXPECT_NEAR(std::pow(1 - alpha_of_half_life(1000), 1000), 0.5, 1e-12);
  for (const auto& [rows, text] : {std::pair{0.0, "0"}, {-1.0, "-1"}, {kInf, "inf"}}) {
    EXPECT_ERROR(
        alpha_of_half_life(rows),
        std::string("[running_scaler] expected a half-life of more than 0 rows, got ") + text);
  }
}

TEST(Running, ConstantsAreConstant) {
  RunningScaler scaler({.alpha = 0.3});
  partial_fit(scaler, {5, 2, {0.1, kNaN, 0.1, 1e300, kNaN, 1e300, 0.1, kNaN, 0.1, 1e300}});
  EXPECT_TRUE(scaler.summary(0).constant);
  EXPECT_TRUE(scaler.summary(1).constant);
  EXPECT_EQ(scaler.summary(0).center, 0.1);
  EXPECT_EQ(scaler.summary(1).center, 1e300);
}

TEST(Running, MergeIsRefused) {
  RunningScaler a, b;
  EXPECT_ERROR(a.merge(b),
               "[running_scaler] expected one stream of rows, got a merge, which cannot be exact: "
               "what a scaler forgets depends on the order of rows; fit it on the whole stream, or "
               "merge z_score scalers");
}

}  // namespace
}  // namespace omninorm::scaler_tests
