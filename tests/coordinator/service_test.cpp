#include "coordinator/service.h"

#include <grpc/grpc_security.h>

#include <nlohmann/json.hpp>

#include "coordinator/researcher/verify_model.h"
#include "tests/coordinator/member_calls.h"

namespace consilium::coordinator {
namespace {

TEST_CASE("an admitted site is welcomed under its name and gets the roster before anything else") {
  InProcessCoordinator coordinator;
  const auto north = coordinator.Enrol("north", Role::kSite);
  Attendance attendance(north);
  const auto welcome = attendance.Next();
  INFO(welcome.status().ToString());
  REQUIRE(welcome.ok());
  const auto& w = std::get<wire::Welcome>(*welcome);
  CHECK(w.site == SiteId("north"));
  CHECK(w.federation == "test-federation");
  CHECK(w.sealing_key == coordinator.authority().sealing_key().public_key);
  const auto next = attendance.Next();
  REQUIRE(next.ok());
  const auto roster = identity::VerifyRoster(north.root, std::get<wire::RosterFile>(*next).file);
  REQUIRE(roster.ok());
  CHECK(roster->roster.Find("north")->signing_key == north.signing.public_key);
  CHECK(roster->roster.Coordinator()->signing_key ==
        coordinator.authority().signing_key().public_key);
}

TEST_CASE("a site that waits to be admitted is told so, and is let in by the next roster") {
  InProcessCoordinator coordinator;
  const auto north = coordinator.EnrolOnly("north", Role::kSite);
  const absl::Status waits = Hello(north, kProtocolVersion).status();
  CHECK(absl::IsUnavailable(waits));
  CHECK_THAT(std::string(waits.message()), ContainsText("waits to be admitted"));
  coordinator.SignNextRoster();
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  CHECK(Hello(north, kProtocolVersion).ok());
}

TEST_CASE("a newer roster reaches the connected sites within half a second") {
  InProcessCoordinator coordinator;
  const auto north = coordinator.Enrol("north", Role::kSite);
  Attendance attendance(north);
  REQUIRE(attendance.Next<wire::RosterFile>().ok());
  const Time before = SystemClock().Now();
  coordinator.EnrolOnly("south", Role::kSite);
  const identity::SignedRoster newer = coordinator.SignNextRoster();
  const auto pushed = attendance.Next<wire::RosterFile>();
  REQUIRE(pushed.ok());
  CHECK(pushed->file == newer.file);
  CHECK(Seconds(SystemClock().Now() - before) < 2);  // enrolment counted in
}

TEST_CASE(
    "only Enrol and Ping answer without a certificate, and none of another authority is taken") {
  InProcessCoordinator coordinator, other;
  const auto identity = coordinator.Enrol("ada", Role::kResearcher);
  const absl::Status listed = wire::FromGrpc(ListRuns(identity));
  INFO(listed.ToString());
  CHECK(listed.ok());
  identity::Identity mixed = other.Enrol("ada", Role::kResearcher);
  mixed.authority = identity.authority;
  mixed.coordinator = identity.coordinator;
  CHECK(ListRuns(mixed).error_code() == grpc::StatusCode::UNAVAILABLE);  // the handshake fails

  grpc::SslCredentialsOptions options;
  options.pem_root_certs = identity.authority;
  const auto channel = grpc::experimental::CreateCustomChannelWithInterceptors(
      coordinator.address(), grpc::SslCredentials(options), {}, wire::ClientVersions({}));
  const auto research = v1::ResearchService::NewStub(channel);
  {
    grpc::ClientContext context;
    v1::JsonReply reply;
    CHECK(research->ListRuns(&context, {}, &reply).error_code() ==
          grpc::StatusCode::UNAUTHENTICATED);
  }
  {
    grpc::ClientContext context;
    v1::RenewReply reply;
    CHECK(v1::MembershipService::NewStub(channel)->Renew(&context, {}, &reply).error_code() ==
          grpc::StatusCode::UNAUTHENTICATED);
  }
  grpc::ClientContext context;
  v1::PingReply reply;
  CHECK(v1::MembershipService::NewStub(channel)->Ping(&context, {}, &reply).ok());
  CHECK(reply.standing() == "no certificate");
}

TEST_CASE("every call is denied to every role that it is not for") {
  InProcessCoordinator coordinator;
  const auto site = coordinator.Enrol("north", Role::kSite);
  const auto researcher = coordinator.Enrol("ada", Role::kResearcher);
  const auto auditor = coordinator.Enrol("ines", Role::kAuditor);
  constexpr auto kDenied = grpc::StatusCode::PERMISSION_DENIED;
  const auto submit = [&](const identity::Identity& who) {
    return Submit(who, TinyPlan(2, 1)).status();
  };
  const auto show = [](const identity::Identity& who) {
    grpc::ClientContext context;
    v1::ShowRunRequest request;
    request.set_run("tiny-0001");
    v1::JsonReply reply;
    return Research(who)->ShowRun(&context, request, &reply).error_code();
  };
  const auto models = [](const identity::Identity& who) {
    grpc::ClientContext context;
    v1::JsonReply reply;
    return Research(who)->ListModels(&context, {}, &reply).error_code();
  };
  const auto record = [](const identity::Identity& who) {
    grpc::ClientContext context;
    v1::FetchRecordRequest request;
    request.set_model("abcd");
    v1::FetchRecordReply reply;
    return Research(who)->FetchRecord(&context, request, &reply).error_code();
  };
  const auto download = [](auto stub) {
    grpc::ClientContext context;
    v1::DownloadRequest request;
    request.set_model(std::string(32, 'x'));
    const auto reader = stub->DownloadModel(&context, request);
    v1::ModelChunk chunk;
    CHECK_FALSE(reader->Read(&chunk));
    return reader->Finish().error_code();
  };
  const auto upload = [](const identity::Identity& who) {
    grpc::ClientContext context;
    v1::UploadReceipt receipt;
    const auto stub = Sites(who);
    const auto writer = stub->Upload(&context, &receipt);
    writer->WritesDone();
    return writer->Finish().error_code();
  };
  const auto watch = [](const identity::Identity& who) {
    grpc::ClientContext context;
    v1::WatchRunRequest request;
    request.set_run("tiny-0009");
    const auto stub = Research(who);
    const auto reader = stub->WatchRun(&context, request);
    v1::RunEvent event;
    CHECK_FALSE(reader->Read(&event));
    return reader->Finish().error_code();
  };
  CHECK(absl::IsPermissionDenied(submit(site)));
  CHECK(absl::IsPermissionDenied(submit(auditor)));
  REQUIRE(submit(researcher).ok());
  CHECK(StopRun(site, RunId("tiny-0001")).error_code() == kDenied);
  CHECK(StopRun(auditor, RunId("tiny-0001")).error_code() == kDenied);
  for (const identity::Identity* reader : {&researcher, &auditor}) {
    INFO(reader->name);
    CHECK(ListRuns(*reader).ok());
    CHECK(show(*reader) == grpc::StatusCode::OK);
    CHECK(models(*reader) == grpc::StatusCode::OK);
    CHECK(record(*reader) == grpc::StatusCode::NOT_FOUND);
    CHECK(watch(*reader) == grpc::StatusCode::NOT_FOUND);
    CHECK(FetchLog(*reader).ok());
    CHECK(download(Research(*reader)) == grpc::StatusCode::NOT_FOUND);
    CHECK(download(Sites(*reader)) == kDenied);
    CHECK(upload(*reader) == kDenied);
    CHECK(absl::IsPermissionDenied(Hello(*reader, kProtocolVersion).status()));
  }
  CHECK(ListRuns(site).error_code() == kDenied);
  CHECK(show(site) == kDenied);
  CHECK(models(site) == kDenied);
  CHECK(record(site) == kDenied);
  CHECK(watch(site) == kDenied);
  CHECK(absl::IsPermissionDenied(FetchLog(site).status()));
  CHECK(download(Research(site)) == kDenied);
  CHECK(download(Sites(site)) == grpc::StatusCode::NOT_FOUND);
  CHECK(upload(site) == grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_CASE("a revocation by another process ends open streams and resumed sessions in a second") {
  InProcessCoordinator coordinator;
  const auto north = coordinator.Enrol("north", Role::kSite);
  const auto ada = coordinator.Enrol("ada", Role::kResearcher);
  Attendance attendance(north);
  REQUIRE(attendance.Next<wire::RosterFile>().ok());
  const auto run = Submit(ada, TinyPlan(2, 1));
  REQUIRE(run.ok());
  grpc::ClientContext context;
  v1::WatchRunRequest request;
  request.set_run(run->value);
  const auto watching = Research(ada);
  const auto watch = watching->WatchRun(&context, request);
  v1::RunEvent event;
  REQUIRE(watch->Read(&event));

  Ledger other = Ledger::Open(coordinator.state() / "ledger.db").value();
  Time revoked = SystemClock().Now();
  REQUIRE(other.RevokeMember("ada", revoked).ok());
  while (watch->Read(&event)) continue;
  CHECK(watch->Finish().error_code() == grpc::StatusCode::PERMISSION_DENIED);
  CHECK(Seconds(SystemClock().Now() - revoked) < 1);
  // The same channel: its TLS session is still good, its key is not.
  grpc::ClientContext again;
  v1::JsonReply reply;
  CHECK(watching->ListRuns(&again, {}, &reply).error_code() == grpc::StatusCode::PERMISSION_DENIED);
  CHECK(ListRuns(ada).error_code() == grpc::StatusCode::PERMISSION_DENIED);  // a new handshake

  // The run ends with its only site, so the site comes second.
  revoked = SystemClock().Now();
  REQUIRE(other.RevokeMember("north", revoked).ok());
  absl::Status closed;
  while (closed.ok()) closed = attendance.Next().status();
  CHECK(Seconds(SystemClock().Now() - revoked) < 1);
}

TEST_CASE("a renewed server certificate is shown to new connections, and open ones go on") {
  InProcessCoordinator coordinator;
  const auto north = coordinator.Enrol("north", Role::kSite);
  const auto ada = coordinator.Enrol("ada", Role::kResearcher);
  const auto shown = [&] {  // to a connection of its own
    grpc::ClientContext context;
    v1::PingReply reply;
    const auto stub = v1::MembershipService::NewStub(identity::OpenChannel(ada));
    REQUIRE(stub->Ping(&context, {}, &reply).ok());
    const auto shown = context.auth_context()->FindPropertyValues("x509_pem_cert");
    REQUIRE_FALSE(shown.empty());
    return std::string(shown.front().data(), shown.front().size());
  };
  const std::string before = shown();
  Attendance attendance(north);
  REQUIRE(attendance.Next<wire::RosterFile>().ok());
  REQUIRE(coordinator.authority()
              .RenewServerCertificate(std::chrono::hours(48), SystemClock().Now())
              .ok());
  for (int i = 0; i < 30 && shown() == before; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  CHECK(shown() != before);
  CHECK(ListRuns(ada).ok());
  coordinator.SignNextRoster();
  CHECK(attendance.Next<wire::RosterFile>().ok());
}

TEST_CASE("a plan is one run: replayed, changed or signed by another it is refused") {
  InProcessCoordinator coordinator;
  const auto ada = coordinator.Enrol("ada", Role::kResearcher);
  const auto eve = coordinator.Enrol("eve", Role::kResearcher);
  const v1::SubmitPlanRequest signed_plan = Signed(ada, TinyPlan(2, 1));
  REQUIRE(Submit(ada, signed_plan).ok());
  CHECK(absl::IsAlreadyExists(Submit(ada, signed_plan).status()));
  CHECK(absl::IsPermissionDenied(Submit(eve, signed_plan).status()));

  v1::SubmitPlanRequest changed = Signed(ada, TinyPlan(2, 1));
  changed.set_plan_toml(TinyPlan(2, 2));
  CHECK(absl::IsPermissionDenied(Submit(ada, changed).status()));
  v1::SubmitPlanRequest other_nonce = Signed(ada, TinyPlan(2, 1));
  other_nonce.set_nonce(std::string(16, 'n'));
  CHECK(absl::IsPermissionDenied(Submit(ada, other_nonce).status()));
  v1::SubmitPlanRequest unsigned_plan;
  unsigned_plan.set_plan_toml(TinyPlan(2, 1));
  CHECK(absl::IsInvalidArgument(Submit(ada, unsigned_plan).status()));
  unsigned_plan.set_nonce(std::string(16, 'n'));
  unsigned_plan.set_signature(std::string(64, 's'));
  CHECK(absl::IsPermissionDenied(Submit(ada, unsigned_plan).status()));
  const auto runs = coordinator.ledger().With([](Ledger& l) { return l.RunsJson(); });
  CHECK(nlohmann::json::parse(*runs).size() == 1);
}

TEST_CASE("an invite carries the plan as its researcher signed it") {
  InProcessCoordinator coordinator;
  const auto ada = coordinator.Enrol("ada", Role::kResearcher);
  const auto north = coordinator.Enrol("north", Role::kSite);
  Attendance attendance(north);
  REQUIRE(attendance.Next<wire::RosterFile>().ok());
  REQUIRE(Submit(ada, TinyPlan(2, 1)).ok());
  const auto invite = attendance.Next<wire::Invite>();
  REQUIRE(invite.ok());
  CHECK(invite->plan_toml == TinyPlan(2, 1));
  CHECK(invite->researcher == "ada");
  CHECK(crypto::VerifySignature(ada.signing.public_key,
                                wire::PlanText("test-federation", "ada", invite->nonce,
                                               crypto::Sha256(invite->plan_toml)),
                                invite->signature)
            .ok());
}

TEST_CASE("sites sign one log as it grows, and a signature under another log is not kept") {
  InProcessCoordinator coordinator;
  const auto north = coordinator.Enrol("north", Role::kSite);
  Attendance attendance(north);
  const auto first = attendance.Next<wire::LogExtension>();
  REQUIRE(first.ok());
  CHECK(first->previous.IsZero());
  Digest head = first->previous;
  for (const wire::LogEntry& entry : first->entries) head = wire::ExtendedBy(head, entry);
  const std::uint64_t number = first->entries.back().number;
  const auto sign = [&](const Digest& h) {
    return wire::LogSignature{
        number, h, *crypto::Sign(north.signing, wire::LogHeadText("test-federation", number, h))};
  };
  const auto kept = [&] {
    return coordinator.ledger().With([](Ledger& l) { return l.Countersignatures(); }).value();
  };
  wire::LogSignature forged = sign(head);
  forged.signature[0] ^= 1;
  attendance.Say(forged);
  attendance.Say(sign(crypto::Sha256("a fork")));
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  CHECK(kept().empty());
  attendance.Say(sign(head));
  for (int i = 0; i < 100 && kept().empty(); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  REQUIRE(kept().size() == 1);
  CHECK(kept()[0].signature.head == head);
  // The next one goes on from there.
  REQUIRE(coordinator.ledger()
              .With([](Ledger& l) {
                return l.AddLogEntry(SystemClock().Now(), "operator", "note", "north");
              })
              .ok());
  const auto second = attendance.Next<wire::LogExtension>();
  REQUIRE(second.ok());
  CHECK(second->previous == head);
  CHECK(second->entries.front().number == number + 1);
}

TEST_CASE("the log that is fetched verifies, and any changed entry does not") {
  InProcessCoordinator coordinator;
  const auto ines = coordinator.Enrol("ines", Role::kAuditor);
  const absl::Status filled = coordinator.ledger().With([](Ledger& l) -> absl::Status {
    ASSIGN_OR_RETURN(const RunId run,
                     l.SubmitRun(plan::ParsePlan(TinyPlan(2, 1)).value(), {}, SystemClock().Now()));
    ASSIGN_OR_RETURN(const RunState state, l.LoadRunState(run));
    const std::vector<Action> entries(450, Audit{"note", "x", "{}"});  // several pieces
    return l.Commit(state, entries).status();
  });
  REQUIRE(filled.ok());
  const auto log = FetchLog(ines);
  REQUIRE(log.ok());
  const auto json = nlohmann::json::parse(*log);
  CHECK(json["entries"].size() > 450);
  const auto good = researcher::VerifyLog(coordinator.root(), *log, std::nullopt);
  INFO(good.Broken());
  CHECK(good.ok());
  auto changed = json;
  changed["entries"][300]["actor"] = "nobody";
  CHECK_FALSE(researcher::VerifyLog(coordinator.root(), changed.dump(2) + "\n", std::nullopt).ok());
}

TEST_CASE("another protocol version is refused with the side to upgrade") {
  InProcessCoordinator coordinator;
  const auto north = coordinator.Enrol("north", Role::kSite);
  const auto older = Hello(north, 0).status(), newer = Hello(north, kProtocolVersion + 1).status();
  CHECK(absl::IsFailedPrecondition(older));
  CHECK_THAT(std::string(older.message()), ContainsText("upgrade the site agent"));
  CHECK_THAT(std::string(newer.message()), ContainsText("upgrade the coordinator"));
}

TEST_CASE("a plan with faults is refused with their lines") {
  InProcessCoordinator coordinator;
  const auto ada = coordinator.Enrol("ada", Role::kResearcher);
  const auto status = Submit(ada, TinyPlan(2, 1, "\n[stopp]\nrounds = 3\n")).status();
  CHECK(absl::IsInvalidArgument(status));
  CHECK_THAT(std::string(status.message()), ContainsText("line 19"));
  CHECK_THAT(std::string(status.message()), ContainsText("stopp"));
}

TEST_CASE("a port in use is named") {
  InProcessCoordinator coordinator;
  const SystemClock clock;
  ModelStore models = ModelStore::Open(coordinator.folder() / "models").value();
  const auto second = Service::Start(
      {coordinator.conductor(), coordinator.ledger(), models, coordinator.authority(), clock},
      coordinator.address());
  REQUIRE(absl::IsUnavailable(second.status()));
  CHECK_THAT(std::string(second.status().message()), ContainsText(coordinator.address()));
}

TEST_CASE("a model that is not here, or an offset beyond it, is refused") {
  InProcessCoordinator coordinator;
  const auto north = coordinator.Enrol("north", Role::kSite);
  const auto stub = Sites(north);
  grpc::ClientContext context;
  v1::DownloadRequest request;
  request.set_model(std::string(32, 'x'));
  const auto reader = stub->DownloadModel(&context, request);
  v1::ModelChunk chunk;
  CHECK_FALSE(reader->Read(&chunk));
  CHECK(reader->Finish().error_code() == grpc::StatusCode::NOT_FOUND);
}

TEST_CASE("parts of a model are sent one after another, from the offset on") {
  InProcessCoordinator coordinator;
  const auto stub = Sites(coordinator.Enrol("north", Role::kSite));
  std::string file;  // several pieces of the service's
  while (file.size() < 600'000) StrAppend(&file, file.size(), " ");
  const Digest id = crypto::Sha256(file);
  REQUIRE(
      WriteFileDurably(coordinator.state() / "models" / (id.Hex() + ".safetensors"), file).ok());
  v1::DownloadRequest request;
  request.set_model(wire::ToProtoBytes(id));
  const auto want = [&](std::uint64_t begin, std::uint64_t size) {
    v1::ByteRange& range = *request.add_ranges();
    range.set_begin(begin);
    range.set_size(size);
  };
  std::string came;
  std::uint64_t total = 0;
  const auto download = [&] {
    grpc::ClientContext context;
    const auto reader = stub->DownloadModel(&context, request);
    v1::ModelChunk chunk;
    came.clear();
    while (reader->Read(&chunk)) {
      if (came.empty()) total = chunk.total_size();
      came += chunk.data();
    }
    return reader->Finish().error_code();
  };
  want(3, 5);
  want(200'000, 300'000);
  CHECK(download() == grpc::StatusCode::OK);
  CHECK(came == file.substr(3, 5) + file.substr(200'000, 300'000));
  request.set_offset(7);
  CHECK(download() == grpc::StatusCode::OK);
  CHECK(came == file.substr(200'002, 299'998));
  CHECK(total == 300'005);
  request.set_offset(300'006);
  CHECK(download() == grpc::StatusCode::OUT_OF_RANGE);
  request.set_offset(0);
  want(10, 5);
  CHECK(download() == grpc::StatusCode::INVALID_ARGUMENT);
}

// A channel whose TLS sessions are kept for the next one with the same cache.
std::shared_ptr<grpc::Channel> ChannelWithSessions(const identity::Identity& identity,
                                                   grpc_ssl_session_cache* cache) {
  grpc::SslCredentialsOptions options;
  options.pem_root_certs = identity.authority;
  options.pem_private_key = std::string(AsText(identity.private_key.Reveal()));
  options.pem_cert_chain = identity.certificate;
  grpc::ChannelArguments arguments;
  arguments.SetPointer(GRPC_SSL_SESSION_CACHE_ARG, cache);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::experimental::CreateCustomChannelWithInterceptors(
      identity.coordinator, grpc::SslCredentials(options), arguments, wire::ClientVersions({}));
}

TEST_CASE("a resumed TLS session of a revoked key is refused within a second") {
  InProcessCoordinator coordinator;
  const auto ada = coordinator.Enrol("ada", Role::kResearcher);
  grpc_ssl_session_cache* cache = grpc_ssl_session_cache_create_lru(8);
  bool resumed = false;
  const auto list = [&] {
    grpc::ClientContext context;
    v1::JsonReply reply;
    const auto stub = v1::ResearchService::NewStub(ChannelWithSessions(ada, cache));
    const auto code = stub->ListRuns(&context, {}, &reply).error_code();
    const auto reused = context.auth_context()->FindPropertyValues("ssl_session_reused");
    resumed = !reused.empty() && reused.front() == "true";
    return code;
  };
  CHECK(list() == grpc::StatusCode::OK);
  CHECK_FALSE(resumed);
  CHECK(list() == grpc::StatusCode::OK);
  CHECK(resumed);
  const Time revoked = SystemClock().Now();
  REQUIRE(
      coordinator.ledger().With([&](Ledger& l) { return l.RevokeMember("ada", revoked); }).ok());
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  CHECK(list() == grpc::StatusCode::PERMISSION_DENIED);
  CHECK(resumed);
  CHECK(Seconds(SystemClock().Now() - revoked) < 1);
  grpc_ssl_session_cache_destroy(cache);
}

}  // namespace
}  // namespace consilium::coordinator
