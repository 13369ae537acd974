// What one call of the position kernels works on: x[image][g][c][position], positions side by side.
#pragma once

#include <algorithm>
#include <cstdint>

#include "src/core/norm_problem.h"

namespace omninorm::internal {

struct PositionShape {
  std::int64_t images = 1;
  std::int64_t positions = 1;
  std::int64_t groups = 1;
  std::int64_t channels = 1;  // of a group
  std::int64_t per_task = 1;  // positions
  std::int64_t tiles = 1;     // tasks of a group of an image

  std::int64_t tasks() const { return images * groups * tiles; }
};

// A task: positions begin .. end-1 of one group of one image.
struct PositionTask {
  std::int64_t image, g, begin, end;

  PositionTask(const PositionShape& shape, std::int64_t index)
      : image(index / shape.tiles / shape.groups),
        g(index / shape.tiles % shape.groups),
        begin(index % shape.tiles * shape.per_task),
        end(std::min(shape.positions, begin + shape.per_task)) {}
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
};

struct PositionBackwardPlan {
  static constexpr std::int64_t kLaneFloats = 16;  // the widest vector's

  PositionShape shape;
  PositionStrides x, dy, dx;
  const float* weight = nullptr;
  float* lanes = nullptr;   // [tasks][channels][2][kLaneFloats]: sums for dweight and dbias
  double* parts = nullptr;  // [tasks][channels][2]
};

// One position's group by the reference.
void reference_position(const NormForward& problem, const PositionForwardPlan& plan,
                        std::int64_t image, std::int64_t g, std::int64_t position);

}  // namespace omninorm::internal
