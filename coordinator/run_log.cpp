#include "coordinator/run_log.h"

#include "common/base/log.h"

namespace consilium::coordinator {
namespace {

std::string_view NameOf(wire::RunEventKind kind) {
  using enum wire::RunEventKind;
  switch (kind) {
    case kSubmitted:
      return "run_submitted";
    case kSiteInvited:
      return "site_invited";
    case kSiteAccepted:
      return "site_accepted";
    case kSiteDeclined:
      return "site_declined";
    case kWaiting:
      return "waiting";
    case kRoundOpened:
      return "round_opened";
    case kTaskSent:
      return "task_sent";
    case kProgress:
      return "progress";
    case kTrained:
      return "trained";
    case kUpdateReceived:
      return "update_received";
    case kContributionLost:
      return "contribution_lost";
    case kAggregated:
      return "aggregated";
    case kSiteEvaluated:
      return "site_evaluated";
    case kRoundEvaluated:
      return "round_evaluated";
    case kRoundFailed:
      return "round_failed";
    case kStopping:
      return "stopping";
    case kFinalEvaluation:
      return "final_evaluation";
    case kGatePassed:
      return "gate_passed";
    case kGateFailed:
      return "gate_failed";
    case kPublished:
      return "published";
    case kEnded:
      return "run_ended";
    case kSiteConnected:
      return "site_connected";
    case kSiteDisconnected:
      return "site_disconnected";
    case kSecureStep:
      return "secure_step";
    case kDescribed:
      return "described";
    case kPrepared:
      return "prepared";
    case kRestarted:
      return "run_goes_on";
  }
  return "event";
}

bool IsBad(wire::RunEventKind kind) {
  return kind == wire::RunEventKind::kContributionLost || kind == wire::RunEventKind::kRoundFailed;
}

}  // namespace

void LogEvent(const RunId& run, const wire::RunEvent& event) {
  std::string where = run.value;
  if (event.round > 0 || event.attempt > 0) StrAppend(&where, "/", event.round, "/", event.attempt);
  std::string values;
  for (const auto& [key, value] : event.values) {
    StrAppend(&values, values.empty() ? "" : " ", key, ":", value);
  }
  Log(IsBad(event.kind) ? LogLevel::kWarning : LogLevel::kInfo, NameOf(event.kind),
      {{"at", where}, {"site", event.site.value}, {"text", event.text}, {"values", values}});
}

}  // namespace consilium::coordinator
