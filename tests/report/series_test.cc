#include "lab/report/series.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace omninorm::lab::report {
namespace {

std::vector<Point> ramp(std::int64_t count) {
  std::vector<Point> points;
  for (std::int64_t step = 1; step <= count; ++step) points.push_back({step, double(step)});
  return points;
}

TEST(Series, TrailingMeanStartsWithWhatThereIs) {
  const auto means = trailing_mean(ramp(5), 3);
  EXPECT_DOUBLE_EQ(means[0].value, 1);
  EXPECT_DOUBLE_EQ(means[1].value, 1.5);
  EXPECT_DOUBLE_EQ(means[4].value, 4);
}

TEST(Series, TrailingMeanOfAnythingNotFiniteIsNan) {
  auto points = ramp(5);
  points[4].value = std::numeric_limits<double>::infinity();
  EXPECT_TRUE(std::isnan(trailing_mean(points, 3)[4].value));
  EXPECT_TRUE(std::isfinite(trailing_mean(points, 3)[3].value));
}

TEST(Series, ThinKeepsCommonStepsAndBothEnds) {
  const auto kept = thin(ramp(95), 10);
  ASSERT_EQ(kept.size(), 11u);
  EXPECT_EQ(kept.front().step, 1);
  EXPECT_EQ(kept[1].step, 10);
  EXPECT_EQ(kept.back().step, 95);
}

TEST(Series, ExtremesKeepASpikeOfOneStep) {
  auto points = ramp(10000);
  for (Point& point : points) point.value = 1;
  points[7777].value = 50;
  points[1234].value = -50;
  const auto kept = extremes(points, 100);
  EXPECT_LE(kept.size(), 100u);
  const auto has = [&](double value) {
    return std::any_of(kept.begin(), kept.end(), [&](Point p) { return p.value == value; });
  };
  EXPECT_TRUE(has(50));
  EXPECT_TRUE(has(-50));
  EXPECT_TRUE(
      std::is_sorted(kept.begin(), kept.end(), [](Point a, Point b) { return a.step < b.step; }));
}

TEST(Series, ExtremesLeaveOutWhatIsNotFinite) {
  auto points = ramp(3);
  points[1].value = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(extremes(points, 100).size(), 2u);
}

}  // namespace
}  // namespace omninorm::lab::report
