// What is refused, in which words, and that nothing has changed then.
#include <gtest/gtest.h>

#include <functional>
#include <memory>

#include "tests/core/expect_error.h"
#include "tests/scaler/table.h"

namespace omninorm::scaler_tests {
namespace {

std::vector<std::unique_ptr<Scaler>> fitted() {
  std::vector<std::unique_ptr<Scaler>> all;
  all.push_back(std::make_unique<ZScoreScaler>());
  all.push_back(std::make_unique<MinMaxScaler>());
  all.push_back(std::make_unique<RunningScaler>());
  for (const auto& scaler : all) partial_fit(*scaler, normal_table(30, 3, 5, 1));
  return all;
}

std::string prefix(const Scaler& scaler) {
  return "[" + std::string(scaler.kind()) + "_scaler] expected ";
}

// The call is refused with this message, and leaves the scaler as it was.
void expect_refused(Scaler& scaler, const std::function<void()>& call, const std::string& message) {
  const std::string before = scaler.to_json();
  EXPECT_ERROR(call(), prefix(scaler) + message);
  EXPECT_EQ(scaler.to_json(), before);
}

TEST(Errors, InfinitiesAreNamedByRowAndColumn) {
  for (const Layout layout : kLayouts) {
    for (const std::int64_t columns : {3, 40}) {
      Table table = normal_table(2000, columns, 5, 1);
      table.at(1500, 1) = kInf;
      table.at(1200, 2) = -kInf;
      table.at(1200, 0) = kNaN;
      table.at(1999, 0) = kInf;
      for (const std::unique_ptr<Scaler>& scaler : fitted()) {
        const std::unique_ptr<Scaler> fresh = scaler->clone();
        if (columns != 3) fresh->fit(Laid(normal_table(2, columns, 0, 1), DType::f64).tensor());
        expect_refused(
            *fresh, [&] { partial_fit(*fresh, table, {}, DType::f32, layout); },
            "finite values, or NaN for missing ones, got -inf in row 1200, column 2; leave "
            "infinities out with Infinite::ignore");
        const std::string before = fresh->to_json();
        EXPECT_THROW(fresh->fit(Laid(table, DType::f64, layout).tensor()), ValueError);
        EXPECT_EQ(fresh->to_json(), before);
      }
    }
  }
}

TEST(Errors, InfinitiesAreLeftOutWhereAskedTo) {
  Table with = normal_table(600, 20, 5, 1), without = with;
  for (std::size_t i = 0; i < with.values.size(); i += 13) {
    with.values[i] = i % 2 ? kInf : -kInf;
    without.values[i] = kNaN;
  }
  for (const Layout layout : kLayouts) {
    ZScoreScaler z({.infinite = Infinite::ignore}), z_want = z;
    MinMaxScaler m({.infinite = Infinite::ignore}), m_want = m;
    RunningScaler r({.infinite = Infinite::ignore}), r_want = r;
    for (Scaler* scaler :
         {static_cast<Scaler*>(&z), static_cast<Scaler*>(&m), static_cast<Scaler*>(&r)}) {
      partial_fit(*scaler, with, {}, DType::f64, layout);
    }
    for (Scaler* scaler : {static_cast<Scaler*>(&z_want), static_cast<Scaler*>(&m_want),
                           static_cast<Scaler*>(&r_want)}) {
      partial_fit(*scaler, without, {}, DType::f64, layout);
    }
    EXPECT_TRUE(z.same_state(z_want));
    EXPECT_TRUE(m.same_state(m_want));
    EXPECT_TRUE(r.same_state(r_want));
  }
}

// A row of weight 0 is not looked at.
TEST(Errors, InfinitiesInRowsOfWeightZero) {
  for (const std::unique_ptr<Scaler>& scaler : fitted()) {
    const std::unique_ptr<Scaler> want = scaler->clone();
    partial_fit(*scaler, {3, 3, {1, 2, 3, kInf, -kInf, 1e300, 4, 5, 6}}, {1, 0, 2});
    partial_fit(*want, {2, 3, {1, 2, 3, 4, 5, 6}}, {1, 2});
    for (std::int64_t j = 0; j < 3; ++j) {
      EXPECT_EQ(scaler->summary(j).center, want->summary(j).center);
      EXPECT_EQ(scaler->summary(j).scale, want->summary(j).scale);
    }
  }
}

TEST(Errors, ValuesTooLargeToSquare) {
  for (const Layout layout : kLayouts) {
    Table table = normal_table(900, 3, 5, 1);
    table.at(700, 1) = 1e200;
    for (const std::unique_ptr<Scaler>& scaler : fitted()) {
      if (std::string(scaler->kind()) == "min_max") continue;
      expect_refused(
          *scaler, [&] { partial_fit(*scaler, table, {}, DType::f64, layout); },
          "values whose squared deviations fit a double (below about 1e153), got 1e+200 in row "
          "700, column 1");
    }
  }
  ZScoreScaler a, b;
  partial_fit(a, {1, 1, {1e200}});
  partial_fit(b, {1, 1, {-1e200}});
  expect_refused(
      a, [&] { a.merge(b); }, "squared deviations that fit a double, got an overflow in column 0");
  MinMaxScaler m;
  expect_refused(
      m,
      [&] {
        partial_fit(m, {2, 1, {-1e308, 1e308}});
      },
      "a range that fits a double, got -1e+308 to 1e+308 in column 0");
}

TEST(Errors, Shapes) {
  const std::vector<double> x(12, 1.0);
  std::vector<double> y(12);
  for (const std::unique_ptr<Scaler>& scaler : fitted()) {
    Scaler& s = *scaler;
    const auto fit = [&](const ConstTensor& t) { return [&s, t] { s.partial_fit(t); }; };
    expect_refused(s, fit({}), "x to be given, got none");
    expect_refused(s, fit(ConstTensor(x.data(), {12})),
                   "x to be [rows, columns], got shape [12]; a single column is [rows, 1], a "
                   "single row [1, columns]");
    expect_refused(s, fit(ConstTensor(x.data(), {6, 2})),
                   "x of 3 columns, as fitted before, got 2");
    const std::int64_t sizes[] = {4, 3};
    expect_refused(s, fit(ConstTensor(x.data(), DType::bf16, sizes, {})),
                   "x to be f32 or f64, got bf16");
    const auto transform = [&](const ConstTensor& from, const Tensor& to,
                               std::vector<std::int64_t> columns = {}) {
      return [&s, from, to, columns] { s.transform(from, to, columns); };
    };
    const ConstTensor good(x.data(), {4, 3});
    const Tensor out(y.data(), {4, 3});
    expect_refused(s, transform(ConstTensor(x.data(), {6, 2}), Tensor(y.data(), {6, 2})),
                   "x of 3 columns, as fitted, got 2");
    expect_refused(s, transform(good, Tensor(y.data(), {3, 4})),
                   "y of the shape of x, [4, 3], got [3, 4]");
    expect_refused(s, transform(good, out, {0, 1}),
                   "x of 2 columns, one for each of `columns`, got 3");
    expect_refused(s, transform(good, out, {0, 1, 3}), "columns from 0 to 2, got 3");
    expect_refused(s, transform(good, out, {0, -1, 2}), "columns from 0 to 2, got -1");
    EXPECT_EQ(y, std::vector<double>(12));
  }
  ZScoreScaler none;
  EXPECT_ERROR(
      none.transform(ConstTensor(x.data(), {4, 3}), Tensor(y.data(), {4, 3})),
      "[z_score_scaler] expected fit before transform, got a scaler that has seen nothing");
  EXPECT_ERROR(none.inverse_transform(ConstTensor(x.data(), {4, 3}), Tensor(y.data(), {4, 3})),
               "[z_score_scaler] expected fit before inverse_transform, got a scaler that has seen "
               "nothing");
  EXPECT_ERROR(none.fit(ConstTensor(x.data(), {4, 0})),
               "[z_score_scaler] expected x with at least one column, got none");
}

TEST(Errors, SharedMemory) {
  std::vector<double> memory(40, 1.0);
  for (const std::unique_ptr<Scaler>& scaler : fitted()) {
    Scaler& s = *scaler;
    const ConstTensor x(memory.data(), {4, 3});
    const std::int64_t sizes[] = {4, 3}, still[] = {0, 1}, turned[] = {1, 4};
    const std::string shared = "y to be x itself or apart from it, got two that share memory";
    expect_refused(
        s,
        [&] {
          s.transform(x, Tensor(memory.data() + 1, {4, 3}));
        },
        shared);
    expect_refused(
        s, [&] { s.transform(x, Tensor(memory.data(), DType::f64, sizes, turned)); }, shared);
    expect_refused(
        s,
        [&] {
          s.transform(x, Tensor(reinterpret_cast<float*>(memory.data()), {4, 3}));
        },
        shared);
    expect_refused(
        s, [&] { s.transform(x, Tensor(memory.data() + 20, DType::f64, sizes, still)); },
        "y with an element of its own at every index, got strides [0, 1]");
    EXPECT_EQ(memory, std::vector<double>(40, 1.0));
  }
}

TEST(Errors, Weights) {
  for (const std::unique_ptr<Scaler>& scaler : fitted()) {
    Scaler& s = *scaler;
    const Table table = normal_table(3, 3, 5, 1);
    const auto fit = [&](std::vector<double> weights) {
      return [&s, &table, weights] { partial_fit(s, table, weights); };
    };
    expect_refused(s, fit({1, -1, 1}), "finite weights >= 0, got -1 for row 1");
    expect_refused(s, fit({1, 1, kNaN}), "finite weights >= 0, got nan for row 2");
    expect_refused(s, fit({kInf, 1, 1}), "finite weights >= 0, got inf for row 0");
    expect_refused(s, fit({1, 1}), "sample_weight to be [3], one for each row, got shape [2]");
    expect_refused(s, fit({1e300, 1e300, 1}),
                   "weights whose sum is 0, or from 2^-500 to 2^500, got 2e+300");
    expect_refused(s, fit({1e-200, 0, 0}),
                   "weights whose sum is 0, or from 2^-500 to 2^500, got 1e-200");
    try {
      fit({1, 1, -0.5})();
      ADD_FAILURE();
    } catch (const ValueError& error) {
      EXPECT_EQ(error.row, 2);
      EXPECT_EQ(error.column, -1);
      EXPECT_EQ(error.value, -0.5);
    }
  }
  // A column in which only a row of next to no weight has a value.
  ZScoreScaler z;
  expect_refused(
      z,
      [&] {
        partial_fit(z, {2, 2, {1, kNaN, 1, 1}}, {1, 1e-200});
      },
      "weights whose sum is 0, or from 2^-500 to 2^500, got 1e-200 in column 1");
}

TEST(Errors, PartsWithoutColumns) {
  const std::vector<double> x = {1, 2, 3, 4};
  for (const std::unique_ptr<Scaler>& scaler : fitted()) {
    const std::unique_ptr<Scaler> want = scaler->clone();
    for (Scaler* each : {scaler.get(), want.get()}) each->fit(ConstTensor(x.data(), {2, 2}));
    const ConstTensor none(static_cast<const float*>(nullptr), {2, 0}), all(x.data(), {2, 2});
    const ConstTensor parts[] = {none, all, none};
    scaler->partial_fit_parts(parts);
    want->partial_fit(all);
    EXPECT_TRUE(scaler->same_state(*want));
    EXPECT_EQ(scaler->fitted_on().dtype, "f64");
    expect_refused(
        *scaler,
        [&] {
          scaler->partial_fit_parts({&none, 1});
        },
        "x with at least one column, got none");
  }
}

TEST(Errors, StatesThatDoNotFit) {
  ZScoreScaler unbiased({.variance = Variance::unbiased});
  expect_refused(
      unbiased,
      [&] {
        partial_fit(unbiased, {2, 1, {1e150, -1e150}}, {0.5, 0.5 + 0x1p-52});
      },
      "a variance that fits a double, got an overflow in column 0");
  ZScoreScaler heavy;
  partial_fit(heavy, {1, 1, {3}}, {0x1p499});
  heavy.merge(heavy);
  expect_refused(
      heavy, [&] { heavy.merge(heavy); },
      "weights whose sum is 0, or from 2^-500 to 2^500, got 6.546781215792284e+150 in column 0");
  MinMaxScaler narrow({.high = 1e-300});
  expect_refused(
      narrow,
      [&] {
        partial_fit(narrow, {2, 2, {1, 0, 2, 1e10}});
      },
      "(high - low) / range of at least 2^-1022, got 0 to 1e+10 in column 1");
}

TEST(Errors, CountsThatOverflow) {
  ZScoreScaler scaler;
  partial_fit(scaler, {1, 1, {3}});
  for (int i = 0; i < 62; ++i) scaler.merge(scaler);
  EXPECT_EQ(scaler.rows(), std::int64_t{1} << 62);
  expect_refused(
      scaler, [&] { scaler.merge(scaler); }, "at most 2^63 - 1 rows in all, got more");
  // 2^63 - 1 rows, and one more.
  ZScoreScaler full, power;
  partial_fit(power, {1, 1, {3}});
  for (int i = 0; i < 63; ++i) {
    full.merge(power);
    if (i < 62) power.merge(power);
  }
  EXPECT_EQ(full.rows(), std::numeric_limits<std::int64_t>::max());
  EXPECT_EQ(exact(full.moments()[0].count), Fraction(full.rows()));
  expect_refused(
      full,
      [&] {
        partial_fit(full, {1, 1, {3}});
      },
      "at most 2^63 - 1 rows in all, got more");
  EXPECT_TRUE(load_scaler(full.to_json())->same_state(full));
}

TEST(Errors, MergesOfWhatDoesNotBelongTogether) {
  ZScoreScaler z, other({.variance = Variance::unbiased}), wide;
  partial_fit(z, normal_table(3, 2, 0, 1));
  partial_fit(other, normal_table(3, 2, 0, 1));
  partial_fit(wide, normal_table(3, 5, 0, 1));
  expect_refused(
      z, [&] { z.merge(MinMaxScaler()); }, "another z_score scaler to merge, got min_max");
  expect_refused(
      z, [&] { z.merge(other); }, "scalers with the same options to merge, got different ones");
  expect_refused(
      z, [&] { z.merge(wide); }, "a scaler of 2 columns to merge, got 5");
  ZScoreScaler named = z;
  z.fitted_on().column_names = {"a", "b"};
  named.fitted_on().column_names = {"a", "c"};
  expect_refused(
      z, [&] { z.merge(named); }, "column 1 to be \"b\" in both scalers, got \"c\"");
  named.fitted_on().column_names = {"a", "b"};
  named.fitted_on().sources = {"part2"};
  named.fitted_on().time = "2026-01-02T00:00:00Z";
  z.fitted_on().sources = {"part1"};
  z.merge(named);
  EXPECT_EQ(z.fitted_on().sources, (std::vector<std::string>{"part1", "part2"}));
  EXPECT_EQ(z.fitted_on().time, "2026-01-02T00:00:00Z");
  EXPECT_EQ(z.rows(), 6);
  // What has seen nothing is neutral.
  const std::string before = z.to_json();
  z.merge(ZScoreScaler());
  EXPECT_EQ(z.to_json(), before);
  ZScoreScaler none;
  none.merge(z);
  EXPECT_TRUE(none.same_state(z));
}

TEST(Errors, Options) {
  EXPECT_ERROR(MinMaxScaler({.low = 1, .high = 1}),
               "[min_max_scaler] expected a target range low < high of finite numbers, got 1 to 1");
  EXPECT_ERROR(
      MinMaxScaler({.low = 0, .high = kInf}),
      "[min_max_scaler] expected a target range low < high of finite numbers, got 0 to inf");
  EXPECT_ERROR(MinMaxScaler({.low = -1e308, .high = 1e308}),
               "[min_max_scaler] expected a target range low < high of finite numbers, got -1e+308 "
               "to 1e+308");
  EXPECT_ERROR(RunningScaler({.alpha = 1}), "[running_scaler] expected 0 < alpha < 1, got 1");
  EXPECT_ERROR(RunningScaler({.alpha = kNaN}), "[running_scaler] expected 0 < alpha < 1, got nan");
}

}  // namespace
}  // namespace omninorm::scaler_tests
