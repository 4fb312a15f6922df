// consilium-site train and evaluate.

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_format.h"
#include "common/base/status.h"
#include "common/crypto/sha256.h"
#include "common/metrics/task_sums.h"
#include "common/model/safetensors.h"
#include "datasets/worker/sandboxed_reader.h"
#include "site_agent/catalog_data.h"
#include "site_agent/commands.h"
#include "site_agent/local_training.h"
#include "site_agent/policy.h"
#include "site_agent/site_state.h"
#include "site_agent/torch_learner.h"

namespace consilium::site_agent {
namespace {

absl::StatusOr<plan::Plan> ReadPlan(const fs::path& file) {
  ASSIGN_OR_RETURN(const std::string text, ReadTextFile(file, 1 << 20));
  return plan::ParsePlan(text);
}

// One folder shares the site's own catalog; several get one each, with a key of its own: to split
// the patients of a hospital as it does itself, copy its pseudonym.key to STATE/pooled/N first.
absl::StatusOr<std::vector<std::unique_ptr<LocalData>>> IndexAll(const std::vector<fs::path>& data,
                                                                 const fs::path& state, int threads,
                                                                 Progress& progress) {
  std::vector<std::unique_ptr<LocalData>> sites;
  datasets::IndexOptions options;
  options.threads = static_cast<unsigned>(threads);
  ASSIGN_OR_RETURN(const Policy policy, LoadPolicy(SiteFolder{state}.Policy()));
  options.policy = policy.deidentification;
  ASSIGN_OR_RETURN(const std::shared_ptr<datasets::ImageReader> reader,
                   datasets::SandboxedReader::Create({.workers = options.threads}));
  for (std::size_t i = 0; i < data.size(); ++i) {
    const fs::path own = data.size() == 1 ? state : state / "pooled" / StrCat(i + 1);
    ASSIGN_OR_RETURN(auto site, CatalogData::Index(own / "catalog.db", own / "cache", data[i],
                                                   options, reader, progress));
    std::fprintf(stderr, "%s", Describe(site->report()).c_str());
    sites.push_back(std::move(site));
  }
  return sites;
}

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

std::string MetricsText(const metrics::TaskMetrics& metrics) {
  if (const auto* binary = std::get_if<metrics::BinaryMetrics>(&metrics.all)) {
    return absl::StrFormat(
        "%d positive, %d negative, %d patients\n"
        "AUROC %.4f (95%% %.3f to %.3f)  AUPRC %.4f  accuracy %.4f  "
        "sensitivity %.4f at specificity %.2f  Brier %.4f",
        binary->positives, binary->negatives, binary->patients, binary->auroc, binary->auroc_95.low,
        binary->auroc_95.high, binary->auprc, binary->accuracy, binary->sensitivity,
        binary->at_specificity, binary->brier);
  }
  std::string text = absl::StrFormat("%d patients\n%s %.4f (95%% %.3f to %.3f)", metrics.patients,
                                     ForAbsl(HeadlineTitle(metrics.shape.task)), metrics.headline,
                                     metrics.headline_95.low, metrics.headline_95.high);
  const std::string headline(HeadlineName(metrics.shape.task));
  for (const auto& [name, value] : metrics.Values(/*with_counts=*/false)) {
    if (name.starts_with(headline)) continue;
    absl::StrAppendFormat(&text, "  %s %.4f", name, value);
  }
  return text;
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
  const auto after_epoch = [&](const Epoch& epoch) {
    std::FILE* out = command.json ? stderr : stdout;
    std::fprintf(out, "%s\n", EpochLine(epoch, command.epochs, plan.target.task).c_str());
    std::fflush(out);
  };
  ASSIGN_OR_RETURN(const LocalModel trained,
                   TrainLocally(learner, plan, scales, *train, *validation, command.epochs,
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

absl::Status Run(const EvaluateCommand& command) {
  ASSIGN_OR_RETURN(const plan::Plan plan, ReadPlan(command.plan));
  ASSIGN_OR_RETURN(const ModelState model, LoadSafetensors(command.model));
  ASSIGN_OR_RETURN(const Digest id, crypto::Sha256OfFile(command.model));
  ASSIGN_OR_RETURN(const FolderLock lock, FolderLock::Acquire(command.state));
  TerminalProgress progress;
  learning::ConfigureRuntime(command.threads);
  ASSIGN_OR_RETURN(const auto sites,
                   IndexAll(command.data, command.state, command.threads, progress));
  const auto split =
      command.split == "test" ? datasets::Split::kTest : datasets::Split::kValidation;
  ASSIGN_OR_RETURN(const auto data, OpenPooled(sites, plan, split, progress));
  TorchLearner learner;
  ASSIGN_OR_RETURN(const auto sums, learner.Evaluate(model, plan, *data, progress));
  const auto metrics = metrics::Compute(sums, plan.evaluation.at_specificity);
  if (command.json) {
    nlohmann::ordered_json json = {{"model", id.Hex()}, {"split", command.split}};
    json["metrics"] = metrics.ok() ? nlohmann::ordered_json::parse(metrics::ToJson(*metrics))
                                   : nlohmann::ordered_json();
    json["sums"] = nlohmann::ordered_json::parse(metrics::ToJson(sums));
    std::printf("%s\n", json.dump().c_str());
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(WithContext(metrics.status(), StrCat("the ", command.split, " split")));
  std::printf("model %s on the %s split: %s\n", id.Short().c_str(), command.split.c_str(),
              MetricsText(*metrics).c_str());
  return absl::OkStatus();
}

}  // namespace consilium::site_agent
