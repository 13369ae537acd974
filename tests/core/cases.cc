#include "tests/core/cases.h"

#include <functional>
#include <numeric>

namespace omninorm::cases {
namespace {

std::int64_t product(const std::vector<std::int64_t>& sizes, std::size_t begin, std::size_t end) {
  std::int64_t result = 1;
  for (std::size_t i = begin; i < end; ++i) result *= sizes[i];
  return result;
}

const char* text(Layout layout) {
  static constexpr const char* kNames[] = {"contiguous", "padded",  "packed",
                                           "reversed",   "columns", "expanded"};
  return kNames[static_cast<std::size_t>(layout)];
}

const char* text(Values values) {
  static constexpr const char* kNames[] = {"normal", "shifted", "large", "small"};
  return kNames[static_cast<std::size_t>(values)];
}

// A case with everything that follows from op and dtypes set.
Case basic(Op op, std::vector<std::int64_t> sizes, DType dtype) {
  Case c;
  c.op = op;
  c.sizes = std::move(sizes);
  c.dtype = c.weight_dtype = c.y_dtype = dtype;
  c.bias = op == Op::layer_norm;
  c.eps = op == Op::layer_norm ? 1e-5 : 1e-6;
  return c;
}

constexpr Op kOps[] = {Op::rms_norm, Op::layer_norm};
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
      [](Case& c) { c.partial = c.op == Op::rms_norm ? 0.75 : 1.0; },
      [](Case& c) { c.partial = c.op == Op::rms_norm && c.width() >= 16 ? 0.0625 : 1.0; },
      [](Case& c) { c.misalignment = 1; },
      [](Case& c) { c.misalignment = 7, c.layout = Layout::padded; },
      [](Case& c) { c.layout = Layout::padded; },
      [](Case& c) { c.layout = Layout::packed; },
      [](Case& c) { c.layout = Layout::reversed; },
      [](Case& c) { c.layout = Layout::columns; },
      [](Case& c) { c.layout = Layout::expanded; },
      [](Case& c) { c.values = Values::shifted; },
      [](Case& c) { c.values = Values::large; },
      [](Case& c) { c.values = Values::small, c.eps = 0.0; },
  };
  return list;
}

// partial * width of tiny widths would round down to nothing.
bool possible(const Case& c) {
  const bool partial_is_empty =
      static_cast<std::int64_t>(static_cast<double>(c.width()) * c.partial) == 0;
  return !(c.width() > 0 && partial_is_empty);
}

// eps 0 needs rows that do not consist of one value.
void keep_finite(Case& c) {
  if (c.op == Op::layer_norm && c.width() == 1 && c.eps == 0.0) c.eps = 1e-5;
}

void add(std::vector<Case>& list, Case c) {
  keep_finite(c);
  if (possible(c)) list.push_back(std::move(c));
}

}  // namespace

std::int64_t Case::rows() const {
  return product(sizes, 0, sizes.size() - static_cast<std::size_t>(normalized_dims));
}

std::int64_t Case::width() const {
  return product(sizes, sizes.size() - static_cast<std::size_t>(normalized_dims), sizes.size());
}

std::string name(const Case& c) {
  std::string result = c.op == Op::rms_norm ? "rms_norm" : "layer_norm";
  for (std::size_t i = 0; i < c.sizes.size(); ++i) {
    result += i == 0 ? "_" : "x";
    result += std::to_string(c.sizes[i]);
  }
  if (c.normalized_dims != 1) result += "_last" + std::to_string(c.normalized_dims);
  result += std::string("_") + omninorm::name(c.dtype);
  if (c.y_dtype != c.dtype) result += std::string("_y_") + omninorm::name(c.y_dtype);
  if (c.weight) result += std::string("_weight_") + omninorm::name(c.weight_dtype);
  if (c.bias) result += "_bias";
  if (c.weight_offset != 0) result += "_offset";
  if (c.cast_policy == CastPolicy::before_weight) result += "_before_weight";
  if (c.eps == 0) result += "_eps_0";
  if (c.eps > 0.1) result += "_eps_big";
  if (c.partial != 1) result += "_partial_" + std::to_string(static_cast<int>(c.partial * 10000));
  if (c.layout != Layout::contiguous) result += std::string("_") + text(c.layout);
  if (c.misalignment != 0) result += "_misaligned_" + std::to_string(c.misalignment);
  if (c.values != Values::normal) result += std::string("_") + text(c.values);
  return result;
}

std::vector<Case> all_cases() {
  // Around the lanes of every vector and the blocks of several, up to rows that leave L1.
  static constexpr std::int64_t kWidths[] = {1,   2,   3,   4,   5,   7,   8,    9,    15,   16,
                                             17,  31,  32,  33,  63,  64,  65,   100,  127,  128,
                                             129, 255, 256, 257, 511, 768, 1000, 1024, 1025, 4099};
  std::vector<Case> list;
  std::size_t turn = 0;
  for (const Op op : kOps) {
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
      for (const std::vector<std::int64_t>& sizes :
           {std::vector<std::int64_t>{0, 8}, {8, 0}, {0, 0}, {5}, {67, 33}, {1, 1}}) {
        add(list, basic(op, sizes, dtype));
      }
      Case unsaved = basic(op, {3, 40}, dtype);
      unsaved.statistics = false;
      add(list, unsaved);
    }
  }
  return list;
}

RmsNormOptions rms_norm_options(const Case& c) {
  return {.eps = c.eps,
          .weight_offset = c.weight_offset,
          .cast_policy = c.cast_policy,
          .normalized_dims = c.normalized_dims,
          .partial = c.partial};
}

LayerNormOptions layer_norm_options(const Case& c) {
  return {.eps = c.eps,
          .weight_offset = c.weight_offset,
          .cast_policy = c.cast_policy,
          .normalized_dims = c.normalized_dims};
}

void forward(const Case& c, const NormForwardArgs& args, const Context& context) {
  if (c.op == Op::rms_norm) return rms_norm_forward(args, rms_norm_options(c), context);
  layer_norm_forward(args, layer_norm_options(c), context);
}

void backward(const Case& c, const NormBackwardArgs& args, const Context& context) {
  if (c.op == Op::rms_norm) return rms_norm_backward(args, rms_norm_options(c), context);
  layer_norm_backward(args, layer_norm_options(c), context);
}

std::size_t forward_workspace(const Case& c, const NormForwardArgs& args) {
  if (c.op == Op::rms_norm) return rms_norm_forward_workspace(args, rms_norm_options(c));
  return layer_norm_forward_workspace(args, layer_norm_options(c));
}

std::size_t backward_workspace(const Case& c, const NormBackwardArgs& args) {
  if (c.op == Op::rms_norm) return rms_norm_backward_workspace(args, rms_norm_options(c));
  return layer_norm_backward_workspace(args, layer_norm_options(c));
}

}  // namespace omninorm::cases
