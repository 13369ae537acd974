#include <algorithm>
#include <random>

#include "src/core/element.h"
#include "tests/core/cases.h"

namespace omninorm::cases {
namespace {

constexpr std::byte kUntouched{0xff};
constexpr std::size_t kGuard = 256;  // bytes on either side

using Dims = std::array<std::int64_t, kMaxRank>;

// The order of dimensions in memory, outermost first, as strides.
Dims strides_of(const std::vector<std::int64_t>& sizes, Layout layout, int normalized_dims) {
  Dims strides{};
  const std::size_t rank = sizes.size();
  const std::size_t rows = rank - std::min(rank, static_cast<std::size_t>(normalized_dims));
  std::int64_t stride = 1;
  if (layout == Layout::channels_last || layout == Layout::channels_last_padded) {
    const bool padded = layout == Layout::channels_last_padded;
    strides[1] = 1;
    stride = std::max<std::int64_t>(sizes[1], 1) + (padded ? 5 : 0);
    for (std::size_t i = rank; i-- > 0;) {
      if (i == 1) continue;
      if (padded && i == 0) stride += 3;
      strides[i] = stride;
      stride *= std::max<std::int64_t>(sizes[i], 1);
    }
    return strides;
  }
  if (layout == Layout::columns) {
    for (std::size_t i = 0; i < rank; ++i) {
      strides[i] = stride;
      stride *= std::max<std::int64_t>(sizes[i], 1);
    }
    return strides;
  }
  for (std::size_t i = rank; i-- > 0;) {
    if (layout == Layout::padded && i + 1 == rows) stride += 5;
    if (layout == Layout::packed && rows > 0 && i + 1 == std::max<std::size_t>(rows - 1, 1)) {
      stride *= 3;
    }
    strides[i] = layout == Layout::expanded && i < rows ? 0 : stride;
    stride *= std::max<std::int64_t>(sizes[i], 1);
  }
  if (layout == Layout::reversed && rank > 0) strides[0] = -strides[0];
  return strides;
}

// Calls visit(row-major index, offset in elements) for each element.
template <class Visit>
void for_each_element(const ConstTensor& tensor, const Visit& visit) {
  const std::int64_t count = tensor.elements();
  Dims index{};
  std::int64_t offset = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    visit(static_cast<std::size_t>(i), offset);
    for (auto dim = static_cast<std::size_t>(tensor.rank); dim-- > 0;) {
      offset += tensor.strides[dim];
      if (++index[dim] < tensor.sizes[dim]) break;
      offset -= tensor.strides[dim] * tensor.sizes[dim];
      index[dim] = 0;
    }
  }
}

std::vector<double> normal(std::int64_t count, std::uint64_t seed, double mean, double deviation) {
  std::mt19937_64 bits(seed);
  std::normal_distribution<double> distribution(mean, deviation);
  std::vector<double> values(static_cast<std::size_t>(count));
  std::ranges::generate(values, [&] { return distribution(bits); });
  return values;
}

std::vector<double> input_values(const Case& c, std::uint64_t seed) {
  const std::int64_t count = c.elements();
  const bool half = c.dtype == DType::f16;
  switch (c.values) {
    case Values::normal:
      return normal(count, seed, 0.1, 1.0);
    case Values::offset:
      return normal(count, seed, 1.6, 1.0);
    case Values::shifted:
      return normal(count, seed, 2000.0, 1.0);
    case Values::large:
      return normal(count, seed, 0.0, half ? 6e3 : 1e30);
    case Values::small:
      return normal(count, seed, 0.0, half ? 6e-6 : 1e-30);
  }
  return {};
}

}  // namespace

Buffer::Buffer(DType dtype, std::vector<std::int64_t> sizes, Layout layout,
               std::int64_t misalignment, int normalized_dims) {
  const Dims strides = strides_of(sizes, layout, normalized_dims);
  tensor_ = Tensor(nullptr, dtype, sizes, std::span(strides.data(), sizes.size()));
  std::int64_t low = 0, high = 0;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    const std::int64_t reach = strides[i] * (std::max<std::int64_t>(sizes[i], 1) - 1);
    (reach < 0 ? low : high) += reach;
  }
  const std::size_t element = size_of(dtype);
  const auto bytes = static_cast<std::size_t>(high - low + 1) * element;
  const auto skip = static_cast<std::size_t>(misalignment) * element;
  memory_.assign(kGuard + 64 + skip + bytes + kGuard, kUntouched);
  owned_.assign(memory_.size(), false);
  void* start = memory_.data() + kGuard;
  std::size_t space = memory_.size() - kGuard;
  std::align(64, bytes + skip, start, space);
  std::byte* first =
      static_cast<std::byte*>(start) + skip - low * static_cast<std::int64_t>(element);
  tensor_.data = first;
  for_each_element(tensor_, [&](std::size_t, std::int64_t offset) {
    const auto at = static_cast<std::size_t>(first + offset * static_cast<std::int64_t>(element) -
                                             memory_.data());
    std::fill_n(owned_.begin() + static_cast<std::ptrdiff_t>(at), element, true);
  });
}

void Buffer::fill(const std::vector<double>& values) {
  for_each_element(tensor_, [&](std::size_t i, std::int64_t offset) {
    internal::store(tensor_.data, tensor_.dtype, offset, values.at(i));
  });
}

std::vector<double> Buffer::values() const {
  std::vector<double> result(static_cast<std::size_t>(tensor_.elements()));
  for_each_element(tensor_, [&](std::size_t i, std::int64_t offset) {
    result[i] = internal::load(tensor_.data, tensor_.dtype, offset);
  });
  return result;
}

std::string Buffer::damage() const {
  for (std::size_t i = 0; i < memory_.size(); ++i) {
    if (owned_[i] || memory_[i] == kUntouched) continue;
    const auto from_first = memory_.data() + i - static_cast<const std::byte*>(tensor_.data);
    return "a byte that belongs to no element was written, " + std::to_string(from_first) +
           " bytes from the first element";
  }
  return {};
}

Tensors::Tensors(const Case& c) {
  const auto seed = static_cast<std::uint64_t>(c.rows() * 1000003 + c.width());
  const bool writable = c.layout != Layout::expanded;
  const Layout output = writable ? c.layout : Layout::contiguous;
  const std::vector<std::int64_t> shape = c.affine_shape();
  const DType statistics = c.dtype == DType::f64 ? DType::f64 : DType::f32;
  const int pooled_dims = c.channels() ? static_cast<int>(c.sizes.size()) - 1 : c.normalized_dims;
  const auto like_x = [&](DType dtype, Layout layout) {
    return Buffer(dtype, c.sizes, layout, c.misalignment, pooled_dims);
  };
  const auto affine = [&](DType dtype, double mean, double deviation, std::uint64_t more) {
    Buffer result(dtype, shape, Layout::contiguous, c.misalignment);
    result.fill(normal(result.tensor().elements(), seed + more, mean, deviation));
    return result;
  };
  evaluation = c.running == Running::evaluation;
  x = like_x(c.dtype, c.layout);
  x.fill(input_values(c, seed));
  dy = like_x(c.y_dtype, c.layout);
  dy.fill(normal(c.elements(), seed + 1, 0.1, 1.0));
  y = like_x(c.y_dtype, output);
  dx = like_x(c.dtype, output);
  if (c.adds()) {
    residual = like_x(c.dtype, c.layout);
    residual.fill(input_values(c, seed + 4));
    sum = like_x(c.dtype, output);
    if (c.dsum) dsum = like_x(c.dtype, c.layout);
    if (c.dsum) dsum.fill(normal(c.elements(), seed + 5, 0.1, 1.0));
  }
  if (c.weight) {
    weight = affine(c.weight_dtype, 1.0 - c.weight_offset, 0.5, 2);
    dweight = Buffer(c.weight_dtype, shape, Layout::contiguous, c.misalignment);
  }
  if (c.bias) {
    bias = affine(c.weight_dtype, 0.0, 0.5, 3);
    dbias = Buffer(c.weight_dtype, shape, Layout::contiguous, c.misalignment);
  }
  if (c.running != Running::none) {
    running_mean = affine(statistics, 0.2, 0.3, 6);
    running_var = affine(statistics, 1.5, 0.1, 7);
    running_mean_before = running_mean.values();
    running_var_before = running_var.values();
  }
  if (!c.statistics) return;
  rstd = Buffer(statistics, c.statistics_shape(), Layout::contiguous, c.misalignment);
  if (c.centred()) {
    mean = Buffer(statistics, c.statistics_shape(), Layout::contiguous, c.misalignment);
  }
}

ForwardCall Tensors::forward_args() {
  ForwardCall call(NormForwardArgs{.x = x.tensor(),
                                   .weight = weight.tensor(),
                                   .bias = bias.tensor(),
                                   .y = y.tensor(),
                                   .mean = mean.tensor(),
                                   .rstd = rstd.tensor()});
  call.residual = residual.tensor();
  call.sum = sum.tensor();
  call.running = {running_mean.tensor(), running_var.tensor(), &num_batches_tracked};
  return call;
}

BackwardCall Tensors::backward_args() {
  BackwardCall call(NormBackwardArgs{.x = sum.tensor().given() ? sum.tensor() : x.tensor(),
                                     .weight = weight.tensor(),
                                     .bias = bias.tensor(),
                                     .mean = evaluation ? Tensor() : mean.tensor(),
                                     .rstd = evaluation ? Tensor() : rstd.tensor(),
                                     .dy = dy.tensor(),
                                     .dx = dx.tensor(),
                                     .dweight = dweight.tensor(),
                                     .dbias = dbias.tensor()});
  call.dsum = dsum.tensor();
  call.running = {running_mean.tensor(), running_var.tensor(), nullptr};
  return call;
}

std::string Tensors::damage() const {
  const Buffer* all[] = {&x,  &residual,     &weight,      &bias, &sum,  &y,       &mean, &rstd,
                         &dy, &running_mean, &running_var, &dx,   &dsum, &dweight, &dbias};
  const char* names[] = {"x",           "residual", "weight", "bias",    "sum",
                         "y",           "mean",     "rstd",   "dy",      "running_mean",
                         "running_var", "dx",       "dsum",   "dweight", "dbias"};
  for (std::size_t i = 0; i < std::size(all); ++i) {
    if (const std::string damage = all[i]->damage(); !damage.empty()) {
      return std::string(names[i]) + ": " + damage;
    }
  }
  return {};
}

}  // namespace omninorm::cases
