#include "lab/report/series.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>

namespace omninorm::lab::report {

std::vector<Point> trailing_mean(const std::vector<Point>& points, std::size_t window) {
  std::vector<Point> means;
  means.reserve(points.size());
  for (std::size_t i = 0; i < points.size(); ++i) {
    const std::size_t first = i + 1 < window ? 0 : i + 1 - window;
    double sum = 0;
    for (std::size_t j = first; j <= i; ++j) sum += points[j].value;
    const double mean = sum / static_cast<double>(i + 1 - first);
    means.push_back(
        {points[i].step, std::isfinite(mean) ? mean : std::numeric_limits<double>::quiet_NaN()});
  }
  return means;
}

std::vector<Point> thin(const std::vector<Point>& points, std::int64_t stride) {
  std::vector<Point> kept;
  for (std::size_t i = 0; i < points.size(); ++i)
    if (i == 0 || i + 1 == points.size() || points[i].step % std::max<std::int64_t>(stride, 1) == 0)
      kept.push_back(points[i]);
  return kept;
}

std::vector<Point> extremes(const std::vector<Point>& points, std::size_t limit) {
  std::vector<Point> finite;
  std::copy_if(points.begin(), points.end(), std::back_inserter(finite),
               [](const Point& point) { return std::isfinite(point.value); });
  if (finite.size() <= limit || limit < 2) return finite;
  const std::size_t stretches = limit / 2;
  std::vector<Point> kept;
  for (std::size_t k = 0; k < stretches; ++k) {
    const auto begin = finite.begin() + static_cast<std::ptrdiff_t>(finite.size() * k / stretches);
    const auto end =
        finite.begin() + static_cast<std::ptrdiff_t>(finite.size() * (k + 1) / stretches);
    auto [low, high] = std::minmax_element(
        begin, end, [](const Point& a, const Point& b) { return a.value < b.value; });
    if (high < low) std::swap(low, high);
    kept.push_back(*low);
    if (low != high) kept.push_back(*high);
  }
  return kept;
}

}  // namespace omninorm::lab::report
