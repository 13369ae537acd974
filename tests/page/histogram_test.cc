#include "cli/scale/histogram.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

namespace omninorm::cli {
namespace {

using ::testing::ElementsAre;

constexpr double largest = std::numeric_limits<double>::max();

struct Column {
  Figures figures;
  Histogram bins;
};

Column column_of(const std::vector<double>& values) {
  Column column;
  Sample sample;
  for (const double value : values) sample.add(value);
  column.figures.add(values.data(), std::ssize(values));
  column.bins = bins_for(sample, column.figures);
  for (const double value : values) column.bins.add(value);
  return column;
}

std::int64_t inside(const Histogram& bins) {
  return std::accumulate(bins.counts.begin(), bins.counts.end(), std::int64_t{0});
}

std::vector<double> normal(std::size_t count) {
  std::mt19937_64 random(7);
  std::normal_distribution<double> draw;
  std::vector<double> values(count);
  for (double& value : values) value = draw(random);
  return values;
}

TEST(Histogram, EveryValueIsCountedOnce) {
  Histogram bins{0, 4, {0, 0, 0, 0}};
  for (const double value : {-1.0, 0.0, 0.5, 1.0, 3.999, 4.0, 4.001, 1e300, -1e300})
    bins.add(value);
  bins.add(std::numeric_limits<double>::infinity());
  EXPECT_THAT(bins.counts, ElementsAre(2, 1, 0, 2));
  EXPECT_EQ(bins.below, 2);
  EXPECT_EQ(bins.above, 3);
}

TEST(Histogram, TheWidestQuartilesHaveBins) {
  const Column column = column_of({-1e308, -1e308, -1e308, 0, 1e308, 1e308, 1e308});
  EXPECT_EQ(inside(column.bins), 7);
  EXPECT_LE(column.bins.counts.size(), 60u);
}

TEST(Histogram, TheWidestRangeHasBins) {
  const Column column = column_of({-largest, -1, 0, 1, largest});
  EXPECT_EQ(inside(column.bins) + column.bins.below + column.bins.above, 5);
  Histogram all{-largest, largest, {0, 0}};
  for (const double value : {-largest, -largest / 2, largest / 2, largest}) all.add(value);
  EXPECT_THAT(all.counts, ElementsAre(2, 2));
}

TEST(Histogram, TheSmallestNumbersHaveBins) {
  const Column column = column_of({0, 5e-324, 1e-323, 1.5e-323});
  EXPECT_EQ(inside(column.bins), 4);
}

TEST(Bins, HoldAllValuesWhereTheseLieClose) {
  const Column column = column_of(normal(10000));
  EXPECT_EQ(column.bins.low, column.figures.minimum);
  EXPECT_EQ(column.bins.high, column.figures.maximum);
  EXPECT_EQ(inside(column.bins), 10000);
  EXPECT_GE(column.bins.counts.size(), 40U);
}

TEST(Bins, AFewFarValuesDoNotSqueezeTheOthers) {
  std::vector<double> values = normal(10000);
  values[17] = 1e9;
  values[4000] = -largest;
  const Column column = column_of(values);
  EXPECT_EQ(column.bins.below, 1);
  EXPECT_EQ(column.bins.above, 1);
  EXPECT_LT(column.bins.high, 20);
  EXPECT_GT(column.bins.low, -20);
  EXPECT_EQ(inside(column.bins), 9998);
  const auto filled = std::ranges::count_if(column.bins.counts, [](auto n) { return n > 100; });
  EXPECT_GE(filled, 10);
}

TEST(Bins, MostlyOneValueShowsTheOthersToo) {
  std::vector<double> values = normal(5000);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = i % 5 != 0 ? 0 : std::fabs(values[i]);
  const Column column = column_of(values);
  EXPECT_EQ(inside(column.bins) + column.bins.above, 5000);
  EXPECT_GT(column.bins.high, 2);
  EXPECT_LT(column.bins.above, 100);
}

TEST(Bins, WholeNumbersHaveOneEach) {
  const Column column = column_of({3, 1, 1, 2, 5, 5, 5, 1});
  EXPECT_EQ(column.bins.low, 0.5);
  EXPECT_THAT(column.bins.counts, ElementsAre(3, 1, 1, 0, 3));
}

TEST(Bins, OneValueStandsInTheMiddle) {
  for (const double value : {0.0, 42.0, -1e300, 5e-324}) {
    const Column column = column_of({value, value, value});
    EXPECT_EQ(column.bins.counts[column.bins.counts.size() / 2], 3) << value;
    EXPECT_LT(column.bins.low, column.bins.high);
  }
}

TEST(Bins, NoValuesHaveEmptyOnes) {
  EXPECT_EQ(inside(column_of({}).bins), 0);
  EXPECT_EQ(column_of({std::nan("")}).figures.missing, 1);
}

TEST(Figures, AnySplitGivesTheSame) {
  std::vector<double> values = normal(1000);
  for (double& value : values) value += 1e6;
  values[3] = std::nan("");
  values[5] = -std::numeric_limits<double>::infinity();
  Figures whole, parts;
  whole.add(values.data(), 1000);
  for (std::int64_t i = 0; i < 1000; i += 7) {
    parts.add(values.data() + i, std::min<std::int64_t>(7, 1000 - i));
  }
  EXPECT_EQ(parts.values, 998);
  EXPECT_EQ(parts.missing, 1);
  EXPECT_EQ(parts.infinite, 1);
  EXPECT_NEAR(parts.mean, whole.mean, 1e-9);
  EXPECT_NEAR(parts.deviation(), whole.deviation(), 1e-9);
  EXPECT_NEAR(whole.deviation(), 1, 0.1);
  EXPECT_EQ(parts.minimum, whole.minimum);
}

TEST(Sample, IsEvenOverTheWholeStream) {
  Sample sample;
  constexpr int rows = 1000000;
  for (int i = 0; i < rows; ++i) sample.add(i);
  ASSERT_EQ(sample.values().size(), 2048U);
  double mean = 0;
  std::vector<int> tenths(10);
  for (const double value : sample.values()) {
    mean += value / 2048;
    ++tenths[static_cast<std::size_t>(value / rows * 10)];
  }
  // Six deviations of a mean of 2,048, and of a count of one tenth.
  EXPECT_NEAR(mean, rows / 2.0, 6 * rows / std::sqrt(12 * 2048.0));
  for (const int count : tenths) EXPECT_NEAR(count, 204.8, 6 * std::sqrt(204.8));
}

}  // namespace
}  // namespace omninorm::cli
