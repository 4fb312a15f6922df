// What the engine asks for, and what sites upload.

#include <utility>

#include "common/base/log.h"
#include "common/base/status.h"
#include "coordinator/conductor.h"

namespace consilium::coordinator {

void Conductor::CarryOut(const std::vector<Action>& actions) {
  for (const Action& action : actions) {
    std::visit([this](const auto& a) { Do(a); }, action);
  }
}

void Conductor::Do(const Send& action) {
  wire::ToSite message = action.message;
  if (auto* invite = std::get_if<wire::Invite>(&message)) invite->plan_toml = run_->plan_toml;
  std::lock_guard lock(mutex_);
  const auto found = connections_.find(action.site);
  if (found != connections_.end()) found->second.queue->Push(std::move(message));
}

void Conductor::Do(const OpenAttempt& action) {
  const auto open = [&]() -> absl::StatusOr<std::unique_ptr<Aggregator>> {
    AttemptSpec spec{action.key, action.sites, action.weight_unit, std::nullopt};
    if (!action.initial_model) {
      ASSIGN_OR_RETURN(spec.base, parts_.models.LoadBase(action.base));
    }
    return Aggregator::Open(std::move(spec), parts_.authority.sealing_key(), parts_.spool,
                            parts_.models.folder());
  };
  absl::StatusOr<std::unique_ptr<Aggregator>> opened = open();
  if (opened.ok()) {
    std::lock_guard lock(mutex_);
    aggregator_ = *std::move(opened);
    return;
  }
  for (const SiteId& site : action.sites) {
    Post(ContributionRefused{site, action.key, std::string(opened.status().message())});
  }
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
  Make([this] {
    std::error_code ignored;
    for (const auto& entry : fs::directory_iterator(parts_.spool, ignored)) {
      fs::remove(entry.path(), ignored);
    }
  });
}

void Conductor::Do(const Aggregate& action) {
  const double rate = run_->plan.aggregation.server_learning_rate;
  const std::optional<ModelId> parent = run_->engine->state().base;
  Make([this, action, rate, parent] {
    const Time begun = parts_.clock.Now();
    const auto made = MakeModel(action.key, action.counted, rate, ModelStage::kCandidate, parent);
    if (made.ok()) {
      Post(AggregateReady{action.key, made->id, Seconds(parts_.clock.Now() - begun)});
    } else {
      Post(AggregateFailed{action.key, std::string(made.status().message())});
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

// ---- the making thread

void Conductor::Make(std::function<void()> job) {
  std::lock_guard lock(mutex_);
  jobs_.push_back(std::move(job));
  job_came_.notify_one();
}

void Conductor::MakeLoop() {
  std::unique_lock lock(mutex_);
  for (;;) {
    job_came_.wait(lock, [this] { return stopping_ || !jobs_.empty(); });
    if (stopping_) return;
    const std::function<void()> job = std::move(jobs_.front());
    jobs_.pop_front();
    lock.unlock();
    job();
    lock.lock();
  }
}

absl::StatusOr<MadeModel> Conductor::MakeModel(const AttemptKey& key,
                                               const std::set<SiteId>& counted, double rate,
                                               ModelStage stage, std::optional<ModelId> parent) {
  const auto aggregator = CurrentAttempt(key);
  if (!aggregator) return absl::FailedPreconditionError("the attempt was given up");
  ASSIGN_OR_RETURN(MadeModel made, aggregator->Report(counted, rate));
  ModelEntry entry;
  entry.id = made.id;
  entry.stage = stage;
  entry.run = key.run;
  entry.round = key.round;
  entry.parent = parent;
  entry.parameters = made.parameters;
  entry.created = parts_.clock.Now();
  std::error_code error;
  entry.file_size = fs::file_size(made.file, error);
  RETURN_IF_ERROR(parts_.ledger.With([&](Ledger& ledger) { return ledger.AddModel(entry); }));
  std::lock_guard lock(mutex_);
  if (aggregator_ == aggregator) aggregator_.reset();  // frees the sum before the next round
  return made;
}

void Conductor::MakeInitialModel(const SiteId& site, const AttemptKey& key) {
  Make([this, site, key] {
    const auto made = MakeModel(key, {site}, 1, ModelStage::kInitial, std::nullopt);
    if (made.ok()) {
      Post(InitialModelReady{key, made->id, made->parameters});
    } else {
      Post(ContributionRefused{site, key, std::string(made.status().message())});
    }
  });
}

// Keeps the disk bounded: of this run's models that are not published, only the best, the current
// base and the one being evaluated keep their files.
void Conductor::RemoveSuperseded() {
  const RunState& state = run_->engine->state();
  std::set<ModelId> keep;
  for (const auto& model : {state.base, state.best, state.candidate}) {
    if (model) keep.insert(*model);
  }
  Make([this, keep, run = state.run] {
    const absl::Status status = parts_.ledger.With([&](Ledger& ledger) -> absl::Status {
      ASSIGN_OR_RETURN(const std::vector<ModelEntry> models, ledger.ListModels());
      for (const ModelEntry& model : models) {
        const bool unpublished =
            model.stage == ModelStage::kCandidate || model.stage == ModelStage::kInitial;
        if (model.run != run || !unpublished || keep.contains(model.id)) continue;
        ASSIGN_OR_RETURN(const bool removed, parts_.models.Remove(model.id));
        if (!removed) continue;
        RETURN_IF_ERROR(ledger.AddAudit(
            {parts_.clock.Now(), "coordinator", "remove superseded file", model.id.Hex()}));
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
  return upload;
}

absl::StatusOr<bool> SiteUpload::Add(ByteView sealed) {
  const absl::StatusOr<bool> whole = aggregator_->AddSegment(site_, next_, sealed);
  const bool update = header_.kind == wire::ContributionKind::kUpdate;
  if (absl::IsInvalidArgument(whole.status()) || absl::IsUnauthenticated(whole.status())) {
    conductor_->Post(
        ContributionRefused{site_, header_.key, std::string(whole.status().message())});
  }
  RETURN_IF_ERROR(whole.status());
  if (next_++ == 0 && update) {
    conductor_->Post(ContributionStarted{site_, header_.key, header_.weight});
  }
  if (*whole && update) {
    conductor_->Post(ContributionComplete{site_, header_.key, header_.weight, header_.loss,
                                          header_.train_seconds,
                                          Seconds(conductor_->parts_.clock.Now() - started_),
                                          crypto::EnvelopeSize(header_.plaintext_size)});
  } else if (*whole) {
    conductor_->MakeInitialModel(site_, header_.key);
  }
  return *whole;
}

}  // namespace consilium::coordinator
