// The moments of ZScoreScaler against exact fractions: any chunks, any tree of merges, any layout.
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "tests/core/targets.h"
#include "tests/scaler/table.h"

namespace omninorm::scaler_tests {
namespace {

void expect_exact(const ZScoreScaler& scaler, const Table& table,
                  const std::vector<double>& weights = {}) {
  const std::vector<ExactMoments> want = exact_moments(table, weights);
  for (std::size_t j = 0; j < want.size(); ++j) {
    EXPECT_EQ(far_from_exact(scaler.moments()[j], want[j]), "") << "column " << j;
  }
}

bool is_exact(const ZScoreScaler& scaler, const Table& table,
              const std::vector<double>& weights = {}) {
  const std::vector<ExactMoments> want = exact_moments(table, weights);
  for (std::size_t j = 0; j < want.size(); ++j) {
    if (!far_from_exact(scaler.moments()[j], want[j]).empty()) return false;
  }
  return true;
}

// Tables of every kind of column: near 0, far from it, huge and tiny, with missing values.
Table any_table() {
  const std::int64_t rows = *rc::gen::inRange(1, 120), columns = *rc::gen::inRange(1, 40);
  Table table(rows, columns);
  std::mt19937 random(*rc::gen::arbitrary<unsigned>());
  const double missing = *rc::gen::element(0.0, 0.0, 0.1, 0.9);
  for (std::int64_t j = 0; j < columns; ++j) {
    const double mean = std::ldexp(1.0, *rc::gen::inRange(-60, 60));
    const double spread = std::ldexp(1.0, *rc::gen::inRange(-20, 60)) * mean;
    std::normal_distribution<double> normal(mean, spread);
    for (std::int64_t i = 0; i < rows; ++i) {
      table.at(i, j) = std::bernoulli_distribution(missing)(random) ? kNaN : normal(random);
    }
  }
  return table;
}

std::vector<double> any_weights(std::int64_t rows) {
  if (*rc::gen::arbitrary<bool>()) return {};
  std::vector<double> weights(static_cast<std::size_t>(rows));
  for (double& weight : weights) weight = *rc::gen::element(0.0, 1.0, 3.0, 0.25, 0.1, 7.5);
  return weights;
}

std::vector<double> part_of(const std::vector<double>& weights, std::int64_t first,
                            std::int64_t last) {
  if (weights.empty()) return {};
  return {weights.begin() + first, weights.begin() + last};
}

TEST(Moments, OneCallIsExact) {
  EXPECT_TRUE(rc::check([] {
    const Table table = any_table();
    const std::vector<double> weights = any_weights(table.rows);
    ZScoreScaler scaler;
    partial_fit(scaler, table, weights, DType::f64,
                *rc::gen::elementOf(std::vector(std::begin(kLayouts), std::end(kLayouts))));
    RC_ASSERT(is_exact(scaler, table, weights));
  }));
}

TEST(Moments, AnyChunksAndAnyTreeOfMergesAreExact) {
  EXPECT_TRUE(rc::check([] {
    const Table table = any_table();
    const std::vector<double> weights = any_weights(table.rows);
    std::vector<ZScoreScaler> parts(1);
    for (std::int64_t row = 0; row < table.rows;) {
      const std::int64_t last = std::min<std::int64_t>(table.rows, row + *rc::gen::inRange(1, 30));
      if (*rc::gen::arbitrary<bool>()) parts.emplace_back();
      partial_fit(parts.back(), table.part(row, last), part_of(weights, row, last));
      row = last;
    }
    const auto pick = [&] { return *rc::gen::inRange<std::size_t>(0, parts.size()); };
    while (parts.size() > 1) {
      std::swap(parts[pick()], parts.back());
      const ZScoreScaler part = parts.back();
      parts.pop_back();
      parts[pick()].merge(part);
    }
    RC_ASSERT(parts[0].rows() == table.rows);
    RC_ASSERT(is_exact(parts[0], table, weights));
  }));
}

TEST(Moments, MergeHasTheSameBitsInBothOrders) {
  EXPECT_TRUE(rc::check([] {
    const Table table = any_table();
    const std::int64_t split = *rc::gen::inRange<int>(0, static_cast<int>(table.rows) + 1);
    ZScoreScaler a, b;
    partial_fit(a, table.part(0, split));
    partial_fit(b, table.part(split, table.rows));
    ZScoreScaler ab = a, ba = b;
    ab.merge(b);
    ba.merge(a);
    RC_ASSERT(ab.same_state(ba));
    RC_ASSERT(ab.to_json() == ba.to_json());
  }));
}

TEST(Moments, WeightsAreFrequencies) {
  EXPECT_TRUE(rc::check([] {
    const Table table = any_table();
    std::vector<double> weights;
    Table repeated(0, table.columns);
    for (std::int64_t i = 0; i < table.rows; ++i) {
      const int times = *rc::gen::inRange(0, 4);
      weights.push_back(times);
      for (int k = 0; k < times; ++k) {
        for (std::int64_t j = 0; j < table.columns; ++j) repeated.values.push_back(table.at(i, j));
      }
      repeated.rows += times;
    }
    ZScoreScaler weighted, plain;
    partial_fit(weighted, table, weights);
    partial_fit(plain, repeated);
    const std::vector<ExactMoments> want = exact_moments(repeated);
    for (std::size_t j = 0; j < want.size(); ++j) {
      RC_ASSERT(far_from_exact(weighted.moments()[j], want[j]).empty());
      RC_ASSERT(far_from_exact(plain.moments()[j], want[j]).empty());
      RC_ASSERT(exact(weighted.moments()[j].count) == want[j].count);
    }
  }));
}

// What plain doubles get wrong by 2e-8: mean 1e9, standard deviation 1, one row a call.
TEST(Moments, ChunksOfOneAtMeanOneBillion) {
  Table table(20000, 1);
  std::mt19937 random(5);
  std::normal_distribution<double> normal(1e9, 1);
  for (double& value : table.values) value = normal(random);
  ZScoreScaler scaler;
  for (std::int64_t i = 0; i < table.rows; ++i) partial_fit(scaler, table.part(i, i + 1));
  const ExactMoments want = exact_moments(table)[0];
  const ColumnMoments& got = scaler.moments()[0];
  EXPECT_LT(relative_error(got.m2, want.m2(), want.m2()), 1e-21);
  EXPECT_LT(relative_error(got.mean, want.mean(), want.mean()), 1e-28);
  EXPECT_EQ(exact(got.count), want.count);
}

// Of blocks of plain sums the bound is that of 512 terms.
TEST(Moments, BlocksAtMeanOneBillion) {
  for (const Layout layout : kLayouts) {
    Table table(3000, 2);
    std::mt19937 random(5);
    std::normal_distribution<double> normal(1e9, 1);
    for (double& value : table.values) value = normal(random);
    ZScoreScaler scaler;
    partial_fit(scaler, table, {}, DType::f64, layout);
    expect_exact(scaler, table);
  }
}

// A billion rows and more, as what merges make of them.
TEST(Moments, ABillionRowsByDoubling) {
  Table table(1000, 1);
  std::mt19937 random(6);
  std::normal_distribution<double> normal(1e9, 1);
  for (double& value : table.values) value = normal(random);
  ZScoreScaler scaler;
  for (std::int64_t i = 0; i < table.rows; ++i) partial_fit(scaler, table.part(i, i + 1));
  ExactMoments want;
  want.add(exact_moments(table)[0], std::int64_t{1} << 21);
  for (int i = 0; i < 21; ++i) scaler.merge(scaler);
  EXPECT_EQ(scaler.rows(), 1000 << 21);
  EXPECT_EQ(far_from_exact(scaler.moments()[0], want), "");

  // Small parts, one after another, into the large one.
  Table small(7, 1, {1e9 + 3, 1e9 - 2, 1e9, 1e9 + 0.5, 1e9 + 11, 1e9, 1e9 - 1});
  ZScoreScaler part;
  partial_fit(part, small);
  for (int i = 0; i < 100000; ++i) scaler.merge(part);
  want.add(exact_moments(small)[0], 100000);
  EXPECT_EQ(exact(scaler.moments()[0].count), want.count);
  EXPECT_LT(relative_error(scaler.moments()[0].m2, want.m2(), want.m2()), 1e-18);
  EXPECT_LT(relative_error(scaler.moments()[0].mean, want.mean(), want.mean()), 1e-20);
}

// A pivot that is far from its block: rows that are sorted, and a first value like no other.
TEST(Moments, DriftAndOutliers) {
  Table table(6000, 3);
  for (std::int64_t i = 0; i < table.rows; ++i) {
    table.at(i, 0) = static_cast<double>(i);
    table.at(i, 1) = i == 0 ? 1e15 : static_cast<double>(i % 17);
    table.at(i, 2) = i < 3000 ? 0.5 : 1e7 + static_cast<double>(i % 3);
  }
  for (const Layout layout : kLayouts) {
    ZScoreScaler scaler;
    partial_fit(scaler, table, {}, DType::f64, layout);
    expect_exact(scaler, table);
  }
}

// What came before weighs next to nothing, and lies far from what weighs.
TEST(Moments, LightValuesFarAway) {
  std::mt19937 random(7);
  std::normal_distribution<double> normal;
  struct Case {
    Table table;
    std::vector<double> weights;
  };
  Case blocks{Table(2048, 2), {}}, recent{Table(4096, 2), {}}, sparse{Table(32768, 2), {}};
  Case one_block{Table(60, 2), {}};
  for (std::int64_t i = 0; i < 2048; ++i) {
    const bool light = i < 1024;
    for (std::int64_t j = 0; j < 2; ++j) {
      blocks.table.at(i, j) = light ? 1e8 + (i % 2 ? 1 : -1) : normal(random);
    }
    blocks.weights.push_back(light ? 1e-30 : 1);
  }
  for (std::int64_t i = 0; i < 4096; ++i) {
    for (std::int64_t j = 0; j < 2; ++j) {
      recent.table.at(i, j) = (i < 3584 ? 1e6 : 0) + normal(random);
    }
    recent.weights.push_back(std::pow(0.5, static_cast<double>(4095 - i) / 20));
  }
  for (std::int64_t i = 0; i < 32768; ++i) {
    for (std::int64_t j = 0; j < 2; ++j) {
      sparse.table.at(i, j) = i == 77 ? 1.2e9 : i < 16384 ? kNaN : 100 + normal(random);
    }
  }
  for (std::int64_t i = 0; i < 60; ++i) {
    for (std::int64_t j = 0; j < 2; ++j) one_block.table.at(i, j) = i ? normal(random) : 1e30;
    one_block.weights.push_back(i ? 0.1 * static_cast<double>(1 + i % 7) : 1e-60);
  }
  for (Case* each : {&blocks, &recent, &sparse, &one_block}) {
    for (const Layout layout : kLayouts) {
      SCOPED_TRACE(std::to_string(each->table.rows) + " rows, layout " +
                   std::to_string(static_cast<int>(layout)));
      ZScoreScaler scaler;
      partial_fit(scaler, each->table, each->weights, DType::f64, layout);
      expect_exact(scaler, each->table, each->weights);
    }
  }
}

TEST(Moments, ConstantsAreExactWhateverTheSplit) {
  const double constants[] = {0.1, -1e300, 5e-324, 0, 1e9 + 0.1, 3e38};
  for (const Layout layout : kLayouts) {
    for (const std::int64_t chunk : {1, 7, 40, 5000}) {
      Table table(5000, 6);
      for (std::int64_t i = 0; i < table.rows; ++i) {
        for (std::int64_t j = 0; j < 6; ++j) {
          table.at(i, j) = (i + j) % 9 == 0 ? kNaN : constants[j];
        }
      }
      std::vector<double> weights(5000);
      for (std::size_t i = 0; i < weights.size(); ++i)
        weights[i] = 0.1 * static_cast<double>(i % 4);
      for (const bool weighted : {false, true}) {
        ZScoreScaler scaler, other;
        for (std::int64_t i = 0; i < table.rows; i += chunk) {
          const std::int64_t last = std::min(i + chunk, table.rows);
          partial_fit(i % 2 ? scaler : other, table.part(i, last),
                      weighted ? part_of(weights, i, last) : std::vector<double>{}, DType::f64,
                      layout);
        }
        scaler.merge(other);
        for (std::int64_t j = 0; j < 6; ++j) {
          const ColumnMoments& m = scaler.moments()[static_cast<std::size_t>(j)];
          EXPECT_EQ(m.mean, (DoubleDouble{constants[j], 0}));
          EXPECT_EQ(m.m2, DoubleDouble{});
          EXPECT_TRUE(scaler.summary(j).constant);
          EXPECT_EQ(scaler.summary(j).scale, 1);
        }
      }
    }
  }
}

// scikit-learn's bound calls both of these constant.
TEST(Moments, SmallSpreadsAtHugeMeansAreNotConstant) {
  ZScoreScaler scaler;
  const double next = std::nextafter(1e15, 2e15);
  partial_fit(scaler, {4, 2, {1e15, 1e9, 1e15, 1e9, next, 1e9 + 1e-6, 1e15, 1e9}});
  EXPECT_FALSE(scaler.summary(0).constant);
  EXPECT_FALSE(scaler.summary(1).constant);
  // One row of a billion is different.
  ZScoreScaler constant;
  partial_fit(constant, {4, 2, {1e15, 1e9, 1e15, 1e9, 1e15, 1e9, 1e15, 1e9}});
  for (int i = 0; i < 30; ++i) constant.merge(constant);
  scaler.merge(constant);
  EXPECT_GT(scaler.rows(), std::int64_t{1} << 31);
  EXPECT_FALSE(scaler.summary(0).constant);
  EXPECT_FALSE(scaler.summary(1).constant);
  const double variance = 0.125 * 0.125 / 4 / (std::ldexp(1.0, 30) + 1);
  EXPECT_NEAR(scaler.variance(0) / variance, 1, 1e-6);
}

// Against two passes in long double, for tables too large for fractions.
void expect_near_truth(const ZScoreScaler& scaler, const Table& table,
                       const std::vector<double>& weights) {
  for (std::int64_t j = 0; j < table.columns; ++j) {
    long double count = 0, sum = 0, m2 = 0;
    for (int pass = 0; pass < 2; ++pass) {
      const long double mean = pass == 0 ? 0 : sum / count;
      for (std::int64_t i = 0; i < table.rows; ++i) {
        const long double value = table.at(i, j);
        const long double weight = weights.empty() ? 1 : weights[static_cast<std::size_t>(i)];
        if (std::isnan(value)) continue;
        if (pass == 0) count += weight, sum += weight * value;
        if (pass == 1) m2 += weight * (value - mean) * (value - mean);
      }
    }
    const ColumnMoments& m = scaler.moments()[static_cast<std::size_t>(j)];
    const auto within = [](double got, long double want, long double scale) {
      return std::abs(got - want) <= 1e-12L * scale;
    };
    ASSERT_TRUE(within(m.count.high, count, count)) << m.count.high << " column " << j;
    ASSERT_TRUE(within(m.mean.high, sum / count, 3)) << m.mean.high << " column " << j;
    ASSERT_TRUE(within(m.m2.high, m2, m2)) << m.m2.high << " column " << j;
  }
}

std::vector<double> fractions(std::int64_t rows) {
  std::vector<double> weights(static_cast<std::size_t>(rows));
  for (std::size_t i = 0; i < weights.size(); ++i) weights[i] = 0.3 * static_cast<double>(i % 5);
  return weights;
}

// Every way through the kernels: folded rows, rows as they lie, tiles, columns, gathered columns;
// whole blocks, growing ones, rests.
TEST(Moments, EveryShapeLayoutTypeAndTarget) {
  for (const std::int64_t columns : {1, 2, 3, 16, 17, 31, 32, 33, 100, 300}) {
    const Table whole = normal_table(columns > 50 ? 300 : columns > 3 ? 1200 : 2500, columns, 3, 2);
    Table missing = whole;
    for (std::size_t i = 0; i < missing.values.size(); i += 7) missing.values[i] = kNaN;
    for (const std::string& target : cpu_targets()) {
      const cases::TargetScope scope(target);
      for (const Layout layout : kLayouts) {
        for (int i = 0; i < 8; ++i) {
          const DType dtype = i % 2 ? DType::f32 : DType::f64;
          const Table& table = i / 2 % 2 ? missing : whole;
          const std::vector<double> weights =
              i / 4 % 2 ? fractions(table.rows) : std::vector<double>{};
          SCOPED_TRACE(target + ", " + std::to_string(columns) + " columns, layout " +
                       std::to_string(static_cast<int>(layout)) + ", way " + std::to_string(i));
          ZScoreScaler scaler;
          partial_fit(scaler, table, weights, dtype, layout);
          expect_near_truth(scaler, table, weights);
        }
      }
    }
  }
}

// Several tasks by rows and by tiles.
TEST(Moments, ManyTasks) {
  for (const auto& [rows, columns] : {std::pair{40000, 33}, {1200, 1000}, {600000, 1}}) {
    const Table table = normal_table(rows, columns, 3, 2);
    for (const Layout layout : {Layout::row_major, Layout::column_major}) {
      ZScoreScaler scaler;
      partial_fit(scaler, table, {}, DType::f32, layout);
      expect_near_truth(scaler, table, {});
    }
  }
}

// The same value at every row, and rows that overlap.
TEST(Moments, StrideZeroAndOverlappingRows) {
  const std::vector<double> memory = {1, 5, 2, 8, 4, 4, 9, 0, 3, 7};
  const std::int64_t sizes[] = {7, 4}, still[] = {0, 1}, sliding[] = {1, 1};
  ZScoreScaler scaler;
  scaler.fit(ConstTensor(memory.data(), DType::f64, sizes, still));
  for (std::int64_t j = 0; j < 4; ++j) {
    EXPECT_EQ(scaler.summary(j).center, memory[static_cast<std::size_t>(j)]);
    EXPECT_TRUE(scaler.summary(j).constant);
  }
  Table windows(7, 4);
  for (std::int64_t i = 0; i < 7; ++i) {
    for (std::int64_t j = 0; j < 4; ++j) windows.at(i, j) = memory[static_cast<std::size_t>(i + j)];
  }
  scaler.fit(ConstTensor(memory.data(), DType::f64, sizes, sliding));
  expect_exact(scaler, windows);
}

TEST(Moments, VarianceBiasedAndUnbiased) {
  const Table table(4, 1, {2, 4, 4, 10});  // mean 5, M2 = 9 + 1 + 1 + 25
  ZScoreScaler biased, unbiased({.variance = Variance::unbiased});
  partial_fit(biased, table);
  partial_fit(unbiased, table);
  EXPECT_DOUBLE_EQ(biased.variance(0), 9);
  EXPECT_DOUBLE_EQ(unbiased.variance(0), 12);
  EXPECT_DOUBLE_EQ(biased.summary(0).scale, 3);
  EXPECT_DOUBLE_EQ(unbiased.summary(0).scale, std::sqrt(12));
  ZScoreScaler one({.variance = Variance::unbiased});
  partial_fit(one, {1, 1, {7}});
  EXPECT_TRUE(std::isnan(one.variance(0)));
  EXPECT_TRUE(one.summary(0).constant);
  EXPECT_EQ(transform(one, {1, 1, {7}}).values, (std::vector<double>{0}));
}

}  // namespace
}  // namespace omninorm::scaler_tests
