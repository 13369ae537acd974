// What transform and its inverse give, and what fit leaves out, for all three scalers.
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <memory>

#include "src/cpu/streaming.h"
#include "tests/core/expect_error.h"
#include "tests/core/targets.h"
#include "tests/scaler/table.h"

namespace omninorm::scaler_tests {
namespace {

std::vector<std::unique_ptr<Scaler>> scalers() {
  std::vector<std::unique_ptr<Scaler>> all;
  all.push_back(std::make_unique<ZScoreScaler>());
  all.push_back(std::make_unique<ZScoreScaler>(ZScoreOptions{.with_mean = false}));
  all.push_back(std::make_unique<ZScoreScaler>(ZScoreOptions{.with_std = false}));
  all.push_back(std::make_unique<MinMaxScaler>());
  all.push_back(std::make_unique<MinMaxScaler>(MinMaxOptions{.low = -3, .high = 5}));
  all.push_back(std::make_unique<MinMaxScaler>(MinMaxOptions{.low = -1, .clip = true}));
  all.push_back(std::make_unique<RunningScaler>());
  return all;
}

// y of the formula in long double, as the summary and the options tell it.
long double scaled(const Scaler& scaler, std::int64_t j, double x) {
  const ColumnSummary s = scaler.summary(j);
  if (const auto* z = dynamic_cast<const ZScoreScaler*>(&scaler)) {
    long double center = 0;
    if (z->options().with_mean) {
      const DoubleDouble mean = z->moments()[static_cast<std::size_t>(j)].mean;
      center = static_cast<long double>(mean.high) + static_cast<long double>(mean.low);
    }
    return (x - center) / s.scale;
  }
  const long double share = (x - static_cast<long double>(s.center)) / s.scale;
  const auto* range = dynamic_cast<const MinMaxScaler*>(&scaler);
  if (!range) return share;
  const MinMaxOptions& o = range->options();
  const long double y = share * (static_cast<long double>(o.high) - o.low) + o.low;
  return o.clip ? std::min<long double>(std::max<long double>(y, o.low), o.high) : y;
}

void expect_scaled(const Scaler& scaler, const Table& table, const std::vector<long double>& want) {
  for (const Layout from : kLayouts) {
    for (const Layout to : kLayouts) {
      if (from != to && from != Layout::row_major && to != Layout::row_major) continue;
      for (const DType dtype : {DType::f32, DType::f64}) {
        SCOPED_TRACE("layouts " + std::to_string(static_cast<int>(from)) + " to " +
                     std::to_string(static_cast<int>(to)));
        Laid x(table, dtype, from);
        Laid y(Table(table.rows, table.columns), from == to ? dtype : DType::f64, to);
        const std::vector<std::byte> before = x.memory();
        scaler.transform(x.tensor(), y.tensor(), {}, {.executor = &serial_executor()});
        ASSERT_EQ(x.memory(), before);
        ASSERT_TRUE(y.gaps_intact());
        const Table got = y.table();
        const double unit = from == to && dtype == DType::f32 ? 0x1p-23 : 0x1p-51;
        std::size_t wrong = 0;
        for (std::size_t i = 0; i < want.size(); ++i) {
          const double distance = std::abs(got.values[i] - static_cast<double>(want[i]));
          wrong += !(distance <= unit * (std::abs(static_cast<double>(want[i])) + 5));
        }
        ASSERT_EQ(wrong, 0u);
      }
    }
  }
}

// Every way through the kernels: in one piece, by rows, by columns, gathered; whole lines, heads
// and rests; every pair of types.
TEST(Values, TransformIsItsFormulaInEveryLayoutTypeAndTarget) {
  for (const std::int64_t columns : {1, 3, 16, 63, 64, 70}) {
    const Table table = normal_table(70, columns, 3, 2, 9);
    for (const std::unique_ptr<Scaler>& scaler : scalers()) {
      partial_fit(*scaler, table.part(0, 50));
      std::vector<long double> want;
      for (std::size_t i = 0; i < table.values.size(); ++i) {
        want.push_back(scaled(*scaler, static_cast<std::int64_t>(i) % columns, table.values[i]));
      }
      for (const std::string& target : cpu_targets()) {
        SCOPED_TRACE(std::string(scaler->kind()) + " " + target + " " + std::to_string(columns));
        const cases::TargetScope scope(target);
        expect_scaled(*scaler, table, want);
      }
    }
  }
}

// The bound that docs/scalers.md states.
TEST(Values, ZScoreIsWithinItsBound) {
  for (const double mean : {0.0, 3.0, -1e9}) {
    Table table(4000, 3);
    std::mt19937 random(3);
    std::normal_distribution<double> normal(mean, 2);
    for (double& value : table.values) value = normal(random);
    ZScoreScaler scaler;
    partial_fit(scaler, table);
    for (const DType dtype : {DType::f64, DType::f32}) {
      Laid x(table, DType::f64), laid(table, dtype);
      scaler.transform(x.tensor(), laid.tensor());
      const Table y = laid.table();
      const double bound = 4 * 0x1p-53 + (dtype == DType::f32 ? 0x1p-24 : 0);
      for (std::size_t i = 0; i < table.values.size(); ++i) {
        const std::size_t column = i % 3;
        const Fraction want = (Fraction(table.values[i]) - exact(scaler.moments()[column].mean)) /
                              Fraction(scaler.summary(static_cast<std::int64_t>(column)).scale);
        ASSERT_LE(relative_error({y.values[i], 0}, want, want), bound) << mean;
      }
    }
  }
}

// Past the cache from 0 bytes on, for the scope.
struct Streaming {
  Streaming() { internal::set_streaming_crossover(0); }
  ~Streaming() { internal::set_streaming_crossover(-1); }
};

TEST(Values, InPlaceAndStreamedAreTheSameBits) {
  const Table table = normal_table(3000, 33, 3, 2);
  for (const std::unique_ptr<Scaler>& scaler : scalers()) {
    partial_fit(*scaler, table);
    for (const Layout layout : kLayouts) {
      for (const DType dtype : {DType::f32, DType::f64}) {
        Laid x(table, dtype, layout), y(Table(3000, 33), dtype, layout), streamed = y;
        scaler->transform(x.tensor(), y.tensor());
        {
          const Streaming on;
          scaler->transform(x.tensor(), streamed.tensor());
        }
        EXPECT_EQ(streamed.memory(), y.memory());
        scaler->transform(x.tensor(), x.tensor());
        EXPECT_EQ(x.memory(), y.memory());
      }
    }
  }
}

// From any address: heads and rests of lines.
TEST(Values, AnyAddress) {
  const Streaming on;
  const Table table = normal_table(70, 5, 3, 2);
  ZScoreScaler scaler;
  partial_fit(scaler, table);
  const Table want = transform(scaler, table, false, DType::f32);
  for (std::size_t shift = 0; shift < 20; ++shift) {
    alignas(64) float x[400], y[400];
    for (std::size_t i = 0; i < 350; ++i) x[i + shift] = static_cast<float>(table.values[i]);
    std::fill(std::begin(y), std::end(y), -77.0f);
    scaler.transform(ConstTensor(x + shift, {70, 5}), Tensor(y + shift, {70, 5}));
    for (std::size_t i = 0; i < 400; ++i) {
      const bool inside = i >= shift && i < shift + 350;
      ASSERT_EQ(y[i], inside ? static_cast<float>(want.values[i - shift]) : -77.0f);
    }
  }
}

// The bound that docs/scalers.md states.
TEST(Values, InverseOfTransformIsX) {
  EXPECT_TRUE(rc::check([] {
    const std::int64_t rows = *rc::gen::inRange(1, 60), columns = *rc::gen::inRange(1, 20);
    const double mean = std::ldexp(*rc::gen::inRange(-100, 100), *rc::gen::inRange(-40, 40));
    const double spread = std::ldexp(1.0, *rc::gen::inRange(-40, 40));
    const Table table = normal_table(rows, columns, mean, spread, *rc::gen::arbitrary<unsigned>());
    for (const std::unique_ptr<Scaler>& scaler : scalers()) {
      const auto* range = dynamic_cast<const MinMaxScaler*>(scaler.get());
      partial_fit(*scaler, table);
      const bool narrow = *rc::gen::arbitrary<bool>();
      const DType dtype = narrow ? DType::f32 : DType::f64;
      const double unit = narrow ? 0x1p-23 : 0x1p-52;
      const Table back = transform(*scaler, transform(*scaler, table, false, dtype), true, dtype);
      for (std::size_t i = 0; i < table.values.size(); ++i) {
        const ColumnSummary s = scaler->summary(static_cast<std::int64_t>(i) % columns);
        const double x = table.values[i];
        double bound = 4 * std::abs(x - s.center) + std::abs(x) + std::abs(s.center);
        if (range) {
          // The target range rounds too.
          const MinMaxOptions& o = range->options();
          bound += 4 * std::max(std::abs(o.low), std::abs(o.high)) / (o.high - o.low) * s.scale;
        }
        RC_ASSERT(std::abs(back.values[i] - x) <= unit * bound);
      }
    }
  }));
}

TEST(Values, FittedValuesStayWithinTheTargetRange) {
  EXPECT_TRUE(rc::check([] {
    Table table(40, 3);
    std::mt19937 random(*rc::gen::arbitrary<unsigned>());
    const double a = std::ldexp(*rc::gen::inRange(-100, 100), *rc::gen::inRange(-60, 60));
    std::uniform_real_distribution<double> uniform(a, a + *rc::gen::element(1e-3, 1.0, 1e6));
    for (double& value : table.values) value = uniform(random);
    const double low = *rc::gen::element(0.0, -1.0, 1e-17, -3.0, 0.1, 1e16);
    MinMaxScaler scaler(
        {.low = low, .high = low + *rc::gen::element(0.7, 1.0, 1e3, 1e17) + std::abs(low)});
    partial_fit(scaler, table);
    const Table y = transform(scaler, table);
    for (std::int64_t j = 0; j < 3; ++j) {
      for (std::int64_t i = 0; i < 40; ++i) {
        RC_ASSERT(y.at(i, j) >= scaler.options().low && y.at(i, j) <= scaler.options().high);
        if (table.at(i, j) == scaler.extremes()[static_cast<std::size_t>(j)].minimum) {
          RC_ASSERT(y.at(i, j) == scaler.options().low);
        }
      }
    }
  }));
}

TEST(Values, ClipKeepsNaNAndTakesInfinitiesToTheEnds) {
  MinMaxScaler scaler({.low = -1, .high = 2, .clip = true});
  partial_fit(scaler, {2, 1, {0, 10}});
  const Table y = transform(scaler, {6, 1, {-5, 0, 10, 11, kInf, -kInf}});
  EXPECT_EQ(y.values, (std::vector<double>{-1, -1, 2, 2, 2, -1}));
  EXPECT_TRUE(std::isnan(transform(scaler, {1, 1, {kNaN}}).values[0]));
}

TEST(Values, MissingAndInfinitePassThroughTransform) {
  for (const std::unique_ptr<Scaler>& scaler : scalers()) {
    if (std::string(scaler->kind()) == "min_max") continue;
    partial_fit(*scaler, {3, 1, {1, 2, 4}});
    for (const bool inverse : {false, true}) {
      const Table y = transform(*scaler, {3, 1, {kNaN, kInf, -kInf}}, inverse);
      EXPECT_TRUE(std::isnan(y.values[0]));
      EXPECT_EQ(y.values[1], kInf);
      EXPECT_EQ(y.values[2], -kInf);
    }
  }
}

// What does not fit f32 becomes infinite on every target.
TEST(Values, OverflowOfF32) {
  for (const std::string& target : cpu_targets()) {
    const cases::TargetScope scope(target);
    ZScoreScaler scaler;
    partial_fit(scaler, {2, 1, {-1e-3, 1e-3}});
    const Table y = transform(scaler, {2, 1, {3e38, -3e38}}, false, DType::f32);
    EXPECT_EQ(y.values, (std::vector<double>{kInf, -kInf})) << target;
  }
}

TEST(Values, ColumnsOfAllKindsAtOnce) {
  // Constant, missing, one value, ordinary; the last row of weight 0.
  const Table table(4, 4, {7, kNaN, kNaN, 1, 7, kNaN, 5, 2, 7, kNaN, kNaN, 3, 8, 8, 8, 800});
  for (const std::unique_ptr<Scaler>& scaler : scalers()) {
    partial_fit(*scaler, table, {1, 1, 1, 0});
    EXPECT_EQ(scaler->rows(), 4);
    EXPECT_TRUE(scaler->summary(0).constant);
    EXPECT_EQ(scaler->summary(0).scale, 1);
    EXPECT_FALSE(scaler->summary(1).constant);
    EXPECT_EQ(scaler->summary(1).count, 0);
    EXPECT_EQ(scaler->summary(2).count, 1);
    EXPECT_TRUE(scaler->summary(2).constant);
    EXPECT_FALSE(scaler->summary(3).constant);
    const Table y = transform(*scaler, table);
    const auto* z = dynamic_cast<const ZScoreScaler*>(scaler.get());
    const bool scales = !z || z->options().with_std;
    EXPECT_EQ(std::isnan(y.at(3, 1)), scales || z->options().with_mean);
    EXPECT_TRUE(std::isnan(y.at(0, 1)));
    EXPECT_EQ(y.at(0, 0), y.at(1, 0));
    EXPECT_EQ(transform(*scaler, y, true).at(0, 0), 7);
  }
}

TEST(Values, ColumnSubsets) {
  const Table table = normal_table(50, 6, 3, 2);
  for (const std::unique_ptr<Scaler>& scaler : scalers()) {
    partial_fit(*scaler, table);
    const Table whole = transform(*scaler, table);
    const std::vector<std::int64_t> picked = {4, 0, 4};
    Table part(50, 3);
    for (std::int64_t i = 0; i < 50; ++i) {
      for (std::int64_t k = 0; k < 3; ++k)
        part.at(i, k) = table.at(i, picked[static_cast<std::size_t>(k)]);
    }
    Laid x(part, DType::f64), y(part, DType::f64);
    scaler->transform(x.tensor(), y.tensor(), picked);
    for (std::int64_t i = 0; i < 50; ++i) {
      for (std::int64_t k = 0; k < 3; ++k) {
        ASSERT_EQ(y.table().at(i, k), whole.at(i, picked[static_cast<std::size_t>(k)]));
      }
    }
  }
}

TEST(Values, NoRowsAndOneRow) {
  for (const std::unique_ptr<Scaler>& scaler : scalers()) {
    scaler->partial_fit(ConstTensor(static_cast<const double*>(nullptr), {0, 3}));
    EXPECT_EQ(scaler->columns(), 3);
    EXPECT_EQ(scaler->rows(), 0);
    EXPECT_EQ(scaler->summary(0).count, 0);
    scaler->transform(ConstTensor(static_cast<const double*>(nullptr), {0, 3}),
                      Tensor(static_cast<double*>(nullptr), {0, 3}));
    partial_fit(*scaler, {1, 3, {1, -2, 3}});
    EXPECT_EQ(scaler->rows(), 1);
    for (std::int64_t j = 0; j < 3; ++j) EXPECT_TRUE(scaler->summary(j).constant);
    const Table back = transform(*scaler, transform(*scaler, {1, 3, {1, -2, 3}}), true);
    EXPECT_EQ(back.values, (std::vector<double>{1, -2, 3}));
  }
}

TEST(Values, FitForgetsAndPartialFitGoesOn) {
  for (const std::unique_ptr<Scaler>& scaler : scalers()) {
    const std::unique_ptr<Scaler> fresh = scaler->clone();
    partial_fit(*scaler, normal_table(20, 4, 5, 1));
    scaler->fitted_on().sources = {"a"};
    const Table second = normal_table(30, 2, 1, 1);
    scaler->fit(Laid(second, DType::f64).tensor());
    partial_fit(*fresh, second);
    EXPECT_TRUE(scaler->same_state(*fresh));
    EXPECT_TRUE(scaler->fitted_on().sources.empty());
    EXPECT_EQ(scaler->columns(), 2);
  }
}

TEST(Values, MinMaxIsTheSameBitsForAnyChunksAndMerges) {
  EXPECT_TRUE(rc::check([] {
    const auto seed = *rc::gen::arbitrary<unsigned>();
    Table table = normal_table(200, 5, 0, 1, seed);
    std::mt19937 random(seed);
    for (double& value : table.values) {
      const double zeros[] = {kNaN, 0.0, -0.0};
      if (random() % 20 == 0) value = zeros[random() % 3];
      if (value > 0) value = -0.0;  // so that a column's largest is a zero
    }
    MinMaxScaler whole, merged;
    partial_fit(whole, table);
    for (std::int64_t row = 0; row < 200;) {
      const std::int64_t last = std::min<std::int64_t>(200, row + *rc::gen::inRange(1, 90));
      MinMaxScaler part;
      partial_fit(part, table.part(row, last), {}, DType::f64, Layout::column_major);
      if (*rc::gen::arbitrary<bool>()) std::swap(part, merged);
      merged.merge(part);
      row = last;
    }
    RC_ASSERT(merged.same_state(whole));
    RC_ASSERT(merged.to_json() == whole.to_json());
  }));
}

TEST(Values, MinMaxOfEveryShapeLayoutTypeAndTarget) {
  for (const std::int64_t columns : {1, 3, 16, 33, 300}) {
    Table table = normal_table(1500, columns, 3, 2);
    for (const int missing : {0, 1}) {
      if (missing) {
        for (std::size_t i = 0; i < table.values.size(); i += 7) table.values[i] = kNaN;
      }
      for (const std::string& target : cpu_targets()) {
        const cases::TargetScope scope(target);
        for (const Layout layout : kLayouts) {
          for (const DType dtype : {DType::f32, DType::f64}) {
            for (const bool weighted : {false, true}) {
              std::vector<double> weights;
              if (weighted) weights.assign(1500, 0.5), weights[3] = 0;
              MinMaxScaler scaler;
              partial_fit(scaler, table, weights, dtype, layout);
              for (std::int64_t j = 0; j < columns; ++j) {
                double low = kInf, high = -kInf, count = 0;
                for (std::int64_t i = 0; i < 1500; ++i) {
                  if (std::isnan(table.at(i, j)) || (weighted && i == 3)) continue;
                  low = std::min(low, table.at(i, j));
                  high = std::max(high, table.at(i, j));
                  count += weighted ? 0.5 : 1;
                }
                ASSERT_EQ(scaler.extremes()[static_cast<std::size_t>(j)],
                          (ColumnExtremes{{count, 0}, low, high}))
                    << target << " column " << j << " of " << columns;
              }
            }
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace omninorm::scaler_tests
