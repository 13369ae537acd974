// oneDNN, of any 2.6 to 3.x. 2.6 has layer and batch normalisation; 3.x group normalisation and
// RMS norm too.
#include <fmt/format.h>

#include <array>
#include <cstring>
#include <oneapi/dnnl/dnnl.hpp>
#include <optional>
#include <unordered_map>

#include "bench/backend.h"

namespace omninorm::bench {
namespace {

using dnnl::memory;
using dnnl::normalization_flags;

dnnl::engine& engine() {
  static dnnl::engine cpu(dnnl::engine::kind::cpu, 0);
  return cpu;
}

dnnl::stream& stream() {
  static dnnl::stream only(engine());
  return only;
}

memory::data_type data_type(DType dtype) {
  return dtype == DType::f32    ? memory::data_type::f32
         : dtype == DType::bf16 ? memory::data_type::bf16
                                : memory::data_type::f16;
}

// 2.6 makes a primitive's description in two steps. `groups`: none, or group normalisation's.
template <class Forward, class... Groups>
typename Forward::primitive_desc describe_forward(dnnl::prop_kind kind, const memory::desc& x,
                                                  float eps, normalization_flags flags,
                                                  Groups... groups) {
#if DNNL_VERSION_MAJOR >= 3
  return {engine(), kind, x, x, groups..., eps, flags};
#else
  return {typename Forward::desc(kind, x, groups..., eps, flags), engine()};
#endif
}

template <class Backward, class Hint, class... Groups>
typename Backward::primitive_desc describe_backward(const memory::desc& x, float eps,
                                                    normalization_flags flags, const Hint& hint,
                                                    Groups... groups) {
  const auto kind = dnnl::prop_kind::backward;
#if DNNL_VERSION_MAJOR >= 3
  return {engine(), kind, x, x, x, groups..., eps, flags, hint};
#else
  return {typename Backward::desc(kind, x, x, groups..., eps, flags), engine(), hint};
#endif
}

// Memory that the primitives use beside the problem's; oneDNN takes weights in f32 alone.
struct Memory {
  Buffer matrix, weight, bias, dweight, dbias, mean, variance;
};

Buffer in_f32(const Problem& problem, const Buffer& from) {
  const auto count = static_cast<std::size_t>(problem.view.channels());
  Buffer result(count * sizeof(float));
  auto* to = reinterpret_cast<float*>(result.data());
  for (std::size_t i = 0; i < count; ++i) {
    if (problem.cell.dtype == DType::f32) {
      std::memcpy(to + i, from.data() + i * sizeof(float), sizeof(float));
      continue;
    }
    std::uint16_t bits;
    std::memcpy(&bits, from.data() + i * sizeof bits, sizeof bits);
    to[i] = problem.cell.dtype == DType::bf16 ? to_float(bfloat16{bits}) : to_float(float16{bits});
  }
  return result;
}

memory::desc vector_desc(std::int64_t size) {
  return {{size}, memory::data_type::f32, memory::format_tag::a};
}

struct Spec {
  memory::desc x;
  float eps;
  normalization_flags flags;
  bool has_mean;
};

template <class Forward, class Backward, class... Groups>
Side make_side(const Problem& problem, const Spec& spec, Groups... groups) {
  const auto kept = std::make_shared<Memory>();
  const bool fixed = problem.op.fixed_statistics;
  const auto kind = fixed && problem.forward() ? dnnl::prop_kind::forward_inference
                                               : dnnl::prop_kind::forward_training;
  const auto forward = describe_forward<Forward>(kind, spec.x, spec.eps, spec.flags, groups...);

  kept->matrix = Buffer(problem.x.bytes());
  kept->weight = in_f32(problem, problem.weight);
  kept->bias = in_f32(problem, problem.bias);
  std::unordered_map<int, memory> arguments;
  const auto give = [&](int argument, const memory::desc& desc, const Buffer& buffer) {
    arguments.emplace(argument, memory(desc, engine(), buffer.data()));
  };
  const auto vector = vector_desc(problem.view.channels());
  give(DNNL_ARG_SRC, spec.x, problem.x);
  give(DNNL_ARG_DST, spec.x, kept->matrix);
  give(DNNL_ARG_SCALE, vector, kept->weight);
  if (problem.op.has_bias) give(DNNL_ARG_SHIFT, vector, kept->bias);
  if (fixed) {
    give(DNNL_ARG_MEAN, vector, problem.running_mean);
    give(DNNL_ARG_VARIANCE, vector, problem.running_var);
  } else {
    kept->variance = Buffer(forward.variance_desc().get_size());
    give(DNNL_ARG_VARIANCE, forward.variance_desc(), kept->variance);
    if (spec.has_mean) {
      kept->mean = Buffer(forward.mean_desc().get_size());
      give(DNNL_ARG_MEAN, forward.mean_desc(), kept->mean);
    }
  }
  const dnnl::primitive first = Forward(forward);
  Outputs outputs{.matrix = problem.matrix(kept->matrix), .keep = kept};
  auto run = [kept, first, arguments] {
    first.execute(stream(), arguments);
    stream().wait();
  };
  if (!problem.forward()) {
    run();  // mean and variance
    const auto backward =
        describe_backward<Backward>(spec.x, spec.eps, spec.flags, forward, groups...);
    arguments.erase(DNNL_ARG_DST);
    give(DNNL_ARG_DIFF_DST, spec.x, problem.dy);
    give(DNNL_ARG_DIFF_SRC, spec.x, kept->matrix);
    kept->dweight = Buffer(kept->weight.bytes());
    give(DNNL_ARG_DIFF_SCALE, vector, kept->dweight);
    outputs.dweight = problem.channels(kept->dweight);
    if (problem.op.has_bias) {
      kept->dbias = Buffer(kept->bias.bytes());
      give(DNNL_ARG_DIFF_SHIFT, vector, kept->dbias);
      outputs.dbias = problem.channels(kept->dbias);
    }
    const dnnl::primitive second = Backward(backward);
    try {
      second.execute(stream(), arguments);
    } catch (const dnnl::error&) {
      // Whether backward takes the bias, which it does not need, differs by version and primitive.
      arguments.erase(DNNL_ARG_SHIFT);
    }
    stream().wait();
    const auto back = [kept, second, arguments] {
      second.execute(stream(), arguments);
      stream().wait();
    };
    return {"onednn", back, [back, outputs] {
              back();
              return outputs;
            }};
  }
  return {"onednn", run, [run, outputs] {
            run();
            return outputs;
          }};
}

Spec spec_of(const Problem& problem, const memory::dims& sizes, const memory::dims& strides) {
  auto flags = normalization_flags::use_scale;
  if (problem.op.has_bias) flags = flags | normalization_flags::use_shift;
  if (problem.op.fixed_statistics) flags = flags | normalization_flags::use_global_stats;
  return {{sizes, data_type(problem.cell.dtype), strides},
          static_cast<float>(problem.op.eps),
          flags,
          true};
}

std::optional<Side> side_of(const Problem& problem) {
  const View& view = problem.view;
  const auto sizes = problem.cell.shape.sizes;
  if (!problem.op.residual.empty()) return {};
  Spec spec = spec_of(problem, sizes, strides(problem.cell));
  if (problem.op.grouping == Grouping::whole) {
    if (!problem.op.centered) {
#if DNNL_VERSION_MAJOR > 3 || (DNNL_VERSION_MAJOR == 3 && DNNL_VERSION_MINOR >= 8)
      spec.flags = spec.flags | normalization_flags::rms_norm;
      spec.has_mean = false;
#else
      return {};
#endif
    }
    return make_side<dnnl::layer_normalization_forward, dnnl::layer_normalization_backward>(problem,
                                                                                            spec);
  }
  if (view.pool_n) {
    return make_side<dnnl::batch_normalization_forward, dnnl::batch_normalization_backward>(problem,
                                                                                            spec);
  }
#if DNNL_VERSION_MAJOR > 3 || (DNNL_VERSION_MAJOR == 3 && DNNL_VERSION_MINOR >= 3)
  if (!view.pool_s) {  // LN-G: rows of channels are images of one position
    if (problem.cell.layout == Layout::nchw) return {};
    spec = spec_of(problem, {view.n * view.s, view.channels(), 1}, {view.channels(), 1, 1});
  }
  return make_side<dnnl::group_normalization_forward, dnnl::group_normalization_backward>(
      problem, spec, view.g);
#else
  return {};
#endif
}

}  // namespace

std::vector<Side> onednn_sides(const Problem& problem) {
  std::vector<Side> sides;
  try {
    if (auto side = side_of(problem)) sides.push_back(std::move(*side));
  } catch (const dnnl::error& error) {
    // No such primitive for this dtype on this machine.
    if (error.status != dnnl_unimplemented) throw;
  }
  return sides;
}

std::string onednn_version() {
  const auto* version = dnnl_version();
  return fmt::format("{}.{}.{}", version->major, version->minor, version->patch);
}

}  // namespace omninorm::bench
