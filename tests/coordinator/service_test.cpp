#include "coordinator/service.h"

#include <nlohmann/json.hpp>

#include "common/base/version.h"
#include "common/crypto/model_record.h"
#include "common/crypto/sha256.h"
#include "coordinator/researcher/verify_model.h"
#include "tests/coordinator/in_process_coordinator.h"
#include "tests/coordinator/scripted_site.h"

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

v1::SubmitPlanRequest Signed(const identity::Identity& researcher, const std::string& plan) {
  wire::PlanNonce nonce;
  SystemRandom().Fill(nonce);
  const auto signature =
      crypto::Sign(researcher.signing,
                   wire::PlanText("test-federation", researcher.name, nonce, crypto::Sha256(plan)));
  v1::SubmitPlanRequest request;
  request.set_plan_toml(plan);
  request.set_nonce(nonce.data(), nonce.size());
  request.set_signature(signature->data(), signature->size());
  return request;
}

absl::StatusOr<RunId> Submit(const identity::Identity& caller,
                             const v1::SubmitPlanRequest& request) {
  grpc::ClientContext context;
  v1::SubmitPlanReply reply;
  RETURN_IF_ERROR(wire::FromGrpc(Research(caller)->SubmitPlan(&context, request, &reply)));
  return RunId(reply.run());
}
absl::StatusOr<RunId> Submit(const identity::Identity& researcher, const std::string& plan) {
  return Submit(researcher, Signed(researcher, plan));
}

grpc::Status StopRun(const identity::Identity& caller, const RunId& run) {
  grpc::ClientContext context;
  v1::StopRunRequest request;
  request.set_run(run.value);
  v1::StopRunReply reply;
  return Research(caller)->StopRun(&context, request, &reply);
}

// The log in the form that verify_model.h reads.
absl::StatusOr<std::string> FetchLog(const identity::Identity& identity) {
  grpc::ClientContext context;
  const auto stub = Research(identity);
  const auto reader = stub->FetchLog(&context, {});
  nlohmann::json log = {{"entries", nlohmann::json::array()},
                        {"countersignatures", nlohmann::json::array()}};
  for (v1::JsonReply piece; reader->Read(&piece);) {
    const auto part = nlohmann::json::parse(piece.json());
    log["federation"] = part["federation"];
    for (const char* list : {"entries", "countersignatures"}) {
      log[list].insert(log[list].end(), part[list].begin(), part[list].end());
    }
  }
  RETURN_IF_ERROR(wire::FromGrpc(reader->Finish()));
  return log.dump(2) + "\n";
}

// A site's open connection, for tests that say no more than Hello.
class Attendance {
 public:
  explicit Attendance(const identity::Identity& site) : stub_(Sites(site)) {
    context_.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    stream_ = stub_->Attend(&context_);
    v1::FromSite hello;
    wire::ToProto(wire::Hello{"test", kProtocolVersion}, &hello);
    stream_->Write(hello);
  }
  ~Attendance() {
    context_.TryCancel();
    if (!finished_) (void)stream_->Finish();
  }
  absl::StatusOr<wire::ToSite> Next() {
    v1::ToSite message;
    if (stream_->Read(&message)) return wire::FromProto(message);
    finished_ = true;
    return wire::FromGrpc(stream_->Finish());
  }
  // The next message of a kind; others are passed over.
  template <class Message>
  absl::StatusOr<Message> Next() {
    for (;;) {
      ASSIGN_OR_RETURN(const wire::ToSite message, Next());
      if (const auto* found = std::get_if<Message>(&message)) return *found;
    }
  }
  void Say(const wire::FromSite& message) {
    v1::FromSite proto;
    wire::ToProto(message, &proto);
    stream_->Write(proto);
  }

 private:
  std::unique_ptr<v1::SiteService::Stub> stub_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::FromSite, v1::ToSite>> stream_;
  bool finished_ = false;
};

ScriptedSite::Script Parameters(std::uint64_t parameters) {
  ScriptedSite::Script script;
  script.parameters = parameters;
  return script;
}
ScriptedSite::Script Slow(double train_s) {
  ScriptedSite::Script script;
  script.train_s = train_s;
  return script;
}

std::vector<std::unique_ptr<ScriptedSite>> ScriptedSites(InProcessCoordinator& coordinator,
                                                         const std::vector<std::string>& names,
                                                         const ScriptedSite::Script& script = {}) {
  std::vector<std::unique_ptr<ScriptedSite>> sites;
  for (const std::string& name : names) {
    sites.push_back(std::make_unique<ScriptedSite>(coordinator.Enrol(name, Role::kSite), script));
  }
  return sites;
}

std::size_t CountOf(const std::vector<wire::RunEvent>& events, RunEventKind kind) {
  return std::count_if(events.begin(), events.end(),
                       [kind](const wire::RunEvent& event) { return event.kind == kind; });
}

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
  const auto channel = grpc::CreateChannel(coordinator.address(), grpc::SslCredentials(options));
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

  const Time revoked = SystemClock().Now();
  {
    Ledger other = Ledger::Open(coordinator.state() / "ledger.db").value();
    REQUIRE(other.RevokeMember("north", revoked).ok());
    REQUIRE(other.RevokeMember("ada", revoked).ok());
  }
  absl::Status closed;
  while (closed.ok()) closed = attendance.Next().status();
  CHECK(Seconds(SystemClock().Now() - revoked) < 1);
  while (watch->Read(&event)) continue;
  CHECK(watch->Finish().error_code() == grpc::StatusCode::PERMISSION_DENIED);
  CHECK(Seconds(SystemClock().Now() - revoked) < 1);
  // The same channel: its TLS session is still good, its key is not.
  grpc::ClientContext again;
  v1::JsonReply reply;
  CHECK(watching->ListRuns(&again, {}, &reply).error_code() == grpc::StatusCode::PERMISSION_DENIED);
  CHECK(ListRuns(ada).error_code() == grpc::StatusCode::PERMISSION_DENIED);  // a new handshake
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

// Of a model that a run has published.
std::string FetchRecord(const identity::Identity& who, const std::string& model) {
  grpc::ClientContext context;
  v1::FetchRecordRequest request;
  request.set_model(model);
  v1::FetchRecordReply reply;
  const absl::Status fetched =
      wire::FromGrpc(Research(who)->FetchRecord(&context, request, &reply));
  INFO(fetched.ToString());
  REQUIRE(fetched.ok());
  return reply.record_json();
}

std::string PublishedBy(const std::vector<wire::RunEvent>& events) {
  for (const wire::RunEvent& event : events) {
    if (event.kind == RunEventKind::kPublished) return event.text;
    if (event.kind == RunEventKind::kEnded) UNSCOPED_INFO(event.text);
  }
  FAIL("nothing was published");
  return {};
}

TEST_CASE("three sites train two rounds masked, and the model proves who made it") {
  InProcessCoordinator coordinator;
  const auto ada = coordinator.Enrol("ada", Role::kResearcher);
  const auto sites = ScriptedSites(coordinator, {"north", "south", "west"}, Parameters(100'000));
  const auto run = Submit(ada, TinyPlan(3, 2));
  INFO(run.status().ToString());
  REQUIRE(run.ok());
  const auto events = WatchToTheEnd(ada, *run);
  const std::string published = PublishedBy(events);
  CHECK(CountOf(events, RunEventKind::kUpdateReceived) == 6);
  CHECK(CountOf(events, RunEventKind::kSiteEvaluated) == 0);  // nobody saw one site's results
  for (std::size_t i = 1; i < events.size(); ++i) {
    if (events[i].sequence > 0) CHECK(events[i].sequence == events[i - 1].sequence + 1);
  }
  const fs::path file = coordinator.state() / "models" / (published + ".safetensors");
  const ModelState model = LoadSafetensors(file).value();
  const double value = model.values()[99'999];  // 1, and 0.5 a round
  CHECK((value == Approx(1.5).epsilon(1e-6) || value == Approx(2).epsilon(1e-6)));
  for (const auto& site : sites) {
    CHECK(site->rounds_counted() >= 2);
    CHECK(site->log_is_one_chain());
    CHECK_FALSE(site->signed_heads().empty());
  }

  const std::string record = FetchRecord(ada, published);
  const auto log = FetchLog(ada);
  REQUIRE(log.ok());
  const auto proof = researcher::VerifyModel(ada.root, crypto::Sha256OfFile(file).value(), record,
                                             std::optional<std::string>(*log));
  INFO(proof.Broken());
  CHECK(proof.ok());
  const auto told = nlohmann::json::parse(proof.record_json);
  CHECK(told["sites"] == nlohmann::json({"north", "south", "west"}));
  CHECK(told["researcher"]["name"] == "ada");
  CHECK(told["secure"]["survivors"] == nlohmann::json({"north", "south", "west"}));
  CHECK(told["secure"]["threshold"] == 3);
  CHECK(told["test"]["sites"] == 3);
  CHECK_FALSE(told["log"]["countersignatures"].empty());

  const auto json = nlohmann::json::parse(
      coordinator.ledger().With([&](Ledger& l) { return l.RunJson(*run); }).value());
  const auto& secure = json["rounds"][2]["secure"];
  CHECK(secure["cohort"] == 3);
  CHECK(secure["threshold"] == 3);
  CHECK(secure["survivors"] == 3);
  CHECK(secure["recovered"] == 0);
  CHECK(secure["transcript"].is_string());
  CHECK(json["rounds"][2]["evaluation"]["evaluated_by"].size() == 3);
  CHECK(json["final"]["pooled"]["auroc"].get<double>() > 0.8);
  CHECK(coordinator.ledger().With([](Ledger& l) { return l.VerifyLog(); }).ok());
}

TEST_CASE("two sites train sealed when the plan says so") {
  InProcessCoordinator coordinator;
  const auto ada = coordinator.Enrol("ada", Role::kResearcher);
  const auto sites = ScriptedSites(coordinator, {"north", "south"});
  const auto run = Submit(ada, TinyPlan(2, 1));
  REQUIRE(run.ok());
  const std::string record = FetchRecord(ada, PublishedBy(WatchToTheEnd(ada, *run)));
  CHECK_FALSE(nlohmann::json::parse(record)["record"].contains("secure"));
}

TEST_CASE("a sealed update with NaN is not counted, and its round goes on without it") {
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
  const auto sites = ScriptedSites(coordinator, {"north", "south", "west"}, Slow(0.15));
  const auto run = Submit(ada, TinyPlan(3, 4));
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
  const auto stop = [&](const RunId& run) { return StopRun(ada, run); };
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
