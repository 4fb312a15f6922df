// consilium-site train.

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_format.h"
#include "common/base/status.h"
#include "common/crypto/sha256.h"
#include "common/metrics/task_sums.h"
#include "common/model/safetensors.h"
#include "site_agent/commands.h"
#include "site_agent/local_sites.h"
#include "site_agent/local_training.h"
#include "site_agent/site_state.h"
#include "site_agent/torch_learner.h"

namespace consilium::site_agent {
namespace {

std::string_view WhyNoHeadline(Task task) {
  switch (task) {
    case Task::kSegmentation:
      return "  the validation split has no outline";
    case Task::kDetection:
      return "  the validation split has no finding";
    case Task::kSurvival:
      return "  the validation split has no pair of patients to compare";
    default:
      return "  the validation split has only one class";
  }
}

std::string EpochLine(const Epoch& epoch, std::uint32_t epochs, Task task) {
  std::string line = absl::StrFormat("epoch %3d/%d  loss %.4f", epoch.number, epochs, epoch.loss);
  if (epoch.validation) {
    const metrics::TaskMetrics& validation = *epoch.validation;
    absl::StrAppendFormat(&line, "  validation %s %.4f (95%% %.3f to %.3f)",
                          ForAbsl(HeadlineTitle(validation.shape.task)), validation.headline,
                          validation.headline_95.low, validation.headline_95.high);
  } else {
    StrAppend(&line, WhyNoHeadline(task));
  }
  absl::StrAppendFormat(&line, "  %.1f s, %.1f %% of it waiting for images", epoch.seconds,
                        100 * epoch.waited_for_batches_s / std::max(epoch.seconds, 1e-9));
  return StrCat(line, epoch.best ? "  best so far" : "");
}

nlohmann::ordered_json ToJson(const LocalModel& trained, const Digest& model) {
  nlohmann::ordered_json json = {{"model", model.Hex()}, {"best_epoch", trained.best_epoch}};
  for (const Epoch& epoch : trained.epochs) {
    nlohmann::ordered_json line = {{"epoch", epoch.number},
                                   {"loss", epoch.loss},
                                   {"seconds", epoch.seconds},
                                   {"waited_for_batches_s", epoch.waited_for_batches_s}};
    if (epoch.validation) {
      const std::string_view headline = HeadlineName(epoch.validation->shape.task);
      line[StrCat("validation_", headline)] = epoch.validation->headline;
    }
    json["epochs"].push_back(std::move(line));
  }
  return json;
}

}  // namespace

absl::Status Run(const TrainCommand& command) {
  ASSIGN_OR_RETURN(const plan::Plan plan, ReadPlan(command.plan));
  ASSIGN_OR_RETURN(const FolderLock lock, FolderLock::Acquire(command.state));
  TerminalProgress progress;
  learning::ConfigureRuntime(command.threads);
  ASSIGN_OR_RETURN(const auto sites,
                   IndexAll(command.data, command.state, command.threads, progress));
  ASSIGN_OR_RETURN(const auto train, OpenPooled(sites, plan, datasets::Split::kTrain, progress));
  ASSIGN_OR_RETURN(const auto validation,
                   OpenPooled(sites, plan, datasets::Split::kValidation, progress));
  ASSIGN_OR_RETURN(const auto scales, PrepareLocally(sites, plan, progress));
  TorchLearner learner;
  ASSIGN_OR_RETURN(ModelState start, StartOf(plan, command.initial, learner));
  const auto after_epoch = [&](const Epoch& epoch) {
    std::FILE* out = command.json ? stderr : stdout;
    std::fprintf(out, "%s\n", EpochLine(epoch, command.epochs, plan.target.task).c_str());
    std::fflush(out);
  };
  ASSIGN_OR_RETURN(
      const LocalModel trained,
      TrainLocally(learner, plan, std::move(start), scales, *train, *validation, command.epochs,
                   command.seed.value_or(plan.seed), after_epoch, progress));
  RETURN_IF_ERROR(SaveSafetensors(command.out, trained.model));
  ASSIGN_OR_RETURN(const Digest model, crypto::Sha256OfFile(command.out));
  if (command.json) {
    std::printf("%s\n", ToJson(trained, model).dump().c_str());
  } else {
    std::printf("epoch %u kept as model %s in %s\n", trained.best_epoch, model.Short().c_str(),
                command.out.c_str());
  }
  return absl::OkStatus();
}

}  // namespace consilium::site_agent
