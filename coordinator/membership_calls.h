#pragma once

#include <memory>

#include "common/wire/versions.h"
#include "coordinator/authority.h"
#include "coordinator/caller.h"

namespace grpc {
class Service;
}

namespace consilium::coordinator {

// What MembershipService works with; all must outlive it.
struct MembershipDesk {
  SharedLedger& ledger;
  RosterInForce& roster;
  const Authority& authority;
  CallerTable& callers;
  const Clock& clock;
  wire::ProgramVersion version;
};

// The server of v1::MembershipService: becoming and staying a member. Enrol and Ping answer without
// a client certificate, Renew and FetchRoster to every member that is not revoked.
std::unique_ptr<grpc::Service> MakeMembershipService(const MembershipDesk& desk);

}  // namespace consilium::coordinator
