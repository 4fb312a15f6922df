#include "site_agent/task_queue.h"

#include <algorithm>
#include <utility>

namespace consilium::site_agent {
namespace {

// Asks for the same work, or for what becomes of the same attempt.
bool Overlap(const Task& a, const Task& b) {
  const auto key = AttemptOf(a);
  return SameWork(a, b) || (key && key == AttemptOf(b));
}

}  // namespace

void TaskQueue::Add(Task task, Time now) {
  std::stop_source stop(std::nostopstate);
  {
    const std::lock_guard lock(mutex_);
    const bool personal = std::holds_alternative<Personalise>(task);
    if (personal) {
      std::erase_if(queue_, [&](const Entry& entry) {
        return std::holds_alternative<Personalise>(entry.task) && RunOf(entry.task) == RunOf(task);
      });
    }
    AddQuietly(std::move(task), now);
    const bool gives_way = current_ && !personal && !current_->stop.stop_requested() &&
                           std::holds_alternative<Personalise>(current_->entry.task);
    if (!gives_way) return;
    current_->gives_way = true;
    stop = current_->stop;
  }
  stop.request_stop();  // without the lock: it ends calls of the channel
}

void TaskQueue::AddQuietly(Task task, Time now) {
  const auto same = [&](const Entry& entry) { return Overlap(task, entry.task); };
  // An evaluation or description is repeated: the answer of the one being made may be lost with its
  // connection, and the second time it is only read from the state.
  const bool repeat = std::holds_alternative<wire::EvaluateRequest>(task) ||
                      std::holds_alternative<wire::DescribeRequest>(task);
  // Nor is a request dropped for the update in the outbox that it is about, which may turn out to
  // be of no use.
  const bool other_way = current_ && std::holds_alternative<SendSealed>(current_->entry.task) &&
                         !std::holds_alternative<SendSealed>(task);
  if (current_ && !repeat && !other_way && !current_->stop.stop_requested() &&
      same(current_->entry)) {
    return;
  }
  std::erase_if(await_masks_, same);
  if (const auto queued = std::find_if(queue_.begin(), queue_.end(), same);
      queued != queue_.end()) {
    // The request itself also covers what was sealed before.
    if (std::holds_alternative<SendSealed>(queued->task)) queued->task = std::move(task);
    return;
  }
  queue_.push_back(MakeEntry(std::move(task), now));
}

void TaskQueue::Cancel(const std::function<bool(const Task&)>& obsolete) {
  std::stop_source stop(std::nostopstate);
  {
    const std::lock_guard lock(mutex_);
    const auto drop = [&](const Entry& entry) { return obsolete(entry.task); };
    std::erase_if(queue_, drop);
    std::erase_if(await_masks_, drop);
    if (!current_ || !drop(current_->entry)) return;
    current_->again = current_->gives_way = false;
    stop = current_->stop;
  }
  stop.request_stop();  // without the lock: it ends calls of the channel
}

void TaskQueue::TryAgain(Time now) {
  const std::lock_guard lock(mutex_);
  for (Entry& entry : queue_) {
    entry.ready = std::min(entry.ready, now);
    entry.backoff.Reset();
  }
  if (current_) current_->try_again = true;
}

void TaskQueue::TakeMasks(const secagg::SessionKey& session, Time now) {
  const std::lock_guard lock(mutex_);
  const auto of_session = [&](const Entry& entry) { return SessionOf(entry.task) == session; };
  if (current_ && of_session(current_->entry)) current_->masks_came = true;
  const auto waits = std::find_if(await_masks_.begin(), await_masks_.end(), of_session);
  if (waits == await_masks_.end()) return;
  waits->ready = now;
  queue_.push_back(std::move(*waits));
  await_masks_.erase(waits);
}

void TaskQueue::Pause(bool paused) {
  std::stop_source stop(std::nostopstate);
  {
    const std::lock_guard lock(mutex_);
    paused_ = paused;
    if (!paused || !current_ || current_->stop.stop_requested()) return;
    current_->again = true;
    stop = current_->stop;
  }
  stop.request_stop();
}

std::optional<TaskQueue::Work> TaskQueue::Take(Time now) {
  const std::lock_guard lock(mutex_);
  if (paused_ || current_) return std::nullopt;
  auto ready = std::find_if(queue_.begin(), queue_.end(), [&](const Entry& entry) {
    return entry.ready <= now && !std::holds_alternative<Personalise>(entry.task);
  });
  if (ready == queue_.end()) {
    ready = std::find_if(queue_.begin(), queue_.end(),
                         [&](const Entry& entry) { return entry.ready <= now; });
  }
  if (ready == queue_.end()) return std::nullopt;
  current_.emplace(Current{std::move(*ready), {}});
  queue_.erase(ready);
  return Work{current_->entry.task, current_->stop, current_->entry.resumed};
}

void TaskQueue::Finish(TaskOutcome outcome, Time now) {
  const std::lock_guard lock(mutex_);
  Current done = std::move(*current_);
  current_.reset();
  Entry& entry = done.entry;
  entry.ready = now;
  entry.resumed = true;
  if (done.again) {
    queue_.push_front(std::move(entry));
    return;
  }
  if (done.gives_way) {
    const auto newer = [&](const Entry& other) {
      return std::holds_alternative<Personalise>(other.task) &&
             RunOf(other.task) == RunOf(entry.task);
    };
    if (std::none_of(queue_.begin(), queue_.end(), newer)) queue_.push_back(std::move(entry));
    return;
  }
  if (outcome == TaskOutcome::kEnded || done.stop.stop_requested() || Queued(entry.task)) return;
  if (outcome == TaskOutcome::kTryLater) {
    if (done.try_again) {
      entry.backoff.Reset();
    } else {
      entry.ready = now + entry.backoff.Next();
    }
    queue_.push_back(std::move(entry));
  } else if (done.masks_came) {
    queue_.push_front(std::move(entry));
  } else {
    await_masks_.push_back(std::move(entry));
  }
}

bool TaskQueue::Queued(const Task& task) const {
  return std::any_of(queue_.begin(), queue_.end(),
                     [&](const Entry& entry) { return Overlap(task, entry.task); });
}

std::optional<Time> TaskQueue::Next() const {
  const std::lock_guard lock(mutex_);
  if (paused_ || current_ || queue_.empty()) return std::nullopt;
  const auto first =
      std::min_element(queue_.begin(), queue_.end(),
                       [](const Entry& a, const Entry& b) { return a.ready < b.ready; });
  return first->ready;
}

bool TaskQueue::empty() const {
  const std::lock_guard lock(mutex_);
  return queue_.empty() && !current_;
}

bool TaskQueue::idle() const {
  const std::lock_guard lock(mutex_);
  return queue_.empty() && !current_ && await_masks_.empty();
}

}  // namespace consilium::site_agent
