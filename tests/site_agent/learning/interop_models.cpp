// Writes FOLDER/<architecture>-<norm>.safetensors, .images and .scores for torchvision_interop.py:
// a briefly trained model of each kind, images (float32, 8 x 64 x 64) and the scores that our code
// gives them (float32). With MODEL ARCHITECTURE NORM: the images and scores of that model instead,
// as FOLDER/<architecture>-<norm>, beside a copy of it.

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

plan::Plan InteropPlan(plan::Architecture architecture, plan::Norm norm) {
  plan::Plan plan = SquarePlan(64);
  plan.training.batch_size = 8;
  plan.training.learning_rate = 1e-3;
  plan.model = {.architecture = architecture, .norm = norm};
  return plan;
}

absl::Status WriteScores(const fs::path& folder, const plan::Plan& plan, const ModelState& model) {
  const SquareDataset data(8, 64, 3);
  NoProgress progress;
  ASSIGN_OR_RETURN(const std::vector<float> scores, Predict(model, plan, data, progress));
  std::vector<float> images(8 * 64 * 64);
  for (std::size_t i = 0; i < 8; ++i) {
    data.Get(i, std::span(images).subspan(i * 64 * 64, 64 * 64));
  }
  const std::string name =
      StrCat(plan::Name(plan.model.architecture), "-", plan::Name(plan.model.norm));
  RETURN_IF_ERROR(SaveSafetensors(folder / (name + ".safetensors"), model));
  RETURN_IF_ERROR(WriteFloats(folder / (name + ".images"), images));
  return WriteFloats(folder / (name + ".scores"), scores);
}

absl::Status ScoreGiven(const fs::path& folder, const fs::path& file, std::string_view architecture,
                        std::string_view norm) {
  ConfigureRuntime(0);
  RETURN_IF_ERROR(EnsureFolder(folder));
  ASSIGN_OR_RETURN(const ModelState model, LoadSafetensors(file));
  const plan::Plan plan = InteropPlan(
      architecture == plan::Name(plan::Architecture::kResNet18) ? plan::Architecture::kResNet18
                                                                : plan::Architecture::kSmallCnn,
      norm == plan::Name(plan::Norm::kBatch) ? plan::Norm::kBatch : plan::Norm::kGroup);
  return WriteScores(folder, plan, model);
}

absl::Status WriteModel(const fs::path& folder, plan::Architecture architecture, plan::Norm norm) {
  const SquareDataset data(8, 64, 3);
  const plan::Plan plan = InteropPlan(architecture, norm);
  NoProgress progress;
  ASSIGN_OR_RETURN(const ModelState first, InitialModel(plan));
  ASSIGN_OR_RETURN(const TrainResult result,
                   Train(first, data, {.plan = plan, .seed = 5, .epochs = 3}, progress));
  return WriteScores(folder, plan, result.trained);
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
  using namespace consilium;
  if (argc == 5) return ReportAndExitCode(learning::ScoreGiven(argv[1], argv[2], argv[3], argv[4]));
  if (argc != 2) {
    std::fprintf(stderr, "usage: consilium_interop_models FOLDER [MODEL ARCHITECTURE NORM]\n");
    return 2;
  }
  return ReportAndExitCode(learning::WriteModels(argv[1]));
}
