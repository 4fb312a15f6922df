// Writes, for networks_interop.py, what our networks make of known numbers: of each network a model
// with no value left as it begins, inputs, the logits of evaluation, and of one training pass the
// logits, every gradient, and the state after it. FOLDER/NAME.safetensors and .after.safetensors
// are models, .gradients.safetensors has the trained tensors' gradients under their names; .inputs,
// .logits, .training_logits and .probe are float32. The loss is the mean of logits x probe. Prints
// a line a network: its name, architecture and norm, the input's shape, the logits' shape.

#include <ATen/ops/empty.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <limits>

#include "absl/strings/str_join.h"
#include "common/base/file.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "common/model/safetensors.h"
#include "site_agent/learning/network.h"
#include "site_agent/learning/torch_scope.h"
#include "site_agent/learning/trainer.h"
#include "tests/site_agent/learning/network_plans.h"

namespace consilium::learning {
namespace {

constexpr std::int64_t kExamples = 6;

absl::Status WriteTensor(const fs::path& path, const at::Tensor& tensor) {
  const at::Tensor values = tensor.detach().contiguous();
  Bytes bytes(static_cast<std::size_t>(values.numel()) * sizeof(float));
  std::memcpy(bytes.data(), values.data_ptr<float>(), bytes.size());
  return WriteFileDurably(path, bytes);
}

at::Tensor Noise(std::vector<std::int64_t> shape, std::string_view label) {
  SeededRandom random(11, label);
  at::Tensor noise = at::empty(shape);
  float* values = noise.data_ptr<float>();
  for (std::int64_t i = 0; i < noise.numel(); ++i) values[i] = static_cast<float>(random.Normal());
  return noise;
}

// Every value of the first model moved: no norm is the identity, no weight zero.
absl::StatusOr<ModelState> MovedModel(const plan::Plan& plan) {
  ASSIGN_OR_RETURN(const ModelState first, InitialModel(plan));
  std::vector<float> values(first.values().begin(), first.values().end());
  std::size_t offset = 0;
  for (const TensorSpec& tensor : first.layout()) {
    SeededRandom random(12, tensor.name);
    const bool counts = tensor.name.ends_with(".num_batches_tracked");
    const bool weighs = tensor.shape.size() > 1 && plan.data.source != plan::Source::kTable;
    for (std::size_t i = 0; i < tensor.Elements(); ++i) {
      const double moved = random.Uniform(0, weighs ? 0.01 : 0.3);
      values[offset + i] += counts ? 3 : static_cast<float>(moved);
    }
    offset += tensor.Elements();
  }
  return ModelState::Create(first.layout(), std::move(values));
}

// The same with the running statistics that these inputs have, found from what one pass with
// momentum 0.1 moves them by.
absl::StatusOr<ModelState> WithStatisticsOf(const at::Tensor& input, const ModelState& model,
                                            Network& network) {
  RETURN_IF_ERROR(network.Load(model));
  network.Forward(input, /*training=*/true);
  ASSIGN_OR_RETURN(const ModelState after, network.Save());
  std::vector<float> values(model.values().begin(), model.values().end());
  std::size_t offset = 0;
  for (const TensorSpec& tensor : model.layout()) {
    const bool variance = tensor.name.ends_with(".running_var");
    for (std::size_t i = offset; i < offset + tensor.Elements(); ++i) {
      const float now = (after.values()[i] - 0.9f * values[i]) / 0.1f;
      if (tensor.name.ends_with(".running_mean")) values[i] = now;
      if (variance) values[i] = std::max(now, 1e-4f);
    }
    offset += tensor.Elements();
  }
  return ModelState::Create(model.layout(), std::move(values));
}

absl::StatusOr<ModelState> Gradients(const Network& network) {
  Layout layout;
  std::vector<float> values;
  for (const NamedTensor& entry : network.tensors()) {
    if (!entry.trained) continue;
    const at::Tensor gradient = entry.tensor.grad().contiguous();
    const float* from = gradient.data_ptr<float>();
    layout.push_back({entry.name, gradient.sizes().vec()});
    values.insert(values.end(), from, from + gradient.numel());
  }
  return ModelState::Create(std::move(layout), std::move(values));
}

at::Tensor InputOf(const plan::Plan& plan) {
  if (plan.data.source == plan::Source::kTable) {
    at::Tensor rows = Noise({kExamples, static_cast<std::int64_t>(plan.table.Inputs())}, "rows");
    if (plan.table.Numbers() == 0) return rows;
    rows.select(1, 0).mul_(20).add_(60);
    rows.select(0, 1).narrow(0, 0, 1).fill_(std::numeric_limits<float>::quiet_NaN());
    return rows;
  }
  if (plan.data.source == plan::Source::kAudio) {
    return Noise({kExamples, 1, plan.audio.bands, plan.audio.Frames()}, "spectrograms");
  }
  const std::int64_t size = plan.preprocessing.image_size;
  if (!plan.table.columns.empty()) {
    const std::int64_t columns = plan.table.Inputs(), pixels = ChannelsOf(plan) * size * size;
    at::Tensor both = Noise({kExamples, pixels + columns}, "images and rows");
    both.select(1, pixels).mul_(20).add_(60);
    both.select(0, 1).narrow(0, pixels, 1).fill_(std::numeric_limits<float>::quiet_NaN());
    return both;
  }
  const std::int64_t slices = plan.preprocessing.slices;
  if (slices > 0) return Noise({kExamples, ChannelsOf(plan), slices, size, size}, "volumes");
  return Noise({kExamples, ChannelsOf(plan), size, size}, "images");
}

// As load_model.py calls it.
std::string ArchitectureOf(const plan::Plan& plan) {
  const bool both = plan.data.source == plan::Source::kDicom && !plan.table.columns.empty();
  return both ? "fusion" : std::string(plan::Name(plan.model.architecture));
}

absl::Status WriteRecord(const fs::path& folder, const plan::Plan& plan) {
  const std::unique_ptr<Network> network = Network::Make(plan);
  const at::Tensor input = InputOf(plan);
  const bool images = input.dim() == 4;
  const at::Tensor given = images ? input.contiguous(at::MemoryFormat::ChannelsLast) : input;
  ASSIGN_OR_RETURN(const ModelState moved, MovedModel(plan));
  ASSIGN_OR_RETURN(const ModelState model, WithStatisticsOf(given, moved, *network));
  RETURN_IF_ERROR(network->Load(model));
  const at::Tensor logits = network->Forward(given, /*training=*/false);
  const at::Tensor probe = Noise(logits.sizes().vec(), "probe");
  const at::Tensor trained = network->Forward(given, /*training=*/true);
  trained.mul(probe).mean().backward();
  ASSIGN_OR_RETURN(const ModelState gradients, Gradients(*network));
  ASSIGN_OR_RETURN(const ModelState after, network->Save());

  const std::string stem = (folder / plan.name).string();
  RETURN_IF_ERROR(SaveSafetensors(stem + ".safetensors", model));
  RETURN_IF_ERROR(SaveSafetensors(stem + ".after.safetensors", after));
  RETURN_IF_ERROR(SaveSafetensors(stem + ".gradients.safetensors", gradients));
  RETURN_IF_ERROR(WriteTensor(stem + ".inputs", input));
  RETURN_IF_ERROR(WriteTensor(stem + ".logits", logits));
  RETURN_IF_ERROR(WriteTensor(stem + ".training_logits", trained));
  RETURN_IF_ERROR(WriteTensor(stem + ".probe", probe));
  std::printf(
      "%s %s %s %s %s\n", plan.name.c_str(), ArchitectureOf(plan).c_str(),
      plan.data.source != plan::Source::kTable ? std::string(plan::Name(plan.model.norm)).c_str()
                                               : "none",
      absl::StrJoin(input.sizes(), ",").c_str(), absl::StrJoin(logits.sizes(), ",").c_str());
  return absl::OkStatus();
}

absl::Status WriteRecords(const fs::path& folder) {
  ConfigureRuntime(0);
  RETURN_IF_ERROR(EnsureFolder(folder));
  for (const plan::Plan& plan : NetworkPlans()) {
    RETURN_IF_ERROR(WithTorch(plan.name, [&] { return WriteRecord(folder, plan); }));
  }
  return absl::OkStatus();
}

}  // namespace
}  // namespace consilium::learning

int main(int argc, char** argv) {
  using namespace consilium;
  if (argc != 2) {
    std::fprintf(stderr, "usage: consilium_network_records FOLDER\n");
    return 2;
  }
  return ReportAndExitCode(learning::WriteRecords(argv[1]));
}
