// The shapes that the benchmark times. It includes nothing of the benchmark, so that a table of
// test cases can take them too.
#pragma once

#include <cstdint>

namespace omninorm::bench {

// One short row, in the private cache, in the shared one, past it.
inline constexpr std::int64_t kRows[] = {1, 64, 512, 4096, 16384};
inline constexpr std::int64_t kWidths[] = {64, 768, 1024, 4096, 16384};

// ResNet-50's first and last stage.
inline constexpr std::int64_t kImages[] = {8, 32};
inline constexpr std::int64_t kImageShapes[][3] = {{64, 56, 56}, {512, 7, 7}};  // C, H, W

// batch_norm on features.
inline constexpr std::int64_t kFeatures[] = {100000, 32};

// Channels of a group, where the op has groups.
inline constexpr std::int64_t kGroupChannels[] = {8, 64};

// --quick.
inline constexpr std::int64_t kQuickRows[] = {4096, 1024};
inline constexpr std::int64_t kQuickImages[] = {8, 64, 56, 56};
inline constexpr std::int64_t kQuickGroupChannels = 8;

}  // namespace omninorm::bench
