#include "coordinator/log_pieces.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "common/base/status.h"
#include "common/crypto/keys.h"

namespace consilium::coordinator {
namespace {

using nlohmann::json;

constexpr std::size_t kEntriesInAPiece = 200;

json ToJson(const wire::LogEntry& entry, const Digest& head) {
  return {{"number", entry.number},
          {"time", static_cast<std::uint64_t>(entry.time.time_since_epoch().count())},
          {"actor", entry.actor},
          {"action", entry.action},
          {"subject", entry.subject},
          {"details", entry.details},
          {"head", head.Hex()}};
}

json ToJson(const Countersignature& signature) {
  return {{"site", signature.site.value},
          {"number", signature.signature.number},
          {"head", signature.signature.head.Hex()},
          {"signature", ToHex(signature.signature.signature)}};
}

}  // namespace

bool SignedByMember(const std::vector<Member>& members, const SiteId& site, ByteView text,
                    const crypto::Signature& signature) {
  return std::ranges::any_of(members, [&](const Member& member) {
    return member.name == site.value && !member.revoked &&
           crypto::VerifySignature(member.signing_key, text, signature).ok();
  });
}

absl::StatusOr<std::vector<Countersignature>> VerifiableCountersignatures(Ledger& ledger,
                                                                          std::uint64_t up_to) {
  ASSIGN_OR_RETURN(const std::string federation, ledger.FederationName());
  ASSIGN_OR_RETURN(const std::vector<Member> members, ledger.Members());
  ASSIGN_OR_RETURN(std::vector<Countersignature> signatures, ledger.Countersignatures(up_to));
  std::erase_if(signatures, [&](const Countersignature& countersignature) {
    const wire::LogSignature& head = countersignature.signature;
    return !SignedByMember(members, countersignature.site,
                           wire::LogHeadText(federation, head.number, head.head), head.signature);
  });
  return signatures;
}

absl::StatusOr<std::string> LogPieces::Next(Ledger& ledger) {
  ASSIGN_OR_RETURN(const std::string federation, ledger.FederationName());
  ASSIGN_OR_RETURN(const std::vector<wire::LogEntry> entries,
                   ledger.LogEntries(next_, kEntriesInAPiece));
  json piece = {
      {"federation", federation}, {"entries", json::array()}, {"countersignatures", json::array()}};
  for (const wire::LogEntry& entry : entries) {
    ASSIGN_OR_RETURN(const Digest head, ledger.HeadAfter(entry.number));
    piece["entries"].push_back(ToJson(entry, head));
    next_ = entry.number + 1;
  }
  done_ = entries.size() < kEntriesInAPiece;
  if (done_) {
    ASSIGN_OR_RETURN(const auto signatures, VerifiableCountersignatures(ledger, next_ - 1));
    for (const Countersignature& signature : signatures) {
      piece["countersignatures"].push_back(ToJson(signature));
    }
  }
  // Text that came from outside is kept as it was hashed: what is not UTF-8 cannot be shown.
  try {
    return piece.dump();
  } catch (const json::exception&) {
    return absl::DataLossError("the audit log holds text that is not UTF-8");
  }
}

}  // namespace consilium::coordinator
