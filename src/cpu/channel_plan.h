// Norms whose statistics pool positions (group, instance and batch norm): what one call of their
// kernels works on, shared by all SIMD targets.
//
// Whatever the norm, each channel of each image ends as  y = (x - shift) * scale + offset  and
// dx = dy * scale + (x - mean) * x_scale + constant,  from sums over the channel. Only how a
// channel lies in memory differs: a plane (NCHW: its positions are contiguous) or a column (NHWC:
// its channels are).
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "src/core/norm_problem.h"

namespace omninorm::internal {

enum class ChannelLayout : std::uint8_t { plane, column };

// y = (x - shift) * scale + offset
struct ChannelAffine {
  float shift;
  float scale;
  float offset;
};

// The argument of the activation is (x - mean) * scale + offset, and
// dx = dy * scale + (x - mean) * x_scale + constant.
struct ChannelGradient {
  float mean = 0;
  float scale = 0;
  float offset = 0;
  float x_scale = 0;
  float constant = 0;
};

// Channels whose parameters or affine gradients one task works out.
inline constexpr std::int64_t kParameterChannels = 128;

// What forward and backward share.
struct ChannelShape {
  ChannelLayout layout = ChannelLayout::plane;
  std::int64_t images = 0;     // n
  std::int64_t channels = 0;   // g * c
  std::int64_t positions = 0;  // s
  std::int64_t group = 1;      // c
  bool pool_n = false;

  // Columns: rows (positions) of a block, and blocks of an image, or of the whole batch where
  // pool_n; channels of a tile, and tiles of a row. A task walks a tile of a block.
  std::int64_t rows_per_block = 0;
  std::int64_t blocks = 0;
  std::int64_t tile = 1;
  std::int64_t tiles = 1;

  std::int64_t sets_per_image() const { return channels / group; }
  // Images that parameters differ between.
  std::int64_t parameter_images() const { return pool_n ? 1 : images; }
  std::int64_t block_sets() const { return pool_n ? 1 : images; }
  std::int64_t rows_per_set() const { return pool_n ? images * positions : positions; }
  // Parts whose sums make a set's: blocks of columns, or the images' planes.
  std::int64_t parts_per_set() const {
    return layout == ChannelLayout::column ? blocks : pool_n ? images : 1;
  }
  // What moments and y are taken by: planes, or tiles of blocks; those of one part of a set.
  std::int64_t units_per_part() const { return layout == ChannelLayout::plane ? channels : tiles; }
  struct Range {
    std::int64_t first, last;
  };
  // The channels of units begin .. end-1 of a part.
  Range channels_of_units(std::int64_t begin, std::int64_t end) const {
    if (layout == ChannelLayout::plane) return {begin, end};
    return {begin * tile, end * tile < channels ? end * tile : channels};
  }
  std::int64_t rows_of_part(std::int64_t part) const {
    if (layout == ChannelLayout::plane) return positions;
    const std::int64_t left = rows_per_set() - part * rows_per_block;
    return left < rows_per_block ? left : rows_per_block;
  }
};

ChannelShape channel_shape(const NormView& view, ChannelLayout layout, std::size_t element_bytes);

// Columns whose images a core's private cache holds beside what is written, and enough of them to
// share out: a task takes an image through all steps. The bits are those of the other way.
bool fits_cache(const ChannelShape& shape, std::size_t element_bytes);

// Where an operand's rows or planes lie, in elements.
struct ChannelStrides {
  std::int64_t n;
  std::int64_t g;
  std::int64_t c;
  std::int64_t s;
  // One stride walks the rows of a set: the rule, and it saves two divisions a row.
  bool uniform;
  std::int64_t next_row;
  // One stride walks the channels of an image, likewise.
  bool even;
  std::int64_t next_channel;

  ChannelStrides(const NormStrides& strides, const ChannelShape& shape)
      : n(strides.n[0]),
        g(strides.g),
        c(strides.c),
        s(strides.s),
        uniform(!shape.pool_n || shape.positions == 1 || shape.images == 1 ||
                n == shape.positions * s),
        next_row(shape.positions == 1 && shape.pool_n ? n : s),
        even(shape.group == 1 || shape.group * c == g),
        next_channel(shape.group == 1 ? g : c) {}

  std::int64_t plane(const ChannelShape& shape, std::int64_t image, std::int64_t channel) const {
    if (even) return image * n + channel * next_channel;
    return image * n + channel / shape.group * g + channel % shape.group * c;
  }
  // Row r of an image, or of the whole batch where pool_n.
  std::int64_t row(const ChannelShape& shape, std::int64_t image, std::int64_t r) const {
    if (uniform) return (shape.pool_n ? 0 : image * n) + r * next_row;
    return r / shape.positions * n + r % shape.positions * s;
  }
};

// Where statistics pool the images too (batch_norm) and a core's private cache holds what a plane's
// channel, or a tile of columns, has in all of them, `element_bytes` an element: so many of those a
// task takes through all steps; the data are read from memory once, and no step waits for the
// others' last. 0: not here. The bits are those of the steps (but in place beside
// sets that the reference takes, as docs/norms.md says).
std::int64_t units_together(const ChannelShape& shape, std::size_t element_bytes);

// Calls step(begin, end) with the place of units begin .. end-1 of each part, where pool_n.
template <class Step>
void in_parts(const ChannelShape& shape, std::int64_t begin, std::int64_t end, const Step& step) {
  const std::int64_t units = shape.units_per_part();
  for (std::int64_t part = 0; part < shape.parts_per_set(); ++part) {
    step(part * units + begin, part * units + end);
  }
}

// Why the views of both directions are declined in a layout; null: they are not.
const char* decline_channels(const NormView& view, ChannelLayout layout, DType x);
const char* decline_channel_operand(const NormView& view, ChannelLayout layout,
                                    const NormStrides& strides);

// Where the pieces of the workspace lie; the size comes from the same place.
struct Pieces {
  std::byte* at;
  std::size_t used = 0;

  template <class T>
  T* take(std::int64_t count) {
    T* piece = at ? reinterpret_cast<T*>(at + used) : nullptr;
    used += (static_cast<std::size_t>(count) * sizeof(T) + 63) / 64 * 64;
    return piece;
  }
};

struct ChannelForwardPlan {
  const NormForward* problem = nullptr;
  ChannelShape shape;
  bool streams = false;
  std::size_t ahead = 0;  // elements to what y's pass over a plane fetches
  // Means and sums of squared deviations from them, [parts][channels]. Planes with pool_n: a part
  // is an image. Columns: a part is a block.
  double* part_mean = nullptr;
  double* part_m2 = nullptr;
  // Columns, and planes with pool_n: [parameter_images][padded channels].
  float* shift = nullptr;
  float* scale = nullptr;
  float* offset = nullptr;
  unsigned char* extreme = nullptr;  // [statistics]: 1 where finish_statistics said so
};

struct ChannelBackwardPlan {
  const NormBackward* problem = nullptr;
  ChannelShape shape;
  bool streams = false;
  bool wants_sums = true;
  // Sums of dy and of dy * (x - mean), dy behind the activation's derivative, [parts][channels]: a
  // part is an image in planes, a block in columns.
  double* part_dy = nullptr;
  double* part_dy_x = nullptr;
  // Columns, and planes with pool_n: [parameter_images][padded channels] each.
  float* mean = nullptr;
  float* scale = nullptr;
  float* offset = nullptr;
  float* x_scale = nullptr;
  float* constant = nullptr;
};

// The pointer `elements` further on; null stays null.
template <class Pointer>
Pointer advanced(Pointer pointer, DType dtype, std::int64_t elements) {
  if (pointer == nullptr) return nullptr;
  using Byte = std::conditional_t<std::is_const_v<std::remove_pointer_t<Pointer>>, const std::byte,
                                  std::byte>;
  return static_cast<Byte*>(pointer) + elements * static_cast<std::int64_t>(size_of(dtype));
}

// Whether all x of a set are one value: then a variance of 0 is right.
bool all_alike(const NormForward& problem, std::int64_t image, std::int64_t g);

// One set of statistics by the reference: the image (all of them where pool_n) and the group.
void reference_set(const NormForward& problem, std::int64_t image, std::int64_t g);

// Whether backward's terms stay within fp32's range with all saved statistics.
bool statistics_in_range(const NormBackward& problem);

}  // namespace omninorm::internal
