// Who belongs to the federation while runs go on, and what its members sign: plans, and heads of
// the audit log.

#include <algorithm>
#include <utility>

#include "common/base/log.h"
#include "common/base/status.h"
#include "common/crypto/sha256.h"
#include "coordinator/conductor.h"

namespace consilium::coordinator {
namespace {

// Of the log, sent at once: far below a message's largest size.
constexpr std::size_t kMostEntries = 200;
constexpr std::size_t kMostEntryBytes = 512 << 10;

std::size_t SizeOf(const wire::LogEntry& entry) {
  return entry.actor.size() + entry.action.size() + entry.subject.size() + entry.details.size();
}

// What comes after entry `after`; none when the log ends there.
absl::StatusOr<std::optional<wire::LogExtension>> ExtensionFrom(Ledger& ledger,
                                                                std::uint64_t after) {
  ASSIGN_OR_RETURN(std::vector<wire::LogEntry> entries, ledger.LogEntries(after + 1, kMostEntries));
  if (entries.empty()) return std::nullopt;
  std::size_t bytes = SizeOf(entries.front()), fits = 1;
  while (fits < entries.size() && (bytes += SizeOf(entries[fits])) <= kMostEntryBytes) ++fits;
  entries.resize(fits);
  ASSIGN_OR_RETURN(const Digest previous, ledger.HeadAfter(after));
  return wire::LogExtension{previous, std::move(entries)};
}

bool SameSites(const RosterView& a, const RosterView& b) {
  return a.hash == b.hash && a.sites == b.sites;
}

}  // namespace

// A roster or a revocation may come from another process. What is new goes before the other
// inputs: a site that was just admitted is known when it connects.
std::vector<Conductor::Input> Conductor::WithRosterFirst(std::vector<Input> came) {
  const bool connects = std::any_of(came.begin(), came.end(), [](const Input& input) {
    const auto* event = std::get_if<Event>(&input);
    return event && std::holds_alternative<SiteConnected>(*event);
  });
  const Time now = parts_.clock.Now();
  const bool due =
      now < federation_watched_ || now >= federation_watched_ + parts_.federation_watch;
  if (!connects && !due) return came;
  federation_watched_ = now;
  if (!TakeUpRoster()) return came;
  std::vector<Input> inputs;
  inputs.reserve(came.size() + 1);
  inputs.emplace_back(Event(RosterChanged{view_}));
  std::move(came.begin(), came.end(), std::back_inserter(inputs));
  return inputs;
}

// True when the sites are others than before, or have another roster.
bool Conductor::TakeUpRoster() {
  const auto members = parts_.ledger.With([](Ledger& ledger) { return ledger.Members(); });
  if (!members.ok()) return false;
  CloseRevoked(*members);
  const auto roster = rosters_.Get();
  if (!roster.ok()) {
    if (!absl::IsNotFound(roster.status())) {
      Log(LogLevel::kError, "roster_not_read", {{"why", ToStd(roster.status().message())}});
    }
    return false;
  }
  {
    std::lock_guard lock(mutex_);
    if (roster_ != *roster) {
      roster_ = *roster;
      for (auto& [site, connection] : connections_) {
        if (connection.roster_version >= roster_->roster.version) continue;
        connection.queue->Push(wire::RosterFile{roster_->file});
        connection.roster_version = roster_->roster.version;
      }
      Log(LogLevel::kInfo, "roster_in_force", {{"version", roster_->roster.version}});
    }
  }
  RosterView view = ViewOf(**roster, *members);
  if (SameSites(view, view_)) return false;
  view_ = std::move(view);
  return true;
}

void Conductor::CloseRevoked(const std::vector<Member>& members) {
  std::set<Digest> active;
  for (const Member& member : members) {
    if (!member.revoked) active.insert(member.tls_key);
  }
  std::lock_guard lock(mutex_);
  for (const auto& [site, connection] : connections_) {
    if (active.contains(connection.tls_key)) continue;
    Log(LogLevel::kWarning, "revoked_site_closed", {{"site", site.value}});
    connection.queue->Close();
  }
}

// ---- the audit log

// Of each site at most one extension is on its way: the next begins where its signature says.
void Conductor::ExtendLogs() {
  std::map<SiteId, std::uint64_t> ready;
  {
    std::lock_guard lock(mutex_);
    for (const auto& [site, connection] : connections_) {
      if (!connection.log_sent) ready[site] = connection.log_signed;
    }
  }
  if (ready.empty()) return;
  std::map<SiteId, wire::LogExtension> extensions;
  const absl::Status read = parts_.ledger.With([&](Ledger& ledger) -> absl::Status {
    ASSIGN_OR_RETURN(const Ledger::LogHead head, ledger.Head());
    for (const auto& [site, signed_up_to] : ready) {
      if (signed_up_to >= head.number) continue;
      ASSIGN_OR_RETURN(auto extension, ExtensionFrom(ledger, signed_up_to));
      if (extension) extensions[site] = *std::move(extension);
    }
    return absl::OkStatus();
  });
  if (!read.ok()) {
    Log(LogLevel::kError, "log_not_read", {{"why", ToStd(read.message())}});
    return;
  }
  std::lock_guard lock(mutex_);
  for (auto& [site, extension] : extensions) {
    const auto found = connections_.find(site);
    // It may have come back meanwhile, having signed more.
    if (found == connections_.end() || found->second.log_signed != ready[site]) continue;
    found->second.log_sent = true;
    found->second.queue->Push(std::move(extension));
  }
}

void Conductor::KeepSignature(const SiteId& site, const wire::LogSignature& signature) {
  const auto keep = [&]() -> absl::Status {
    ASSIGN_OR_RETURN(const auto roster, rosters_.Get());
    const identity::RosterEntry* entry = roster->roster.Find(site.value);
    if (entry == nullptr) return absl::PermissionDeniedError("it is not in the roster");
    RETURN_IF_ERROR(crypto::VerifySignature(
        entry->signing_key,
        wire::LogHeadText(roster->roster.federation, signature.number, signature.head),
        signature.signature));
    return parts_.ledger.With([&](Ledger& ledger) {
      return ledger.AddCountersignature({site, signature});
    });
  };
  if (const absl::Status kept = keep(); !kept.ok()) {
    Log(LogLevel::kError, "log_signature_refused",
        {{"site", site.value}, {"why", ToStd(kept.message())}});
    return;
  }
  std::lock_guard lock(mutex_);
  const auto found = connections_.find(site);
  if (found == connections_.end()) return;
  found->second.log_signed = std::max(found->second.log_signed, signature.number);
  found->second.log_sent = false;
  inbox_.emplace_back(std::in_place_type<LogSigned>);
  input_came_.notify_all();
}

// ---- plans

absl::Status Conductor::CheckPlanSignature(const PlanSubmission& submission,
                                           const std::string& researcher) {
  ASSIGN_OR_RETURN(const auto roster, rosters_.Get());
  const identity::RosterEntry* entry = roster->roster.Find(researcher);
  if (entry == nullptr || entry->role != Role::kResearcher) {
    return absl::PermissionDeniedError(
        StrCat("the roster in force lists no researcher \"", researcher, "\""));
  }
  const Bytes text = wire::PlanText(roster->roster.federation, researcher, submission.nonce,
                                    crypto::Sha256(submission.toml));
  if (crypto::VerifySignature(entry->signing_key, text, submission.signature).ok()) {
    return absl::OkStatus();
  }
  return absl::PermissionDeniedError(
      StrCat("the plan is not signed with the key that the roster has for \"", researcher,
             "\", or was changed after it was signed: sign and submit it again"));
}

}  // namespace consilium::coordinator
