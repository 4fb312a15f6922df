// Programs of different releases that meet: every call is refused before anything else, by either
// side, with the side to upgrade.

#include <sys/wait.h>

#include <fstream>

#include "common/wire/refusal.h"
#include "coordinator/researcher/research_channel.h"
#include "tests/coordinator/member_calls.h"

namespace consilium::coordinator {
namespace {

const wire::ProgramVersion kOlder{"0.1.0", kProtocolVersion - 1};
const wire::ProgramVersion kNewer{"9.9.0", kProtocolVersion + 1};

void CheckRefused(const grpc::Status& status, const std::string& upgrade,
                  const std::string& release) {
  INFO(status.error_message());
  CHECK(status.error_code() == grpc::StatusCode::FAILED_PRECONDITION);
  CHECK_THAT(status.error_message(), ContainsText("upgrade " + upgrade));
  CHECK_THAT(status.error_message(), ContainsText(release));
}

// One call of each kind.
std::vector<grpc::Status> CallEverything(const std::shared_ptr<grpc::Channel>& channel) {
  std::vector<grpc::Status> said;
  const auto research = v1::ResearchService::NewStub(channel);
  const auto members = v1::MembershipService::NewStub(channel);
  const auto sites = v1::SiteService::NewStub(channel);
  {
    grpc::ClientContext context;
    v1::JsonReply reply;
    said.push_back(research->ListRuns(&context, {}, &reply));
  }
  {
    grpc::ClientContext context;
    v1::PingReply reply;
    said.push_back(members->Ping(&context, {}, &reply));
  }
  {
    grpc::ClientContext context;
    v1::EnrolReply reply;
    said.push_back(members->Enrol(&context, {}, &reply));
  }
  {
    grpc::ClientContext context;
    const auto reader = research->FetchLog(&context, {});
    for (v1::JsonReply piece; reader->Read(&piece);) continue;
    said.push_back(reader->Finish());
  }
  {
    grpc::ClientContext context;
    const auto reader = sites->DownloadModel(&context, {});
    for (v1::ModelChunk chunk; reader->Read(&chunk);) continue;
    said.push_back(reader->Finish());
  }
  {
    grpc::ClientContext context;
    v1::UploadReceipt receipt;
    const auto writer = sites->Upload(&context, &receipt);
    said.push_back(writer->Finish());
  }
  {
    grpc::ClientContext context;
    const auto stream = sites->Attend(&context);
    for (v1::ToSite message; stream->Read(&message);) continue;
    said.push_back(stream->Finish());
  }
  return said;
}

TEST_CASE("every call of an older or newer program is refused with the side to upgrade") {
  InProcessCoordinator coordinator;
  const auto ada = coordinator.Enrol("ada", Role::kResearcher);
  for (const grpc::Status& status : CallEverything(identity::OpenChannel(ada, kOlder))) {
    CheckRefused(status, "your program", "your program (0.1.0)");
  }
  for (const grpc::Status& status : CallEverything(identity::OpenChannel(ada, kNewer))) {
    CheckRefused(status, "the coordinator", "your program (9.9.0)");
  }
  CHECK(ListRuns(ada).ok());
}

TEST_CASE("a program that does not say its version is an old one") {
  InProcessCoordinator coordinator;
  const auto ada = coordinator.Enrol("ada", Role::kResearcher);
  grpc::SslCredentialsOptions options;
  options.pem_root_certs = ada.authority;
  options.pem_private_key = std::string(AsText(ada.private_key.Reveal()));
  options.pem_cert_chain = ada.certificate;
  const auto channel = grpc::CreateChannel(ada.coordinator, grpc::SslCredentials(options));
  for (const grpc::Status& status : CallEverything(channel)) {
    CheckRefused(status, "your program", "does not say which protocol version it speaks");
  }
}

TEST_CASE("a program refuses a coordinator that answers without a version") {
  // As releases before 0.3.0 do: a server that knows the calls and checks nothing.
  InProcessCoordinator coordinator;
  const auto ada = coordinator.Enrol("ada", Role::kResearcher);
  class OldServer final : public v1::MembershipService::Service {
    grpc::Status Ping(grpc::ServerContext*, const v1::PingRequest*, v1::PingReply*) override {
      return grpc::Status::OK;
    }
  } service;
  grpc::ServerBuilder builder;
  int port = 0;
  grpc::SslServerCredentialsOptions options;
  const crypto::PemIdentity& server = coordinator.authority().server();
  options.pem_key_cert_pairs.push_back({std::string(AsText(server.private_key.Reveal())),
                                        coordinator.authority().ServerCertificate()});
  builder.AddListeningPort("127.0.0.1:0", grpc::SslServerCredentials(options), &port);
  builder.RegisterService(&service);
  const auto running = builder.BuildAndStart();
  REQUIRE(running);
  identity::Identity calls = coordinator.Enrol("eve", Role::kResearcher);
  calls.coordinator = StrCat("127.0.0.1:", port);
  const auto ping = identity::Ping(calls);
  INFO(ping.status().ToString());
  CHECK(absl::IsFailedPrecondition(ping.status()));
  CHECK_THAT(std::string(ping.status().message()), ContainsText("upgrade the coordinator"));
  running->Shutdown();
}

TEST_CASE("a coordinator of another release refuses enrolment and the researcher's program") {
  InProcessCoordinator coordinator;
  const auto ada = coordinator.Enrol("ada", Role::kResearcher);
  const std::string token = coordinator.Token("north", Role::kSite);
  for (const wire::ProgramVersion& version : {kOlder, kNewer}) {
    coordinator.Stop();
    coordinator.version = version;
    coordinator.Start();
    const std::string upgrade =
        version.protocol < kProtocolVersion ? "upgrade the coordinator" : "upgrade your program";
    const absl::Status enrolled =
        identity::Enrol(token, Role::kSite, coordinator.folder() / version.program,
                        crypto::Passphrase::Unprotected(), coordinator.address())
            .status();
    CHECK(absl::IsFailedPrecondition(enrolled));
    CHECK_THAT(std::string(enrolled.message()), ContainsText(upgrade));
    const absl::Status listed =
        researcher::ResearchChannel(identity::LoadIdentity(coordinator.folder() / "ada").value())
            .ListRuns()
            .status();
    CHECK(absl::IsFailedPrecondition(listed));
    CHECK_THAT(std::string(listed.message()), ContainsText(upgrade));
    CHECK(ExitCodeFor(listed) == 1);
  }
  // The token was not spent.
  coordinator.Stop();
  coordinator.version = {};
  coordinator.Start();
  CHECK(identity::Enrol(token, Role::kSite, coordinator.folder() / "north",
                        crypto::Passphrase::Unprotected(), coordinator.address())
            .ok());
}

TEST_CASE("the real programs exit with 1 and say which side to upgrade") {
  InProcessCoordinator coordinator;
  coordinator.Enrol("ada", Role::kResearcher);
  coordinator.Enrol("north", Role::kSite);
  coordinator.Stop();
  coordinator.version = kNewer;
  coordinator.Start();
  const char* programs = std::getenv("CONSILIUM_BIN");
  REQUIRE(programs != nullptr);
  const fs::path said = coordinator.folder() / "said";
  const auto run = [&](const std::string& command) {
    const int state =
        std::system(StrCat(programs, "/", command, " > ", said.string(), " 2>&1").c_str());
    std::ifstream file(said);
    const std::string text((std::istreambuf_iterator<char>(file)), {});
    INFO(command << ": " << text);
    CHECK(WEXITSTATUS(state) == 1);
    CHECK_THAT(text, ContainsText("upgrade your program"));
  };
  run(StrCat("consilium run list --state ", (coordinator.folder() / "ada").string()));
  run(StrCat("consilium enrol ", coordinator.Token("eve", Role::kResearcher), " --coordinator ",
             coordinator.address(), " --unprotected-keys --state ",
             (coordinator.folder() / "eve").string()));
}

TEST_CASE("who waits to be admitted is told so in a word that programs understand") {
  InProcessCoordinator coordinator;
  const auto north = coordinator.EnrolOnly("north", Role::kSite);
  const auto ada = coordinator.EnrolOnly("ada", Role::kResearcher);
  const absl::Status site = Hello(north, kProtocolVersion).status();
  CHECK(absl::IsUnavailable(site));
  CHECK(wire::RefusalOf(site) == wire::Refusal::kWaitsToBeAdmitted);
  const absl::Status researcher =
      researcher::ResearchChannel(identity::LoadIdentity(coordinator.folder() / "ada").value())
          .ListRuns()
          .status();
  CHECK(wire::RefusalOf(researcher) == wire::Refusal::kWaitsToBeAdmitted);
  // The coordinator's own words, without "cannot be reached".
  CHECK_THAT(std::string(researcher.message()), ContainsText("consilium federation admit ada"));
  CHECK(researcher.message().find("cannot be reached") == absl::string_view::npos);
}

}  // namespace
}  // namespace consilium::coordinator
