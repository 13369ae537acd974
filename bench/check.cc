// No wrong answer is timed: a side's results against the formulas of norm.h in double precision.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "bench/problem.h"

namespace omninorm::bench {
namespace {

constexpr std::int64_t kSamples = 16;  // sets and channels looked at, spread evenly, ends included
constexpr std::int64_t kSetSamples = 16384;  // elements of one set, likewise

double element(const void* data, DType dtype, std::int64_t index) {
  const auto* from =
      static_cast<const std::byte*>(data) + index * static_cast<std::ptrdiff_t>(size_of(dtype));
  if (dtype == DType::f32) {
    float value;
    std::memcpy(&value, from, sizeof value);
    return value;
  }
  std::uint16_t bits;
  std::memcpy(&bits, from, sizeof bits);
  return dtype == DType::bf16 ? to_float(bfloat16{bits}) : to_float(float16{bits});
}

double rounded(double value, DType dtype) {
  const auto narrow = static_cast<float>(value);
  if (dtype == DType::bf16) return to_float(to_bfloat16(narrow));
  return dtype == DType::f16 ? to_float(to_float16(narrow)) : narrow;
}

struct Place {
  std::int64_t n, channel, s;
};

// The elements of set number `index`, which share one mean and rstd.
struct Set {
  Set(const View& view, std::int64_t index) : view(view) {
    const std::int64_t positions = view.pool_s ? 1 : view.s;
    first_s = view.pool_s ? 0 : index % positions;
    g = index / positions % view.g;
    first_n = index / positions / view.g;
    pooled_s = view.pool_s ? view.s : 1;
  }
  std::int64_t size() const { return view.set_elements(); }
  Place place(std::int64_t i) const {
    return {first_n + i / (view.c * pooled_s), g * view.c + i / pooled_s % view.c,
            first_s + i % pooled_s};
  }

  const View& view;
  std::int64_t first_n, g, first_s, pooled_s;
};

class Formula {
 public:
  explicit Formula(const Problem& problem)
      : problem_(problem), op_(problem.op), view_(problem.view), dtype_(problem.cell.dtype) {}

  struct Row {
    double mean = 0, rstd = 0;
    double mean_g = 0, mean_gx = 0;  // of dy * weight, and of that times the normalised x
  };

  // Mean and rstd only.
  Row statistics(const Set& set) const {
    Row row;
    if (op_.fixed_statistics) {
      row.mean = element(problem_.running_mean.data(), DType::f32, set.g);
      const double variance = element(problem_.running_var.data(), DType::f32, set.g);
      row.rstd = 1 / std::sqrt(variance + op_.eps);
      return row;
    }
    const auto count = static_cast<double>(set.size());
    if (op_.centered) {
      for (std::int64_t i = 0; i < set.size(); ++i) row.mean += x(set.place(i));
      row.mean /= count;
    }
    double squares = 0;
    for (std::int64_t i = 0; i < set.size(); ++i) {
      const double deviation = x(set.place(i)) - row.mean;
      squares += deviation * deviation;
    }
    row.rstd = 1 / std::sqrt(squares / count + op_.eps);
    return row;
  }

  Row row(const Set& set) const {
    Row row = statistics(set);
    if (problem_.forward() || op_.fixed_statistics) return row;
    const auto count = static_cast<double>(set.size());
    for (std::int64_t i = 0; i < set.size(); ++i) {
      const Place at = set.place(i);
      const double g = dy(at) * weight(at.channel);
      row.mean_g += op_.centered ? g / count : 0;
      row.mean_gx += g * normalized(row, at) / count;
    }
    return row;
  }

  double normalized(const Row& row, const Place& at) const { return (x(at) - row.mean) * row.rstd; }
  double y(const Row& row, const Place& at) const {
    const double bias = op_.has_bias ? element(problem_.bias.data(), dtype_, at.channel) : 0;
    return normalized(row, at) * weight(at.channel) + bias;
  }
  double dx(const Row& row, const Place& at) const {
    const double dsum = problem_.dsum.data() == nullptr ? 0 : read(problem_.dsum, at);
    return dsum + row.rstd * (dy(at) * weight(at.channel) - row.mean_g -
                              normalized(row, at) * row.mean_gx);
  }
  double dy(const Place& at) const { return read(problem_.dy, at); }

  // What is normalised: forward rounds the sum with the residual.
  double x(const Place& at) const {
    const double value = read(problem_.x, at);
    if (problem_.residual.data() == nullptr) return value;
    return rounded(value + read(problem_.residual, at), dtype_);
  }

 private:
  double read(const Buffer& buffer, const Place& at) const {
    return element(
        buffer.data(), dtype_,
        at.n * view_.stride_n + at.channel * view_.stride_channel + at.s * view_.stride_s);
  }
  double weight(std::int64_t channel) const {
    return element(problem_.weight.data(), dtype_, channel);
  }

  const Problem& problem_;
  const Op& op_;
  const View& view_;
  DType dtype_;
};

constexpr double kInfinite = std::numeric_limits<double>::infinity();

double error(double got, double want, double scale) {
  const double value = std::abs(got - want) / (std::abs(want) + scale);
  return std::isfinite(value) ? value : kInfinite;
}

std::vector<std::int64_t> sample(std::int64_t size, std::int64_t most) {
  std::vector<std::int64_t> result;
  const std::int64_t count = std::min(size, most);
  for (std::int64_t i = 0; i < count; ++i) {
    result.push_back(count == 1 ? 0 : i * (size - 1) / (count - 1));
  }
  return result;
}

// Element of a side's tensor, which lies as its strides say.
double value_at(const ConstTensor& tensor, std::int64_t n, std::int64_t channel, std::int64_t s) {
  std::int64_t offset = n * tensor.strides[0] + channel * tensor.strides[1];
  for (auto i = static_cast<std::size_t>(tensor.rank - 1); i >= 2; --i) {
    offset += s % tensor.sizes[i] * tensor.strides[i];
    s /= tensor.sizes[i];
  }
  return element(tensor.data, tensor.dtype, offset);
}

}  // namespace

Truth::Truth(const Problem& problem)
    : cell_(problem.cell),
      has_sum_(problem.residual.data() != nullptr),
      has_dbias_(problem.op.has_bias) {
  look_at_sets(problem);
  if (!problem.forward()) look_at_channels(problem);
}

void Truth::look_at_sets(const Problem& problem) {
  const Formula formula(problem);
  for (const std::int64_t index : sample(problem.view.sets(), kSamples)) {
    const Set set(problem.view, index);
    const auto row = formula.row(set);
    for (const std::int64_t i : sample(set.size(), kSetSamples)) {
      const Place at = set.place(i);
      const double value = problem.forward() ? formula.y(row, at) : formula.dx(row, at);
      elements_.push_back({at.n, at.channel, at.s, value, has_sum_ ? formula.x(at) : 0});
    }
  }
}

void Truth::look_at_channels(const Problem& problem) {
  const Formula formula(problem);
  const View& view = problem.view;
  terms_ = static_cast<double>(view.n * view.s);
  for (const std::int64_t index : sample(view.channels(), kSamples)) {
    channels_.push_back({index, 0, 0});
  }
  const std::int64_t positions = view.pool_s ? 1 : view.s;
  std::vector<Channel*> inside;
  for (std::int64_t g = 0; g < view.g; ++g) {
    inside.clear();
    for (Channel& channel : channels_) {
      if (channel.index / view.c == g) inside.push_back(&channel);
    }
    if (inside.empty()) continue;
    for (std::int64_t other = 0; other < view.sets() / view.g; ++other) {
      const std::int64_t n = other / positions;
      const Set set(view, (n * view.g + g) * positions + other % positions);
      const auto row = formula.statistics(set);
      // One channel of the set: every c-th run of it.
      for (Channel* channel : inside) {
        for (std::int64_t i = 0; i < set.size() / view.c; ++i) {
          const std::int64_t run = i / set.pooled_s * view.c + channel->index % view.c;
          const Place at = set.place(run * set.pooled_s + i % set.pooled_s);
          const double dy = formula.dy(at);
          channel->dweight += dy * formula.normalized(row, at);
          channel->dbias += dy;
        }
      }
    }
  }
}

double Truth::largest_error(const Outputs& outputs) const {
  double largest = 0;
  const auto compare_matrix = [&](const ConstTensor& got, double Element::*want) {
    if (!got.given()) {
      largest = kInfinite;
      return;
    }
    for (const Element& each : elements_) {
      const double value = value_at(got, each.n, each.channel, each.s);
      largest = std::max(largest, error(value, each.*want, 1));
    }
  };
  const double scale = std::sqrt(terms_);
  const auto compare_channels = [&](const ConstTensor& got, double Channel::*want) {
    if (!got.given()) {
      largest = kInfinite;
      return;
    }
    for (const Channel& each : channels_) {
      const double value = element(got.data, got.dtype, each.index);
      largest = std::max(largest, error(value, each.*want, scale));
    }
  };
  compare_matrix(outputs.matrix, &Element::value);
  if (has_sum_) compare_matrix(outputs.sum, &Element::sum);
  if (!channels_.empty()) compare_channels(outputs.dweight, &Channel::dweight);
  if (!channels_.empty() && has_dbias_) compare_channels(outputs.dbias, &Channel::dbias);
  return largest;
}

double sanity_bound(DType dtype) { return dtype == DType::f32 ? 1e-3 : 0.02; }

}  // namespace omninorm::bench
