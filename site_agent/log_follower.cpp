#include "site_agent/log_follower.h"

#include "common/base/status.h"

namespace consilium::site_agent {

absl::StatusOr<LogHead> Follow(const std::optional<LogHead>& signed_head,
                               const wire::LogExtension& extension) {
  if (extension.entries.empty()) {
    if (signed_head && signed_head->head == extension.previous) return *signed_head;
    return absl::DataLossError("the coordinator shows a log without entries, from another head");
  }
  LogHead now{extension.entries.front().number - 1, extension.previous};
  bool passed =
      !signed_head || (now.number == signed_head->number && now.head == signed_head->head);
  for (const wire::LogEntry& entry : extension.entries) {
    if (entry.number != now.number + 1) {
      return absl::DataLossError(
          StrCat("entry ", entry.number, " of the coordinator's log follows entry ", now.number));
    }
    now = {entry.number, wire::ExtendedBy(now.head, entry)};
    passed = passed || (now.number == signed_head->number && now.head == signed_head->head);
  }
  if (passed) return now;
  return absl::DataLossError(StrCat("the coordinator's log, up to entry ", now.number,
                                    ", does not go through entry ", signed_head->number,
                                    " with head ", signed_head->head.Short(),
                                    ", which this site has countersigned"));
}

absl::Status CheckNoFork(SiteState& state) {
  ASSIGN_OR_RETURN(const std::string fork, state.LogFork());
  if (fork.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      StrCat("the coordinator's audit log was changed after this site had signed it (", fork,
             "): this site works no more until its operator has cleared that up with the "
             "federation and runs: consilium-site accept-log"));
}

absl::StatusOr<wire::LogSignature> Countersign(SiteState& state,
                                               const wire::LogExtension& extension,
                                               std::string_view federation,
                                               const crypto::Ed25519KeyPair& signing) {
  ASSIGN_OR_RETURN(const auto signed_head, state.FindLogHead());
  const auto head = Follow(signed_head, extension);
  if (!head.ok() && !signed_head) return head.status();
  if (!head.ok()) {
    RETURN_IF_ERROR(state.RecordLogFork(std::string(ToStd(head.status().message()))));
    return CheckNoFork(state);
  }
  RETURN_IF_ERROR(state.RecordLogHead(*head));
  wire::LogSignature signature{head->number, head->head};
  ASSIGN_OR_RETURN(signature.signature,
                   crypto::Sign(signing, wire::LogHeadText(federation, head->number, head->head)));
  return signature;
}

}  // namespace consilium::site_agent
