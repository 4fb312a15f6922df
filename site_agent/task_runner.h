#pragma once

// Carries out one task after another, each as far as it goes without waiting: make the initial
// model, train, evaluate, upload what was sealed before, fetch what was published. A task that is
// carried out again goes on from what the first try left on the disk. No thread of its own.

#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/base/random.h"
#include "common/metrics/evaluation_sums.h"
#include "common/wire/protocol.h"
#include "site_agent/consents.h"
#include "site_agent/coordinator_channel.h"
#include "site_agent/learner.h"
#include "site_agent/masked_update.h"
#include "site_agent/model_store.h"
#include "site_agent/optimizer_memory.h"
#include "site_agent/personal_model.h"
#include "site_agent/sealed_update.h"
#include "site_agent/secure_sessions.h"
#include "site_agent/site_state.h"
#include "site_agent/task.h"
#include "site_agent/task_progress.h"
#include "site_agent/trained_update.h"

namespace consilium::site_agent {

// Borrowed; all must outlive the runner.
struct TaskContext {
  CoordinatorChannel& channel;
  SiteState& state;
  Learner& learner;
  LocalData& data;
  const Clock& clock;
  SiteId site;
  SecureSessions& sessions;
  const crypto::Secret& state_key;  // for what is kept on the disk
  RandomSource& random;
  // To the coordinator over the standing connection; false when there is none now.
  std::function<bool(const wire::FromSite&)> tell;
  // The coordinator's, from the pinned roster; none when it has none.
  std::function<std::optional<crypto::X25519PublicKey>()> sealing_key;
  // The site's own weight in a mean, as it enlisted with it.
  std::function<double(const Agreement&)> weight;
  Duration progress_interval = FromSeconds(0.5);
  int threads = 1;  // for masking
};

class TaskRunner {
 public:
  explicit TaskRunner(TaskContext context);

  // What failed is logged and has been told to the coordinator as TaskFailed (but for a published
  // model that could not be fetched).
  // `resumed`: the coordinator has not asked for it again since the last try.
  TaskOutcome Run(const Task& task, bool resumed, std::stop_token stop);
  // What is to be done for the site alone once a task has ended: its own model, of the global one
  // that came with the task.
  std::optional<Task> Afterwards(const Task& task);

 private:
  absl::Status Do(const wire::MakeInitialModel& task, std::stop_token stop);
  absl::Status Do(const wire::TrainRequest& task, std::stop_token stop);
  absl::Status Do(const wire::EvaluateRequest& task, std::stop_token stop);
  absl::Status Do(const wire::DescribeRequest& task, std::stop_token stop);
  absl::Status Do(const SendSealed& task, std::stop_token stop);
  absl::Status Do(const FetchPublished& task, std::stop_token stop);
  absl::Status Do(const Personalise& task, std::stop_token stop);

  // Marks what a call to the coordinator failed with as something to try again, when it is that.
  absl::Status MayTryLater(const absl::Status& failed);
  // Of the session, or an error that marks the task as one that waits for them.
  absl::StatusOr<std::vector<secagg::Mask>> MasksOf(const secagg::SessionKey& session);
  void Fail(const Task& task, const absl::Status& why);

  bool Closed(const AttemptKey& key);
  absl::StatusOr<crypto::X25519PublicKey> SealingKey() const;
  TaskProgress ProgressOf(const AttemptKey& key, std::stop_token stop) const;
  absl::StatusOr<ModelState> LoadModel(const ModelId& model, const plan::Plan& plan,
                                       Progress& progress, std::stop_token stop);
  // What an earlier process or connection sealed for this attempt, if it can still be opened by
  // `recipient`.
  absl::StatusOr<std::optional<SealedUpdate>> SealedBefore(
      const AttemptKey& key, const ModelId& base, const crypto::X25519PublicKey& recipient);
  absl::StatusOr<std::optional<MaskedUpdate>> MaskedBefore(const AttemptKey& key,
                                                           const ModelId& base);
  // Trains, unless that was done before, by whatever attempt and process; what was learned is on
  // the disk then, and the coordinator knows.
  absl::StatusOr<TrainedRecord> Learn(const wire::TrainRequest& task, const plan::Plan& plan,
                                      std::stop_token stop);
  absl::Status TellTrained(const AttemptKey& key, const TrainedRecord& trained, bool before);
  // What was learned, from the disk; without its weight. When it is not there (a disk that lied),
  // the task is marked to be tried again, and trains again.
  absl::StatusOr<Contribution> Recall(const wire::TrainRequest& task, const TrainedRecord& trained);
  absl::Status TrainMasked(const wire::TrainRequest& task, const Agreement& agreement,
                           std::stop_token stop);
  absl::Status SealAndSend(Contribution&& contribution, const crypto::X25519PublicKey& recipient,
                           std::stop_token stop);
  absl::Status Send(const OutboxFile& update, std::stop_token stop);

  // Of a model on a split, made or remembered.
  absl::StatusOr<wire::EvaluationReport> Evaluate(const wire::EvaluateRequest& task,
                                                  const ModelId& model, const plan::Plan& plan,
                                                  std::stop_token stop);
  // What the site's images are, made or remembered.
  absl::StatusOr<std::vector<std::uint64_t>> DescribeImages(const wire::DescribeRequest& task,
                                                            const plan::Plan& plan,
                                                            std::stop_token stop);
  // What its table's training rows are on average, likewise.
  absl::StatusOr<std::vector<std::uint64_t>> PrepareTable(const wire::DescribeRequest& task,
                                                          const plan::Plan& plan,
                                                          std::stop_token stop);
  absl::Status SendMaskedSums(const secagg::SessionKey& key, std::vector<std::uint64_t> sums);
  // Against the last published model, for the release gate.
  absl::Status Compare(const wire::EvaluateRequest& task, const plan::Plan& plan,
                       std::stop_token stop, metrics::EvaluationSums* sums);
  absl::Status Depart(std::string what, const AttemptKey& key, ByteView bytes);

  TaskContext context_;
  ModelStore models_;
  ModelStore published_;
  PersonalModels personal_;
  OptimizerMemory optimizers_;
  TaskOutcome outcome_ = TaskOutcome::kEnded;  // of the present task, unless it ends
  bool resumed_ = false;
};

// Whether trying again may help: the coordinator is away or overloaded, or the connection broke.
bool Retryable(const absl::Status& status);

}  // namespace consilium::site_agent
