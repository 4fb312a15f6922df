#include "common/crypto/certificates.h"
#include "coordinator/federation/federation.h"
#include "tests/coordinator/in_process_coordinator.h"

namespace consilium::coordinator {
namespace {

using ResearchStub = v1::ResearchService::Stub;

std::unique_ptr<ResearchStub> Research(const identity::Identity& identity) {
  return v1::ResearchService::NewStub(identity::OpenChannel(identity));
}
std::unique_ptr<v1::MembershipService::Stub> Membership(const identity::Identity& identity) {
  return v1::MembershipService::NewStub(identity::OpenChannel(identity));
}

grpc::Status ListRuns(ResearchStub& stub) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(5));
  v1::JsonReply reply;
  return stub.ListRuns(&context, {}, &reply);
}

grpc::Status Renew(const identity::Identity& identity, const std::string& request_pem) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(5));
  v1::RenewRequest request;
  request.set_certificate_request_pem(request_pem);
  v1::RenewReply reply;
  return Membership(identity)->Renew(&context, request, &reply);
}

// Until the call answers with `code`; how long it took.
double SecondsUntil(grpc::StatusCode code, ResearchStub& stub) {
  const Time begin = SystemClock().Now();
  while (ListRuns(stub).error_code() != code) {
    REQUIRE(Seconds(SystemClock().Now() - begin) < 10);
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return Seconds(SystemClock().Now() - begin);
}

std::map<std::string, std::string> Contents(const fs::path& folder) {
  std::map<std::string, std::string> contents;
  for (const auto& entry : fs::directory_iterator(folder)) {
    contents[entry.path().filename()] = ReadTextFile(entry.path()).value();
  }
  return contents;
}

// As somebody who knows the coordinator, and has enrolled nowhere.
identity::Identity Stranger(const identity::Identity& identity) {
  identity::Identity stranger;
  stranger.authority = identity.authority;
  stranger.coordinator = identity.coordinator;
  return stranger;
}

std::string StandingOf(const identity::Identity& identity) {
  const auto ping = identity::Ping(identity);
  INFO(ping.status().ToString());
  REQUIRE(ping.ok());
  CHECK(ping->federation == "test-federation");
  return StrCat(ping->caller, ": ", ping->standing);
}

TEST_CASE("who waits is told what to read to whom, and once admitted needs no new connection") {
  InProcessCoordinator coordinator;
  const identity::Identity ada = coordinator.EnrolOnly("ada", Role::kResearcher);
  const auto stub = Research(ada);
  const grpc::Status waits = ListRuns(*stub);
  CHECK(waits.error_code() == grpc::StatusCode::UNAVAILABLE);
  CHECK_THAT(waits.error_message(), ContainsText("waits to be admitted"));
  CHECK_THAT(waits.error_message(),
             ContainsText(identity::ReadableFingerprint("ada", Role::kResearcher,
                                                        ada.signing.public_key, ada.tls_key)));
  CHECK_THAT(waits.error_message(), ContainsText("`consilium federation admit ada`"));
  coordinator.SignNextRoster();
  CHECK(SecondsUntil(grpc::StatusCode::OK, *stub) < 1);
}

TEST_CASE("a ping refuses nobody and says for whom the coordinator takes the caller") {
  InProcessCoordinator coordinator, other;
  const identity::Identity north = coordinator.EnrolOnly("north", Role::kSite);
  CHECK(StandingOf(Stranger(north)) == ": no certificate");
  CHECK(StandingOf(north) == "north: waiting to be admitted");
  coordinator.SignNextRoster();
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  CHECK(StandingOf(north) == "north: member");
  CHECK(identity::Ping(north)->roster_version == 2);
  REQUIRE(coordinator.ledger()
              .With([](Ledger& l) { return l.RevokeMember("north", SystemClock().Now()); })
              .ok());
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  CHECK(StandingOf(north) == "north: revoked");
}

TEST_CASE("a renewal keeps the key and the membership") {
  InProcessCoordinator coordinator;
  identity::Identity ada = coordinator.Enrol("ada", Role::kResearcher);
  const fs::path state = coordinator.folder() / "ada";
  const auto before = Contents(state / "keys");
  const std::string old_certificate = ada.certificate;
  const Digest key = ada.tls_key;
  const absl::Status renewed = identity::Renew(ada, state, SystemClock().Now());
  INFO(renewed.ToString());
  REQUIRE(renewed.ok());
  CHECK(ada.certificate != old_certificate);
  CHECK(crypto::KeyFingerprint(ada.certificate).value() == key);
  CHECK(ListRuns(*Research(ada)).ok());
  auto after = Contents(state / "keys");
  CHECK(after["tls.crt"] == ada.certificate);
  after["tls.crt"] = before.at("tls.crt");
  CHECK(after == before);
  const auto members = coordinator.ledger().With([](Ledger& l) { return l.Members(); });
  REQUIRE(members->size() == 1);
  CHECK(members->front().tls_key == key);
  CHECK(members->front().admitted);
}

TEST_CASE("a certificate is renewed for its own key only, and for nobody who is shut out") {
  InProcessCoordinator coordinator;
  const identity::Identity north = coordinator.Enrol("north", Role::kSite);
  const std::string own = crypto::MakeRequest("north", north.private_key).value();
  const std::string others = crypto::MakeRequest("north").value().pem;
  CHECK(Renew(north, others).error_code() == grpc::StatusCode::INVALID_ARGUMENT);
  CHECK(Renew(north, "no request").error_code() == grpc::StatusCode::INVALID_ARGUMENT);
  CHECK(Renew(Stranger(north), own).error_code() == grpc::StatusCode::UNAUTHENTICATED);
  CHECK(Renew(north, own).ok());
  REQUIRE(coordinator.ledger()
              .With([](Ledger& l) { return l.RevokeMember("north", SystemClock().Now()); })
              .ok());
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  CHECK(Renew(north, own).error_code() == grpc::StatusCode::PERMISSION_DENIED);
}

TEST_CASE("a revocation is in force in under a second, for the old and for a renewed certificate") {
  InProcessCoordinator coordinator;
  identity::Identity ada = coordinator.Enrol("ada", Role::kResearcher);
  const auto old_stub = Research(ada);
  REQUIRE(ListRuns(*old_stub).ok());
  REQUIRE(identity::Renew(ada, coordinator.folder() / "ada", SystemClock().Now()).ok());
  const auto new_stub = Research(ada);
  REQUIRE(ListRuns(*new_stub).ok());
  REQUIRE(coordinator.ledger()
              .With([](Ledger& l) { return l.RevokeMember("ada", SystemClock().Now()); })
              .ok());
  CHECK(SecondsUntil(grpc::StatusCode::PERMISSION_DENIED, *old_stub) < 1);
  CHECK(SecondsUntil(grpc::StatusCode::PERMISSION_DENIED, *new_stub) < 1);
  CHECK(ListRuns(*Research(ada)).error_code() == grpc::StatusCode::PERMISSION_DENIED);
}

TEST_CASE("a roster without a member shuts it out in under a second") {
  InProcessCoordinator coordinator;
  const identity::Identity ada = coordinator.Enrol("ada", Role::kResearcher);
  const auto stub = Research(ada);
  REQUIRE(ListRuns(*stub).ok());
  // By another process, as `consilium federation revoke --root` does it.
  Ledger ledger = federation::OpenLedger(coordinator.state()).value();
  REQUIRE(ledger.RevokeMember("ada", SystemClock().Now()).ok());
  coordinator.SignNextRoster();
  CHECK(SecondsUntil(grpc::StatusCode::PERMISSION_DENIED, *stub) < 1);
}

TEST_CASE("the roster in force is given to members and to those that wait, and to nobody else") {
  InProcessCoordinator coordinator;
  const identity::Identity north = coordinator.EnrolOnly("north", Role::kSite);
  const auto waiting = identity::FetchRoster(north);
  REQUIRE(waiting.ok());
  CHECK(*waiting == coordinator.ledger().With([](Ledger& l) { return l.RosterFile(); }).value());
  const identity::SignedRoster next = coordinator.SignNextRoster();
  CHECK(identity::FetchRoster(north).value() == next.file);
  CHECK(identity::VerifyRoster(north.root, next.file)->roster.Find("north") != nullptr);
  CHECK(absl::IsUnauthenticated(identity::FetchRoster(Stranger(north)).status()));
}

TEST_CASE("a stop and a start issue nothing anew: keys, members and certificates go on") {
  InProcessCoordinator coordinator;
  const identity::Identity ada = coordinator.Enrol("ada", Role::kResearcher);
  const auto before = Contents(coordinator.state() / "keys");
  coordinator.Stop();
  coordinator.Start();
  CHECK(Contents(coordinator.state() / "keys") == before);
  CHECK(ListRuns(*Research(ada)).ok());
  CHECK(identity::Ping(ada)->roster_version == 2);
}

}  // namespace
}  // namespace consilium::coordinator
