// Long series made short enough for a page without hiding what they show.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "lab/report/analysis.h"

namespace omninorm::lab::report {

// Mean over the last `window` points up to each; NaN where one of them is not finite.
std::vector<Point> trailing_mean(const std::vector<Point>& points, std::size_t window);

// Every point whose step is a multiple of `stride`, the first and the last: runs of one experiment
// keep common steps, so that seeds can be averaged.
std::vector<Point> thin(const std::vector<Point>& points, std::int64_t stride);

// At most `limit` points: of each stretch its lowest and highest, in order, so that spikes stay.
// Points that are not finite are left out.
std::vector<Point> extremes(const std::vector<Point>& points, std::size_t limit);

}  // namespace omninorm::lab::report
