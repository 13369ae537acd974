// What forward and backward of channels that are contiguous (NHWC, and (N, C)) share.
#if defined(OMNINORM_CPU_COLUMN_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef OMNINORM_CPU_COLUMN_INL_H_
#undef OMNINORM_CPU_COLUMN_INL_H_
#else
#define OMNINORM_CPU_COLUMN_INL_H_
#endif

#include "src/cpu/channel_plan.h"
#include "src/cpu/moments-inl.h"

HWY_BEFORE_NAMESPACE();
namespace omninorm::internal::HWY_NAMESPACE {

// Rows that are taken together, so that a channel's sums and parameters are loaded once for them.
inline constexpr int kRowsTogether = 8;
// Channels whose sums are kept on the stack; wider rows are walked once for each tile.
inline constexpr size_t kChannelTile = 1024;
// Rows after which fp32 sums are added into doubles. Not more: 16-bit data lie on a grid, and
// against it the roundings of a long chain of additions all go one way.
inline constexpr std::int64_t kRowsPerSum = 64;

// What a backward pass does about dx besides its sums.
enum class Dx { none, store, stream };

// Elements [at, at + n) of a block's channels; all = the block is whole.
template <Layout L, bool Full, class T>
HWY_INLINE void load_channels(const T* p, size_t n, VF& a, VF& b) {
  if constexpr (Full) {
    load_block<L>(p, a, b);
  } else {
    load_block_n<L>(p, n, a, b);
  }
}

// And back, of x's layout; Stream: past the cache.
template <class X, bool Full, bool Stream, class T>
HWY_INLINE void store_channels(VF a, VF b, T* p, size_t n) {
  constexpr Layout L = kLayout<X>;
  if constexpr (Full && Stream && can_stream<X, T>()) {
    stream_block<L>(a, b, p);
  } else if constexpr (Full) {
    store_block<L>(a, b, p);
  } else {
    store_block_n<L>(a, b, p, n);
  }
}

// Calls step(at, n, full) for each block of channels.
template <class Step>
HWY_INLINE void for_each_block(size_t channels, const Step& step) {
  const size_t block = block_size();
  size_t at = 0;
  for (; at + block <= channels; at += block) step(at, block, std::true_type());
  if (at < channels) step(at, channels - at, std::false_type());
}

struct ChannelRange {
  size_t first, last;
};

// Channels of a tile of a block.
HWY_INLINE ChannelRange channels_of(const ChannelShape& shape, std::int64_t unit) {
  const std::int64_t first = unit % shape.tiles * shape.tile;
  return {static_cast<size_t>(first),
          static_cast<size_t>(HWY_MIN(first + shape.tile, shape.channels))};
}

// Rows of one operand's set.
template <class X>
struct ColumnRows {
  const X* base;
  const ChannelShape& shape;
  ChannelStrides strides;
  std::int64_t set;

  const X* operator()(std::int64_t r) const { return base + strides.row(shape, set, r); }
  // Whether sums over rows from r on fetch the next ones meanwhile: eight runs, some of them in one
  // page, are not what hardware sees coming.
  bool fetches(std::int64_t r) const {
    constexpr std::int64_t kPage = 4096;
    return shape.channels * static_cast<std::int64_t>(sizeof(X)) < kPage && ahead(r) != 0;
  }
  // Bytes from rows r .. r+kRowsTogether-1 to the next; 0 behind the last ones.
  std::intptr_t ahead(std::int64_t r) const {
    if (r + kRowsTogether >= shape.rows_per_set()) return 0;
    const std::int64_t elements =
        strides.row(shape, set, r + kRowsTogether) - strides.row(shape, set, r);
    return static_cast<std::intptr_t>(elements) * static_cast<std::intptr_t>(sizeof(X));
  }
  template <int Rows>
  void gather(std::int64_t r, size_t channel, const X** out) const {
    for (int i = 0; i < Rows; ++i) out[i] = (*this)(r + i) + channel;
  }
};

// Calls add(how many, whether it fetches, r), the first two constants, for rows from .. to-1.
template <class Add>
HWY_INLINE void for_rows(std::int64_t from, std::int64_t to, bool fetches, const Add& add) {
  const std::integral_constant<int, kRowsTogether> together;
  std::int64_t r = from;
  for (; r + kRowsTogether <= to; r += kRowsTogether) {
    if (fetches) {
      add(together, std::true_type(), r);
    } else {
      add(together, std::false_type(), r);
    }
  }
  for (; r < to; ++r) add(std::integral_constant<int, 1>(), std::false_type(), r);
}

// Whether all rows of an output begin on a cache line.
template <class T>
bool aligned_columns(const void* data, const ChannelShape& shape, const ChannelStrides& strides) {
  const auto lines = [](std::int64_t count, std::int64_t stride) {
    return count == 1 || stride * static_cast<std::int64_t>(sizeof(T)) % 64 == 0;
  };
  return aligned_for_stream(data) && lines(shape.images, strides.n) &&
         lines(shape.positions, strides.s);
}

}  // namespace omninorm::internal::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
