// What one call of the position kernels works on: x[image][g][c][position], positions side by side.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "src/core/norm_problem.h"

namespace omninorm::internal {

// What a tile's numbers take on the stack, 2 KB each.
inline constexpr std::int64_t kMostTilePositions = 512;
// Of so few channels, what a block of positions reads is few runs in memory, and stays in the
// nearest cache.
inline constexpr std::int64_t kFewChannels = 16;
// Groups of few channels whose planes are small share a tile, so that a position's statistics,
// which lie side by side, are written together.
inline constexpr std::int64_t kTileGroups = 16;
inline constexpr std::int64_t kSmallPlane = 256;
inline constexpr std::int64_t kMostTileStatistics = kTileGroups * kSmallPlane;
static_assert(kMostTileStatistics >= kMostTilePositions);

struct PositionShape {
  std::int64_t images = 1;
  std::int64_t positions = 1;
  std::int64_t groups = 1;
  std::int64_t channels = 1;  // of a group
  std::int64_t per_tile = 1;  // positions
  std::int64_t tiles = 1;     // of the positions of an image
  std::int64_t groups_per_tile = 1;
  std::int64_t batches = 1;  // of groups
  bool narrow = false;       // a block goes through all channels, not a tile

  std::int64_t parts() const { return images * tiles; }
  std::int64_t all_tiles() const { return parts() * batches; }
  std::int64_t statistic(std::int64_t image, std::int64_t position, std::int64_t g) const {
    return (image * positions + position) * groups + g;
  }
};

// A tile: positions begin .. end-1 of groups group .. group + groups - 1 of one image. part counts
// runs of positions through the images.
struct PositionTile {
  std::int64_t part, image, begin, end, group, groups;

  PositionTile(const PositionShape& shape, std::int64_t index)
      : part(index / shape.batches),
        image(part / shape.tiles),
        begin(part % shape.tiles * shape.per_tile),
        end(std::min(shape.positions, begin + shape.per_tile)),
        group(index % shape.batches * shape.groups_per_tile),
        groups(std::min(shape.groups_per_tile, shape.groups - group)) {}

  std::size_t positions() const { return static_cast<std::size_t>(end - begin); }
};

// Element strides; a position's is 1.
struct PositionStrides {
  std::int64_t image = 0;
  std::int64_t g = 0;
  std::int64_t c = 0;

  std::int64_t offset(std::int64_t i, std::int64_t group, std::int64_t position) const {
    return i * image + group * g + position;
  }
};

struct PositionForwardPlan {
  PositionShape shape;
  PositionStrides x, y;
  const float* weight = nullptr;  // weight + offset of all channels; ones where there is none
  const float* bias = nullptr;    // zeros where there is none
  bool streams = false;
};

struct PositionBackwardPlan {
  PositionShape shape;
  PositionStrides x, dy, dx;
  const float* weight = nullptr;
  double* parts = nullptr;  // [parts][groups][channels][2]: sums for dweight and dbias
  bool streams = false;
};

// One position's group by the reference.
void reference_position(const NormForward& problem, const PositionForwardPlan& plan,
                        std::int64_t image, std::int64_t g, std::int64_t position);

}  // namespace omninorm::internal
