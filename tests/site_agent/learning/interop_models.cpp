// Writes FOLDER/<architecture>-<norm>.safetensors, .images and .scores for torchvision_interop.py:
// a briefly trained model of each kind, images (float32, 8 x 64 x 64) and the scores that our code
// gives them (float32).

#include <cstdio>
#include <cstring>

#include "common/base/file.h"
#include "common/base/status.h"
#include "common/model/safetensors.h"
#include "site_agent/learning/trainer.h"
#include "tests/site_agent/learning/square_dataset.h"

namespace consilium::learning {
namespace {

absl::Status WriteFloats(const fs::path& path, std::span<const float> values) {
  Bytes bytes(values.size_bytes());
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return WriteFileDurably(path, bytes);
}

absl::Status WriteModel(const fs::path& folder, plan::Architecture architecture, plan::Norm norm) {
  const SquareDataset data(8, 64, 3);
  plan::Plan plan = SquarePlan(64);
  plan.training.batch_size = 8;
  plan.training.learning_rate = 1e-3;
  plan.model = {.architecture = architecture, .norm = norm};
  NoProgress progress;
  ASSIGN_OR_RETURN(const ModelState first, InitialModel(plan));
  ASSIGN_OR_RETURN(const TrainResult result,
                   Train(first, data, {.plan = plan, .seed = 5, .epochs = 3}, progress));
  ASSIGN_OR_RETURN(const std::vector<float> scores, Predict(result.trained, plan, data, progress));
  std::vector<float> images(8 * 64 * 64);
  for (std::size_t i = 0; i < 8; ++i) {
    data.Get(i, std::span(images).subspan(i * 64 * 64, 64 * 64));
  }
  const std::string name = StrCat(plan::Name(architecture), "-", plan::Name(norm));
  RETURN_IF_ERROR(SaveSafetensors(folder / (name + ".safetensors"), result.trained));
  RETURN_IF_ERROR(WriteFloats(folder / (name + ".images"), images));
  return WriteFloats(folder / (name + ".scores"), scores);
}

absl::Status WriteModels(const fs::path& folder) {
  ConfigureRuntime(0);
  RETURN_IF_ERROR(EnsureFolder(folder));
  for (const auto architecture : {plan::Architecture::kSmallCnn, plan::Architecture::kResNet18}) {
    for (const auto norm : {plan::Norm::kGroup, plan::Norm::kBatch}) {
      RETURN_IF_ERROR(WriteModel(folder, architecture, norm));
    }
  }
  return absl::OkStatus();
}

}  // namespace
}  // namespace consilium::learning

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: consilium_interop_models FOLDER\n");
    return 2;
  }
  return consilium::ReportAndExitCode(consilium::learning::WriteModels(argv[1]));
}
