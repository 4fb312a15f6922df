// What a task runner does for the site's own model.

#include "common/base/log.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "site_agent/task_runner.h"

namespace consilium::site_agent {
namespace {

// Of work that nobody waits for: told to nobody, and ended at its time.
class OwnProgress final : public Progress {
 public:
  OwnProgress(const Clock& clock, Duration limit, std::stop_token stop)
      : clock_(clock), until_(clock.Now() + limit), stop_(std::move(stop)) {}
  void Report(std::string_view, std::uint64_t, std::uint64_t, std::string_view) override {}
  bool Cancelled() const override { return stop_.stop_requested() || Late(); }
  bool Late() const { return clock_.Now() >= until_; }

 private:
  const Clock& clock_;
  const Time until_;
  const std::stop_token stop_;
};

PersonalStep StepOf(const Personalise& task, const plan::Plan& plan, const SiteId& site) {
  const std::string label = StrCat("personal ", site.value, " ", task.run.value, " ", task.round);
  return {task.run, task.model, task.round == 0, SeededRandom(plan.seed, label)()};
}

}  // namespace

std::optional<Task> TaskRunner::Afterwards(const Task& task) {
  Personalise next;
  if (const auto* train = std::get_if<wire::TrainRequest>(&task)) {
    const auto record = context_.state.FindTask(train->key);
    const bool sent =
        record.ok() && *record &&
        ((*record)->state == TaskState::kAcknowledged || (*record)->state == TaskState::kCounted);
    if (!sent) return std::nullopt;
    next = {train->key.run, train->key.round, train->base_model};
  } else if (const auto* published = std::get_if<FetchPublished>(&task)) {
    next = {published->run, 0, published->model};
  } else {
    return std::nullopt;
  }
  const auto agreement = FindAgreement(context_.state, next.run);
  if (!agreement.ok()) return std::nullopt;
  const PersonalStep step = StepOf(next, agreement->plan, context_.site);
  if (!personal_.IsDue(agreement->plan, step)) return std::nullopt;
  return next;
}

absl::Status TaskRunner::Do(const Personalise& task, std::stop_token stop) {
  ASSIGN_OR_RETURN(const Agreement agreement, FindAgreement(context_.state, task.run));
  const plan::Plan& plan = agreement.plan;
  const PersonalStep step = StepOf(task, plan, context_.site);
  if (!personal_.IsDue(plan, step)) return absl::OkStatus();
  OwnProgress progress(context_.clock, FromSeconds(plan.cohort.round_deadline_s), stop);
  ModelStore& store = task.round == 0 ? published_ : models_;
  absl::StatusOr<ModelState> global = store.Load(context_.channel, task.model, progress, stop);
  if (!global.ok()) return MayTryLater(global.status());
  ASSIGN_OR_RETURN(const auto train, context_.data.Open(plan, datasets::Split::kTrain, progress));
  const absl::Status made = personal_.Make(plan, step, *global, *train, context_.learner, progress);
  if (!made.ok() && progress.Late() && !stop.stop_requested()) {
    return absl::DeadlineExceededError(
        "the personal model was not made within the round's deadline; the one before stays");
  }
  return made;
}

}  // namespace consilium::site_agent
