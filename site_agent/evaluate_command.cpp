#include "site_agent/evaluate_command.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <numeric>

#include "common/base/status.h"
#include "common/crypto/sha256.h"
#include "common/model/safetensors.h"
#include "site_agent/drift_command.h"
#include "site_agent/evaluation_report.h"
#include "site_agent/learning/trainer.h"
#include "site_agent/local_sites.h"

namespace consilium::site_agent {
namespace {

constexpr char kExamples[] = R"(Examples:
  A model of one's own on the test patients:
    consilium-site evaluate local.safetensors --plan opacity.toml --data images --state site
  A published model at a hospital that did not train it, by groups, for its card:
    consilium-site evaluate chest.safetensors --root root.pub --plan opacity.toml \
      --record chest.record.json --data images --state lakeside --by sex,age,manufacturer,view --json
  Is the new one better than the last one?
    consilium-site evaluate 3fa9c1 --record new.record.json --against 77ab02 \
      --against-record old.record.json --data images --state site)";

constexpr std::uint64_t kSeed = 1;  // of resampling: the same data gives the same intervals

struct Loaded {
  ModelId id;
  PublishedModel model;
  bool published = false;
};

absl::StatusOr<Loaded> Load(const fs::path& state, const ModelChoice& choice) {
  if (!choice.plan.empty() && choice.record.empty() && choice.root.empty()) {
    ASSIGN_OR_RETURN(plan::Plan plan, ReadPlan(choice.plan));
    ASSIGN_OR_RETURN(ModelState model, LoadSafetensors(choice.model));
    ASSIGN_OR_RETURN(const ModelId id, crypto::Sha256OfFile(choice.model));
    return Loaded{id, {std::move(model), std::move(plan), {}, std::nullopt, {}, {}}};
  }
  ASSIGN_OR_RETURN(PublishedModel model, LoadPublishedModel(state, choice));
  const ModelId id = model.description.id;
  return Loaded{id, std::move(model), true};
}

absl::StatusOr<std::vector<datasets::Split>> SplitsOf(const std::string& split,
                                                      const Loaded& model) {
  using datasets::Split;
  if (split == "test") return std::vector{Split::kTest};
  if (split == "validation") return std::vector{Split::kValidation};
  if (model.model.trained_here) {
    return absl::InvalidArgumentError(
        "--split all: this site trained the model, whose training patients are among all of them; "
        "say --split test");
  }
  return std::vector{Split::kTrain, Split::kValidation, Split::kTest};
}

std::optional<double> ThresholdOf(const PublishedModel& model) {
  if (!model.operating_point) return std::nullopt;
  return model.operating_point->threshold;
}

absl::Status Compare(const EvaluateCommand& command, const Loaded& loaded,
                     const EvaluatedModel& evaluated, const EvaluationData& data,
                     const std::vector<std::unique_ptr<LocalData>>& sites,
                     const std::vector<datasets::Split>& splits, Progress& progress,
                     EvaluationReport* report) {
  ASSIGN_OR_RETURN(const Loaded other, Load(command.state, command.against));
  ASSIGN_OR_RETURN(const EvaluationData seen,
                   OpenForEvaluation(sites, other.model.plan, splits, progress));
  ASSIGN_OR_RETURN(
      const EvaluatedModel answers,
      EvaluatedModel::Evaluate(other.model.state, other.model.plan, *seen.examples, progress));
  report->against = other.id;
  ASSIGN_OR_RETURN(report->comparison,
                   CompareModels({evaluated, data, ThresholdOf(loaded.model)},
                                 {answers, seen, ThresholdOf(other.model)}, kSeed));
  return absl::OkStatus();
}

absl::StatusOr<EvaluationReport> Report(const EvaluateCommand& command, const Loaded& loaded,
                                        Progress& progress) {
  const plan::Plan& plan = loaded.model.plan;
  const bool external = loaded.published && !loaded.model.trained_here;
  const std::string split = !command.split.empty() ? command.split : external ? "all" : "test";
  ASSIGN_OR_RETURN(const auto splits, SplitsOf(split, loaded));
  ASSIGN_OR_RETURN(const auto sites,
                   IndexAll(command.data, command.state, command.threads, progress));
  ASSIGN_OR_RETURN(const EvaluationData data, OpenForEvaluation(sites, plan, splits, progress));
  std::vector<std::vector<std::string>> groups;
  for (const std::string& by : command.by) {
    ASSIGN_OR_RETURN(auto of_each, GroupOfEach(by, plan, data));
    groups.push_back(std::move(of_each));
  }
  ASSIGN_OR_RETURN(const EvaluatedModel evaluated,
                   EvaluatedModel::Evaluate(loaded.model.state, plan, *data.examples, progress));
  metrics::TaskSums sums = evaluated.Sum();
  auto metrics = metrics::Compute(sums, plan.evaluation.at_specificity);
  EvaluationReport report{.model = loaded.id,
                          .plan = plan,
                          .split = split,
                          .published = std::nullopt,
                          .sums = std::move(sums),
                          .metrics = std::move(metrics),
                          .headline = {},
                          .groupings = {},
                          .scores = ScoresOf(evaluated),
                          .against = std::nullopt,
                          .comparison = std::nullopt};
  if (loaded.published) {
    const auto& description = loaded.model.description;
    report.published = {description.federation, description.run, loaded.model.trained_here};
  }
  if (report.metrics.ok()) {
    std::vector<std::size_t> all(evaluated.units());
    std::iota(all.begin(), all.end(), std::size_t{0});
    report.headline = IntervalOf(evaluated, all, *report.metrics, kSeed);
  }
  for (std::size_t i = 0; i < groups.size(); ++i) {
    report.groupings.push_back(EvaluateGroups(evaluated, command.by[i], groups[i], kSeed));
  }
  if (!command.against.model.empty()) {
    RETURN_IF_ERROR(Compare(command, loaded, evaluated, data, sites, splits, progress, &report));
  }
  if (loaded.published && sites.size() == 1) {
    // Later `drift` compares with what the model met here first.
    RETURN_IF_ERROR(
        EnsureBaseline(command.state, loaded.model, *sites.front(),
                       BaselineEnd(loaded.model, loaded.model.trained_here, SecondsNow()), progress)
            .status());
  }
  return report;
}

}  // namespace

void AddEvaluateOptions(CLI::App& command, EvaluateCommand& arguments) {
  command.footer(kExamples);
  AddModelOptions(command, arguments.model, /*required=*/true);
  command.add_option("--data", arguments.data, "Folder tree of DICOM files; may be repeated")
      ->allow_extra_args(false)
      ->required();
  command.add_option("--state", arguments.state, "Folder that keeps this site's identity and work")
      ->required();
  command
      .add_option("--split", arguments.split,
                  "test, validation, or all; default: all of a published model that this site did "
                  "not train, else test")
      ->check(CLI::IsMember({"test", "validation", "all"}));
  command
      .add_option("--by", arguments.by,
                  "Results by groups: sex, age, manufacturer, view; of a table, a category column")
      ->delimiter(',')
      ->allow_extra_args(false);
  command.add_option("--against", arguments.against.model,
                     "Another model, on the same patients: a paired comparison. A file without "
                     "--against-record is taken as a model of one's own");
  command.add_option("--against-plan", arguments.against.plan, "Its plan; default: as --plan");
  command.add_option("--against-record", arguments.against.record, "Its signed record");
  command.add_option("--threads", arguments.threads, "Threads for decoding; 0: all cores")
      ->check(CLI::Range(0, 1024));
  command.add_flag("--json", arguments.json, "Print JSON for scripts and for a model's card");
}

absl::Status Run(const EvaluateCommand& given) {
  EvaluateCommand command = given;
  if (command.against.plan.empty() && command.against.record.empty()) {
    command.against.plan = command.model.plan;
  }
  // A file without a record is a model of one's own: there is nothing to prove.
  const bool published = !command.against.record.empty() || !Exists(command.against.model);
  if (published && command.against.root.empty()) command.against.root = command.model.root;
  learning::ConfigureRuntime(command.threads);
  ASSIGN_OR_RETURN(const Loaded loaded, Load(command.state, command.model));
  ASSIGN_OR_RETURN(const FolderLock lock, FolderLock::Acquire(command.state));
  TerminalProgress progress;
  ASSIGN_OR_RETURN(const EvaluationReport report, Report(command, loaded, progress));
  if (command.json) {
    std::printf("%s\n", ToJson(report).c_str());
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const std::string text, ToText(report));
  std::fputs(text.c_str(), stdout);
  return absl::OkStatus();
}

}  // namespace consilium::site_agent
