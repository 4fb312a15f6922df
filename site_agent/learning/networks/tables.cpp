#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/empty.h>

#include "common/base/text.h"
#include "site_agent/learning/networks/layers.h"
#include "site_agent/learning/networks/networks.h"
#include "site_agent/learning/networks/prepared_columns.h"

namespace consilium::learning {
namespace {

constexpr std::int64_t kDefaultHidden = 32;

// Rows of a table in; its numbers are brought to the federation's scale first.
class TableNetwork : public Network {
 public:
  at::Tensor Forward(const at::Tensor& rows, bool training) final {
    return Logits(prepare_(rows), training).squeeze(1);
  }

 protected:
  explicit TableNetwork(const plan::Table& table) : prepare_(*this, table) {}

  // N x inputs to N x outputs.
  virtual at::Tensor Logits(const at::Tensor& inputs, bool training) = 0;

 private:
  const PreparedColumns prepare_;
};

class LogisticRegression final : public TableNetwork {
 public:
  explicit LogisticRegression(const plan::Plan& plan) : TableNetwork(plan.table) {
    const std::int64_t inputs = plan.table.Inputs(), outputs = OutputsOf(plan);
    // Zero, where every start leads to the same optimum.
    linear_.weight = Add("linear.weight", {outputs, inputs}, {Start::Kind::kConstant, 0});
    linear_.bias = Add("linear.bias", {outputs}, {Start::Kind::kConstant, 0});
  }

 protected:
  at::Tensor Logits(const at::Tensor& inputs, bool) override { return linear_(inputs); }

 private:
  Linear linear_;
};

class Mlp final : public TableNetwork {
 public:
  explicit Mlp(const plan::Plan& plan) : TableNetwork(plan.table), dropout_(plan.model.dropout) {
    std::vector<std::int64_t> widths(plan.model.hidden.begin(), plan.model.hidden.end());
    if (widths.empty()) widths.push_back(kDefaultHidden);
    widths.push_back(OutputsOf(plan));
    std::int64_t inputs = plan.table.Inputs();
    for (const std::int64_t outputs : widths) {
      layers_.emplace_back(*this, StrCat("layers.", layers_.size()), inputs, outputs);
      inputs = outputs;
    }
    Seed(plan.seed);
  }

  void Seed(std::uint64_t seed) override { generator_ = at::detail::createCPUGenerator(seed); }

 protected:
  at::Tensor Logits(const at::Tensor& inputs, bool training) override {
    at::Tensor x = inputs;
    for (std::size_t i = 0; i + 1 < layers_.size(); ++i) {
      x = layers_[i](x).relu_();
      if (training && dropout_ > 0) x = x.mul(DropoutMask(x));
    }
    return layers_.back()(x);
  }

 private:
  // 0 with the dropout's probability, else what keeps the mean.
  at::Tensor DropoutMask(const at::Tensor& x) {
    const double kept = 1 - dropout_;
    return at::empty(x.sizes(), at::kFloat).bernoulli_(kept, generator_).div_(kept).to(x.device());
  }

  const double dropout_;
  std::vector<Linear> layers_;
  at::Generator generator_;
};

}  // namespace

std::unique_ptr<Network> MakeTableNetwork(const plan::Plan& plan) {
  if (plan.model.architecture == plan::Architecture::kMlp) return std::make_unique<Mlp>(plan);
  return std::make_unique<LogisticRegression>(plan);
}

}  // namespace consilium::learning
