// What a task runner does for an evaluation.

#include "common/base/log.h"
#include "common/base/status.h"
#include "common/crypto/sha256.h"
#include "common/metrics/json.h"
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
  ASSIGN_OR_RETURN(const ModelState state, LoadModel(model, progress, stop));
  const auto split = task.split == wire::EvaluationSplit::kTest ? datasets::Split::kTest
                                                                : datasets::Split::kValidation;
  ASSIGN_OR_RETURN(const auto data, context_.data.Open(plan, split, progress));
  const Time began = context_.clock.Now();
  wire::EvaluationReport report{task.run, task.round, model, task.split};
  ASSIGN_OR_RETURN(report.sums, context_.learner.Evaluate(state, plan, *data, progress));
  report.seconds = std::max(0.0, Seconds(context_.clock.Now() - began));
  RETURN_IF_ERROR(context_.state.RecordEvaluation(report, context_.clock.Now()));
  return report;
}

absl::Status TaskRunner::Do(const wire::EvaluateRequest& task, std::stop_token stop) {
  ASSIGN_OR_RETURN(const Agreement agreement, FindAgreement(context_.state, task.run));
  ASSIGN_OR_RETURN(const wire::EvaluationReport report,
                   Evaluate(task, task.model, agreement.plan, stop));
  if (task.secure) return SendMaskedSums(task, report, agreement.plan, stop);
  const std::string sums = metrics::ToJson(report.sums);
  RETURN_IF_ERROR(Depart(StrCat("evaluation sums (", Name(task.split), ")"),
                         {task.run, task.round, 0}, AsBytes(sums)));
  // Without a connection the report waits in the state: the coordinator asks again.
  context_.tell(report);
  return absl::OkStatus();
}

absl::Status TaskRunner::SendMaskedSums(const wire::EvaluateRequest& task,
                                        const wire::EvaluationReport& report,
                                        const plan::Plan& plan, std::stop_token stop) {
  const secagg::SessionKey& key = task.secure->key;
  metrics::EvaluationSums sums{report.sums};
  RETURN_IF_ERROR(Compare(task, plan, stop, &sums));
  wire::MaskedSums masked{metrics::ToRing(sums)};
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
  sums->worse = now->auroc < last->auroc - *plan.gate.maximum_site_drop - kRounding ? 1 : 0;
  return absl::OkStatus();
}

}  // namespace consilium::site_agent
