// Against values from tables and from hand calculation, not from the code itself.
#include "lab/report/statistics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace omninorm::lab::report {
namespace {

TEST(Statistics, QuantilesOfTAreThoseOfThePrintedTable) {
  EXPECT_NEAR(t_quantile(0.975, 1), 12.7062, 5e-5);
  EXPECT_NEAR(t_quantile(0.975, 2), 4.30265, 5e-6);
  EXPECT_NEAR(t_quantile(0.975, 4), 2.77645, 5e-6);
  EXPECT_NEAR(t_quantile(0.975, 9), 2.26216, 5e-6);
  EXPECT_NEAR(t_quantile(0.95, 9), 1.83311, 5e-6);
  EXPECT_NEAR(t_quantile(0.975, 100), 1.98397, 5e-6);
}

TEST(Statistics, MeanAndSampleDeviation) {
  const std::vector<double> values = {2, 4, 4, 4, 5, 5, 7, 9};
  EXPECT_DOUBLE_EQ(describe(values).mean, 5);
  EXPECT_DOUBLE_EQ(describe(values).sd, std::sqrt(32.0 / 7.0));
  EXPECT_EQ(describe(values).count, 8u);
}

TEST(Statistics, OneValueHasNoSpreadAndNoneHasNoMean) {
  const std::vector<double> one = {3};
  EXPECT_DOUBLE_EQ(describe(one).mean, 3);
  EXPECT_TRUE(std::isnan(describe(one).sd));
  EXPECT_TRUE(std::isnan(describe({}).mean));
}

TEST(Statistics, Median) {
  EXPECT_DOUBLE_EQ(median(std::vector<double>{9, 1, 5}), 5);
  EXPECT_DOUBLE_EQ(median(std::vector<double>{9, 1, 5, 7}), 6);
  EXPECT_TRUE(std::isnan(median({})));
}

// By hand: differences 1 2 3, mean 2, sd 1, half width 4.30265 / sqrt(3) = 2.48414.
TEST(Statistics, PairedIntervalByHand) {
  const std::vector<double> base = {10, 20, 30};
  const std::vector<double> value = {11, 22, 33};
  const auto difference = paired_difference(base, value);
  ASSERT_TRUE(difference);
  EXPECT_EQ(difference->pairs, 3u);
  EXPECT_DOUBLE_EQ(difference->mean, 2);
  EXPECT_DOUBLE_EQ(difference->sd, 1);
  EXPECT_NEAR(difference->low, -0.48414, 1e-5);
  EXPECT_NEAR(difference->high, 4.48414, 1e-5);
  EXPECT_TRUE(difference->holds_zero());
}

// Student's sleep data (1908), the paired example of R's t.test: mean 1.58, interval 0.7001
// to 2.4599.
TEST(Statistics, PairedIntervalOfStudentsSleepData) {
  const std::vector<double> first = {0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0};
  const std::vector<double> second = {1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4};
  const auto difference = paired_difference(first, second);
  ASSERT_TRUE(difference);
  EXPECT_NEAR(difference->mean, 1.58, 1e-12);
  EXPECT_NEAR(difference->low, 0.7001142, 1e-6);
  EXPECT_NEAR(difference->high, 2.4598858, 1e-6);
  EXPECT_FALSE(difference->holds_zero());
}

TEST(Statistics, NoIntervalBelowTwoPairsOrForWhatIsNotFinite) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_FALSE(paired_difference(std::vector<double>{1}, std::vector<double>{2}));
  EXPECT_FALSE(paired_difference({}, {}));
  EXPECT_FALSE(paired_difference(std::vector<double>{1, nan}, std::vector<double>{2, 3}));
  EXPECT_FALSE(paired_difference(std::vector<double>{1, 2}, std::vector<double>{2}));
}

TEST(Statistics, EqualRunsShowNoDifference) {
  const auto difference =
      paired_difference(std::vector<double>{1.5, 1.7}, std::vector<double>{1.5, 1.7});
  ASSERT_TRUE(difference);
  EXPECT_TRUE(difference->holds_zero());
}

}  // namespace
}  // namespace omninorm::lab::report
