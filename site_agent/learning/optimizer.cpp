#include "site_agent/learning/optimizer.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/zeros_like.h>

#include <cmath>

#include "common/base/text.h"
#include "site_agent/learning/network.h"

namespace consilium::learning {
namespace {

constexpr double kBeta1 = 0.9, kBeta2 = 0.999;
constexpr float kEpsilon = 1e-8f;
constexpr std::int64_t kGrain = 32768;  // elements a thread takes at once

// The gradient with the same memory order as its parameter, so that both can be walked as flat
// arrays.
at::Tensor GradientLike(const at::Tensor& parameter) {
  const at::Tensor gradient = parameter.grad();
  if (gradient.strides() == parameter.strides()) return gradient;
  return at::empty_like(parameter.detach()).copy_(gradient);
}

struct SgdRule {
  float rate, momentum, decay;

  void operator()(float& w, float g, float& velocity) const {
    velocity = momentum * velocity + (g + decay * w);
    w -= rate * velocity;
  }
  void operator()(at::Tensor& w, const at::Tensor& g, at::Tensor& velocity) const {
    velocity.mul_(momentum).add_(g.add(w, decay));
    w.sub_(velocity, rate);
  }
};

struct AdamWRule {
  float shrink, step_size, inverse_root_correction;

  void operator()(float& w, float g, float& first, float& second) const {
    first = kB1 * first + (1 - kB1) * g;
    second = kB2 * second + (1 - kB2) * g * g;
    const float deviation = std::sqrt(second) * inverse_root_correction + kEpsilon;
    w = shrink * w - step_size * first / deviation;
  }
  void operator()(at::Tensor& w, const at::Tensor& g, at::Tensor& first, at::Tensor& second) const {
    first.mul_(kB1).add_(g, 1 - kB1);
    second.mul_(kB2).addcmul_(g, g, 1 - kB2);
    const at::Tensor deviation = second.sqrt().mul_(inverse_root_correction).add_(kEpsilon);
    w.mul_(shrink).addcdiv_(first, deviation, -step_size);
  }

 private:
  static constexpr float kB1 = kBeta1, kB2 = kBeta2;
};

// Runs `rule` over every element, in the processor's memory; `base` is null without a proximal
// term. All arrays have `count` elements.
template <class Rule, class... Moments>
void Walk(std::int64_t count, float* w, const float* g, const float* base, float mu,
          const Rule& rule, Moments*... moments) {
  at::parallel_for(0, count, kGrain, [=](std::int64_t begin, std::int64_t end) {
    if (base == nullptr) {
      for (std::int64_t i = begin; i < end; ++i) rule(w[i], g[i], moments[i]...);
    } else {
      for (std::int64_t i = begin; i < end; ++i) {
        rule(w[i], g[i] + mu * (w[i] - base[i]), moments[i]...);
      }
    }
  });
}

// Moves `parameter` along its gradient by `rule`, pulled towards `base` where that is defined.
template <class Rule, class... Moments>
void Move(const at::Tensor& parameter, const at::Tensor& base, float mu, const Rule& rule,
          Moments&... moments) {
  if (!parameter.device().is_cpu()) {
    at::Tensor w = parameter.detach();
    const at::Tensor g = parameter.grad();
    rule(w, base.defined() ? g.add(w.sub(base), mu) : g, moments...);
    return;
  }
  const at::Tensor gradient = GradientLike(parameter);
  Walk(parameter.numel(), parameter.data_ptr<float>(), gradient.data_ptr<float>(),
       base.defined() ? base.data_ptr<float>() : nullptr, mu, rule,
       moments.template data_ptr<float>()...);
}

}  // namespace

Optimizer::Optimizer(Network& network, const plan::Training& training, double proximal_mu,
                     const ModelState* pulled_to)
    : network_(network), training_(training), proximal_mu_(static_cast<float>(proximal_mu)) {
  const float* pull = pulled_to != nullptr ? pulled_to->values().data() : nullptr;
  for (const NamedTensor& entry : network.tensors()) {
    const at::Tensor values = entry.tensor.detach();
    if (entry.trained) {
      Slot slot{.parameter = entry.tensor};
      if (proximal_mu > 0) {
        slot.base = values.clone();
        // from_blob wants a mutable pointer; it is only read.
        if (pull != nullptr) {
          slot.base.copy_(at::from_blob(const_cast<float*>(pull), values.sizes()));
        }
      }
      slot.first = at::zeros_like(values);
      if (training.optimizer == plan::Optimizer::kAdamW) slot.second = at::zeros_like(values);
      slots_.push_back(std::move(slot));
    }
    if (pull != nullptr) pull += values.numel();
  }
}

OptimizerMoments Optimizer::Moments() const {
  OptimizerMoments moments{.steps = steps_};
  const auto append = [](const at::Tensor& tensor, std::vector<float>& all) {
    const at::Tensor values = tensor.to(at::kCPU).contiguous();
    const float* begin = values.data_ptr<float>();
    all.insert(all.end(), begin, begin + values.numel());
  };
  for (const Slot& slot : slots_) {
    append(slot.first, moments.first);
    if (slot.second.defined()) append(slot.second, moments.second);
  }
  return moments;
}

absl::Status Optimizer::Restore(const OptimizerMoments& moments) {
  std::size_t trained = 0;
  for (const Slot& slot : slots_) trained += static_cast<std::size_t>(slot.first.numel());
  const bool two = training_.optimizer == plan::Optimizer::kAdamW;
  if (moments.first.size() != trained || moments.second.size() != (two ? trained : 0)) {
    return absl::InvalidArgumentError(StrCat("the optimizer's moments are of ",
                                             moments.first.size(), " and ", moments.second.size(),
                                             " values; the plan's network trains ", trained));
  }
  std::size_t offset = 0;
  const auto copy = [&offset](const std::vector<float>& from, at::Tensor& to) {
    // from_blob wants a mutable pointer; it is only read.
    to.copy_(at::from_blob(const_cast<float*>(from.data() + offset), to.sizes()));
  };
  for (Slot& slot : slots_) {
    copy(moments.first, slot.first);
    if (two) copy(moments.second, slot.second);
    offset += static_cast<std::size_t>(slot.first.numel());
  }
  steps_ = moments.steps;
  return absl::OkStatus();
}

void Optimizer::Step() {
  network_.PassGradientsToAdapters();
  ++steps_;
  const double rate = training_.learning_rate;
  const SgdRule sgd{static_cast<float>(rate), static_cast<float>(training_.momentum),
                    static_cast<float>(training_.weight_decay)};
  const AdamWRule adamw{
      static_cast<float>(1 - rate * training_.weight_decay),
      static_cast<float>(rate / (1 - std::pow(kBeta1, static_cast<double>(steps_)))),
      static_cast<float>(1 / std::sqrt(1 - std::pow(kBeta2, static_cast<double>(steps_))))};
  for (Slot& slot : slots_) {
    if (training_.optimizer == plan::Optimizer::kSgd) {
      Move(slot.parameter, slot.base, proximal_mu_, sgd, slot.first);
    } else {
      Move(slot.parameter, slot.base, proximal_mu_, adamw, slot.first, slot.second);
    }
    slot.parameter.mutable_grad() = at::Tensor();
  }
  network_.ApplyAdapters();
}

}  // namespace consilium::learning
