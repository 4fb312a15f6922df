#include "coordinator/commands.h"

#include <malloc.h>
#include <poll.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "common/base/log.h"
#include "common/base/progress.h"
#include "common/base/status.h"
#include "common/base/text_table.h"
#include "coordinator/authority.h"
#include "coordinator/conductor.h"
#include "coordinator/model_store.h"
#include "coordinator/service.h"

namespace consilium::coordinator {
namespace {

using nlohmann::json;

void Print(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

absl::StatusOr<SharedLedger*> OpenLedger(const fs::path& state,
                                         std::unique_ptr<SharedLedger>* owner) {
  if (!fs::exists(state / "ledger.db")) {
    return absl::NotFoundError(StrCat("the state folder \"", state.filename().string(),
                                      "\" holds no coordinator; run `consilium-coordinator init` "
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

void WaitForInterrupt() {
  pollfd interrupt{InterruptDescriptor(), POLLIN, 0};
  while (!Interrupted()) poll(&interrupt, 1, -1);
}

}  // namespace

absl::Status InitCommand(const CommandOptions& options, const std::string& federation,
                         const std::vector<std::string>& hosts) {
  const Time now = SystemClock().Now();
  RETURN_IF_ERROR(Authority::Create(options.state, federation, hosts, now));
  ASSIGN_OR_RETURN(Ledger ledger, Ledger::Open(options.state / "ledger.db"));
  RETURN_IF_ERROR(ledger.SetFederation(federation, now));
  ASSIGN_OR_RETURN(const Authority authority, Authority::Load(options.state));
  const std::string signing_key = ToHex(authority.signing_key().public_key);
  if (options.json) {
    Print(json{{"federation", federation},
               {"authority", authority.fingerprint().Hex()},
               {"signing_key", signing_key}}
              .dump() +
          "\n");
    return absl::OkStatus();
  }
  Print(StrCat("federation   ", federation, "\nauthority    ", authority.fingerprint().Hex(),
               "  (SHA-256; every token carries it)\nsigning key  ", signing_key,
               "  (Ed25519; verifies model records)\nnext         consilium-coordinator invite "
               "NAME, then consilium-coordinator serve\n"));
  return absl::OkStatus();
}

absl::Status InviteCommand(const CommandOptions& options, const std::string& name, Role role,
                           double valid_hours) {
  ASSIGN_OR_RETURN(const Authority authority, Authority::Load(options.state));
  std::unique_ptr<SharedLedger> owner;
  ASSIGN_OR_RETURN(SharedLedger * ledger, OpenLedger(options.state, &owner));
  SystemRandom random;
  const Time now = SystemClock().Now();
  const Duration valid_for = FromSeconds(valid_hours * 3600);
  ASSIGN_OR_RETURN(const std::string token,
                   authority.Invite(*ledger, name, role, valid_for, now, random));
  if (options.json) {
    Print(json{{"name", name},
               {"role", Name(role)},
               {"token", token},
               {"expires", ToRfc3339(now + valid_for)}}
              .dump() +
          "\n");
    return absl::OkStatus();
  }
  Print(StrCat(token, "\n"));
  std::fprintf(stderr, "for %s \"%s\", once, until %s; it is not shown again\n",
               std::string(Name(role)).c_str(), name.c_str(), ToRfc3339(now + valid_for).c_str());
  return absl::OkStatus();
}

absl::Status ServeCommand(const CommandOptions& options, const std::string& address) {
  ConfigureAllocator();
  ConfigureGrpc();
  ASSIGN_OR_RETURN(const Authority authority, Authority::Load(options.state));
  ASSIGN_OR_RETURN(const FolderLock lock, FolderLock::Acquire(options.state));
  std::unique_ptr<SharedLedger> owner;
  ASSIGN_OR_RETURN(SharedLedger * ledger, OpenLedger(options.state, &owner));
  ASSIGN_OR_RETURN(ModelStore models, ModelStore::Open(options.state / "models"));
  const SystemClock clock;
  ASSIGN_OR_RETURN(const std::unique_ptr<Conductor> conductor,
                   Conductor::Start({*ledger, models, authority, clock, options.state / "spool"}));
  ASSIGN_OR_RETURN(const std::unique_ptr<Service> service,
                   Service::Start({*conductor, *ledger, models, authority, clock}, address));
  const std::string host = address.substr(0, address.rfind(':'));
  Print(options.json ? json{{"listening", StrCat(host, ":", service->port())}}.dump() + "\n"
                     : StrCat("listening on ", host, ":", service->port(), "\n"));
  Log(LogLevel::kInfo, "serving", {{"port", service->port()}});
  WaitForInterrupt();
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
  TextTable table({"name", "role", "enrolled", "revoked", "certificate"});
  for (const Member& member : members) {
    const std::string revoked = member.revoked ? ToRfc3339(*member.revoked) : "-";
    table.AddRow({member.name, std::string(Name(member.role)), ToRfc3339(member.enrolled), revoked,
                  member.certificate.Short()});
    list.push_back({{"name", member.name},
                    {"role", Name(member.role)},
                    {"enrolled", ToRfc3339(member.enrolled)},
                    {"revoked", member.revoked ? json(revoked) : json(nullptr)},
                    {"certificate", member.certificate.Hex()}});
  }
  Print(options.json      ? list.dump() + "\n"
        : members.empty() ? "no members yet\n"
                          : table.ToString());
  return absl::OkStatus();
}

absl::Status RevokeCommand(const CommandOptions& options, const std::string& name) {
  std::unique_ptr<SharedLedger> owner;
  ASSIGN_OR_RETURN(SharedLedger * ledger, OpenLedger(options.state, &owner));
  const Time now = SystemClock().Now();
  RETURN_IF_ERROR(ledger->With([&](Ledger& l) -> absl::Status {
    RETURN_IF_ERROR(l.RevokeMember(name, now));
    return l.AddAudit({now, "operator", "revoke", name});
  }));
  Print(options.json ? json{{"revoked", name}}.dump() + "\n"
                     : StrCat("\"", name,
                              "\" is revoked; a running coordinator refuses it within "
                              "a second\n"));
  return absl::OkStatus();
}

absl::Status StatusCommand(const CommandOptions& options) {
  ASSIGN_OR_RETURN(const Authority authority, Authority::Load(options.state));
  std::unique_ptr<SharedLedger> owner;
  ASSIGN_OR_RETURN(SharedLedger * ledger, OpenLedger(options.state, &owner));
  return ledger->With([&](Ledger& l) -> absl::Status {
    ASSIGN_OR_RETURN(const std::string federation, l.FederationName());
    ASSIGN_OR_RETURN(const auto sites, l.EnrolledSites());
    ASSIGN_OR_RETURN(const std::vector<RunId> active, l.ActiveRuns());
    ASSIGN_OR_RETURN(const std::vector<RunId> queued, l.QueuedRuns());
    ASSIGN_OR_RETURN(const std::vector<ModelEntry> models, l.ListModels());
    std::size_t published = 0;
    for (const ModelEntry& model : models) published += model.stage == ModelStage::kPublished;
    // The lock tells whether some process serves this folder.
    const bool serving = !FolderLock::Acquire(options.state).ok();
    const std::string running = active.empty() ? "" : active.front().value;
    const std::string signing_key = ToHex(authority.signing_key().public_key);
    if (options.json) {
      Print(json{{"federation", federation},
                 {"authority", authority.fingerprint().Hex()},
                 {"signing_key", signing_key},
                 {"serving", serving},
                 {"sites", sites.size()},
                 {"run", running.empty() ? json(nullptr) : json(running)},
                 {"queued", queued.size()},
                 {"published_models", published}}
                .dump() +
            "\n");
      return absl::OkStatus();
    }
    Print(StrCat("federation   ", federation, "\nauthority    ", authority.fingerprint().Hex(),
                 "\nsigning key  ", signing_key, "\nserving      ", serving ? "yes" : "no",
                 "\nsites        ", sites.size(), "\nrun          ",
                 running.empty() ? "none" : running, ", ", queued.size(), " waiting\npublished    ",
                 published, "\n"));
    return absl::OkStatus();
  });
}

}  // namespace consilium::coordinator
