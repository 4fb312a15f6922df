#include "coordinator/service_limits.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "common/base/log.h"
#include "common/base/status.h"

namespace consilium::coordinator {
namespace {

constexpr auto kLookEvery = std::chrono::milliseconds(250);

std::string_view Name(CallKind kind) {
  switch (kind) {
    case CallKind::kAttend:
      return "standing connections";
    case CallKind::kDownload:
      return "model downloads";
    case CallKind::kUpload:
      return "uploads";
    case CallKind::kWatch:
      break;
  }
  return "watches";
}

}  // namespace

OpenCalls::OpenCalls(const ServiceLimits& limits) : limits_(limits) {
  watching_ = std::thread([this] { Watch(); });
}

OpenCalls::~OpenCalls() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    stop_.notify_all();
  }
  watching_.join();
  CONSILIUM_CHECK(open_.empty());
}

int OpenCalls::LimitOf(CallKind kind) const {
  switch (kind) {
    case CallKind::kAttend:
      return limits_.attends;
    case CallKind::kDownload:
      return limits_.downloads;
    case CallKind::kUpload:
      return limits_.uploads;
    case CallKind::kWatch:
      break;
  }
  return limits_.watches;
}

absl::StatusOr<std::unique_ptr<OpenCalls::Call>> OpenCalls::Open(
    const std::string& member, const Digest& tls_key, CallKind kind,
    std::function<void(absl::Status)> end) {
  const std::lock_guard lock(mutex_);
  const std::pair<Digest, CallKind> slot(tls_key, kind);
  const int limit = LimitOf(kind);
  if (int& count = counts_[slot]; count < limit) {
    ++count;
  } else {
    return absl::ResourceExhaustedError(
        StrCat("\"", member, "\" has ", limit, " ", Name(kind),
               " open, which is as many as one member may have: check that only one program uses "
               "this identity, and call again when one has ended"));
  }
  Entry& entry = open_.emplace_back();
  entry.member = member;
  entry.slot = slot;
  entry.end = std::move(end);
  return std::unique_ptr<Call>(new Call(*this, std::prev(open_.end())));
}

OpenCalls::Call::~Call() {
  std::function<void(absl::Status)> end;  // goes after the lock
  const std::lock_guard lock(calls_.mutex_);
  const auto count = calls_.counts_.find(entry_->slot);
  if (--count->second == 0) calls_.counts_.erase(count);
  end = std::move(entry_->end);
  calls_.open_.erase(entry_);
  calls_.changed_.notify_all();
}

void OpenCalls::Call::Await(std::string_view what, Duration patience) {
  const std::lock_guard lock(calls_.mutex_);
  entry_->awaited = what;
  entry_->patience = patience;
  entry_->until = std::chrono::steady_clock::now() + patience;
}

void OpenCalls::Call::AwaitNothing() {
  const std::lock_guard lock(calls_.mutex_);
  entry_->until.reset();
}

std::size_t OpenCalls::size() const {
  const std::lock_guard lock(mutex_);
  return open_.size();
}

void OpenCalls::WaitUntilNone() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return open_.empty(); });
}

void OpenCalls::Watch() {
  std::unique_lock lock(mutex_);
  while (!stop_.wait_for(lock, kLookEvery, [this] { return stopping_; })) {
    const auto now = std::chrono::steady_clock::now();
    std::vector<std::pair<std::function<void(absl::Status)>, absl::Status>> stalled;
    for (Entry& entry : open_) {
      if (!entry.until || now < *entry.until) continue;
      entry.until.reset();
      Log(LogLevel::kWarning, "call_stalled", {{"member", entry.member}, {"why", entry.awaited}});
      if (!entry.end) continue;
      stalled.emplace_back(
          std::exchange(entry.end, nullptr),
          absl::DeadlineExceededError(
              StrCat("\"", entry.member, "\" was hung up on: ", entry.awaited, " for ",
                     Seconds(entry.patience), " s; it goes on where it was when it calls again")));
    }
    lock.unlock();
    for (const auto& [end, why] : stalled) end(why);
    lock.lock();
  }
}

bool MessageBudget::Spend() {
  const auto now = std::chrono::steady_clock::now();
  const double seconds = std::chrono::duration<double>(now - counted_).count();
  counted_ = now;
  left_ = std::min(limits_.messages, left_ + seconds * limits_.messages_a_second);
  if (left_ < 1) return false;
  left_ -= 1;
  return true;
}

}  // namespace consilium::coordinator
