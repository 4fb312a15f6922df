// What the engine asks for, and what sites upload.

#include <utility>

#include "common/base/log.h"
#include "common/base/status.h"
#include "coordinator/conductor.h"

namespace consilium::coordinator {
namespace {

constexpr std::uint32_t kSegmentsBetweenProgress = 16;

}  // namespace

void Conductor::CarryOut(const std::vector<Action>& actions) {
  for (const Action& action : actions) {
    std::visit([this](const auto& a) { Do(a); }, action);
  }
}

void Conductor::Do(const Send& action) {
  wire::ToSite message = action.message;
  if (auto* invite = std::get_if<wire::Invite>(&message)) {
    const SubmittedPlan& plan = run_->submitted;
    *invite = {invite->run, plan.toml, plan.researcher, plan.nonce, plan.signature};
  }
  std::lock_guard lock(mutex_);
  const auto found = connections_.find(action.site);
  if (found != connections_.end()) found->second.queue->Push(std::move(message));
}

absl::StatusOr<std::shared_ptr<Aggregator>> Conductor::OpenAggregator(const OpenAttempt& action) {
  AttemptSpec spec{.key = action.key,
                   .sites = action.sites,
                   .weight_unit = action.weight_unit,
                   .base = std::nullopt,
                   .masked = action.masked,
                   .threads = parts_.threads,
                   .again = action.again};
  if (!action.initial_model) {
    ASSIGN_OR_RETURN(spec.base, parts_.models.LoadBase(action.base));
    spec.frozen = run_->plan.model.frozen;
  }
  if (action.again) KeepSpoolOf(action.key);
  return Aggregator::Open(std::move(spec), parts_.authority.sealing_key(), parts_.spool,
                          parts_.models.folder());
}

void Conductor::Do(const OpenAttempt& action) {
  absl::StatusOr<std::shared_ptr<Aggregator>> opened = OpenAggregator(action);
  if (opened.ok()) {
    std::set<SiteId> missing = action.held;
    for (const SiteId& site : (*opened)->Whole()) missing.erase(site);
    if (!missing.empty()) Post(ContributionsMissing{action.key, std::move(missing)});
    std::lock_guard lock(mutex_);
    aggregator_ = *std::move(opened);
    return;
  }
  const std::string why(opened.status().message());
  Log(LogLevel::kError, "attempt_not_opened", {{"attempt", action.key.ToString()}, {"why", why}});
  if (action.again && !action.initial_model) {  // the fault is ours, and no site's
    Post(ContributionsMissing{action.key, action.sites});
    return;
  }
  for (const SiteId& site : action.sites) Post(ContributionRefused{site, action.key, why});
}

// Left of an attempt that a crash cut off, or of a contribution whose name another took.
void Conductor::KeepSpoolOf(const AttemptKey& key) {
  const auto files = ListFolder(parts_.spool);
  if (!files.ok()) return;
  for (const FolderEntry& entry : *files) {
    const auto file = File::OpenForReading(entry.path);
    if (!file.ok()) continue;
    const auto spooled = ReadSpoolHeader(*file);
    const bool other =
        spooled.ok() ? spooled->header.key != key : absl::IsDataLoss(spooled.status());
    if (other) (void)Remove(entry.path);
  }
}

void Conductor::EmptySpool() {
  const auto files = ListFolder(parts_.spool);
  if (!files.ok()) return;
  for (const FolderEntry& entry : *files) (void)Remove(entry.path);
}

void Conductor::Do(const DropContribution& action) {
  if (const auto aggregator = CurrentAttempt(action.key)) aggregator->Drop(action.site);
}

void Conductor::Do(const AbandonAttempt& action) {
  const auto aggregator = CurrentAttempt(action.key);
  if (!aggregator) return;
  aggregator->Close();
  std::lock_guard lock(mutex_);
  if (aggregator_ == aggregator) aggregator_.reset();
}

void Conductor::Do(const WakeAt& action) {
  std::lock_guard lock(mutex_);
  wake_ = action.time;
}

void Conductor::Do(const Publish& action) {
  Log(LogLevel::kInfo, "model_published", {{"model", action.model.Hex()}, {"round", action.round}});
}

void Conductor::Do(const EndRun&) {
  {
    std::lock_guard lock(mutex_);
    aggregator_.reset();
    wake_.reset();
  }
  RemoveSuperseded();
  EmptySpool();
  run_is_over_ = true;
  Post(LookForRun{});
}

void Conductor::Do(const Aggregate& action) {
  const double rate = run_->plan.aggregation.server_learning_rate;
  const std::optional<ModelId> parent = run_->engine->state().base;
  Make([this, action, rate, parent] {
    const Time begun = parts_.clock.Now();
    const auto made = MakeModel(action, rate, ModelStage::kCandidate, parent);
    if (made.ok()) {
      Post(AggregateReady{action.key, made->id, Seconds(parts_.clock.Now() - begun)});
    } else {
      Post(AggregateFailed{action.key, std::string(made.status().message()),
                           absl::IsFailedPrecondition(made.status())});
    }
  });
}

void Conductor::Do(const coordinator::Prepare& action) {
  Make([this, action] {
    const absl::StatusOr<ModelId> made = MakePrepared(action);
    if (made.ok()) {
      Post(ModelPrepared{action.key, *made});
    } else {
      Post(PreparationFailed{action.key, std::string(made.status().message()),
                             absl::IsInvalidArgument(made.status())});
    }
  });
}

void Conductor::Do(const Record& action) {
  // The state names the new model by now, so that it is not taken for a superseded one.
  if (action.event.kind == wire::RunEventKind::kAggregated) RemoveSuperseded();
}

std::shared_ptr<Aggregator> Conductor::CurrentAttempt(const AttemptKey& key) {
  std::lock_guard lock(mutex_);
  return aggregator_ && aggregator_->key() == key ? aggregator_ : nullptr;
}

// ---- making

void Conductor::Make(std::function<void()> job) {
  std::lock_guard lock(mutex_);
  jobs_.push_back(std::move(job));
  job_came_.notify_one();
}

bool Conductor::MakeOnce() {
  std::function<void()> job;
  {
    const std::lock_guard lock(mutex_);
    if (jobs_.empty()) return false;
    job = std::move(jobs_.front());
    jobs_.pop_front();
  }
  job();
  return true;
}

void Conductor::KeepMaking() {
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      job_came_.wait(lock, [this] { return stopping_ || !jobs_.empty(); });
      if (stopping_) return;
    }
    MakeOnce();
  }
}

absl::StatusOr<MadeModel> Conductor::MakeModel(const Aggregate& action, double rate,
                                               ModelStage stage, std::optional<ModelId> parent) {
  const AttemptKey& key = action.key;
  const auto aggregator = CurrentAttempt(key);
  if (!aggregator) return absl::FailedPreconditionError("the attempt was given up");
  ASSIGN_OR_RETURN(MadeModel made,
                   aggregator->Report(action.counted, rate, action.unmasking.get()));
  ModelEntry entry;
  entry.id = made.id;
  entry.stage = stage;
  entry.run = key.run;
  entry.round = key.round;
  entry.parent = parent;
  entry.parameters = made.parameters;
  entry.created = parts_.clock.Now();
  ASSIGN_OR_RETURN(entry.file_size, FileSize(made.file));
  RETURN_IF_ERROR(parts_.ledger.With([&](Ledger& ledger) { return ledger.AddModel(entry); }));
  std::lock_guard lock(mutex_);
  if (aggregator_ == aggregator) aggregator_.reset();  // frees the sum before the next round
  return made;
}

void Conductor::MakeInitialModel(const SiteId& site, const AttemptKey& key) {
  Make([this, site, key] {
    const auto make = [&]() -> absl::StatusOr<InitialModelReady> {
      ASSIGN_OR_RETURN(const MadeModel made,
                       MakeModel({key, {site}, nullptr}, 1, ModelStage::kInitial, std::nullopt));
      ASSIGN_OR_RETURN(const ModelShape shape, ShapeOf(made.id, {}));  // nothing of it is frozen
      return InitialModelReady{key, made.id, shape.parameters, shape.layout};
    };
    const absl::StatusOr<InitialModelReady> ready = make();
    if (ready.ok()) {
      Post(*ready);
    } else {
      Post(ContributionRefused{site, key, std::string(ready.status().message())});
    }
  });
}

// Keeps the disk bounded: of this run's models that are not published, only the best, the current
// base and the one being evaluated keep their files.
void Conductor::RemoveSuperseded() {
  const RunState& state = run_->engine->state();
  std::set<ModelId> keep;
  // The initial one may be another run's, too.
  for (const auto& model : {state.base, state.best, state.candidate, run_->plan.model.initial}) {
    if (model) keep.insert(*model);
  }
  Make([this, keep, run = state.run] {
    const absl::Status status = parts_.ledger.With([&](Ledger& ledger) -> absl::Status {
      ASSIGN_OR_RETURN(const std::vector<ModelEntry> models, ledger.ListModels());
      for (const ModelEntry& model : models) {
        const bool unpublished =
            model.stage == ModelStage::kCandidate || model.stage == ModelStage::kInitial;
        if (model.run != run || !unpublished || keep.contains(model.id)) continue;
        if (!parts_.models.Holds(model.id)) continue;
        // First the entry: no file goes without one.
        RETURN_IF_ERROR(ledger.AddLogEntry(parts_.clock.Now(), "coordinator",
                                           "remove superseded file", model.id.Hex()));
        RETURN_IF_ERROR(parts_.models.Remove(model.id).status());
      }
      return absl::OkStatus();
    });
    if (!status.ok()) {
      Log(LogLevel::kWarning, "superseded_not_removed", {{"why", ToStd(status.message())}});
    }
  });
}

// ---- uploads

absl::StatusOr<SiteUpload> Conductor::BeginUpload(const SiteId& site,
                                                  const wire::UploadHeader& header) {
  SiteUpload upload;
  upload.conductor_ = this;
  upload.aggregator_ = CurrentAttempt(header.key);
  upload.site_ = site;
  upload.header_ = header;
  upload.started_ = parts_.clock.Now();
  if (!upload.aggregator_) {
    return absl::FailedPreconditionError(
        StrCat("attempt ", header.key.ToString(), " is not open; wait for the next task"));
  }
  const absl::StatusOr<std::uint32_t> next = upload.aggregator_->Begin(site, header);
  if (absl::IsInvalidArgument(next.status())) {
    upload.aggregator_->Drop(site);
    Post(ContributionRefused{site, header.key, std::string(next.status().message())});
  }
  RETURN_IF_ERROR(next.status());
  if (*next != header.first_segment) {
    return absl::OutOfRangeError(StrCat("the upload goes on from segment ", *next));
  }
  upload.next_ = *next;
  upload.segments_ = crypto::SegmentCount(header.plaintext_size);
  // Of one that became whole before a restart the engine may not have heard.
  const bool whole = upload.next_ == upload.segments_;
  if (whole && header.kind != wire::ContributionKind::kInitialModel) Post(upload.Complete());
  return upload;
}

absl::StatusOr<bool> SiteUpload::Add(ByteView segment) {
  const absl::StatusOr<bool> whole = aggregator_->AddSegment(site_, next_, segment);
  if (absl::IsInvalidArgument(whole.status()) || absl::IsUnauthenticated(whole.status())) {
    conductor_->Post(
        ContributionRefused{site_, header_.key, std::string(whole.status().message())});
  }
  RETURN_IF_ERROR(whole.status());
  Tell(next_++);
  if (!*whole) return false;
  if (header_.kind == wire::ContributionKind::kInitialModel) {
    conductor_->MakeInitialModel(site_, header_.key);
  } else {
    conductor_->Post(Complete());
  }
  return true;
}

void SiteUpload::Tell(std::uint32_t index) {
  const bool update = header_.kind != wire::ContributionKind::kInitialModel;
  if (update && !std::exchange(begun_, true)) {
    conductor_->Post(ContributionStarted{site_, header_.key, header_.weight});
  } else if (index % kSegmentsBetweenProgress == 0) {
    conductor_->NoteProgress(site_, header_.key);
  }
}

ContributionComplete SiteUpload::Complete() const {
  const bool masked = header_.kind == wire::ContributionKind::kMaskedUpdate;
  return {.site = site_,
          .key = header_.key,
          .weight = header_.weight,
          .loss = header_.loss,
          .train_seconds = header_.train_seconds,
          .upload_seconds = Seconds(conductor_->parts_.clock.Now() - started_),
          .bytes = masked ? header_.plaintext_size : crypto::EnvelopeSize(header_.plaintext_size),
          .masked_sums = header_.masked_sums,
          .proof = header_.proof};
}

}  // namespace consilium::coordinator
