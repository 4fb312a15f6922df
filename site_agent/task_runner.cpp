#include "site_agent/task_runner.h"

#include <utility>

#include "common/base/log.h"
#include "common/base/overloaded.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "common/crypto/sha256.h"
#include "common/metrics/json.h"
#include "common/model/safetensors.h"
#include "site_agent/policy.h"
#include "site_agent/task_progress.h"

namespace consilium::site_agent {
namespace {

constexpr std::size_t kModelsKept = 3;
constexpr std::size_t kPublishedKept = 5;

double WeightOf(const learning::TrainResult& result, plan::WeightRule rule) {
  switch (rule) {
    case plan::WeightRule::kExamples:
      return static_cast<double>(result.examples);
    case plan::WeightRule::kPatients:
      return static_cast<double>(result.patients);
    case plan::WeightRule::kEqual:
      break;
  }
  return 1.0;
}

// Every site draws its own order and augmentation from the round's seed.
std::uint64_t MixSeed(std::uint64_t seed, const SiteId& site) {
  return SeededRandom(seed, StrCat("site ", site.value))();
}

class QuietProgress final : public Progress {
 public:
  explicit QuietProgress(std::stop_token stop) : stop_(std::move(stop)) {}
  void Report(std::string_view, std::uint64_t, std::uint64_t, std::string_view) override {}
  bool Cancelled() const override { return stop_.stop_requested(); }

 private:
  const std::stop_token stop_;
};

std::string_view Name(wire::ContributionKind kind) {
  switch (kind) {
    case wire::ContributionKind::kUpdate:
      return "sealed update";
    case wire::ContributionKind::kInitialModel:
      return "sealed initial model";
    case wire::ContributionKind::kMaskedUpdate:
      return "masked update";
  }
  return "update";
}

}  // namespace

bool Retryable(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsAborted(status) ||
         absl::IsResourceExhausted(status) || absl::IsDeadlineExceeded(status);
}

TaskRunner::TaskRunner(TaskContext context)
    : context_(std::move(context)),
      models_(context_.state.folder().Models(), kModelsKept),
      published_(context_.state.folder().Published(), kPublishedKept) {}

TaskOutcome TaskRunner::Run(const Task& task, std::stop_token stop) {
  const Time began = context_.clock.Now();
  outcome_ = TaskOutcome::kEnded;
  absl::Status status = std::visit([&](const auto& t) { return Do(t, stop); }, task);
  // A pulled plug on purpose looks like many other errors.
  if (!status.ok() && stop.stop_requested()) status = absl::CancelledError("the task was stopped");
  const bool goes_on = !status.ok() && !stop.stop_requested() && outcome_ != TaskOutcome::kEnded;
  const bool well = status.ok() || goes_on || absl::IsCancelled(status);
  Log(well ? LogLevel::kInfo : LogLevel::kWarning, "task",
      {{"task", Describe(task)},
       {"run", RunOf(task).value},
       {"round", RoundOf(task)},
       {"seconds", Seconds(context_.clock.Now() - began)},
       {"outcome", status.ok() ? std::string("done") : std::string(ToStd(status.message()))}});
  if (goes_on) return outcome_;
  if (!well && !std::holds_alternative<FetchPublished>(task)) Fail(task, status);
  return TaskOutcome::kEnded;
}

void TaskRunner::Fail(const Task& task, const absl::Status& why) {
  const std::string reason(ToStd(why.message()));
  if (const auto session = SessionOf(task)) context_.sessions.Refuse(*session, reason);
  const std::optional<AttemptKey> attempt = AttemptOf(task);
  if (attempt) {
    const auto closed =
        context_.state.CloseTask(*attempt, TaskState::kFailed, reason, context_.clock.Now());
    if (!closed.ok()) {
      Log(LogLevel::kError, "state_not_written", {{"reason", ToStd(closed.message())}});
    }
  }
  context_.tell(
      wire::TaskFailed{attempt.value_or(AttemptKey{RunOf(task), RoundOf(task), 0}), reason});
}

absl::Status TaskRunner::MayTryLater(const absl::Status& failed) {
  if (Retryable(failed)) outcome_ = TaskOutcome::kTryLater;
  return failed;
}

absl::StatusOr<std::vector<secagg::Mask>> TaskRunner::MasksOf(const secagg::SessionKey& session) {
  ASSIGN_OR_RETURN(auto masks, context_.sessions.Masks(session));
  if (masks) return *std::move(masks);
  outcome_ = TaskOutcome::kAwaitsMasks;
  return absl::UnavailableError("waits for the other sites' shares");
}

absl::StatusOr<crypto::X25519PublicKey> TaskRunner::SealingKey() const {
  const auto key = context_.sealing_key();
  if (key) return *key;
  return absl::FailedPreconditionError("the roster this site has pinned names no coordinator");
}

absl::StatusOr<ModelState> TaskRunner::LoadModel(const ModelId& model, std::stop_token stop) {
  absl::StatusOr<ModelState> loaded = models_.Load(context_.channel, model, stop);
  if (!loaded.ok()) return MayTryLater(loaded.status());
  return loaded;
}

absl::StatusOr<std::optional<SealedUpdate>> TaskRunner::SealedBefore(
    const AttemptKey& key, const ModelId& base, const crypto::X25519PublicKey& recipient) {
  ASSIGN_OR_RETURN(const auto task, context_.state.FindTask(key));
  if (!task || task->file.empty() || task->header.base_model != base ||
      task->header.kind == wire::ContributionKind::kMaskedUpdate || task->recipient != recipient) {
    return std::optional<SealedUpdate>();
  }
  auto sealed = SealedUpdate::Restore(task->header, task->file, task->sha256);
  if (sealed.ok()) return std::optional<SealedUpdate>(*std::move(sealed));
  Log(LogLevel::kWarning, "sealed_update_lost",
      {{"attempt", key.ToString()}, {"reason", ToStd(sealed.status().message())}});
  return std::optional<SealedUpdate>();
}

absl::StatusOr<std::optional<MaskedUpdate>> TaskRunner::MaskedBefore(const AttemptKey& key,
                                                                     const ModelId& base) {
  ASSIGN_OR_RETURN(const auto task, context_.state.FindTask(key));
  if (!task || task->file.empty() || task->header.base_model != base ||
      task->header.kind != wire::ContributionKind::kMaskedUpdate) {
    return std::optional<MaskedUpdate>();
  }
  auto masked = MaskedUpdate::Restore(task->header, task->file, task->sha256);
  if (masked.ok()) return std::optional<MaskedUpdate>(*std::move(masked));
  Log(LogLevel::kWarning, "masked_update_lost",
      {{"attempt", key.ToString()}, {"reason", ToStd(masked.status().message())}});
  return std::optional<MaskedUpdate>();
}

bool TaskRunner::Closed(const AttemptKey& key) {
  const auto task = context_.state.FindTask(key);
  return task.ok() && *task &&
         ((*task)->state == TaskState::kCounted || (*task)->state == TaskState::kNotCounted);
}

absl::Status TaskRunner::Do(const wire::MakeInitialModel& task, std::stop_token stop) {
  ASSIGN_OR_RETURN(const Agreement agreement, FindAgreement(context_.state, task.key.run));
  const plan::Plan& plan = agreement.plan;
  ASSIGN_OR_RETURN(const auto recipient, SealingKey());
  if (Closed(task.key)) return absl::OkStatus();  // a request that came late
  ASSIGN_OR_RETURN(const auto sealed, SealedBefore(task.key, ModelId{}, recipient));
  if (sealed) return Send(*sealed, stop);
  wire::UploadHeader header{task.key, wire::ContributionKind::kInitialModel};
  RETURN_IF_ERROR(context_.state.RecordTaskBegun(header, plan.seed, context_.clock.Now()));
  ASSIGN_OR_RETURN(ModelState model, context_.learner.InitialModel(plan));
  return SealAndSend({task.key, std::nullopt, ModelId{}, std::move(model)}, recipient, stop);
}

absl::Status TaskRunner::Do(const wire::TrainRequest& task, std::stop_token stop) {
  ASSIGN_OR_RETURN(const Agreement agreement, FindAgreement(context_.state, task.key.run));
  if (Closed(task.key)) return absl::OkStatus();  // a request that came late
  if (task.secure) return TrainMasked(task, agreement, stop);
  ASSIGN_OR_RETURN(const auto recipient, SealingKey());
  ASSIGN_OR_RETURN(const auto sealed, SealedBefore(task.key, task.base_model, recipient));
  if (sealed) return Send(*sealed, stop);
  wire::UploadHeader header{task.key, wire::ContributionKind::kUpdate, task.base_model};
  RETURN_IF_ERROR(context_.state.RecordTaskBegun(header, task.seed, context_.clock.Now()));
  ASSIGN_OR_RETURN(ModelState base, LoadModel(task.base_model, stop));
  ASSIGN_OR_RETURN(Contribution contribution,
                   TrainFrom(task, std::move(base), agreement.plan, stop));
  return SealAndSend(std::move(contribution), recipient, stop);
}

absl::Status TaskRunner::TrainMasked(const wire::TrainRequest& task, const Agreement& agreement,
                                     std::stop_token stop) {
  const secagg::SessionConfig& config = *task.secure;
  ASSIGN_OR_RETURN(const auto before, context_.state.FindTask(task.key));
  if (before && before->state == TaskState::kAcknowledged) return absl::OkStatus();
  ASSIGN_OR_RETURN(const auto masked, MaskedBefore(task.key, task.base_model));
  if (masked) return Send(*masked, stop);
  ASSIGN_OR_RETURN(const bool elsewhere,
                   context_.state.TrainedElsewhere(task.key, task.base_model, task.seed));
  if (elsewhere) {
    return absl::PermissionDeniedError(
        "the same base model and seed as in another round: the same update could be opened with "
        "two sets of sites");
  }
  wire::UploadHeader header{task.key, wire::ContributionKind::kMaskedUpdate, task.base_model};
  RETURN_IF_ERROR(context_.state.RecordTaskBegun(header, task.seed, context_.clock.Now()));
  ASSIGN_OR_RETURN(ModelState base, LoadModel(task.base_model, stop));
  RETURN_IF_ERROR(CheckBase(config, base));
  ASSIGN_OR_RETURN(Contribution contribution,
                   TrainFrom(task, std::move(base), agreement.plan, stop));
  contribution.weight = context_.weight(agreement);
  ASSIGN_OR_RETURN(const auto masks, MasksOf(config.key));
  const auto sign = [&](const Digest& sha256) {
    return context_.sessions.SignUpload(config.key, sha256);
  };
  ASSIGN_OR_RETURN(const MaskedUpdate update,
                   Mask(std::move(contribution), config, masks, sign,
                        context_.state.folder().Outbox(), context_.threads));
  RETURN_IF_ERROR(context_.state.RecordSealed(update, {}, context_.clock.Now()));
  return Send(update, stop);
}

absl::StatusOr<Contribution> TaskRunner::TrainFrom(const wire::TrainRequest& task, ModelState base,
                                                   const plan::Plan& plan, std::stop_token stop) {
  const AttemptKey& key = task.key;
  const std::uint64_t seed = MixSeed(task.seed, context_.site);
  const bool trained = trained_ && trained_->key.run == key.run &&
                       trained_->key.round == key.round && trained_->base == task.base_model &&
                       trained_->seed == task.seed;
  if (trained) {
    Log(LogLevel::kInfo, "trained_before", {{"attempt", key.ToString()}});
    return Contribution{key, std::move(base), task.base_model,         trained_->model,
                        0,   trained_->loss,  trained_->train_seconds, seed};
  }
  trained_.reset();  // first: two of them need not be in memory
  TaskProgress progress(key, context_.tell, context_.clock, context_.progress_interval, stop);
  ASSIGN_OR_RETURN(const auto data, context_.data.Open(plan, datasets::Split::kTrain, progress));
  const learning::TrainTask learning_task{plan, seed, plan.training.local_epochs};
  const Time began = context_.clock.Now();
  ASSIGN_OR_RETURN(auto result, context_.learner.Train(base, *data, learning_task, progress));
  const double weight = WeightOf(result, plan.aggregation.weight);
  const double seconds = Seconds(context_.clock.Now() - began);
  if (task.secure) {
    trained_ =
        Trained{key, task.base_model, task.seed, result.trained, result.last_epoch_loss, seconds};
  }
  return Contribution{key,    std::move(base),        task.base_model, std::move(result.trained),
                      weight, result.last_epoch_loss, seconds,         seed};
}

absl::Status TaskRunner::SealAndSend(Contribution&& contribution,
                                     const crypto::X25519PublicKey& recipient,
                                     std::stop_token stop) {
  ASSIGN_OR_RETURN(const SealedUpdate sealed, Seal(std::move(contribution), context_.site,
                                                   recipient, context_.state.folder().Outbox()));
  RETURN_IF_ERROR(context_.state.RecordSealed(sealed, recipient, context_.clock.Now()));
  return Send(sealed, stop);
}

absl::Status TaskRunner::Depart(std::string what, const AttemptKey& key, ByteView bytes) {
  return context_.state.RecordDeparture({context_.clock.Now(), context_.channel.Address(),
                                         std::move(what), key, bytes.size(),
                                         crypto::Sha256(bytes)});
}

absl::Status TaskRunner::Send(const OutboxFile& update, std::stop_token stop) {
  const AttemptKey& key = update.header().key;
  // The operator's word holds until the last moment.
  RETURN_IF_ERROR(FindAgreement(context_.state, key.run).status());
  const Departure departure{context_.clock.Now(),
                            context_.channel.Address(),
                            std::string(Name(update.header().kind)),
                            key,
                            update.size(),
                            update.sha256()};
  RETURN_IF_ERROR(context_.state.RecordDeparture(departure));
  std::uint32_t first_segment = 0;
  while (!stop.stop_requested()) {
    const auto outcome = context_.channel.Upload(update, first_segment, stop);
    if (absl::IsAlreadyExists(outcome.status()) || (outcome.ok() && !outcome->go_on_from)) {
      return context_.state.RecordAcknowledged(key, context_.clock.Now());
    }
    if (outcome.ok()) {
      first_segment = *outcome->go_on_from;
      continue;
    }
    return MayTryLater(outcome.status());
  }
  return absl::CancelledError("the upload was stopped");
}

absl::Status TaskRunner::Do(const SendSealed& task, std::stop_token stop) {
  ASSIGN_OR_RETURN(const auto record, context_.state.FindTask(task.key));
  if (!record) return absl::OkStatus();
  absl::Status sent;  // the coordinator asks for the task again if it still wants it
  if (record->header.kind == wire::ContributionKind::kMaskedUpdate) {
    ASSIGN_OR_RETURN(const auto masked, MaskedBefore(task.key, record->header.base_model));
    if (masked) sent = Send(*masked, stop);
  } else {
    ASSIGN_OR_RETURN(const auto recipient, SealingKey());
    ASSIGN_OR_RETURN(const auto sealed,
                     SealedBefore(task.key, record->header.base_model, recipient));
    if (sealed) sent = Send(*sealed, stop);
  }
  // The attempt may be over, or not open yet after a restart of the coordinator: it will say which.
  if (absl::IsFailedPrecondition(sent) || absl::IsNotFound(sent)) return absl::OkStatus();
  return sent;
}

// ---- evaluations

absl::StatusOr<wire::EvaluationReport> TaskRunner::Evaluate(const wire::EvaluateRequest& task,
                                                            const ModelId& model,
                                                            const plan::Plan& plan,
                                                            std::stop_token stop) {
  wire::EvaluateRequest of = task;
  of.model = model;
  ASSIGN_OR_RETURN(auto before, context_.state.FindEvaluation(of));
  if (before) return *std::move(before);
  ASSIGN_OR_RETURN(const ModelState state, LoadModel(model, stop));
  QuietProgress progress(stop);  // TaskProgress messages belong to attempts
  const auto split = task.split == wire::EvaluationSplit::kTest ? datasets::Split::kTest
                                                                : datasets::Split::kValidation;
  ASSIGN_OR_RETURN(const auto data, context_.data.Open(plan, split, progress));
  const Time began = context_.clock.Now();
  wire::EvaluationReport report{task.run, task.round, model, task.split};
  ASSIGN_OR_RETURN(report.sums, context_.learner.Evaluate(state, plan, *data, progress));
  report.seconds = Seconds(context_.clock.Now() - began);
  RETURN_IF_ERROR(context_.state.RecordEvaluation(report, context_.clock.Now()));
  return report;
}

absl::Status TaskRunner::Do(const wire::EvaluateRequest& task, std::stop_token stop) {
  trained_.reset();  // its round is over
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

absl::Status TaskRunner::Do(const FetchPublished& task, std::stop_token stop) {
  return MayTryLater(published_.Fetch(context_.channel, task.model, stop).status());
}

}  // namespace consilium::site_agent
