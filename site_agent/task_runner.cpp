#include "site_agent/task_runner.h"

#include <algorithm>
#include <utility>

#include "common/base/log.h"
#include "common/base/overloaded.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "common/crypto/sha256.h"
#include "common/metrics/json.h"
#include "common/model/travelling.h"
#include "site_agent/policy.h"
#include "site_agent/task_progress.h"

namespace consilium::site_agent {
namespace {

constexpr std::size_t kModelsKept = 3;
constexpr std::size_t kPublishedKept = 5;
// Of one update in a row: the coordinator says from where on it wants it.
constexpr int kUploadCalls = 3;

double WeightOf(const TrainedRecord& result, plan::WeightRule rule) {
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
      published_(context_.state.folder().Published(), kPublishedKept),
      personal_(context_.state.folder().Personal()),
      optimizers_(context_.state.folder().Optimizer(), context_.state_key, context_.random) {}

TaskOutcome TaskRunner::Run(const Task& task, bool resumed, std::stop_token stop) {
  const Time began = context_.clock.Now();
  resumed_ = resumed;
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
  const bool own = std::holds_alternative<FetchPublished>(task) ||
                   std::holds_alternative<Personalise>(task);  // of no concern to the coordinator
  if (!well && !own) Fail(task, status);
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

TaskProgress TaskRunner::ProgressOf(const AttemptKey& key, std::stop_token stop) const {
  return {key, context_.tell, context_.clock, context_.progress_interval, std::move(stop)};
}

absl::StatusOr<ModelState> TaskRunner::LoadModel(const ModelId& model, const plan::Plan& plan,
                                                 Progress& progress, std::stop_token stop) {
  absl::StatusOr<ModelState> loaded =
      models_.LoadNext(context_.channel, model, plan.model.frozen, progress, stop);
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
  ASSIGN_OR_RETURN(auto sealed, SealedBefore(task.key, ModelId{}, recipient));
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
  ASSIGN_OR_RETURN(auto sealed, SealedBefore(task.key, task.base_model, recipient));
  if (sealed) return Send(*sealed, stop);
  wire::UploadHeader header{task.key, wire::ContributionKind::kUpdate, task.base_model};
  RETURN_IF_ERROR(context_.state.RecordTaskBegun(header, task.seed, context_.clock.Now()));
  ASSIGN_OR_RETURN(const TrainedRecord trained, Learn(task, agreement.plan, stop));
  ASSIGN_OR_RETURN(Contribution update, Recall(task, trained));
  update.weight = WeightOf(trained, agreement.plan.aggregation.weight);
  return SealAndSend(std::move(update), recipient, stop);
}

absl::Status TaskRunner::TrainMasked(const wire::TrainRequest& task, const Agreement& agreement,
                                     std::stop_token stop) {
  const secagg::SessionConfig& config = *task.secure;
  ASSIGN_OR_RETURN(auto before, MaskedBefore(task.key, task.base_model));
  if (before) return Send(*before, stop);
  ASSIGN_OR_RETURN(const bool elsewhere,
                   context_.state.TrainedElsewhere(task.key, task.base_model, task.seed));
  if (elsewhere) {
    return absl::PermissionDeniedError(
        "the same base model and seed as in another round: the same update could be opened with "
        "two sets of sites");
  }
  wire::UploadHeader header{task.key, wire::ContributionKind::kMaskedUpdate, task.base_model};
  RETURN_IF_ERROR(context_.state.RecordTaskBegun(header, task.seed, context_.clock.Now()));
  ASSIGN_OR_RETURN(const TrainedRecord trained, Learn(task, agreement.plan, stop));
  ASSIGN_OR_RETURN(const auto masks, MasksOf(config.key));
  ASSIGN_OR_RETURN(Contribution update, Recall(task, trained));
  RETURN_IF_ERROR(CheckBase(config, update.model));
  update.weight = context_.weight(agreement);
  const auto sign = [&](const Digest& sha256) {
    return context_.sessions.SignUpload(config.key, sha256);
  };
  TaskProgress progress = ProgressOf(task.key, stop);
  ASSIGN_OR_RETURN(MaskedUpdate masked,
                   Mask(std::move(update), config, masks, sign, context_.state.folder().Outbox(),
                        context_.threads, &progress));
  RETURN_IF_ERROR(context_.state.RecordSealed(masked, {}, context_.clock.Now()));
  return Send(masked, stop);
}

absl::StatusOr<TrainedRecord> TaskRunner::Learn(const wire::TrainRequest& task,
                                                const plan::Plan& plan, std::stop_token stop) {
  const AttemptKey& key = task.key;
  ASSIGN_OR_RETURN(auto before,
                   context_.state.FindTrained(key.run, key.round, task.base_model, task.seed));
  if (before) {
    Log(LogLevel::kInfo, "trained_before", {{"attempt", key.ToString()}});
    if (!resumed_) RETURN_IF_ERROR(TellTrained(key, *before, /*before=*/true));
    return *std::move(before);
  }
  TaskProgress progress = ProgressOf(key, stop);
  ASSIGN_OR_RETURN(const ModelState base, LoadModel(task.base_model, plan, progress, stop));
  // Only what is trained travels; of the update nothing else is kept.
  ASSIGN_OR_RETURN(const Travelling travelling, Travelling::Of(base.layout(), plan.model.frozen));
  ASSIGN_OR_RETURN(ModelState trained_of_base, travelling.Part(base));
  if (task.secure) RETURN_IF_ERROR(CheckBase(*task.secure, trained_of_base));
  ASSIGN_OR_RETURN(const auto data, context_.data.Open(plan, datasets::Split::kTrain, progress));
  learning::TrainTask learning_task{plan, MixSeed(task.seed, context_.site),
                                    plan.training.local_epochs};
  learning_task.plan.training.learning_rate =
      plan::LearningRateAt(plan.training, (key.round - 1.0) / plan.stop.rounds);
  if (plan.training.keep_optimizer) {
    ASSIGN_OR_RETURN(learning_task.moments, optimizers_.Before(key.run, key.round));
  }
  const Time began = context_.clock.Now();
  ASSIGN_OR_RETURN(auto result, context_.learner.Train(base, *data, learning_task, progress));
  // Before anybody is told: the next round goes on from them whatever happens now.
  if (result.moments) RETURN_IF_ERROR(optimizers_.Keep(key.run, key.round, *result.moments));
  TrainedRecord trained{key.run,
                        key.round,
                        task.base_model,
                        task.seed,
                        result.patients,
                        result.examples,
                        result.last_epoch_loss,
                        std::max(0.0, Seconds(context_.clock.Now() - began))};
  ASSIGN_OR_RETURN(ModelState trained_part, travelling.Part(result.trained));
  const Contribution update{.key = key,
                            .base = std::move(trained_of_base),
                            .base_id = task.base_model,
                            .model = std::move(trained_part),
                            .weight = WeightOf(trained, plan.aggregation.weight)};
  ASSIGN_OR_RETURN(trained, KeepTrained(std::move(trained), update, context_.state_key,
                                        context_.random, context_.state.folder().Outbox()));
  RETURN_IF_ERROR(context_.state.RecordTrained(trained, context_.clock.Now()));
  RETURN_IF_ERROR(TellTrained(key, trained, /*before=*/false));
  return trained;
}

absl::Status TaskRunner::TellTrained(const AttemptKey& key, const TrainedRecord& trained,
                                     bool before) {
  const wire::Trained told{key, trained.patients, trained.examples, trained.seconds, before};
  const std::string text =
      StrCat(told.patients, " ", told.examples, " ", told.seconds, before ? " before" : "");
  RETURN_IF_ERROR(Depart("what was trained on (counts)", key, AsBytes(text)));
  context_.tell(told);
  return absl::OkStatus();
}

absl::StatusOr<Contribution> TaskRunner::Recall(const wire::TrainRequest& task,
                                                const TrainedRecord& trained) {
  auto update = ReadTrained(trained, context_.state_key);
  if (absl::IsNotFound(update.status()) || absl::IsDataLoss(update.status())) {
    Log(LogLevel::kWarning, "trained_update_lost",
        {{"attempt", task.key.ToString()}, {"reason", ToStd(update.status().message())}});
    RETURN_IF_ERROR(context_.state.ForgetTrained(trained.run, trained.round));
    outcome_ = TaskOutcome::kTryLater;
  }
  RETURN_IF_ERROR(update.status());
  return Contribution{.key = task.key,
                      .base = std::nullopt,
                      .base_id = trained.base,
                      .model = *std::move(update),
                      .loss = trained.loss,
                      .train_seconds = trained.seconds,
                      .seed = MixSeed(task.seed, context_.site)};
}

absl::Status TaskRunner::SealAndSend(Contribution&& contribution,
                                     const crypto::X25519PublicKey& recipient,
                                     std::stop_token stop) {
  ASSIGN_OR_RETURN(SealedUpdate sealed, Seal(std::move(contribution), context_.site, recipient,
                                             context_.state.folder().Outbox()));
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
  TaskProgress progress = ProgressOf(key, stop);
  std::uint32_t first_segment = 0;
  for (int call = 0; call < kUploadCalls && !stop.stop_requested(); ++call) {
    // During the call the coordinator sees the segments come.
    progress.Report("uploading", first_segment, update.SegmentCount());
    const auto outcome = context_.channel.Upload(update, first_segment, stop);
    if (absl::IsAlreadyExists(outcome.status()) || (outcome.ok() && !outcome->go_on_from)) {
      return context_.state.RecordAcknowledged(key, context_.clock.Now());
    }
    if (!outcome.ok()) return MayTryLater(outcome.status());
    first_segment = *outcome->go_on_from;
  }
  return MayTryLater(absl::UnavailableError(
      StrCat("the coordinator asked for segment ", first_segment, " on, again and again")));
}

absl::Status TaskRunner::Do(const SendSealed& task, std::stop_token stop) {
  ASSIGN_OR_RETURN(const auto record, context_.state.FindTask(task.key));
  if (!record) return absl::OkStatus();
  absl::Status sent;  // the coordinator asks for the task again if it still wants it
  if (record->header.kind == wire::ContributionKind::kMaskedUpdate) {
    ASSIGN_OR_RETURN(auto masked, MaskedBefore(task.key, record->header.base_model));
    if (masked) sent = Send(*masked, stop);
  } else {
    ASSIGN_OR_RETURN(const auto recipient, SealingKey());
    ASSIGN_OR_RETURN(auto sealed, SealedBefore(task.key, record->header.base_model, recipient));
    if (sealed) sent = Send(*sealed, stop);
  }
  // The attempt may be over, or not open yet after a restart of the coordinator: it will say which.
  if (absl::IsFailedPrecondition(sent) || absl::IsNotFound(sent)) return absl::OkStatus();
  return sent;
}

absl::Status TaskRunner::Do(const FetchPublished& task, std::stop_token stop) {
  NoProgress quiet;  // TaskProgress messages belong to attempts and evaluations
  // Mostly it was evaluated here a moment ago; if it cannot be copied it can be fetched.
  published_.CopyFrom(models_, task.model).IgnoreError();
  return MayTryLater(published_.Fetch(context_.channel, task.model, quiet, stop).status());
}

}  // namespace consilium::site_agent
