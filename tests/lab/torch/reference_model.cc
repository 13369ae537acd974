#include "tests/lab/torch/reference_model.h"

#include <cmath>
#include <stdexcept>
#include <vector>

namespace omninorm::lab::testing {
namespace {

class Reference {
 public:
  Reference(const Settings& settings, const Parameters& parameters)
      : s_(settings), p_(parameters) {}

  at::Tensor logits(const at::Tensor& tokens) const {
    at::Tensor x = p_.at("embedding").index_select(0, tokens.flatten());
    x = x.view({tokens.size(0), tokens.size(1), s_.width});
    if (s_.embedding_norm) {
      x = norm(x, "embedding_norm");
    }
    for (std::int64_t i = 0; i < s_.layers; ++i) {
      const std::string block = "block" + std::to_string(i) + ".";
      x = place(x, block, "attention");
      x = place(x, block, "mlp");
    }
    if (s_.placement != "post") {
      x = norm(x, "final_norm");
    }
    return x.matmul(p_.at(s_.tied ? "embedding" : "output").t());
  }

 private:
  at::Tensor place(const at::Tensor& x, const std::string& block, const std::string& f) const {
    const auto sublayer = [&](const at::Tensor& h) {
      return f == "attention" ? attention(h, block + "attention.") : mlp(h, block + "mlp.");
    };
    const auto before = [&](const at::Tensor& h) { return norm(h, block + "norm_before_" + f); };
    const auto after = [&](const at::Tensor& h) { return norm(h, block + "norm_after_" + f); };
    const auto sum = [&](const at::Tensor& h) { return norm(h, block + "norm_after_sum_" + f); };
    if (s_.placement == "post") return sum(x + sublayer(x));
    if (s_.placement == "pre") return x + sublayer(before(x));
    if (s_.placement == "peri") return x + after(sublayer(before(x)));
    if (s_.placement == "output") return x + after(sublayer(x));
    throw std::runtime_error("the reference has no placement " + s_.placement);
  }

  at::Tensor norm(const at::Tensor& x, const std::string& name) const {
    if (s_.norm == "none") {
      return x;
    }
    if (s_.norm == "rms_norm") {
      return x / at::sqrt((x * x).mean(-1, true) + s_.norm_eps) * p_.at(name + ".weight");
    }
    const std::int64_t groups = s_.norm == "layer_norm" ? 1 : s_.norm_groups;
    const at::Tensor parts = x.unflatten(-1, {groups, -1});
    const at::Tensor centred = parts - parts.mean(-1, true);
    const at::Tensor deviation = at::sqrt((centred * centred).mean(-1, true) + s_.norm_eps);
    return (centred / deviation).flatten(-2) * p_.at(name + ".weight") + p_.at(name + ".bias");
  }

  // Position t turns the pair (2i, 2i+1) by the angle t * 10000^(-2i/d).
  at::Tensor rotated(const at::Tensor& head) const {
    at::Tensor out = head.clone();
    const auto d = head.size(-1);
    for (std::int64_t t = 0; t < head.size(1); ++t) {
      for (std::int64_t i = 0; i < d; i += 2) {
        const double angle = static_cast<double>(t) *
                             std::pow(10000.0, -static_cast<double>(i) / static_cast<double>(d));
        const at::Tensor a = head.select(1, t).select(-1, i);
        const at::Tensor b = head.select(1, t).select(-1, i + 1);
        out.select(1, t).select(-1, i).copy_(a * std::cos(angle) - b * std::sin(angle));
        out.select(1, t).select(-1, i + 1).copy_(a * std::sin(angle) + b * std::cos(angle));
      }
    }
    return out;
  }

  at::Tensor attention(const at::Tensor& x, const std::string& name) const {
    const auto d = s_.width / s_.heads;
    const auto weight = p_.at(name + "qkv");
    const auto project = [&](std::int64_t part, std::int64_t head) {
      return x.matmul(weight.narrow(0, part * s_.width + head * d, d).t());
    };
    const auto future =
        at::ones({x.size(1), x.size(1)}, at::TensorOptions().dtype(at::kBool)).triu(1);
    std::vector<at::Tensor> heads;
    for (std::int64_t h = 0; h < s_.heads; ++h) {
      at::Tensor q = project(0, h);
      at::Tensor k = project(1, h);
      if (s_.qk_norm) {
        q = norm(q, name + "norm_q");
        k = norm(k, name + "norm_k");
      }
      const at::Tensor scores =
          rotated(q).matmul(rotated(k).transpose(1, 2)) / std::sqrt(static_cast<double>(d));
      const at::Tensor e = at::exp(scores).masked_fill(future, 0.0);
      heads.push_back((e / e.sum(-1, true)).matmul(project(2, h)));
    }
    return at::cat(heads, -1).matmul(p_.at(name + "out").t());
  }

  at::Tensor mlp(const at::Tensor& x, const std::string& name) const {
    at::Tensor h = x.matmul(p_.at(name + "up").t());
    if (s_.mlp == "swiglu") {
      const auto half = h.size(-1) / 2;
      const at::Tensor gate = h.narrow(-1, 0, half);
      h = gate * at::sigmoid(gate) * h.narrow(-1, half, half);
    } else {
      h = 0.5 * h * (1 + at::erf(h / std::sqrt(2.0)));
    }
    return h.matmul(p_.at(name + "down").t());
  }

  const Settings& s_;
  const Parameters& p_;
};

}  // namespace

Parameters parameters_of(const torch::nn::Module& model) {
  Parameters parameters;
  for (const auto& item : model.named_parameters()) {
    parameters[item.key()] = item.value();
  }
  return parameters;
}

at::Tensor reference_logits(const Settings& settings, const Parameters& parameters,
                            const at::Tensor& tokens) {
  return Reference(settings, parameters).logits(tokens);
}

}  // namespace omninorm::lab::testing
