#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "coordinator/ledger.h"

namespace consilium::coordinator {

// Whether `site` is a member, and its present key made `signature` over `text`: what who has the
// newest roster can verify.
bool SignedByMember(const std::vector<Member>& members, const SiteId& site, ByteView text,
                    const crypto::Signature& signature);

// Of each site that is a member, the latest signature up to entry `up_to`, if it is by the site's
// present key. Sites that were revoked, or that have
// signed nothing since they have a new key, are left out.
absl::StatusOr<std::vector<Countersignature>> VerifiableCountersignatures(Ledger& ledger,
                                                                          std::uint64_t up_to);

// The log for those who read it, piece by piece (the form is in service.h). What is added while it
// is read comes too.
class LogPieces {
 public:
  explicit LogPieces(std::uint64_t from) : next_(from == 0 ? 1 : from) {}
  bool done() const { return done_; }
  // The next piece; the last one has no entry that another could follow, and the countersignatures.
  absl::StatusOr<std::string> Next(Ledger& ledger);

 private:
  std::uint64_t next_;
  bool done_ = false;
};

}  // namespace consilium::coordinator
