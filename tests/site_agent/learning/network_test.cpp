#include "site_agent/learning/network.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>

#include <cmath>
#include <limits>

#include "common/base/random.h"
#include "site_agent/learning/optimizer.h"
#include "site_agent/learning/torch_scope.h"
#include "site_agent/learning/trainer.h"
#include "tests/catch.h"
#include "tests/site_agent/learning/network_plans.h"

namespace consilium::learning {
namespace {

at::Tensor Noise(std::vector<std::int64_t> shape) {
  SeededRandom random(5, "noise");
  at::Tensor noise = at::empty(shape);
  float* values = noise.data_ptr<float>();
  for (std::int64_t i = 0; i < noise.numel(); ++i) values[i] = static_cast<float>(random.Normal());
  return shape.size() == 4 ? noise.contiguous(at::MemoryFormat::ChannelsLast) : noise;
}

at::Tensor InputOf(const plan::Plan& plan, std::int64_t examples, std::int64_t size) {
  if (plan.data.source == plan::Source::kTable) return Noise({examples, plan.table.Inputs()});
  if (plan.data.source == plan::Source::kAudio) {
    return Noise({examples, 1, plan.audio.bands, plan.audio.Frames()});
  }
  if (!plan.table.columns.empty()) {
    const std::int64_t side = plan.preprocessing.image_size;
    return Noise({examples, ChannelsOf(plan) * side * side + plan.table.Inputs()});
  }
  if (plan.preprocessing.slices > 0) return Noise({examples, ChannelsOf(plan), 16, 16, 16});
  return Noise({examples, ChannelsOf(plan), size, size});
}

std::unique_ptr<Network> FirstNetwork(const plan::Plan& plan) {
  std::unique_ptr<Network> network = Network::Make(plan);
  const absl::StatusOr<ModelState> model = InitialModel(plan);
  REQUIRE(model.ok());
  REQUIRE(network->Load(*model).ok());
  return network;
}

// FNV-1a of names, shapes and values.
std::uint64_t Fingerprint(const ModelState& model) {
  std::uint64_t hash = 14695981039346656037u;
  const auto add = [&](const void* data, std::size_t size) {
    for (std::size_t i = 0; i < size; ++i) {
      hash = (hash ^ static_cast<const unsigned char*>(data)[i]) * 0x100000001b3u;
    }
  };
  for (const TensorSpec& tensor : model.layout()) {
    add(tensor.name.data(), tensor.name.size());
    for (const std::int64_t side : tensor.shape) add(&side, sizeof side);
  }
  add(model.values().data(), model.values().size_bytes());
  return hash;
}

std::vector<float> Values(const at::Tensor& tensor) {
  const at::Tensor values = tensor.detach().contiguous();
  return {values.data_ptr<float>(), values.data_ptr<float>() + values.numel()};
}

TEST_CASE("The first models of old plans are what they have always been, to the bit") {
  struct Known {
    plan::Architecture architecture;
    plan::Norm norm;
    std::uint64_t fingerprint;
  };
  const Known known =
      GENERATE(Known{plan::Architecture::kSmallCnn, plan::Norm::kGroup, 0xaf7a4ee1be415b37},
               Known{plan::Architecture::kSmallCnn, plan::Norm::kBatch, 0x84c6d1edbfeef9d3},
               Known{plan::Architecture::kResNet18, plan::Norm::kGroup, 0xf767a17205fda732},
               Known{plan::Architecture::kResNet18, plan::Norm::kBatch, 0xdcc1d08ceace6a98});
  plan::Plan plan = ImagePlan(known.architecture, known.norm);
  plan.seed = 7;
  CHECK(Fingerprint(InitialModel(plan).value()) == known.fingerprint);
}

TEST_CASE("A network gives the logits that its task asks for") {
  const TorchThread thread;
  for (const plan::Plan& plan : NetworkPlans()) {
    INFO(plan.name);
    const std::unique_ptr<Network> network = FirstNetwork(plan);
    const at::Tensor logits = network->Forward(InputOf(plan, 2, 32), /*training=*/false);
    std::vector<std::int64_t> expected = {2};
    if (OutputsOf(plan) > 1) expected.push_back(OutputsOf(plan));
    if (plan.preprocessing.slices > 0) {
      expected.insert(expected.end(), {16, 16, 16});
    } else if (plan.target.task == Task::kSegmentation) {
      expected.insert(expected.end(), {32, 32});
    }
    if (plan.target.task == Task::kDetection) expected.insert(expected.begin() + 1, 16 + 4 + 1);
    CHECK(logits.sizes().vec() == expected);
    for (const float logit : Values(logits)) CHECK(std::isfinite(logit));
  }
}

TEST_CASE("A small step along the gradient lowers the loss of every network by what it should") {
  const TorchThread thread;
  for (const plan::Plan& plan : NetworkPlans()) {
    INFO(plan.name);
    const std::unique_ptr<Network> network = FirstNetwork(plan);
    const at::Tensor input = InputOf(plan, 4, 64);
    const auto loss = [&] {
      return network->Forward(input, /*training=*/true).sub(1).square().mean();
    };
    const at::Tensor before = loss();
    before.backward();
    double slope = 0;
    for (const at::Tensor& tensor : network->TrainedTensors()) {
      slope += tensor.grad().square().sum().item<double>();
    }
    const double asked = 1e-3 * before.item<double>();
    plan::Training training;
    training.optimizer = plan::Optimizer::kSgd;
    training.weight_decay = 0;
    training.learning_rate = asked / slope;
    Optimizer(*network, training, /*proximal_mu=*/0).Step();
    CHECK(before.item<double>() - loss().item<double>() == Approx(asked).epsilon(0.3));
  }
}

TEST_CASE("What a feature map's places add, and the bias, are each logit") {
  const TorchThread thread;
  for (const plan::Plan& plan : NetworkPlans()) {
    INFO(plan.name);
    const std::unique_ptr<Network> network = FirstNetwork(plan);
    ImageClassifier* classifier = network->AsImageClassifier();
    CHECK((classifier != nullptr) ==
          (plan.data.source == plan::Source::kDicom && plan.table.columns.empty() &&
           !TaughtByMasks(plan.target.task)));
    if (classifier == nullptr) continue;
    const at::Tensor features = classifier->Features(InputOf(plan, 2, 64), /*training=*/false);
    const at::Tensor added = classifier->Contributions(features);
    CHECK(added.size(1) == OutputsOf(plan));
    const at::Tensor bias = network->tensors().back().tensor;
    const std::vector<float> sums = Values(added.mean({2, 3}).add(bias));
    const std::vector<float> logits = Values(classifier->Classify(features));
    REQUIRE(sums.size() == logits.size());
    for (std::size_t i = 0; i < sums.size(); ++i) CHECK(sums[i] == Approx(logits[i]).margin(1e-5));
  }
}

TEST_CASE("A table's numbers come to the federation's scale, and a missing one to its mean") {
  const TorchThread thread;
  const plan::Plan plan = TablePlan(plan::Architecture::kLogistic);
  const ModelState first = InitialModel(plan).value();
  // prepare.mean, prepare.deviation (age, pressure); linear.weight: age, pressure, female, male,
  // age missing, pressure missing; linear.bias.
  std::vector<float> values = {60, 120, 20, 10, 1, 2, 3, 4, 5, 6, 7};
  const ModelState model = ModelState::Create(first.layout(), std::move(values)).value();
  const std::unique_ptr<Network> network = Network::Make(plan);
  REQUIRE(network->Load(model).ok());
  at::Tensor rows = at::full({2, 6}, 0.0f);
  float* cells = rows.data_ptr<float>();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float given[] = {80, 100, 0, 1, 0, 0, nan, 130, 1, 0, 1, 0};
  std::copy(std::begin(given), std::end(given), cells);
  const std::vector<float> logits = Values(network->Forward(rows, /*training=*/true));
  CHECK(logits[0] == Approx(1 - 2 * 2 + 4 + 7));
  CHECK(logits[1] == Approx(2 + 3 + 5 + 7));
}

TEST_CASE("A table's preparation is no weight that training moves") {
  const std::unique_ptr<Network> network = Network::Make(TablePlan(plan::Architecture::kMlp));
  for (const NamedTensor& entry : network->tensors()) {
    CHECK(entry.trained == !entry.name.starts_with("prepare."));
  }
  plan::Plan categories = TablePlan(plan::Architecture::kLogistic);
  categories.table.columns = {categories.table.columns[1]};
  CHECK(Network::Make(categories)->tensors().front().name == "linear.weight");
}

TEST_CASE("Dropout follows its seed, and evaluation has none") {
  const TorchThread thread;
  plan::Plan plan = TablePlan(plan::Architecture::kMlp);
  plan.model.dropout = 0.5;
  const std::unique_ptr<Network> network = FirstNetwork(plan);
  const at::Tensor rows = InputOf(plan, 8, 0);
  const auto trained = [&](std::uint64_t seed) {
    network->Seed(seed);
    return Values(network->Forward(rows, /*training=*/true));
  };
  const std::vector<float> once = trained(3);
  CHECK(once == trained(3));
  CHECK(once != trained(4));
  const auto evaluated = Values(network->Forward(rows, /*training=*/false));
  CHECK(evaluated == Values(network->Forward(rows, /*training=*/false)));
}

}  // namespace
}  // namespace consilium::learning
