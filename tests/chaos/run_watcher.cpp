#include "tests/chaos/run_watcher.h"

#include <chrono>

#include "common/base/text.h"
#include "coordinator/researcher/research_channel.h"

namespace consilium::chaos {
namespace {

using wire::RunEventKind;

// Of the run after an event; null: as before.
const char* DoingAfter(const wire::RunEvent& event) {
  switch (event.kind) {
    case RunEventKind::kSubmitted:
    case RunEventKind::kSiteInvited:
    case RunEventKind::kSiteAccepted:
      return "enlisting";
    case RunEventKind::kRoundOpened:
    case RunEventKind::kTaskSent:
      return "training";
    case RunEventKind::kTrained:
    case RunEventKind::kUpdateReceived:
      return "uploading";
    case RunEventKind::kSecureStep:
      if (event.text == "advertise" || event.text == "share") return "agreeing on masks";
      return event.text == "unmask" ? "aggregating" : "unmasking";
    case RunEventKind::kAggregated:
    case RunEventKind::kSiteEvaluated:
      return "evaluating";
    case RunEventKind::kRoundEvaluated:
      return "between rounds";
    case RunEventKind::kFinalEvaluation:
      return "final evaluation";
    case RunEventKind::kGatePassed:
    case RunEventKind::kPublished:
      return "publishing";
    default:
      return nullptr;
  }
}

}  // namespace

RunWatcher::RunWatcher(fs::path researcher, RunId run)
    : researcher_(std::move(researcher)), run_(std::move(run)), thread_([this] { Follow(); }) {}

RunWatcher::~RunWatcher() {
  stopping_ = true;
  thread_.join();
}

std::string RunWatcher::Doing() const {
  const std::lock_guard lock(mutex_);
  return doing_;
}

std::string RunWatcher::LastWords() const {
  const std::lock_guard lock(mutex_);
  return last_words_;
}

void RunWatcher::Follow() {
  while (!stopping_ && !ended_) {
    // A new channel each time: an old one waits longer and longer before it connects again.
    auto identity = identity::LoadIdentity(researcher_);
    if (identity.ok()) {
      researcher::ResearchChannel channel(*std::move(identity));
      const absl::Status status = channel.Watch(run_, seen_, [this](const wire::RunEvent& event) {
        On(event);
        return !stopping_;
      });
      if (!status.ok() && !absl::IsUnavailable(status)) {  // for whom it may concern at the end
        const std::lock_guard lock(mutex_);
        last_words_ = ToStd(status.message());
      }
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

void RunWatcher::On(const wire::RunEvent& event) {
  if (event.sequence <= seen_) return;  // progress: not kept in the ledger
  seen_ = event.sequence;
  const std::lock_guard lock(mutex_);
  if (const char* doing = DoingAfter(event)) doing_ = doing;
  if (!event.text.empty()) last_words_ = StrCat("round ", event.round, ": ", event.text);
  if (event.kind != RunEventKind::kEnded) return;
  const auto failed = event.values.find("failed");
  failed_ = failed != event.values.end() && failed->second != 0;
  ended_ = true;
}

}  // namespace consilium::chaos
