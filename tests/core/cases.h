// ONE table of cases for the reference and the kernels, the memory to run them in, and what must
// come out with how much error.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "omninorm/omninorm.h"

namespace omninorm::cases {

enum class Op : std::uint8_t {
  rms_norm,
  layer_norm,
  grouped_layer_norm,
  group_norm,
  instance_norm,
  batch_norm,
  add_rms_norm,
  add_layer_norm,
};
inline constexpr Op kAllOps[] = {Op::rms_norm,     Op::layer_norm,    Op::grouped_layer_norm,
                                 Op::group_norm,   Op::instance_norm, Op::batch_norm,
                                 Op::add_rms_norm, Op::add_layer_norm};
const char* name(Op op);

// How x, dy, y and dx lie in memory (y and dx are contiguous where a layout cannot be written to).
enum class Layout : std::uint8_t {
  contiguous,
  padded,                // rows 5 elements apart
  packed,                // the q of [..., T, 3, H, D] memory: no single stride walks the rows
  reversed,              // the outermost dimension runs backwards
  columns,               // the innermost dimension is not the one with stride 1
  expanded,              // all rows are one (inputs only)
  channels_last,         // of [N, C, spatial...]: C has stride 1
  channels_last_padded,  // likewise, positions 5 elements apart and images 3 more
};

// What batch_norm and instance_norm do with running statistics.
enum class Running : std::uint8_t { none, updated, evaluation };

enum class Values : std::uint8_t {
  normal,   // mean 0.1, standard deviation 1
  offset,   // mean 1.6, standard deviation 1
  shifted,  // mean 2000, standard deviation 1
  large,    // normal * 1e30 (6e3 for f16)
  small,    // normal * 1e-30 (6e-6 for f16)
};

struct Case {
  Op op = Op::rms_norm;
  std::vector<std::int64_t> sizes;           // of x
  int normalized_dims = 1;                   // rms_norm, layer_norm and their add_ forms
  std::int64_t groups = 1;                   // grouped_layer_norm and group_norm
  bool per_position = false;                 // grouped_layer_norm: of [N, C, spatial...]
  bool uncentred = false;                    // grouped_layer_norm
  Activation activation = Activation::none;  // group_norm, instance_norm, batch_norm
  Running running = Running::none;           // instance_norm, batch_norm
  double momentum = 0.1;                     // likewise
  bool dsum = true;                          // add_*: backward gets a gradient of the sum
  DType dtype = DType::f32;
  DType weight_dtype = DType::f32;
  DType y_dtype = DType::f32;
  bool weight = true;
  bool bias = false;
  bool statistics = true;  // forward saves mean (layer_norm) and rstd
  double eps = 1e-5;
  double weight_offset = 0.0;
  CastPolicy cast_policy = CastPolicy::after_weight;
  double partial = 1.0;  // rms_norm only
  Layout layout = Layout::contiguous;
  std::int64_t misalignment = 0;  // elements past a 64-byte boundary that every tensor starts at
  Values values = Values::normal;

  std::int64_t rows() const;   // sets of elements that share statistics
  std::int64_t width() const;  // elements in each
  std::int64_t elements() const;
  bool adds() const;
  bool centred() const;
  bool channels() const;                               // x is [N, C, spatial...]
  std::vector<std::int64_t> affine_shape() const;      // of weight and bias
  std::vector<std::int64_t> statistics_shape() const;  // of mean and rstd
  // Of an element, by its row-major index: which statistics and which weight it has.
  std::int64_t pool_of(std::int64_t element) const;
  std::int64_t channel_of(std::int64_t element) const;
};

// Letters, digits and underscores: a GoogleTest name.
std::string name(const Case& c);

// For correctness, a few hundred: every width near a vector or block boundary in every dtype with
// options taken in turn, then every option, affine form, layout and kind of value by itself.
std::vector<Case> all_cases();

// The arguments of every op; those of add_*'s backward name the sum x.
struct ForwardCall : NormForwardArgs {
  ForwardCall(const NormForwardArgs& args) : NormForwardArgs(args) {}
  ConstTensor residual{};
  Tensor sum{};
  RunningStatistics running{};
};
struct BackwardCall : NormBackwardArgs {
  BackwardCall(const NormBackwardArgs& args) : NormBackwardArgs(args) {}
  ConstTensor dsum{};
  RunningStatistics running{};
};

// The options of a case as the ops take them.
RmsNormOptions rms_norm_options(const Case& c);
LayerNormOptions layer_norm_options(const Case& c);
GroupedLayerNormOptions grouped_layer_norm_options(const Case& c);
GroupNormOptions group_norm_options(const Case& c);
InstanceNormOptions instance_norm_options(const Case& c);
BatchNormOptions batch_norm_options(const Case& c);

// Calls the op of the case.
void forward(const Case& c, const ForwardCall& args, const Context& context = {});
void backward(const Case& c, const BackwardCall& args, const Context& context = {});
std::size_t forward_workspace(const Case& c, const ForwardCall& args);
std::size_t backward_workspace(const Case& c, const BackwardCall& args);

// Memory for one tensor. Every byte starts as 0xff, a NaN in each dtype, so an element that was not
// written shows, and so does one that was read where there is none.
class Buffer {
 public:
  Buffer() = default;  // "not given"
  Buffer(DType dtype, std::vector<std::int64_t> sizes, Layout layout = Layout::contiguous,
         std::int64_t misalignment = 0, int normalized_dims = 1);
  Buffer(Buffer&&) = default;
  Buffer& operator=(Buffer&&) = default;

  Tensor tensor() { return tensor_; }
  ConstTensor tensor() const { return tensor_; }

  void fill(const std::vector<double>& values);  // row-major; rounds to the dtype
  std::vector<double> values() const;            // row-major

  // Empty, or which byte outside the elements was written (before, after or between the rows).
  std::string damage() const;

 private:
  Tensor tensor_;
  std::vector<std::byte> memory_;
  std::vector<bool> owned_;  // by an element
};

// All tensors of a case, inputs filled with numbers that depend only on its shape and dtypes.
// mean and rstd are outputs of forward and inputs of backward: fill them by running
// forward, or with truth's values.
struct Tensors {
  explicit Tensors(const Case& c);

  Buffer x, residual, weight, bias, sum, y, mean, rstd, running_mean, running_var;
  Buffer dy, dsum, dx, dweight, dbias;
  std::int64_t num_batches_tracked = 0;
  std::vector<double> running_mean_before, running_var_before;
  bool evaluation = false;

  ForwardCall forward_args();
  BackwardCall backward_args();
  std::string damage() const;  // of any of them
};

// What must come out, in double, and how far off a right implementation may be.
//
// The bounds follow from the arithmetic, with u = 2^-24 (2^-53 for f64) for sums and products in
// f32 (f64), v = half a step of the output's dtype, and k(d) = 8 + sqrt(d) for a sum of d terms
// in fixed order (its errors are as good as independent, and lanes shorten it further):
//
// clang-format off
//   mean     k(d) u mean|x|
//   rstd     rstd (k(d) u + (error of mean * rstd)^2)
//   y        |w| (rstd * error of mean + |xhat| (error of rstd / rstd + 4u)) + 4u (|y| + |bias|), + v
//   dx       rstd k(d) u (|g| + mean|g| + |xhat| mean|g xhat|), + v
//   dweight  k(n) u sum|dy xhat|, + v
//   dbias    k(n) u sum|dy|, + v
//   sum      u |x + residual|, + v
// clang-format on
//
// where w is weight + weight_offset and g = dy w. With before_weight, xhat near a tie may round to
// either neighbour: one step of x's dtype in xhat more, in y and in every term of dweight.
//
// An activation passes on the error of its argument z times its largest slope (1 for relu, 1.1 for
// silu), and adds 16u |z|. Backward's slope is off by half the error of z for silu, whose second
// derivative is at most 1/2, by 16u, and by 1 for relu where z may lie on either side of 0; that
// much of dy goes into dx, dweight and dbias like dy itself. Running variances take the error of
// variance, (2 k(d) u + (error of mean * rstd)^2) of variance + eps.
struct Expected {
  std::vector<double> value;
  std::vector<double> bound;
};

struct ForwardTruth {
  Expected sum, y, mean, rstd, running_mean, running_var;
};
struct BackwardTruth {
  Expected dx, dweight, dbias;
};

// After forward: add_*'s norm is that of the sum that `tensors` holds.
ForwardTruth forward_truth(const Case& c, const Tensors& tensors);

// From the mean and rstd that `tensors` holds.
BackwardTruth backward_truth(const Case& c, const Tensors& tensors);

// Empty where every element is within its bound (or both are NaN, or the same infinity), else the
// worst one in words. `name` is the tensor's.
std::string mismatch(const std::string& name, const Expected& expected, const Buffer& got);

}  // namespace omninorm::cases
