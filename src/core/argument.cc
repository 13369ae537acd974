#include "src/core/argument.h"

#include <algorithm>
#include <cstdlib>
#include <string>

#include "src/core/check.h"

namespace omninorm::internal {
namespace {

// The furthest element, in bytes, must be a 64-bit offset; so must the number of elements.
bool fits(const Argument& argument) {
  auto bytes = static_cast<std::int64_t>(size_of(argument.dtype));
  std::int64_t reach = bytes;
  constexpr std::int64_t kMostStride = std::int64_t{1} << 59;
  for (std::size_t i = 0; i < argument.shape().size(); ++i) {
    const std::int64_t size = argument.sizes[i], stride = argument.strides[i];
    std::int64_t step = 0;
    if (!multiply(bytes, size, bytes) || stride <= -kMostStride || stride >= kMostStride ||
        !multiply(std::abs(stride) * 8, size - 1, step) ||
        __builtin_add_overflow(reach, step, &reach)) {
      return false;
    }
  }
  return true;
}

// Whatever sizes beside a 0 are multiplied does not overflow.
bool countable(std::span<const std::int64_t> sizes) {
  std::int64_t count = 1;
  return std::ranges::all_of(sizes, [&](std::int64_t size) {
    return multiply(count, std::max<std::int64_t>(size, 1), count);
  });
}

bool contiguous(const Argument& argument) {
  std::int64_t stride = 1;
  for (std::size_t i = argument.shape().size(); i-- > 0;) {
    if (argument.sizes[i] == 1) continue;
    if (argument.strides[i] != stride || !multiply(stride, argument.sizes[i], stride)) return false;
  }
  return true;
}

}  // namespace

void describe_any(const char* op, Argument& argument, Device device) {
  const std::string name = argument.name;
  if (device != Device::cpu) {
    fail(op, "a CPU tensor", "cuda",
         "copy " + name + " to the CPU: this build has no CUDA kernels");
  }
  if (size_of(argument.dtype) == 0) {
    fail(op, name + " of dtype f32, bf16, f16 or f64", "an unknown dtype");
  }
  if (argument.rank > kMaxRank) {
    fail(op, name + " with at most " + std::to_string(kMaxRank) + " dimensions",
         std::to_string(argument.rank));
  }
  const auto sizes = argument.shape();
  if (std::ranges::any_of(sizes, [](std::int64_t size) { return size < 0; })) {
    fail(op, name + " with sizes of 0 or more", shape_text(sizes));
  }
  argument.contiguous = contiguous(argument);
  const bool empty = std::ranges::find(sizes, 0) != sizes.end();
  if (!(empty ? countable(sizes) : fits(argument))) {
    fail(op, name + " that fits in 2^63 bytes", "shape " + shape_text(sizes));
  }
  if (empty) return;
  argument.elements = 1;
  for (const std::int64_t size : sizes) argument.elements *= size;
  argument.range = memory_range(argument.tensor());
}

void check_given(const char* op, const char* name, bool given) {
  if (!given) fail(op, std::string(name) + " to be given", "none");
}

void check_memory(const char* op, const Argument& argument) {
  if (argument.elements == 0) return;
  if (argument.data == nullptr) {
    fail(op, std::string("memory for the elements of ") + argument.name, "a null pointer");
  }
  const std::size_t element = size_of(argument.dtype);
  if ((reinterpret_cast<std::uintptr_t>(argument.data) & (element - 1)) != 0) {
    fail(op,
         std::string(argument.name) + " aligned to its " + std::to_string(element) +
             "-byte elements",
         "a pointer that is not");
  }
}

bool same_shape(std::span<const std::int64_t> a, std::span<const std::int64_t> b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a[i] != b[i]) return false;
  }
  return true;
}

}  // namespace omninorm::internal
