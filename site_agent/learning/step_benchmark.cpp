#include "site_agent/learning/step_benchmark.h"

#include <chrono>
#include <cmath>

#include "common/base/random.h"
#include "common/base/status.h"
#include "site_agent/learning/checks.h"
#include "site_agent/learning/tasks/shape.h"
#include "site_agent/learning/torch_scope.h"
#include "site_agent/learning/trainer.h"
#include "site_agent/learning/training_step.h"

namespace consilium::learning {
namespace {

// Noise, with targets that every task knows.
Batch NoiseBatch(const plan::Plan& plan) {
  SeededRandom random(plan.seed, "benchmark");
  Batch batch{.count = plan.training.batch_size, .shape = InputOf(plan)};
  batch.inputs.resize(batch.count * batch.shape.Elements());
  for (float& value : batch.inputs) value = static_cast<float>(random.Normal());
  batch.targets.resize(batch.count * TargetElementsOf(plan));
  for (std::size_t i = 0; i < batch.targets.size(); ++i) batch.targets[i] = i % 2 == 0 ? 0 : 1;
  if (plan.target.task == Task::kSurvival) {
    for (std::size_t i = 0; i < batch.count; ++i) batch.targets[2 * i] = static_cast<float>(i + 1);
  }
  return batch;
}

}  // namespace

absl::StatusOr<std::vector<double>> TimeTrainingSteps(const plan::Plan& plan, int warm_up,
                                                      int steps) {
  ASSIGN_OR_RETURN(const ModelState model, InitialModel(plan));
  return WithTorch("the benchmark", [&]() -> absl::StatusOr<std::vector<double>> {
    const std::unique_ptr<Network> network = Network::Make(plan);
    RETURN_IF_ERROR(LoadInto(*network, model, plan));
    const std::unique_ptr<LearningTask> task = LearningTask::Make(plan);
    TrainingStep step(*network, *task, {}, plan);
    const Batch batch = NoiseBatch(plan);
    std::vector<double> seconds;
    for (int i = 0; i < warm_up + steps; ++i) {
      const auto started = std::chrono::steady_clock::now();
      const double loss = step.Run(batch);
      const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - started;
      if (!std::isfinite(loss)) return absl::InternalError("the loss is not a number");
      if (i >= warm_up) seconds.push_back(taken.count());
    }
    return seconds;
  });
}

}  // namespace consilium::learning
