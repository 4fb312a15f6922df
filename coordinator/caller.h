#pragma once

#include <map>
#include <mutex>
#include <set>
#include <string>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "coordinator/roster_in_force.h"
#include "coordinator/shared_ledger.h"

namespace grpc {
class ServerContextBase;
}

namespace consilium::coordinator {

// Who calls: the TLS key of the client's certificate, looked up in the ledger and in the roster in
// force, with a short memory so that a stream of segments does not wait for the disk. Thread-safe.
//
// Claim: denied unless the ledger holds the key unrevoked and the roster signed by the root lists
// it, under the same name, in a role that is asked for. A revocation or a new roster is in force
// within 250 ms, whatever session or certificate of that key the caller uses.
class CallerTable {
 public:
  CallerTable(SharedLedger& ledger, RosterInForce& roster, const Clock& clock)
      : ledger_(ledger), roster_(roster), clock_(clock) {}

  // The member, with the roster's role. kUnauthenticated without a client certificate;
  // kUnavailable, with what to do, when it waits to be admitted; kPermissionDenied when its key is
  // unknown, revoked or not in the roster, or it is in another role.
  absl::StatusOr<Member> Identify(const grpc::ServerContextBase& context, Role role);
  absl::StatusOr<Member> Identify(const grpc::ServerContextBase& context,
                                  const std::set<Role>& roles);
  // Again, in the middle of a stream.
  absl::Status StillMember(const Member& member);

  // Members of any role, and those that wait to be admitted.
  absl::StatusOr<Member> IdentifyEnrolled(const grpc::ServerContextBase& context);

  // For preflight checks; never refuses.
  struct Standing {
    std::string name;           // empty when nobody is known by that key
    std::string_view standing;  // as in PingReply
  };
  Standing StandingOf(const grpc::ServerContextBase& context);

 private:
  enum class Admission { kAdmitted, kWaits, kRevoked, kUnknown, kNotListed, kUncertain };
  struct Known {
    Time looked_up{};
    Admission admission = Admission::kUnknown;
    Member member;
    absl::Status why;  // it may not call; OK when admitted
  };
  Known LookUp(const Digest& tls_key);
  Known Ask(const Digest& tls_key);

  SharedLedger& ledger_;
  RosterInForce& roster_;
  const Clock& clock_;
  std::mutex mutex_;
  std::map<Digest, Known> known_;
};

}  // namespace consilium::coordinator
