// No wrong answer is timed: a side's results against the formulas of norm.h in double precision.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "bench/problem.h"

namespace omninorm::bench {
namespace {

constexpr std::int64_t kSamples = 16;  // rows and columns looked at, spread evenly, ends included

double element(const void* data, DType dtype, std::int64_t index) {
  const auto* from =
      static_cast<const std::byte*>(data) + static_cast<std::size_t>(index) * size_of(dtype);
  if (dtype == DType::f32) {
    float value;
    std::memcpy(&value, from, sizeof value);
    return value;
  }
  std::uint16_t bits;
  std::memcpy(&bits, from, sizeof bits);
  return dtype == DType::bf16 ? to_float(bfloat16{bits}) : to_float(float16{bits});
}

class Formula {
 public:
  explicit Formula(const Problem& problem)
      : problem_(problem), width_(problem.cell.shape.width), dtype_(problem.cell.dtype) {}

  struct Row {
    double mean = 0, rstd = 0;
    double mean_g = 0, mean_gx = 0;  // of dy * weight, and of that times the normalised x
  };

  // Mean and rstd only.
  Row statistics(std::int64_t r) const {
    Row row;
    double sum = 0, squares = 0;
    if (problem_.op.centered) {
      for (std::int64_t c = 0; c < width_; ++c) sum += x(r, c);
    }
    row.mean = sum / static_cast<double>(width_);
    for (std::int64_t c = 0; c < width_; ++c) squares += std::pow(x(r, c) - row.mean, 2);
    row.rstd = 1 / std::sqrt(squares / static_cast<double>(width_) + problem_.op.eps);
    return row;
  }

  Row row(std::int64_t r) const {
    Row row = statistics(r);
    if (problem_.cell.direction == Direction::backward) {
      for (std::int64_t c = 0; c < width_; ++c) {
        const double g = dy(r, c) * weight(c);
        row.mean_g += problem_.op.centered ? g / static_cast<double>(width_) : 0;
        row.mean_gx += g * normalized(row, r, c) / static_cast<double>(width_);
      }
    }
    return row;
  }

  double normalized(const Row& row, std::int64_t r, std::int64_t c) const {
    return (x(r, c) - row.mean) * row.rstd;
  }
  double y(const Row& row, std::int64_t r, std::int64_t c) const {
    const double bias = problem_.op.has_bias ? element(problem_.bias.data(), dtype_, c) : 0;
    return normalized(row, r, c) * weight(c) + bias;
  }
  double dx(const Row& row, std::int64_t r, std::int64_t c) const {
    return row.rstd * (dy(r, c) * weight(c) - row.mean_g - normalized(row, r, c) * row.mean_gx);
  }
  double dy(std::int64_t r, std::int64_t c) const {
    return element(problem_.dy.data(), dtype_, r * width_ + c);
  }

 private:
  double x(std::int64_t r, std::int64_t c) const {
    return element(problem_.x.data(), dtype_, r * width_ + c);
  }
  double weight(std::int64_t c) const { return element(problem_.weight.data(), dtype_, c); }

  const Problem& problem_;
  std::int64_t width_;
  DType dtype_;
};

double error(double got, double want, double scale) {
  const double value = std::abs(got - want) / (std::abs(want) + scale);
  return std::isfinite(value) ? value : std::numeric_limits<double>::infinity();
}

std::vector<std::int64_t> sample(std::int64_t size) {
  std::vector<std::int64_t> result;
  const std::int64_t count = std::min(size, kSamples);
  for (std::int64_t i = 0; i < count; ++i) {
    result.push_back(count == 1 ? 0 : i * (size - 1) / (count - 1));
  }
  return result;
}

}  // namespace

Truth::Truth(const Problem& problem) : cell_(problem.cell) {
  const Formula formula(problem);
  const bool forward = cell_.direction == Direction::forward;
  rows_ = sample(cell_.shape.rows);
  for (const std::int64_t r : rows_) {
    const auto row = formula.row(r);
    for (std::int64_t c = 0; c < cell_.shape.width; ++c) {
      matrix_.push_back(forward ? formula.y(row, r, c) : formula.dx(row, r, c));
    }
  }
  if (forward) return;
  columns_ = sample(cell_.shape.width);
  dweight_.resize(columns_.size());
  dbias_.resize(columns_.size());
  for (std::int64_t r = 0; r < cell_.shape.rows; ++r) {
    const auto row = formula.statistics(r);
    for (std::size_t i = 0; i < columns_.size(); ++i) {
      const double dy = formula.dy(r, columns_[i]);
      dweight_[i] += dy * formula.normalized(row, r, columns_[i]);
      dbias_[i] += dy;
    }
  }
}

double Truth::largest_error(const Outputs& outputs) const {
  double largest = 0;
  std::size_t next = 0;
  for (const std::int64_t r : rows_) {
    for (std::int64_t c = 0; c < cell_.shape.width; ++c) {
      const double got =
          element(outputs.matrix.data, outputs.matrix.dtype, r * cell_.shape.width + c);
      largest = std::max(largest, error(got, matrix_[next++], 1));
    }
  }
  const double scale = std::sqrt(static_cast<double>(cell_.shape.rows));
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    const auto compare = [&](const ConstTensor& got, double want) {
      if (!got.given()) return;
      largest = std::max(largest, error(element(got.data, got.dtype, columns_[i]), want, scale));
    };
    compare(outputs.dweight, dweight_[i]);
    compare(outputs.dbias, dbias_[i]);
  }
  return largest;
}

double sanity_bound(DType dtype) { return dtype == DType::f32 ? 1e-3 : 0.02; }

}  // namespace omninorm::bench
