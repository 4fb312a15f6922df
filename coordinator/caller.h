#pragma once

#include <map>
#include <mutex>
#include <set>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "coordinator/shared_ledger.h"

namespace grpc {
class ServerContextBase;
}

namespace consilium::coordinator {

// Who calls: client certificates looked up in the ledger, with a short memory so that a stream of
// segments does not wait for the disk. Thread-safe.
class CallerTable {
 public:
  CallerTable(SharedLedger& ledger, const Clock& clock) : ledger_(ledger), clock_(clock) {}

  // kUnauthenticated without a client certificate; kPermissionDenied when it is not an active
  // member's, or of a member in another role.
  absl::StatusOr<Member> Identify(const grpc::ServerContextBase& context, Role role);
  absl::StatusOr<Member> Identify(const grpc::ServerContextBase& context,
                                  const std::set<Role>& roles);
  // Again, in the middle of a stream: kPermissionDenied once it is revoked.
  absl::Status StillMember(const Member& member);

 private:
  struct Known {
    Time looked_up{};
    absl::StatusOr<Member> member;
  };
  absl::StatusOr<Member> LookUp(const Digest& certificate);

  SharedLedger& ledger_;
  const Clock& clock_;
  std::mutex mutex_;
  std::map<Digest, Known> known_;
};

}  // namespace consilium::coordinator
