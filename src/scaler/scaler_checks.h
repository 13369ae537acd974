// The checks that all scalers share. Each throws Error.
#pragma once

#include <string>

#include "src/scaler/column_kernels.h"

namespace omninorm::internal {

// The prefix of messages, "z_score_scaler".
std::string op_name(const Scaler& scaler);

// x as [rows, columns] of f32 or f64 on the CPU.
Matrix check_matrix(const std::string& op, const char* name, const ConstTensor& x);

std::int64_t columns_of(std::span<const Matrix> parts);

// One finite weight >= 0 for each row, as contiguous doubles; empty where not given.
std::vector<double> check_weights(const std::string& op, const ConstTensor& weight,
                                  std::int64_t rows);

// Between these a sum of weights times squared deviations loses nothing to underflow, and no sum of
// weights overflows.
inline constexpr double kLeastCount = 0x1p-500;
inline constexpr double kMostCount = 0x1p500;
inline constexpr const char* kCounts = "0, or from 2^-500 to 2^500";
inline bool is_count(double sum) { return sum == 0 || (sum >= kLeastCount && sum <= kMostCount); }

// Throws for a column's sum of weights that is too small or large to compute with.
void check_count(const std::string& op, DoubleDouble count, std::int64_t j);

// Throws ValueError where there is a bad value.
void check_values(const std::string& op, const BadValue& bad);

}  // namespace omninorm::internal
