// What a task runner does for an evaluation and a description.

#include "common/base/log.h"
#include "common/base/status.h"
#include "common/crypto/sha256.h"
#include "common/metrics/description.h"
#include "common/metrics/preparation.h"
#include "common/metrics/task_sums.h"
#include "site_agent/task_progress.h"
#include "site_agent/task_runner.h"

namespace consilium::site_agent {

absl::StatusOr<wire::EvaluationReport> TaskRunner::Evaluate(const wire::EvaluateRequest& task,
                                                            const ModelId& model,
                                                            const plan::Plan& plan,
                                                            std::stop_token stop) {
  wire::EvaluateRequest of = task;
  of.model = model;
  ASSIGN_OR_RETURN(auto before, context_.state.FindEvaluation(of));
  if (before) return *std::move(before);
  TaskProgress progress = ProgressOf({task.run, task.round, 0}, stop);
  ASSIGN_OR_RETURN(const ModelState state, LoadModel(model, plan, progress, stop));
  const auto split = task.split == wire::EvaluationSplit::kTest ? datasets::Split::kTest
                                                                : datasets::Split::kValidation;
  ASSIGN_OR_RETURN(const auto data, context_.data.Open(plan, split, progress));
  const Time began = context_.clock.Now();
  ASSIGN_OR_RETURN(metrics::TaskSums sums, context_.learner.Evaluate(state, plan, *data, progress));
  const wire::EvaluationReport report{
      task.run,   task.round,      model,
      task.split, std::move(sums), std::max(0.0, Seconds(context_.clock.Now() - began))};
  RETURN_IF_ERROR(context_.state.RecordEvaluation(report, context_.clock.Now()));
  return report;
}

absl::Status TaskRunner::Do(const wire::EvaluateRequest& task, std::stop_token stop) {
  ASSIGN_OR_RETURN(const Agreement agreement, FindAgreement(context_.state, task.run));
  ASSIGN_OR_RETURN(const wire::EvaluationReport report,
                   Evaluate(task, task.model, agreement.plan, stop));
  if (task.secure) {
    metrics::EvaluationSums sums{report.sums};
    RETURN_IF_ERROR(Compare(task, agreement.plan, stop, &sums));
    return SendMaskedSums(task.secure->key, metrics::ToRing(sums));
  }
  const std::string sums = metrics::ToJson(report.sums);
  RETURN_IF_ERROR(Depart(StrCat("evaluation sums (", Name(task.split), ")"),
                         {task.run, task.round, 0}, AsBytes(sums)));
  // Without a connection the report waits in the state: the coordinator asks again.
  context_.tell(report);
  return absl::OkStatus();
}

// ---- what the site's images are, and its table on average

namespace {

// Another target changes the counts of labels, and nothing else while the images are the same.
bool OfTheSameImages(const metrics::Description& a, const metrics::Description& b) {
  metrics::Description other = b;
  const auto& tables = metrics::DescriptionTables();
  for (std::size_t i = 0; i < tables.size(); ++i) {
    if (tables[i].name == "label") other.tables[i] = a.tables[i];
  }
  return a == other;
}

}  // namespace

absl::StatusOr<std::vector<std::uint64_t>> TaskRunner::DescribeImages(
    const wire::DescribeRequest& task, const plan::Plan& plan, std::stop_token stop) {
  const Digest question = wire::QuestionOf(plan);
  const Time now = context_.clock.Now();
  ASSIGN_OR_RETURN(const std::vector<KeptDescription> kept, context_.state.Descriptions(now));
  for (const KeptDescription& description : kept) {
    if (description.question == question) return description.sums;
  }
  TaskProgress progress = ProgressOf({task.run, task.round, 0}, stop);
  progress.Report("describing", 0, 0);
  ASSIGN_OR_RETURN(const metrics::Description description, context_.data.Describe(plan, progress));
  RETURN_IF_ERROR(metrics::Check(description, !plan.target.name.empty()));
  for (const KeptDescription& other : kept) {
    for (const bool with_label : {false, true}) {
      const auto before = metrics::DescriptionFromRing(other.sums, with_label);
      if (!before.ok() || OfTheSameImages(*before, description)) continue;
      return absl::FailedPreconditionError(StrCat(
          "this site has told what its images are, and they have changed since: the difference "
          "would be of few patients. Ask what was asked before, or from ",
          ToRfc3339(other.made + kDescriptionLasts), " on"));
    }
  }
  std::vector<std::uint64_t> sums = metrics::ToRing(description);
  RETURN_IF_ERROR(context_.state.RecordDescription({question, sums, now}));
  return sums;
}

// Asked for again within the run, whatever the attempt, it is the same.
absl::StatusOr<std::vector<std::uint64_t>> TaskRunner::PrepareTable(
    const wire::DescribeRequest& task, const plan::Plan& plan, std::stop_token stop) {
  const Digest question = wire::QuestionOf(plan);
  ASSIGN_OR_RETURN(auto before, context_.state.FindPreparation(task.run, question));
  if (before) return *std::move(before);
  TaskProgress progress = ProgressOf({task.run, task.round, 0}, stop);
  ASSIGN_OR_RETURN(const metrics::PreparationSums prepared, context_.data.Prepare(plan, progress));
  RETURN_IF_ERROR(metrics::Check(prepared));
  if (prepared.columns.size() != plan.table.Numbers()) {
    return absl::InternalError("the table's sums are not of the plan's columns");
  }
  std::vector<std::uint64_t> sums = metrics::ToRing(prepared);
  RETURN_IF_ERROR(context_.state.RecordPreparation(task.run, question, sums, context_.clock.Now()));
  return sums;
}

absl::Status TaskRunner::Do(const wire::DescribeRequest& task, std::stop_token stop) {
  ASSIGN_OR_RETURN(const Agreement agreement, FindAgreement(context_.state, task.run));
  const bool prepare = task.secure.key.purpose == secagg::Purpose::kPreparation;
  ASSIGN_OR_RETURN(std::vector<std::uint64_t> sums,
                   prepare ? PrepareTable(task, agreement.plan, stop)
                           : DescribeImages(task, agreement.plan, stop));
  return SendMaskedSums(task.secure.key, std::move(sums));
}

// ---- both

absl::Status TaskRunner::SendMaskedSums(const secagg::SessionKey& key,
                                        std::vector<std::uint64_t> sums) {
  wire::MaskedSums masked{std::move(sums)};
  ASSIGN_OR_RETURN(const auto masks, MasksOf(key));
  ASSIGN_OR_RETURN(secagg::Masker masker, secagg::Masker::Create(masks, /*values=*/0));
  RETURN_IF_ERROR(masker.AddToSums(0, masked.sums));
  ASSIGN_OR_RETURN(const secagg::UploadProof proof,
                   context_.sessions.SignUpload(key, crypto::Sha256(ToBytes(masked.sums))));
  masked.signature = proof.signature;
  const wire::SecureAnswer answer{key, std::move(masked)};
  const AnswerText text = site_agent::Describe(answer);
  RETURN_IF_ERROR(Depart(text.what, key.attempt, text.bytes));
  context_.tell(answer);  // asked again after a reconnection, the very same is sent again
  return absl::OkStatus();
}

absl::Status TaskRunner::Compare(const wire::EvaluateRequest& task, const plan::Plan& plan,
                                 std::stop_token stop, metrics::EvaluationSums* sums) {
  if (!task.last_published || !plan.gate.maximum_site_drop) return absl::OkStatus();
  const double at_specificity = plan.evaluation.at_specificity;
  const auto now = metrics::Compute(sums->sums, at_specificity);
  if (!now.ok() || !metrics::LargeEnoughToShow(sums->sums)) return absl::OkStatus();
  const auto report = Evaluate(task, *task.last_published, plan, stop);
  if (stop.stop_requested() || outcome_ == TaskOutcome::kTryLater) return report.status();
  if (!report.ok()) {
    Log(LogLevel::kInfo, "not_compared",
        {{"model", task.last_published->Short()}, {"reason", ToStd(report.status().message())}});
    return absl::OkStatus();
  }
  const auto last = metrics::Compute(report->sums, at_specificity);
  if (!last.ok() || !metrics::LargeEnoughToShow(report->sums)) return absl::OkStatus();
  constexpr double kRounding = 1e-9;
  sums->compared = 1;
  sums->worse = now->headline < last->headline - *plan.gate.maximum_site_drop - kRounding ? 1 : 0;
  return absl::OkStatus();
}

}  // namespace consilium::site_agent
