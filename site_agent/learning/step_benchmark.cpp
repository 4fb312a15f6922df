#include "site_agent/learning/step_benchmark.h"

#include <chrono>
#include <cmath>

#include "common/base/random.h"
#include "common/base/status.h"
#include "site_agent/learning/checks.h"
#include "site_agent/learning/torch_scope.h"
#include "site_agent/learning/trainer.h"
#include "site_agent/learning/training_step.h"

namespace consilium::learning {
namespace {

Batch NoiseBatch(const plan::Plan& plan) {
  SeededRandom random(plan.seed, "benchmark");
  const std::size_t count = plan.training.batch_size, size = plan.preprocessing.image_size;
  Batch batch{.count = count};
  batch.pixels.resize(count * size * size);
  for (float& pixel : batch.pixels) pixel = static_cast<float>(random.Normal());
  for (std::size_t i = 0; i < count; ++i) batch.targets.push_back(static_cast<float>(i % 2));
  batch.weights.assign(count, 1.0f);
  return batch;
}

}  // namespace

absl::StatusOr<std::vector<double>> TimeTrainingSteps(const plan::Plan& plan, int warm_up,
                                                      int steps) {
  ASSIGN_OR_RETURN(const ModelState model, InitialModel(plan));
  return WithTorch("the benchmark", [&]() -> absl::StatusOr<std::vector<double>> {
    const std::unique_ptr<Network> network = Network::Make(plan);
    RETURN_IF_ERROR(LoadInto(*network, model, plan));
    TrainingStep step(*network, plan);
    const Batch batch = NoiseBatch(plan);
    std::vector<double> seconds;
    for (int i = 0; i < warm_up + steps; ++i) {
      const auto started = std::chrono::steady_clock::now();
      const double loss = step.Run(batch, plan.preprocessing.image_size);
      const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - started;
      if (!std::isfinite(loss)) return absl::InternalError("the loss is not a number");
      if (i >= warm_up) seconds.push_back(taken.count());
    }
    return seconds;
  });
}

}  // namespace consilium::learning
