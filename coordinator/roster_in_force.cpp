#include "coordinator/roster_in_force.h"

#include "common/base/status.h"

namespace consilium::coordinator {

absl::StatusOr<std::shared_ptr<const identity::SignedRoster>> RosterInForce::Get() {
  ASSIGN_OR_RETURN(const std::uint64_t version,
                   ledger_.With([](Ledger& ledger) { return ledger.RosterVersion(); }));
  {
    std::lock_guard lock(mutex_);
    if (newest_ && newest_->roster.version >= version) return newest_;
  }
  ASSIGN_OR_RETURN(const std::string file,
                   ledger_.With([](Ledger& ledger) { return ledger.RosterFile(); }));
  ASSIGN_OR_RETURN(identity::SignedRoster roster, identity::VerifyRoster(root_, file));
  std::lock_guard lock(mutex_);
  if (!newest_ || newest_->roster.version < roster.roster.version) {
    newest_ = std::make_shared<const identity::SignedRoster>(std::move(roster));
  }
  return newest_;
}

RosterView ViewOf(const identity::SignedRoster& roster, const std::vector<Member>& members) {
  RosterView view;
  view.federation = roster.roster.federation;
  view.hash = roster.hash;
  std::set<Digest> active;
  for (const Member& member : members) {
    if (!member.revoked) active.insert(member.tls_key);
  }
  for (const identity::RosterEntry& entry : roster.roster.members) {
    if (entry.role != Role::kSite || !active.contains(entry.tls_key)) continue;
    view.sites[SiteId(entry.name)] = entry.signing_key;
    if (entry.weight_cap > 0) view.weight_caps[SiteId(entry.name)] = entry.weight_cap;
  }
  return view;
}

}  // namespace consilium::coordinator
