// The same input gives the same bits, whatever runs beside it (vllm #48271, pytorch layer_norm's
// dweight by thread count, rms_norm's rows by batch): per SIMD target, as reduction order depends
// on the row's length and the target only. Images likewise, in either layout.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>

#include "tests/core/cases.h"
#include "tests/core/shuffled_executor.h"
#include "tests/core/targets.h"

namespace omninorm::cases {
namespace {

using Bits = std::vector<std::uint64_t>;

Bits bits(const Buffer& buffer) {
  Bits result;
  for (const double value : buffer.values()) result.push_back(std::bit_cast<std::uint64_t>(value));
  return result;
}

Bits row_of(const Bits& all, std::int64_t row, std::int64_t width) {
  return {all.begin() + row * width, all.begin() + (row + 1) * width};
}

struct Results {
  Bits y, mean, rstd, dx, dweight, dbias;
  bool operator==(const Results&) const = default;
};

Results results(const Case& c, Tensors& tensors, const Context& context = {}) {
  forward(c, tensors.forward_args(), context);
  backward(c, tensors.backward_args(), context);
  const auto given = [](const Buffer& b) { return b.tensor().given() ? bits(b) : Bits(); };
  return {bits(tensors.y),  given(tensors.mean),   bits(tensors.rstd),
          bits(tensors.dx), bits(tensors.dweight), given(tensors.dbias)};
}

Results results(const Case& c, const Context& context = {}) {
  Tensors tensors(c);
  return results(c, tensors, context);
}

// Shapes of one task and of many, of a single row and of blocks with two levels of sums.
std::vector<Case> bitwise_cases() {
  std::vector<Case> list;
  for (const Op op : {Op::rms_norm, Op::layer_norm}) {
    for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
      for (const std::vector<std::int64_t>& sizes : {std::vector<std::int64_t>{1, 300},
                                                     {1100, 96},
                                                     {19, 4099},
                                                     {3, 65536},
                                                     {131, 70},
                                                     {70, 768},
                                                     {39, 1536},
                                                     {17000, 5}}) {
        Case c;
        c.op = op;
        c.sizes = sizes;
        c.dtype = c.weight_dtype = c.y_dtype = dtype;
        c.bias = op == Op::layer_norm;
        list.push_back(c);
      }
    }
  }
  // Planes that are summed one by one, by the lanes of a vector with some left, and in batches.
  for (const Op op : {Op::group_norm, Op::instance_norm, Op::grouped_layer_norm, Op::batch_norm}) {
    for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
      for (const std::vector<std::int64_t>& sizes :
           {std::vector<std::int64_t>{40, 20, 9}, {3, 300, 49}}) {
        for (const Layout layout : {Layout::contiguous, Layout::channels_last}) {
          Case c;
          c.op = op;
          c.sizes = sizes;
          c.layout = layout;
          c.dtype = c.weight_dtype = c.y_dtype = dtype;
          c.bias = true;
          c.per_position = op == Op::grouped_layer_norm;
          c.groups = c.per_position || op == Op::group_norm ? 10 : 1;
          list.push_back(c);
        }
      }
    }
  }
  return list;
}

class Bitwise : public testing::TestWithParam<Case> {
 protected:
  // Runs `check` on every target.
  template <class Check>
  void on_every_target(const Check& check) {
    for (const std::string& target : cpu_targets()) {
      SCOPED_TRACE(target);
      const TargetScope scope(target);
      check();
    }
  }

 private:
  ForcedKernel only_{GetParam().channels() ? nullptr : "row"};
};

TEST_P(Bitwise, OneThreadOrMany) {
  on_every_target([] {
    const Case& c = GetParam();
    const Results serial = results(c, {.executor = &serial_executor()});
    EXPECT_TRUE(results(c, {.executor = &default_executor()}) == serial) << "default executor";
    for (const unsigned threads : {2u, 7u}) {
      ShuffledExecutor executor(threads);
      EXPECT_TRUE(results(c, {.executor = &executor}) == serial) << threads << " threads";
    }
  });
}

TEST_P(Bitwise, RepeatedAndWithAnyWorkspace) {
  on_every_target([] {
    const Case& c = GetParam();
    Tensors tensors(c);
    const Results first = results(c, tensors);
    EXPECT_TRUE(results(c, tensors) == first) << "repeated";
    const std::size_t bytes = std::max(forward_workspace(c, tensors.forward_args()),
                                       backward_workspace(c, tensors.backward_args()));
    for (const std::size_t shift : {0, 1, 17}) {
      std::vector<std::byte> memory(bytes + shift, std::byte{0x7f});
      const Context context{.workspace = std::span(memory).subspan(shift)};
      EXPECT_TRUE(results(c, tensors, context) == first) << "workspace shifted by " << shift;
    }
  });
}

TEST_P(Bitwise, AnyAddressAndStride) {
  on_every_target([] {
    Case c = GetParam();
    const Results aligned = results(c);
    struct Place {
      Layout layout;
      std::int64_t misalignment;
    };
    const bool last = c.layout == Layout::channels_last;
    const Layout padded = last ? Layout::channels_last_padded : Layout::padded;
    const Layout reversed = c.channels() ? padded : Layout::reversed;
    for (const Place place :
         {Place{c.layout, 1}, Place{c.layout, 13}, Place{padded, 0}, Place{reversed, 3}}) {
      c.layout = place.layout;
      c.misalignment = place.misalignment;
      EXPECT_TRUE(results(c) == aligned) << name(c);
    }
  });
}

TEST_P(Bitwise, Vllm48271ARowAloneOrInABatch) {
  on_every_target([] {
    const Case& c = GetParam();
    if (c.op == Op::batch_norm) return;  // whose statistics are the batch's
    Tensors batch(c);
    const Results together = results(c, batch);
    const std::vector<double> x = batch.x.values(), dy = batch.dy.values();
    Case single = c;
    single.sizes[0] = 1;
    const std::int64_t rows = c.sizes[0], width = c.elements() / rows;
    const auto pick = [&](const std::vector<double>& from, std::int64_t row) {
      return std::vector<double>(from.begin() + row * width, from.begin() + (row + 1) * width);
    };
    for (const std::int64_t row : {std::int64_t{0}, rows / 3, rows - 1}) {
      Tensors alone(single);
      alone.x.fill(pick(x, row));
      alone.dy.fill(pick(dy, row));
      alone.weight.fill(batch.weight.values());
      if (c.bias) alone.bias.fill(batch.bias.values());
      const Results got = results(single, alone);
      EXPECT_EQ(got.y, row_of(together.y, row, width)) << "row " << row;
      EXPECT_EQ(got.dx, row_of(together.dx, row, width)) << "row " << row;
      EXPECT_EQ(got.rstd, row_of(together.rstd, row, c.rows() / rows)) << "row " << row;
    }
  });
}

INSTANTIATE_TEST_SUITE_P(Shapes, Bitwise, testing::ValuesIn(bitwise_cases()),
                         [](const auto& info) { return name(info.param); });

}  // namespace
}  // namespace omninorm::cases
