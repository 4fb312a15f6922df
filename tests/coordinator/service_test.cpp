#include "coordinator/service.h"

#include "common/crypto/certificates.h"
#include "common/crypto/model_record.h"
#include "common/crypto/sha256.h"
#include "tests/coordinator/in_process_coordinator.h"

namespace consilium::coordinator {
namespace {

using wire::RunEventKind;

std::unique_ptr<v1::SiteService::Stub> Sites(const identity::Identity& identity) {
  return v1::SiteService::NewStub(identity::OpenChannel(identity));
}
std::unique_ptr<v1::ResearchService::Stub> Research(const identity::Identity& identity) {
  return v1::ResearchService::NewStub(identity::OpenChannel(identity));
}

grpc::Status ListRuns(const identity::Identity& identity) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(5));
  v1::JsonReply reply;
  return Research(identity)->ListRuns(&context, {}, &reply);
}

// Says Hello and returns what the coordinator answers, or why it hung up.
absl::StatusOr<wire::ToSite> Hello(const identity::Identity& identity, int protocol_version) {
  const auto stub = Sites(identity);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(5));
  const auto stream = stub->Attend(&context);
  v1::FromSite hello;
  wire::ToProto(wire::Hello{"test", protocol_version}, &hello);
  stream->Write(hello);
  v1::ToSite answer;
  if (stream->Read(&answer)) {
    context.TryCancel();
    (void)stream->Finish();
    return wire::FromProto(answer);
  }
  return wire::FromGrpc(stream->Finish());
}

absl::StatusOr<RunId> Submit(const identity::Identity& researcher, const std::string& plan) {
  grpc::ClientContext context;
  v1::SubmitPlanRequest request;
  request.set_plan_toml(plan);
  v1::SubmitPlanReply reply;
  RETURN_IF_ERROR(wire::FromGrpc(Research(researcher)->SubmitPlan(&context, request, &reply)));
  return RunId(reply.run());
}

std::size_t CountOf(const std::vector<wire::RunEvent>& events, RunEventKind kind) {
  return std::count_if(events.begin(), events.end(),
                       [kind](const wire::RunEvent& event) { return event.kind == kind; });
}

TEST_CASE("a site that enrols with its token is welcomed under its name") {
  InProcessCoordinator coordinator;
  const auto north = coordinator.Enrol("north", Role::kSite);
  CHECK(north.signing_key == coordinator.authority().signing_key().public_key);
  const auto answer = Hello(north, 1);
  REQUIRE(answer.ok());
  const auto& welcome = std::get<wire::Welcome>(*answer);
  CHECK(welcome.site == SiteId("north"));
  CHECK(welcome.federation == "test-federation");
  CHECK(welcome.sealing_key == coordinator.authority().sealing_key().public_key);
}

TEST_CASE("a token is refused when it is wrong, used, expired, of another coordinator or role") {
  InProcessCoordinator coordinator;
  const auto enrol = [&](const std::string& token, const char* role = "site") {
    static int folders = 0;
    return identity::Enrol(coordinator.address(), token, role,
                           coordinator.folder() / StrCat("member-", ++folders))
        .status();
  };
  const std::string token = coordinator.Token("north", Role::kSite);
  std::string wrong = token;
  wrong[5] = wrong[5] == 'A' ? 'B' : 'A';  // in the secret
  CHECK(absl::IsPermissionDenied(enrol(wrong)));
  CHECK(absl::IsInvalidArgument(enrol("north")));
  CHECK(absl::IsPermissionDenied(enrol(coordinator.Token("late", Role::kSite, -1))));
  CHECK(absl::IsPermissionDenied(enrol(token, "researcher")));
  CHECK(enrol(token).ok());  // the wrong role did not use it up
  CHECK(absl::IsPermissionDenied(enrol(token)));
  InProcessCoordinator other;
  CHECK(absl::IsUnauthenticated(enrol(other.Token("north", Role::kSite))));
}

TEST_CASE("only Enrol answers without a certificate, and none of another authority is taken") {
  InProcessCoordinator coordinator, other;
  const auto identity = coordinator.Enrol("ada", Role::kResearcher);
  CHECK(ListRuns(identity).ok());
  identity::Identity mixed = other.Enrol("ada", Role::kResearcher);
  mixed.authority = identity.authority;
  mixed.coordinator = identity.coordinator;
  CHECK(ListRuns(mixed).error_code() == grpc::StatusCode::UNAVAILABLE);  // the handshake fails

  grpc::SslCredentialsOptions options;
  options.pem_root_certs = identity.authority;
  const auto stub = v1::ResearchService::NewStub(
      grpc::CreateChannel(coordinator.address(), grpc::SslCredentials(options)));
  grpc::ClientContext context;
  v1::JsonReply reply;
  CHECK(stub->ListRuns(&context, {}, &reply).error_code() == grpc::StatusCode::UNAUTHENTICATED);
}

TEST_CASE("a site may not do what a researcher does, nor the other way round") {
  InProcessCoordinator coordinator;
  const auto site = coordinator.Enrol("north", Role::kSite);
  const auto researcher = coordinator.Enrol("ada", Role::kResearcher);
  CHECK(absl::IsPermissionDenied(Submit(site, TinyPlan(2, 1)).status()));
  CHECK(ListRuns(site).error_code() == grpc::StatusCode::PERMISSION_DENIED);
  CHECK(absl::IsPermissionDenied(Hello(researcher, 1).status()));
}

TEST_CASE("a revoked member is refused within a second, also on its open connection") {
  InProcessCoordinator coordinator;
  const auto north = coordinator.Enrol("north", Role::kSite);
  const auto ada = coordinator.Enrol("ada", Role::kResearcher);
  const auto stub = Sites(north);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
  const auto stream = stub->Attend(&context);
  v1::FromSite hello;
  wire::ToProto(wire::Hello{"test", 1}, &hello);
  stream->Write(hello);
  v1::ToSite message;
  REQUIRE(stream->Read(&message));
  REQUIRE(ListRuns(ada).ok());
  const Time revoked = SystemClock().Now();
  REQUIRE(coordinator.ledger()
              .With([&](Ledger& ledger) -> absl::Status {
                RETURN_IF_ERROR(ledger.RevokeMember("north", revoked));
                return ledger.RevokeMember("ada", revoked);
              })
              .ok());
  CHECK_FALSE(stream->Read(&message));
  CHECK_FALSE(stream->Finish().ok());
  CHECK(Seconds(SystemClock().Now() - revoked) < 1.5);
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  CHECK(ListRuns(ada).error_code() == grpc::StatusCode::PERMISSION_DENIED);
}

TEST_CASE("another protocol version is refused with the side to upgrade") {
  InProcessCoordinator coordinator;
  const auto north = coordinator.Enrol("north", Role::kSite);
  const auto older = Hello(north, 0).status(), newer = Hello(north, 2).status();
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

TEST_CASE("three sites train two rounds, and the published model verifies") {
  InProcessCoordinator coordinator;
  const auto ada = coordinator.Enrol("ada", Role::kResearcher);
  std::vector<std::unique_ptr<ScriptedSite>> sites;
  for (const char* name : {"north", "south", "west"}) {
    sites.push_back(std::make_unique<ScriptedSite>(coordinator.Enrol(name, Role::kSite),
                                                   ScriptedSite::Script{.parameters = 100'000}));
  }
  const auto run = Submit(ada, TinyPlan(3, 2));
  REQUIRE(run.ok());
  const auto events = WatchToTheEnd(ada, *run);
  CHECK(CountOf(events, RunEventKind::kUpdateReceived) == 6);
  CHECK(CountOf(events, RunEventKind::kRoundEvaluated) >= 2);
  REQUIRE(CountOf(events, RunEventKind::kPublished) == 1);
  for (std::size_t i = 1; i < events.size(); ++i) {
    if (events[i].sequence > 0) CHECK(events[i].sequence == events[i - 1].sequence + 1);
  }

  const auto published = std::find_if(events.begin(), events.end(), [](const auto& event) {
    return event.kind == RunEventKind::kPublished;
  });
  const auto stub = Research(ada);
  grpc::ClientContext context;
  v1::FetchRecordRequest request;
  request.set_model(published->text);
  v1::FetchRecordReply reply;
  REQUIRE(stub->FetchRecord(&context, request, &reply).ok());
  const auto verified = crypto::VerifyModelRecord(ada.signing_key, reply.record_json());
  REQUIRE(verified.ok());
  CHECK(verified->model.Hex() == published->text);
  CHECK_THAT(verified->record_json, ContainsText("\"sites\":[\"north\",\"south\",\"west\"]"));

  const fs::path file = coordinator.state() / "models" / (published->text + ".safetensors");
  CHECK(crypto::Sha256OfFile(file).value() == verified->model);
  const ModelState model = LoadSafetensors(file).value();
  const float value = model.values()[99'999];  // 1, and 0.5 a round
  CHECK((value == 1.5f || value == 2.0f));
  for (const auto& site : sites) CHECK(site->rounds_counted() >= 2);
}

TEST_CASE("an update with NaN is not counted, and its round goes on without it") {
  InProcessCoordinator coordinator;
  const auto ada = coordinator.Enrol("ada", Role::kResearcher);
  std::vector<std::unique_ptr<ScriptedSite>> sites;
  for (const char* name : {"north", "south", "west"}) {
    ScriptedSite::Script script;
    if (std::string(name) == "west") script.spoil = [](auto& delta) { delta[7] = NAN; };
    sites.push_back(
        std::make_unique<ScriptedSite>(coordinator.Enrol(name, Role::kSite), std::move(script)));
  }
  const auto run = Submit(ada, TinyPlan(2, 1));
  REQUIRE(run.ok());
  const auto events = WatchToTheEnd(ada, *run);
  CHECK(CountOf(events, RunEventKind::kPublished) == 1);
  CHECK(CountOf(events, RunEventKind::kUpdateReceived) == 2);
  const auto lost = std::find_if(events.begin(), events.end(), [](const auto& e) {
    return e.kind == RunEventKind::kContributionLost;
  });
  REQUIRE(lost != events.end());
  CHECK(lost->site == SiteId("west"));
  CHECK_THAT(lost->text, ContainsText("\"weight\""));
}

TEST_CASE("a coordinator that was stopped between rounds goes on when it is started again") {
  InProcessCoordinator coordinator;
  const auto ada = coordinator.Enrol("ada", Role::kResearcher);
  std::vector<std::unique_ptr<ScriptedSite>> sites;
  for (const char* name : {"north", "south"}) {
    ScriptedSite::Script script;
    script.train_s = 0.15;
    sites.push_back(
        std::make_unique<ScriptedSite>(coordinator.Enrol(name, Role::kSite), std::move(script)));
  }
  const auto run = Submit(ada, TinyPlan(2, 4));
  REQUIRE(run.ok());
  const auto watch = coordinator.conductor().Watch(*run, 0).value();
  std::vector<wire::RunEvent> events;
  for (bool evaluated = false; !evaluated;) {
    REQUIRE(watch->Next(std::chrono::seconds(20), &events));
    REQUIRE_FALSE(events.empty());
    evaluated = CountOf(events, RunEventKind::kRoundEvaluated) > 0;
  }
  coordinator.Stop();
  coordinator.Start();
  const auto all = WatchToTheEnd(ada, *run);
  CHECK(CountOf(all, RunEventKind::kRestarted) == 1);
  CHECK(CountOf(all, RunEventKind::kPublished) == 1);
  std::map<std::uint32_t, int> aggregated;
  for (const auto& event : all) {
    if (event.kind == RunEventKind::kAggregated && event.round > 0) ++aggregated[event.round];
  }
  CHECK(aggregated == std::map<std::uint32_t, int>{{1, 1}, {2, 1}, {3, 1}, {4, 1}});
}

TEST_CASE("a run that waits for its turn can be stopped, and the next one is taken up") {
  InProcessCoordinator coordinator;
  const auto ada = coordinator.Enrol("ada", Role::kResearcher);
  const auto first = Submit(ada, TinyPlan(2, 1)), second = Submit(ada, TinyPlan(2, 1)),
             third = Submit(ada, TinyPlan(2, 1));
  REQUIRE((first.ok() && second.ok() && third.ok()));
  const auto stop = [&](const RunId& run) {
    grpc::ClientContext context;
    v1::StopRunRequest request;
    request.set_run(run.value);
    v1::StopRunReply reply;
    return Research(ada)->StopRun(&context, request, &reply);
  };
  CHECK(stop(*second).ok());
  CHECK(CountOf(WatchToTheEnd(ada, *second), RunEventKind::kEnded) == 1);
  CHECK(stop(*second).error_code() == grpc::StatusCode::FAILED_PRECONDITION);
  CHECK(stop(RunId("nothing-0001")).error_code() == grpc::StatusCode::NOT_FOUND);
  CHECK(stop(*first).ok());
  CHECK(CountOf(WatchToTheEnd(ada, *first), RunEventKind::kEnded) == 1);
  CHECK(stop(*third).ok());
  CHECK(CountOf(WatchToTheEnd(ada, *third), RunEventKind::kEnded) == 1);
}

}  // namespace
}  // namespace consilium::coordinator
