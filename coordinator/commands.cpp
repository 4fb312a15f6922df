#include "coordinator/commands.h"

#include <malloc.h>
#include <poll.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "common/base/log.h"
#include "common/base/progress.h"
#include "common/base/smooth_clock.h"
#include "common/base/status.h"
#include "common/base/text_table.h"
#include "coordinator/authority.h"
#include "coordinator/check.h"
#include "coordinator/conductor.h"
#include "coordinator/ledger.h"
#include "coordinator/model_store.h"
#include "coordinator/service.h"

namespace consilium::coordinator {
namespace {

using nlohmann::json;

constexpr int kBetweenRenewalChecks_ms = 1000;

void Print(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

absl::StatusOr<SharedLedger*> OpenLedger(const fs::path& state,
                                         std::unique_ptr<SharedLedger>* owner) {
  if (!Exists(state / "ledger.db")) {
    return absl::NotFoundError(StrCat("the state folder \"", state.filename().string(),
                                      "\" holds no coordinator; run `consilium federation init` "
                                      "first, or give --state the right folder"));
  }
  ASSIGN_OR_RETURN(Ledger ledger, Ledger::Open(state / "ledger.db"));
  *owner = std::make_unique<SharedLedger>(std::move(ledger));
  return owner->get();
}

// Memory for segments comes and goes all the time: keep it in few arenas, and give it back only
// when there is much of it.
void ConfigureAllocator() {
  mallopt(M_ARENA_MAX, 2);
  mallopt(M_MMAP_THRESHOLD, 8 << 20);
  mallopt(M_TRIM_THRESHOLD, 4 << 20);
}

// TLS 1.2 cannot be switched off in gRPC 1.51; its weaker suites can. What gRPC would print about a
// refused handshake or a taken port, this program says itself or answers to the caller.
void ConfigureGrpc() {
  setenv("GRPC_VERBOSITY", "NONE", /*overwrite=*/0);
  setenv("GRPC_SSL_CIPHER_SUITES",
         "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:ECDHE-ECDSA-AES128-GCM-SHA256:"
         "ECDHE-ECDSA-AES256-GCM-SHA384",
         /*overwrite=*/0);
}

// False when the site is no longer in the roster, and there is no key to verify with.
absl::StatusOr<bool> VerifyCountersignature(const identity::SignedRoster& roster,
                                            const Countersignature& countersignature) {
  const identity::RosterEntry* site = roster.roster.Find(countersignature.site.value);
  if (site == nullptr) return false;
  const wire::LogSignature& head = countersignature.signature;
  const absl::Status status = crypto::VerifySignature(
      site->signing_key, wire::LogHeadText(roster.roster.federation, head.number, head.head),
      head.signature);
  if (status.ok()) return true;
  return WithContext(status, StrCat("what ", site->name, " signed after entry ", head.number));
}

// Keeps the server's certificate fresh until the program is asked to stop. ServerTls shows the new
// one to new connections.
void KeepCertificateUntilInterrupt(const Authority& authority, SharedLedger& ledger,
                                   const Clock& clock) {
  pollfd interrupt{InterruptDescriptor(), POLLIN, 0};
  while (!Interrupted()) {
    const absl::StatusOr<bool> renewed = RenewWhenDue(authority, ledger, clock.Now());
    if (!renewed.ok()) {
      Log(LogLevel::kError, "certificate_not_renewed",
          {{"why", ToStd(renewed.status().message())}});
    }
    poll(&interrupt, 1, kBetweenRenewalChecks_ms);
  }
}

}  // namespace

absl::Status ServeCommand(const CommandOptions& options, const std::string& address) {
  ConfigureAllocator();
  ConfigureGrpc();
  ASSIGN_OR_RETURN(const Authority authority, Authority::Load(options.state, options.passphrase));
  ASSIGN_OR_RETURN(const FolderLock lock, FolderLock::Acquire(options.state));
  std::unique_ptr<SharedLedger> owner;
  ASSIGN_OR_RETURN(SharedLedger * ledger, OpenLedger(options.state, &owner));
  ASSIGN_OR_RETURN(ModelStore models, ModelStore::Open(options.state / "models"));
  const SystemClock clock;
  // It may have run out while nothing served.
  RETURN_IF_ERROR(RenewWhenDue(authority, *ledger, clock.Now()).status());
  const SteadyClock steady;
  const SmoothClock smooth(clock, steady);
  ASSIGN_OR_RETURN(const std::unique_ptr<Conductor> conductor,
                   Conductor::Start({*ledger, models, authority, smooth, options.state / "spool"}));
  const std::string listen =
      address.empty() ? DefaultListenAddress(authority.published()) : address;
  ASSIGN_OR_RETURN(const std::unique_ptr<Service> service,
                   Service::Start({*conductor, *ledger, models, authority, clock}, listen));
  const std::string host = listen.substr(0, listen.rfind(':'));
  Print(options.json ? json{{"listening", StrCat(host, ":", service->port())}}.dump() + "\n"
                     : StrCat("listening on ", host, ":", service->port(), "\n"));
  Log(LogLevel::kInfo, "serving", {{"port", service->port()}});
  KeepCertificateUntilInterrupt(authority, *ledger, clock);
  Log(LogLevel::kInfo, "stopping", {{"text", "runs go on at the next start"}});
  service->Stop();
  return absl::OkStatus();
}

absl::Status MembersCommand(const CommandOptions& options) {
  std::unique_ptr<SharedLedger> owner;
  ASSIGN_OR_RETURN(SharedLedger * ledger, OpenLedger(options.state, &owner));
  ASSIGN_OR_RETURN(const std::vector<Member> members,
                   ledger->With([](Ledger& l) { return l.Members(); }));
  json list = json::array();
  TextTable table({"name", "role", "standing", "enrolled", "fingerprint"});
  const auto time_or_null = [](const std::optional<Time>& time) {
    return time ? json(ToRfc3339(*time)) : json(nullptr);
  };
  for (const Member& member : members) {
    const std::string standing = member.revoked    ? StrCat("revoked ", ToRfc3339(*member.revoked))
                                 : member.admitted ? "member"
                                                   : "waits to be admitted";
    const std::string fingerprint =
        identity::ReadableFingerprint(member.name, member.role, member.signing_key, member.tls_key);
    table.AddRow({member.name, std::string(Name(member.role)), standing, ToRfc3339(member.enrolled),
                  fingerprint});
    list.push_back({{"name", member.name},
                    {"role", Name(member.role)},
                    {"enrolled", ToRfc3339(member.enrolled)},
                    {"admitted", time_or_null(member.admitted)},
                    {"revoked", time_or_null(member.revoked)},
                    {"fingerprint", fingerprint},
                    {"tls_key", member.tls_key.Hex()},
                    {"signing_key", ToHex(member.signing_key)}});
  }
  Print(options.json      ? list.dump() + "\n"
        : members.empty() ? "no members yet: `consilium federation invite NAME`\n"
                          : table.ToString());
  return absl::OkStatus();
}

absl::Status CheckCommand(const CommandOptions& options, const std::string& address) {
  const Preflight preflight =
      CheckCoordinator(options.state, options.passphrase, address, SystemClock().Now());
  Print(options.json ? preflight.ToJson() : preflight.ToTable());
  return preflight.Outcome();
}

absl::Status VerifyLogCommand(const CommandOptions& options) {
  ASSIGN_OR_RETURN(const PublicAuthority authority, LoadPublicAuthority(options.state));
  std::unique_ptr<SharedLedger> owner;
  ASSIGN_OR_RETURN(SharedLedger * ledger, OpenLedger(options.state, &owner));
  return ledger->With([&](Ledger& l) -> absl::Status {
    RETURN_IF_ERROR(l.VerifyLog());
    ASSIGN_OR_RETURN(const Ledger::LogHead head, l.Head());
    ASSIGN_OR_RETURN(const std::vector<Countersignature> signatures, l.Countersignatures());
    ASSIGN_OR_RETURN(const std::string file, l.RosterFile());
    ASSIGN_OR_RETURN(const auto roster, identity::VerifyRoster(authority.root, file));
    json sites = json::array();
    std::string text = StrCat("the log's ", head.number, " entries follow on each other; head ",
                              head.head.Hex(), "\n");
    for (const Countersignature& countersignature : signatures) {
      ASSIGN_OR_RETURN(const bool verified, VerifyCountersignature(roster, countersignature));
      const std::string& site = countersignature.site.value;
      const std::uint64_t number = countersignature.signature.number;
      sites.push_back({{"site", site}, {"entry", number}, {"verified", verified}});
      StrAppend(
          &text, site, " signed the head after entry ", number,
          verified ? "\n" : "; it is no longer in the roster, its signature is not verified\n");
    }
    Print(options.json ? json{{"entries", head.number},
                              {"head", head.head.Hex()},
                              {"countersignatures", sites}}
                                 .dump() +
                             "\n"
                       : text);
    return absl::OkStatus();
  });
}

absl::Status StatusCommand(const CommandOptions& options) {
  ASSIGN_OR_RETURN(const PublicAuthority authority, LoadPublicAuthority(options.state));
  std::unique_ptr<SharedLedger> owner;
  ASSIGN_OR_RETURN(SharedLedger * ledger, OpenLedger(options.state, &owner));
  return ledger->With([&](Ledger& l) -> absl::Status {
    ASSIGN_OR_RETURN(const std::string federation, l.FederationName());
    ASSIGN_OR_RETURN(const std::string file, l.RosterFile());
    ASSIGN_OR_RETURN(const auto signed_roster, identity::VerifyRoster(authority.root, file));
    const identity::Roster& roster = signed_roster.roster;
    ASSIGN_OR_RETURN(const std::vector<RunId> active, l.ActiveRuns());
    ASSIGN_OR_RETURN(const std::vector<RunId> queued, l.QueuedRuns());
    ASSIGN_OR_RETURN(const std::vector<ModelEntry> models, l.ListModels());
    std::size_t published = 0;
    for (const ModelEntry& model : models) published += model.stage == ModelStage::kPublished;
    // The lock tells whether some process serves this folder.
    const bool serving = !FolderLock::Acquire(options.state).ok();
    const std::size_t sites = roster.SiteKeys().size();
    const std::string running = active.empty() ? "" : active.front().value;
    const identity::RosterEntry* own = roster.Coordinator();
    const std::string signing_key = own != nullptr ? ToHex(own->signing_key) : "none";
    Print(options.json ? json{{"federation", federation},
                              {"address", authority.address},
                              {"root_key", ToHex(authority.root)},
                              {"authority", authority.fingerprint.Hex()},
                              {"signing_key", signing_key},
                              {"roster_version", roster.version},
                              {"serving", serving},
                              {"sites", sites},
                              {"run", running.empty() ? json(nullptr) : json(running)},
                              {"queued", queued.size()},
                              {"published_models", published}}
                                 .dump() +
                             "\n"
                       : StrCat("federation   ", federation, "\naddress      ", authority.address,
                                "\nroot key     ", ToHex(authority.root), "\nauthority    ",
                                authority.fingerprint.Hex(), "\nsigning key  ", signing_key,
                                "\nroster       version ", roster.version, "\nserving      ",
                                serving ? "yes" : "no", "\nsites        ", sites, "\nrun          ",
                                running.empty() ? "none" : running, ", ", queued.size(),
                                " waiting\npublished    ", published, "\n"));
    return absl::OkStatus();
  });
}

}  // namespace consilium::coordinator
