// Volumes: networks, steps in parts, what is computed again, blocks and windows.

#include <ATen/ops/cat.h>
#include <ATen/ops/zeros.h>
#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <cstring>

#include "common/base/random.h"
#include "site_agent/learning/batch_loader.h"
#include "site_agent/learning/predictor.h"
#include "site_agent/learning/sliding_window.h"
#include "site_agent/learning/torch_scope.h"
#include "site_agent/learning/trainer.h"
#include "site_agent/learning/training_step.h"
#include "tests/catch.h"
#include "tests/site_agent/learning/made_dataset.h"

namespace consilium::learning {
namespace {

NoProgress quiet;

plan::Plan VolumePlan(std::uint32_t size = 16, std::uint32_t slices = 16) {
  plan::Plan plan = OutlinePlan(size);
  plan.model.architecture = plan::Architecture::kUnet3d;
  plan.preprocessing.slices = slices;
  plan.training.batch_size = 4;
  return plan;
}

// Noise with a bright box in each volume, whose outline is the target; each a patient.
MadeDataset VolumeData(std::size_t count, std::uint64_t seed, std::uint32_t size = 16,
                       std::uint32_t slices = 16) {
  const std::size_t voxels = std::size_t{slices} * size * size;
  MadeDataset data({.depth = slices, .height = size, .width = size}, voxels, 2.0f);
  SeededRandom random(seed, "volumes");
  for (std::size_t n = 0; n < count; ++n) {
    MadeDataset::Example example{.input = {}, .target = {}, .patient = n};
    const std::uint64_t x0 = random.Below(size / 2), y0 = random.Below(size / 2),
                        z0 = random.Below(slices / 2);
    for (std::uint64_t z = 0; z < slices; ++z) {
      for (std::uint64_t y = 0; y < size; ++y) {
        for (std::uint64_t x = 0; x < size; ++x) {
          const bool inside = x >= x0 && x < x0 + size / 3 && y >= y0 && y < y0 + size / 3 &&
                              z >= z0 && z < z0 + slices / 3;
          example.input.push_back(static_cast<float>(0.5 * random.Normal() + (inside ? 3 : 0)));
          example.target.push_back(inside ? 1 : 0);
        }
      }
    }
    data.Add(std::move(example));
  }
  return data;
}

std::vector<float> Values(const at::Tensor& tensor) {
  const at::Tensor values = tensor.detach().contiguous();
  const float* begin = values.data_ptr<float>();
  return {begin, begin + values.numel()};
}

Batch BatchOf(const MadeDataset& data, std::uint32_t count) {
  std::vector<std::size_t> order(data.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  return BatchLoader(data, order, {.batch_size = count}).Next();
}

std::unique_ptr<Network> FirstNetwork(const plan::Plan& plan) {
  std::unique_ptr<Network> network = Network::Make(plan);
  REQUIRE(network->Load(InitialModel(plan).value()).ok());
  return network;
}

// The weights after one step, and the most memory that tensors held meanwhile.
struct Stepped {
  std::vector<float> values;
  double loss = 0;
  std::int64_t peak_bytes = 0;
};

// Counts what the library takes for tensors: the size stands before the memory.
class CountingAllocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(std::size_t size) const override {
    auto* const block = static_cast<std::byte*>(std::aligned_alloc(kHead, RoundedUp(size)));
    if (block == nullptr) throw std::bad_alloc();
    std::memcpy(block, &size, sizeof size);
    const std::int64_t now = held += static_cast<std::int64_t>(size);
    for (std::int64_t most = peak; now > most && !peak.compare_exchange_weak(most, now);) {
    }
    return {block + kHead, block + kHead, &Free, at::Device(at::kCPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &Free; }

  static inline std::atomic<std::int64_t> held = 0, peak = 0;

 private:
  static constexpr std::size_t kHead = 64;
  static std::size_t RoundedUp(std::size_t size) { return (size + 2 * kHead - 1) / kHead * kHead; }
  static void Free(void* memory) {
    if (memory == nullptr) return;
    std::byte* const block = static_cast<std::byte*>(memory) - kHead;
    std::size_t size = 0;
    std::memcpy(&size, block, sizeof size);
    held -= static_cast<std::int64_t>(size);
    std::free(block);
  }
};

void CountFromHereOn() {
  static CountingAllocator& allocator = *new CountingAllocator;
  if (c10::GetCPUAllocator() != &allocator) c10::SetCPUAllocator(&allocator, /*priority=*/1);
  CountingAllocator::peak = CountingAllocator::held.load();
}

Stepped StepOf(const plan::Plan& plan, const Batch& batch) {
  const TorchThread thread;
  const std::unique_ptr<Network> network = FirstNetwork(plan);
  const std::unique_ptr<LearningTask> task = LearningTask::Make(plan);
  TrainingStep step(*network, *task, {}, plan);
  Stepped stepped;
  CountFromHereOn();
  const std::int64_t before = CountingAllocator::held;
  stepped.loss = step.Run(batch);
  stepped.peak_bytes = CountingAllocator::peak - before;
  const ModelState after = network->Save().value();
  stepped.values.assign(after.values().begin(), after.values().end());
  return stepped;
}

double LargestDifference(const std::vector<float>& a, const std::vector<float>& b) {
  REQUIRE(a.size() == b.size());
  double largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    largest = std::max(largest, std::abs(double{a[i]} - double{b[i]}));
  }
  return largest;
}

plan::Plan WithSgd(plan::Plan plan) {
  plan.training.optimizer = plan::Optimizer::kSgd;
  plan.training.momentum = 0;
  plan.training.learning_rate = 0.1;  // a step is a tenth of the gradient
  return plan;
}

TEST_CASE("a small 3D U-Net learns made volumes in seconds, and predicts them") {
  const plan::Plan plan = VolumePlan();
  const MadeDataset train = VolumeData(12, 1), test = VolumeData(6, 2);
  const TrainTask task{.plan = plan, .seed = 7, .epochs = 12};
  const auto trained = Train(InitialModel(plan).value(), train, task, quiet);
  INFO(trained.status());
  REQUIRE(trained.ok());
  const metrics::TaskSums sums = Evaluate(trained->trained, plan, test, quiet).value();
  CHECK(sums.As<metrics::SegmentationSums>().patients == 6);
  CHECK(metrics::Compute(sums, 0.9).value().headline > 0.8);
  CHECK(Predict(trained->trained, plan, test, quiet).value().size() == 6 * 2 * 16 * 16 * 16);

  const auto predictor = Predictor::Create(trained->trained, plan).value();
  std::vector<float> volume(16 * 16 * 16), mask(volume);
  test.Get(0, volume);
  test.GetTarget(0, mask);
  const Prediction prediction = predictor->Predict(volume).value();
  REQUIRE(prediction.mask.size() == mask.size());
  int wrong = 0;
  for (std::size_t i = 0; i < mask.size(); ++i) {
    wrong += static_cast<float>(prediction.mask[i]) != mask[i];
  }
  CHECK(wrong < 80);
}

TEST_CASE("a step in parts is the whole batch's, of flat images and volumes, even or not") {
  const std::uint32_t parts = GENERATE(2, 5);
  {
    plan::Plan plan = WithSgd(VolumePlan(8, 8));
    const Batch batch = BatchOf(VolumeData(5, 3, 8, 8), 5);
    const Stepped whole = StepOf(plan, batch);
    plan.training.accumulation = parts;
    const Stepped added = StepOf(plan, batch);
    CHECK(added.loss == Approx(whole.loss).epsilon(1e-5));
    CHECK(LargestDifference(whole.values, added.values) < 1e-5);
  }
  plan::Plan plan = WithSgd(OutlinePlan());
  const Batch batch = BatchOf(OutlineData(6, 3), 6);
  const Stepped whole = StepOf(plan, batch);
  const std::vector<float> before = Values(FirstNetwork(plan)->TrainedTensors().front());
  CHECK(LargestDifference({whole.values.begin(), whole.values.begin() + before.size()}, before) >
        1e-4);
  plan.training.accumulation = parts;
  CHECK(LargestDifference(whole.values, StepOf(plan, batch).values) < 1e-5);
}

TEST_CASE("a step in parts moves batch norm's statistics part by part, once") {
  plan::Plan plan = WithSgd(OutlinePlan());
  plan.model.norm = plan::Norm::kBatch;
  plan.training.accumulation = 3;
  const TorchThread thread;
  const std::unique_ptr<Network> network = FirstNetwork(plan);
  const std::unique_ptr<LearningTask> task = LearningTask::Make(plan);
  TrainingStep step(*network, *task, {}, plan);
  step.Run(BatchOf(OutlineData(6, 3), 6));
  for (const NamedTensor& entry : network->tensors()) {
    if (!entry.name.ends_with(".num_batches_tracked")) continue;
    CHECK(entry.tensor.item<float>() == 3);
  }
}

TEST_CASE("what is computed again gives the same step with less memory") {
  plan::Plan plan = WithSgd(VolumePlan(32, 32));
  const Batch batch = BatchOf(VolumeData(2, 4, 32, 32), 2);
  const Stepped kept = StepOf(plan, batch);
  plan.training.checkpointing = true;
  const Stepped again = StepOf(plan, batch);
  CHECK(again.loss == Approx(kept.loss).epsilon(1e-6));
  CHECK(LargestDifference(kept.values, again.values) < 1e-6);
  INFO(kept.peak_bytes << " and " << again.peak_bytes << " bytes");
  CHECK(static_cast<double>(again.peak_bytes) < 0.9 * static_cast<double>(kept.peak_bytes));
}

// Says of each voxel what is there: what no window can change.
class Local final : public Network {
 public:
  at::Tensor Forward(const at::Tensor& input, bool) override {
    largest = std::max(largest, input.numel());
    return at::cat({input.mul(2), input.neg().add(1)}, 1);
  }
  std::int64_t largest = 0;
};

TEST_CASE("a local network says the same through windows as of the whole volume") {
  const TorchThread thread;
  Local network;
  const Batch batch = BatchOf(VolumeData(2, 5, 40, 24), 2);
  const at::Tensor input = TensorOf(batch);
  const std::vector<float> whole = Values(network.Forward(input, false));
  for (const std::uint32_t block : {16u, 24u}) {
    network.largest = 0;
    const std::vector<float> windows = Values(AnswerOf(network, input, block));
    CHECK(LargestDifference(whole, windows) < 1e-5);
    CHECK(network.largest == 2 * std::int64_t{block} * block * block);
  }
}

TEST_CASE("a network trained on blocks outlines whole volumes") {
  plan::Plan plan = VolumePlan(24, 24);
  plan.training.block = 16;
  const MadeDataset train = VolumeData(10, 6, 24, 24), test = VolumeData(4, 7, 24, 24);
  const TrainTask task{.plan = plan, .seed = 7, .epochs = 10};
  const auto trained = Train(InitialModel(plan).value(), train, task, quiet);
  INFO(trained.status());
  REQUIRE(trained.ok());
  CHECK(metrics::Compute(Evaluate(trained->trained, plan, test, quiet).value(), 0.9)
            .value()
            .headline > 0.7);
}

TEST_CASE("a block's mask is of the same place as its image, and structures are often in it") {
  const std::uint32_t size = 32, block = 16;
  MadeDataset data({.depth = size, .height = size, .width = size}, std::size_t{size} * size * size);
  MadeDataset::Example example;
  for (std::size_t i = 0; i < std::size_t{size} * size * size; ++i) {
    example.input.push_back(static_cast<float>(i));
    example.target.push_back(i == 40 ? 1 : 0);  // one voxel, at an edge
  }
  data.Add(std::move(example));
  const std::vector<std::size_t> order(60, 0);
  BatchLoader loader(data, order, {.batch_size = 60, .targets_are_masks = true, .block = block});
  const Batch batch = loader.Next();
  CHECK(batch.shape == datasets::InputShape{1, block, block, block, 0});
  REQUIRE(batch.inputs.size() == 60u * block * block * block);
  REQUIRE(batch.targets.size() == batch.inputs.size());
  int marked = 0;
  for (std::size_t i = 0; i < batch.inputs.size(); ++i) {
    const bool is_marked = batch.inputs[i] == 40;
    marked += is_marked;
    if (is_marked != (batch.targets[i] == 1)) FAIL("the mask lies elsewhere");
  }
  CHECK(marked >= 10);
  CHECK(marked <= 45);
}

// One volume of 4 x 8 x 8 voxels, 2 mm wide and 5 mm thick.
class ThickSlices final : public datasets::Dataset {
 public:
  std::size_t size() const override { return 1; }
  std::uint32_t image_size() const override { return 8; }
  datasets::InputShape input_shape() const override { return {1, 4, 8, 8, 0}; }
  Label Get(std::size_t, std::span<float>) const override { return {}; }
  Label GetLabel(std::size_t) const override { return {}; }
  float spacing_mm(std::size_t) const override { return 2; }
  float slice_spacing_mm(std::size_t) const override { return 5; }
};

TEST_CASE("volumes and distances are in millilitres and millimetres of thick slices") {
  const TorchThread thread;
  plan::Plan plan = VolumePlan(8, 8);
  const ThickSlices data;
  const auto evaluation = LearningTask::Make(plan)->Evaluate(data);
  std::vector<float> truth(4 * 64, 0.0f);
  at::Tensor output = at::zeros({1, 2, 4, 8, 8});
  output.select(1, 0).fill_(1);
  truth[1 * 64 + 3 * 8 + 3] = 1;   // a voxel of the second slice
  output[0][1][2][3][3].fill_(2);  // and one of the third was found
  REQUIRE(evaluation->Add(output, truth, 0, 1).ok());
  const metrics::TaskSums sums = evaluation->Finish();
  const auto& structure = sums.As<metrics::SegmentationSums>().structures[0];
  CHECK(structure.dice == 0);
  CHECK(structure.hd95 == Approx(5));
  CHECK(structure.truth_ml == Approx(2 * 2 * 5 / 1000.0));
}

}  // namespace
}  // namespace consilium::learning
