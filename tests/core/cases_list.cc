// The table itself.
#include <array>
#include <functional>
#include <iterator>

#include "tests/core/cases.h"

namespace omninorm::cases {
namespace {

// A case with everything that follows from op and dtypes set.
Case basic(Op op, std::vector<std::int64_t> sizes, DType dtype) {
  Case c;
  c.op = op;
  c.sizes = std::move(sizes);
  c.dtype = c.weight_dtype = c.y_dtype = dtype;
  c.bias = c.centred();
  c.eps = c.centred() ? 1e-5 : 1e-6;
  return c;
}

constexpr Op kRowOps[] = {Op::rms_norm, Op::layer_norm, Op::add_rms_norm, Op::add_layer_norm};
constexpr Op kChannelOps[] = {Op::grouped_layer_norm, Op::group_norm, Op::instance_norm,
                              Op::batch_norm};
constexpr DType kDTypes[] = {DType::f32, DType::bf16, DType::f16, DType::f64};

// Ways in which a case can differ from the basic one; each is tried by itself on a few shapes, and
// in turn over all widths.
using Change = std::function<void(Case&)>;

void wide_weight(Case& c) {
  if (c.dtype != DType::f64) c.weight_dtype = DType::f32;
}

const std::vector<Change>& changes() {
  static const std::vector<Change> list = {
      [](Case&) {},
      [](Case& c) { c.weight = c.bias = false; },
      [](Case& c) { c.weight = true, c.bias = false; },
      [](Case& c) { c.weight = c.bias = true; },
      [](Case& c) { c.weight = false, c.bias = true; },
      [](Case& c) { wide_weight(c); },
      [](Case& c) { wide_weight(c), c.y_dtype = c.weight_dtype; },
      [](Case& c) { c.weight_offset = 1.0; },
      [](Case& c) { c.cast_policy = CastPolicy::before_weight; },
      [](Case& c) { c.cast_policy = CastPolicy::before_weight, wide_weight(c); },
      [](Case& c) { c.cast_policy = CastPolicy::before_weight, c.weight_offset = 1.0; },
      [](Case& c) { c.eps = 0.5; },
      [](Case& c) { c.eps = 0.0; },
      [](Case& c) { c.partial = c.centred() ? 1.0 : 0.75; },
      [](Case& c) { c.partial = !c.centred() && c.width() >= 16 ? 0.0625 : 1.0; },
      [](Case& c) { c.misalignment = 1; },
      [](Case& c) { c.misalignment = 7, c.layout = Layout::padded; },
      [](Case& c) { c.layout = Layout::padded; },
      [](Case& c) { c.layout = Layout::packed; },
      [](Case& c) { c.layout = Layout::reversed; },
      [](Case& c) { c.layout = Layout::columns; },
      [](Case& c) { c.layout = Layout::expanded; },
      [](Case& c) { c.values = Values::offset; },
      [](Case& c) { c.values = Values::shifted; },
      [](Case& c) { c.values = Values::large; },
      [](Case& c) { c.values = Values::small, c.eps = 0.0; },
  };
  return list;
}

// Ops without an option leave it at its default.
void fit(Case& c) {
  const bool rows = !c.channels() && c.op != Op::grouped_layer_norm;
  const bool running = c.op == Op::instance_norm || c.op == Op::batch_norm;
  if (!rows) c.partial = 1.0;
  if (c.channels() && c.op != Op::grouped_layer_norm) c.cast_policy = CastPolicy::after_weight;
  if (!c.channels() || c.op == Op::grouped_layer_norm) c.activation = Activation::none;
  if (!running) c.running = Running::none;
  if (c.op != Op::grouped_layer_norm) c.uncentred = false;
  if (c.op == Op::instance_norm || c.op == Op::batch_norm) c.groups = 1;
  const bool last = c.layout == Layout::channels_last || c.layout == Layout::channels_last_padded;
  if (last && (c.sizes.size() < 3 || !c.channels())) c.layout = Layout::contiguous;
  // eps 0 needs sets that do not consist of one value, which few 16-bit numbers may.
  const bool constant = c.width() < 4 || (c.layout == Layout::expanded && c.op == Op::batch_norm);
  if (c.centred() && constant && c.eps == 0.0) c.eps = 1e-5;
}

// partial * width of tiny widths would round down to nothing, and single values have no variance.
bool possible(const Case& c) {
  const bool partial_is_empty =
      static_cast<std::int64_t>(static_cast<double>(c.width()) * c.partial) == 0;
  if (c.width() > 0 && partial_is_empty) return false;
  const bool needs_spread = (c.op == Op::instance_norm || c.op == Op::batch_norm) &&
                            c.running != Running::evaluation && c.elements() > 0;
  return !(needs_spread && c.width() == 1);
}

void add(std::vector<Case>& list, Case c) {
  fit(c);
  if (possible(c)) list.push_back(std::move(c));
}

void add_row_cases(std::vector<Case>& list) {
  // Around the lanes of every vector and the blocks of several, up to rows that leave L1.
  static constexpr std::int64_t kWidths[] = {1,   2,   3,   4,   5,   7,   8,    9,    15,   16,
                                             17,  31,  32,  33,  63,  64,  65,   100,  127,  128,
                                             129, 255, 256, 257, 511, 768, 1000, 1024, 1025, 4099};
  std::size_t turn = 0, short_turn = 0;
  for (const Op op : kRowOps) {
    for (const DType dtype : kDTypes) {
      for (const std::int64_t width : kWidths) {
        add(list, basic(op, {3, width}, dtype));
        Case varied = basic(op, {2, 5, width}, dtype);
        changes()[turn++ % changes().size()](varied);
        add(list, varied);
      }
      for (const Change& change : changes()) {
        for (const std::int64_t width : {24, 131}) {
          Case c = basic(op, {2, 3, 4, width}, dtype);
          change(c);
          add(list, c);
        }
        Case several = basic(op, {4, 2, 3, 7}, dtype);
        several.normalized_dims = 3;
        change(several);
        add(list, several);
      }
      // More short rows than a vector has lanes.
      static constexpr std::size_t kTogether[] = {0, 1, 17, 18, 19, 24, 25};  // of changes()
      for (const std::int64_t width : {4, 8, 16, 32, 64}) {
        for (int i = 0; i < 4; ++i) {
          Case c = basic(op, {35, width}, dtype);
          changes()[kTogether[short_turn++ % std::size(kTogether)]](c);
          add(list, c);
        }
      }
      for (const std::vector<std::int64_t>& sizes :
           {std::vector<std::int64_t>{0, 8}, {8, 0}, {0, 0}, {5}, {67, 33}, {1, 1}}) {
        add(list, basic(op, sizes, dtype));
      }
      Case unsaved = basic(op, {3, 40}, dtype);
      unsaved.statistics = false;
      add(list, unsaved);
    }
  }
}

// Ways in which the other ops can differ, beside those above.
const std::vector<Change>& channel_changes() {
  static const std::vector<Change> list = [] {
    std::vector<Change> all = changes();
    const std::vector<Change> more = {
        [](Case& c) { c.activation = Activation::relu; },
        [](Case& c) { c.activation = Activation::silu; },
        [](Case& c) { c.activation = Activation::silu, c.layout = Layout::channels_last; },
        [](Case& c) { c.activation = Activation::relu, c.weight = c.bias = false; },
        [](Case& c) { c.activation = Activation::silu, wide_weight(c), c.weight_offset = 1.0; },
        [](Case& c) { c.running = Running::updated; },
        [](Case& c) { c.running = Running::updated, c.layout = Layout::channels_last; },
        [](Case& c) { c.running = Running::updated, c.momentum = 1.0; },
        [](Case& c) { c.running = Running::updated, c.momentum = 0.0; },
        [](Case& c) { c.running = Running::evaluation; },
        [](Case& c) { c.running = Running::evaluation, c.layout = Layout::channels_last; },
        [](Case& c) { c.running = Running::evaluation, c.activation = Activation::relu; },
        [](Case& c) { c.running = Running::evaluation, c.weight = c.bias = false; },
        [](Case& c) { c.uncentred = true; },
        [](Case& c) { c.uncentred = true, c.layout = Layout::channels_last; },
        [](Case& c) { c.layout = Layout::channels_last; },
        [](Case& c) { c.layout = Layout::channels_last_padded; },
        [](Case& c) {
          c.layout = Layout::channels_last, wide_weight(c), c.y_dtype = c.weight_dtype;
        },
        [](Case& c) { c.layout = Layout::channels_last, c.misalignment = 3; },
        [](Case& c) { c.layout = Layout::channels_last, c.values = Values::shifted; },
        [](Case& c) { c.layout = Layout::channels_last, c.values = Values::large; },
    };
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }();
  return list;
}

// The groups that a number of channels can have.
std::vector<std::int64_t> divisors(std::int64_t channels) {
  std::vector<std::int64_t> list;
  for (std::int64_t g = 1; g <= channels; ++g) {
    if (channels % g == 0) list.push_back(g);
  }
  return list;
}

// Which of them, in turn.
std::int64_t groups_of(Op op, std::int64_t channels, std::size_t turn) {
  const bool grouped = op == Op::grouped_layer_norm || op == Op::group_norm;
  const std::vector<std::int64_t> list = divisors(channels);
  return grouped && !list.empty() ? list[turn % list.size()] : 1;
}

Case image(Op op, std::vector<std::int64_t> sizes, DType dtype, std::size_t turn) {
  Case c = basic(op, std::move(sizes), dtype);
  c.per_position = op == Op::grouped_layer_norm;
  c.groups = groups_of(op, c.sizes[1], turn);
  return c;
}

void add_channel_cases(std::vector<Case>& list, Op op, DType dtype) {
  static constexpr std::int64_t kSpaces[] = {1,  2,  3,  4,  7,  8,   9,   15,  16,  17,
                                             31, 33, 49, 64, 65, 100, 129, 257, 784, 1025};
  static constexpr std::int64_t kChannels[] = {6, 16, 3, 24, 8, 40, 1, 64, 20, 33, 12};
  std::size_t turn = 0;
  for (const std::int64_t space : kSpaces) {
    const std::int64_t channels = kChannels[turn % std::size(kChannels)];
    for (const Layout layout : {Layout::contiguous, Layout::channels_last}) {
      Case c = image(op, {2, channels, space}, dtype, turn);
      c.layout = layout;
      add(list, c);
      Case varied = image(op, {3, channels, space}, dtype, turn + 1);
      channel_changes()[turn++ % channel_changes().size()](varied);
      add(list, varied);
    }
  }
  for (const Change& change : channel_changes()) {
    for (const std::vector<std::int64_t>& sizes :
         {std::vector<std::int64_t>{3, 6, 7, 7}, {5, 140}, {2, 16, 3, 1, 3}}) {
      Case c = image(op, sizes, dtype, turn++);
      change(c);
      add(list, c);
    }
  }
  for (const std::vector<std::int64_t>& sizes :
       {std::vector<std::int64_t>{0, 6, 4}, {2, 6, 0}, {2, 0, 4}, {0, 6}, {1, 1, 9}, {1, 8, 5}}) {
    Case c = image(op, sizes, dtype, 0);
    add(list, c);
    c.running = Running::updated;
    add(list, c);
  }
  // Planes across whose borders blocks run; planes of two blocks, as many as are summed together;
  // more channels than a task takes, and tiles of blocks of them; rows of whole cache lines in
  // every dtype, which are streamed.
  for (const std::vector<std::int64_t>& sizes : {std::vector<std::int64_t>{2, 150, 49},
                                                 {2, 600, 49},
                                                 {3, 40, 32},
                                                 {3, 40, 64},
                                                 {3, 2100, 3},
                                                 {70, 300},
                                                 {128, 600},
                                                 {136, 500},
                                                 {11, 8416}}) {
    if (sizes.size() == 2 && op != Op::batch_norm) continue;
    for (const Layout layout : {Layout::contiguous, Layout::channels_last}) {
      Case c = image(op, sizes, dtype, turn);
      c.layout = layout;
      add(list, c);
      channel_changes()[turn++ % channel_changes().size()](c);
      c.layout = layout;
      add(list, c);
    }
  }
  // Statistics per position: more groups than share a tile, more positions than one has.
  for (const auto& [channels, space, groups] :
       {std::array<std::int64_t, 3>{160, 40, 20}, {34, 40, 2}, {8, 1100, 1}, {40, 1100, 1}}) {
    if (op != Op::grouped_layer_norm) break;
    Case c = image(op, {2, channels, space}, dtype, 0);
    c.groups = groups;
    add(list, c);
    channel_changes()[turn++ % channel_changes().size()](c);
    add(list, c);
  }
  // Evaluation of short planes in batches: sums and dx of each, one after the other.
  for (const Activation activation : {Activation::none, Activation::relu, Activation::silu}) {
    Case c = image(op, {3, 150, 49}, dtype, turn);
    if (op != Op::batch_norm && op != Op::instance_norm) break;
    c.running = Running::evaluation;
    c.activation = activation;
    add(list, c);
  }
  Case unsaved = image(op, {2, 8, 9}, dtype, 1);
  unsaved.statistics = false;
  add(list, unsaved);
}

// grouped_layer_norm over the last dimension.
void add_feature_cases(std::vector<Case>& list, DType dtype) {
  std::size_t turn = 0;
  for (const std::int64_t width : {3, 8, 12, 31, 64, 65, 96, 128, 192, 384, 768, 1032}) {
    for (const std::int64_t groups : divisors(width)) {
      Case c = basic(Op::grouped_layer_norm, {2, 3, width}, dtype);
      c.groups = groups;
      channel_changes()[turn++ % channel_changes().size()](c);
      add(list, c);
    }
  }
  // Weights that repeat late: after thousands of groups, and (1001) too late for the packed kernel.
  for (const std::int64_t groups : {250, 1001, 2048}) {
    Case c = basic(Op::grouped_layer_norm, {19, groups * 8}, dtype);
    c.groups = groups;
    add(list, c);
  }
}

}  // namespace

std::vector<Case> all_cases() {
  std::vector<Case> list;
  add_row_cases(list);
  for (const DType dtype : kDTypes) {
    for (const Op op : kChannelOps) add_channel_cases(list, op, dtype);
    add_feature_cases(list, dtype);
  }
  Case without = basic(Op::add_rms_norm, {4, 37}, DType::bf16);
  without.dsum = false;
  add(list, without);
  return list;
}

}  // namespace omninorm::cases
