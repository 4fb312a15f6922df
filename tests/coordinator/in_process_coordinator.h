#pragma once

// A federation with its root and its coordinator (keys, ledger, conductor and service) in this
// process, and members that call it over loopback with real TLS.

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>

#include "common/base/random.h"
#include "common/crypto/sha256.h"
#include "common/identity/identity.h"
#include "common/wire/consilium.grpc.pb.h"
#include "common/wire/convert.h"
#include "coordinator/authority.h"
#include "coordinator/conductor.h"
#include "coordinator/model_store.h"
#include "coordinator/service.h"
#include "tests/catch.h"
#include "tests/common/temporary_folder.h"

namespace consilium::coordinator {

class InProcessCoordinator {
 public:
  explicit InProcessCoordinator(const ServiceLimits& service_limits = {}) : limits(service_limits) {
    const Authority::New made{.federation = "test-federation",
                              .hosts = {"127.0.0.1", "localhost"},
                              .address = "127.0.0.1:1",  // members are told another, see Enrol
                              .root = root_.public_key,
                              .certificate_life = std::chrono::hours(24)};
    const auto created =
        Authority::Create(state(), made, crypto::Passphrase::Unprotected(), clock_.Now());
    INFO(created.status().ToString());
    REQUIRE(created.ok());
    Ledger ledger = Ledger::Open(state() / "ledger.db").value();
    REQUIRE(ledger.SetFederation("test-federation", clock_.Now()).ok());
    Start();
    SignNextRoster();
  }
  ~InProcessCoordinator() { Stop(); }

  void Start() {
    authority_ = std::make_unique<Authority>(Authority::Load(state()).value());
    ledger_ = std::make_unique<SharedLedger>(Ledger::Open(state() / "ledger.db").value());
    models_ = std::make_unique<ModelStore>(ModelStore::Open(state() / "models").value());
    auto conductor = Conductor::Start({*ledger_, *models_, *authority_, clock_, state() / "spool"});
    REQUIRE(conductor.ok());
    conductor_ = *std::move(conductor);
    auto service = Service::Start({*conductor_, *ledger_, *models_, *authority_, clock_, version},
                                  StrCat("127.0.0.1:", port_), limits);
    INFO(service.status().message());
    REQUIRE(service.ok());
    service_ = *std::move(service);
    port_ = service_->port();
  }
  // As a stop or a kill between two commits: nothing is said to anybody.
  void Stop() {
    service_.reset();
    conductor_.reset();
    models_.reset();
    ledger_.reset();
    authority_.reset();
  }

  // Of the service; changes count from the next Start.
  ServiceLimits limits;
  wire::ProgramVersion version;

  fs::path state() const { return folder_ / "coordinator"; }
  std::string address() const { return StrCat("127.0.0.1:", port_); }
  SharedLedger& ledger() { return *ledger_; }
  const Authority& authority() const { return *authority_; }
  Conductor& conductor() { return *conductor_; }
  ModelStore& models() { return *models_; }
  const Service& service() const { return *service_; }
  int port() const { return port_; }
  const crypto::Ed25519PublicKey& root() const { return root_.public_key; }
  const TemporaryFolder& folder() const { return folder_; }

  std::string Token(const std::string& name, Role role, double hours = 1) {
    SystemRandom random;
    Invitation invitation;
    invitation.name = name;
    invitation.role = role;
    invitation.expires = clock_.Now() + FromSeconds(hours * 3600);
    const auto token = Invite(*ledger_, authority_->published(), invitation, clock_.Now(), random);
    INFO(token.status().ToString());
    REQUIRE(token.ok());
    return *token;
  }
  // Enrolled, and waiting to be admitted.
  identity::Identity EnrolOnly(const std::string& name, Role role) {
    auto identity = identity::Enrol(Token(name, role), role, folder_ / name,
                                    crypto::Passphrase::Unprotected(), address());
    INFO(identity.status().ToString());
    REQUIRE(identity.ok());
    return *std::move(identity);
  }
  // Enrolled, and admitted by the next roster.
  identity::Identity Enrol(const std::string& name, Role role) {
    identity::Identity identity = EnrolOnly(name, role);
    SignNextRoster();
    return identity;
  }
  // The root's holder admits everybody who waits, and leaves out who was revoked.
  identity::SignedRoster SignNextRoster() {
    return ledger_->With([&](Ledger& ledger) {
      identity::Roster roster;
      roster.federation = "test-federation";
      roster.version = ledger.RosterVersion().value() + 1;
      roster.issued = clock_.Now();
      roster.members.push_back(authority_->Entry().value());
      const std::vector<Member> members = ledger.Members().value();
      for (const Member& member : members) {
        if (member.revoked || member.role == Role::kCoordinator) continue;
        identity::RosterEntry& entry = roster.members.emplace_back();
        entry.name = member.name;
        entry.role = member.role;
        entry.signing_key = member.signing_key;
        entry.tls_key = member.tls_key;
        entry.weight_cap = member.weight_cap;
      }
      const auto signed_roster = identity::SignRoster(root_, std::move(roster));
      INFO(signed_roster.status().ToString());
      REQUIRE(signed_roster.ok());
      const absl::Status set = ledger.SetRoster(*signed_roster, clock_.Now());
      INFO(set.ToString());
      REQUIRE(set.ok());
      return *signed_roster;
    });
  }

 private:
  TemporaryFolder folder_;
  SystemClock clock_;
  const crypto::Ed25519KeyPair root_ = crypto::Ed25519KeyPair::Generate().value();
  std::unique_ptr<Authority> authority_;
  std::unique_ptr<SharedLedger> ledger_;
  std::unique_ptr<ModelStore> models_;
  std::unique_ptr<Conductor> conductor_;
  std::unique_ptr<Service> service_;
  int port_ = 0;
};

// A plan for `sites` scripted sites and a few rounds; with masked updates from three sites on.
inline std::string TinyPlan(int sites, int rounds, const std::string& more = {}) {
  return StrCat(
      "[plan]\nname = \"tiny\"\n\n[target]\nname = \"opacity\"\n\n[data]\nmodalities = "
      "[\"DX\"]\n\n[cohort]\nminimum_sites = ",
      sites, "\n\n[stop]\nrounds = ", rounds, "\n\n[gate]\nminimum_auroc = 0.6\n", more,
      sites < 3 ? "\n[aggregation]\nupdates = \"sealed\"\n" : "");
}

// The events of a run from the ledger and then as they come, until it has ended.
inline std::vector<wire::RunEvent> WatchToTheEnd(const identity::Identity& researcher,
                                                 const RunId& run, double timeout_s = 60) {
  const auto stub = v1::ResearchService::NewStub(identity::OpenChannel(researcher));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + FromSeconds(timeout_s));
  v1::WatchRunRequest request;
  request.set_run(run.value);
  const auto reader = stub->WatchRun(&context, request);
  std::vector<wire::RunEvent> events;
  for (v1::RunEvent proto; reader->Read(&proto);) events.push_back(*wire::FromProto(proto));
  const grpc::Status status = reader->Finish();
  INFO(status.error_message());
  REQUIRE(status.ok());
  return events;
}

}  // namespace consilium::coordinator
