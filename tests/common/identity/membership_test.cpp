// Enrolment, renewal and the questions of a member, against a small coordinator of the test's own
// over real TLS, which can be told to cheat.

#include <grpcpp/grpcpp.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <functional>
#include <mutex>
#include <thread>

#include "common/base/random.h"
#include "common/base/status.h"
#include "common/base/version.h"
#include "common/crypto/certificates.h"
#include "common/crypto/sha256.h"
#include "common/identity/identity.h"
#include "common/identity/token.h"
#include "common/wire/consilium.grpc.pb.h"
#include "common/wire/versions.h"
#include "tests/catch.h"
#include "tests/common/says.h"
#include "tests/common/temporary_folder.h"

namespace consilium::identity {
namespace {

Time Now() { return SystemClock().Now(); }

std::string PeerName(const grpc::ServerContext& context) {
  const auto names = context.auth_context()->FindPropertyValues("x509_common_name");
  return names.empty() ? "" : std::string(names[0].data(), names[0].size());
}

class SmallCoordinator final : public v1::MembershipService::Service {
 public:
  SmallCoordinator() {
    grpc::SslServerCredentialsOptions options(GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_AND_VERIFY);
    options.pem_root_certs = authority.certificate;
    options.pem_key_cert_pairs.push_back(
        {std::string(AsText(server.private_key.Reveal())), server.certificate});
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::SslServerCredentials(options), &port_);
    builder.RegisterService(this);
    builder.experimental().SetInterceptorCreators(wire::ServerVersions({}));
    server_ = builder.BuildAndStart();
    REQUIRE(server_ != nullptr);
    roster.federation = "chest";
    roster.version = 3;
    roster.issued = Now();
    RosterEntry host;
    host.name = "host";
    host.role = Role::kCoordinator;
    host.tls_key = *crypto::KeyFingerprint(server.certificate);
    roster.members = {host};
  }
  ~SmallCoordinator() override { server_->Shutdown(std::chrono::system_clock::now()); }

  std::string address() const { return StrCat("127.0.0.1:", port_); }
  std::string NewToken() {
    Token token;
    SystemRandom().Fill(token.secret);
    token.authority = *crypto::CertificateFingerprint(authority.certificate);
    token.root = root.public_key;
    token.address = address();
    const std::lock_guard lock(mutex_);
    return token_ = token.ToString();
  }

  grpc::Status Enrol(grpc::ServerContext*, const v1::EnrolRequest* request,
                     v1::EnrolReply* reply) override {
    const std::lock_guard lock(mutex_);
    if (std::exchange(token_, "") != request->token()) {
      return {grpc::StatusCode::PERMISSION_DENIED, "the token was used"};
    }
    if (!Proved(*request)) return {grpc::StatusCode::UNAUTHENTICATED, "no proof"};
    reply->set_certificate_pem(
        Issue(request->certificate_request_pem(), "north", request->role(), 90));
    reply->set_name("north");
    reply->set_role(request->role());
    reply->set_federation("chest");
    reply->set_roster(SignRoster(root, roster)->file);
    enrolled = *request;
    spoil_enrolment(*reply);
    return grpc::Status::OK;
  }
  grpc::Status Renew(grpc::ServerContext* context, const v1::RenewRequest* request,
                     v1::RenewReply* reply) override {
    if (PeerName(*context) != "north") return {grpc::StatusCode::UNAUTHENTICATED, "who is this"};
    reply->set_certificate_pem(renewed(request->certificate_request_pem()));
    return grpc::Status::OK;
  }
  grpc::Status Ping(grpc::ServerContext* context, const v1::PingRequest* request,
                    v1::PingReply* reply) override {
    reply->set_time_us(1'770'000'000'000'000);
    reply->set_program_version("9.8.7");
    reply->set_protocol_version(request->protocol_version());
    reply->set_federation("chest");
    reply->set_roster_version(roster.version);
    reply->set_caller(PeerName(*context));
    reply->set_standing(PeerName(*context).empty() ? "no certificate" : "waiting to be admitted");
    return grpc::Status::OK;
  }
  grpc::Status FetchRoster(grpc::ServerContext*, const v1::FetchRosterRequest*,
                           v1::FetchRosterReply* reply) override {
    reply->set_roster(SignRoster(root, roster)->file);
    return grpc::Status::OK;
  }

  std::string Issue(const std::string& request, std::string_view name, std::string_view role,
                    int days) const {
    return *crypto::SignRequest(authority, request, name, role, Now(), days);
  }

  const crypto::PemIdentity authority = *crypto::MakeAuthority("test", Now(), 400);
  const crypto::PemIdentity server =
      *crypto::MakeServerIdentity(authority, {"127.0.0.1"}, Now(), 1);
  const crypto::Ed25519KeyPair root = *crypto::Ed25519KeyPair::Generate();
  Roster roster;
  std::function<void(v1::EnrolReply&)> spoil_enrolment = [](v1::EnrolReply&) {};
  std::function<std::string(const std::string&)> renewed = [this](const std::string& request) {
    return Issue(request, "north", "site", 90);
  };
  v1::EnrolRequest enrolled;

 private:
  static bool Proved(const v1::EnrolRequest& request) {
    crypto::Ed25519PublicKey key{};
    crypto::Signature proof{};
    if (request.signing_key().size() != key.size() ||
        request.signing_proof().size() != proof.size()) {
      return false;
    }
    std::copy(request.signing_key().begin(), request.signing_key().end(), key.begin());
    std::copy(request.signing_proof().begin(), request.signing_proof().end(), proof.begin());
    return crypto::VerifySignature(key,
                                   EnrolmentText(request.token(), request.certificate_request_pem(),
                                                 *RoleNamed(request.role()), key),
                                   proof)
        .ok();
  }

  std::mutex mutex_;
  std::string token_;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

crypto::Passphrase Words() {
  return *crypto::Passphrase::FromText(AsBytes("correct horse battery"));
}

Identity Enrolled(SmallCoordinator& coordinator, const fs::path& state) {
  auto identity =
      Enrol(coordinator.NewToken(), Role::kSite, state, crypto::Passphrase::Unprotected());
  INFO(identity.status().message());
  REQUIRE(identity.ok());
  return *std::move(identity);
}

TEST_CASE("A site enrols with the token alone, and comes back as itself with its passphrase") {
  const TemporaryFolder folder;
  SmallCoordinator coordinator;
  const auto made = Enrol(coordinator.NewToken(), Role::kSite, folder / "site", Words());
  INFO(made.status().message());
  REQUIRE(made.ok());
  CHECK(made->name == "north");
  CHECK(made->role == Role::kSite);
  CHECK(made->federation == "chest");
  CHECK(made->coordinator == coordinator.address());
  CHECK(made->root == coordinator.root.public_key);
  CHECK(made->state_key.size() == 32);
  CHECK(made->tls_key == *crypto::KeyFingerprint(made->certificate));
  CHECK(coordinator.enrolled.signing_key() == AsText(made->signing.public_key));

  CHECK_FALSE(LoadIdentity(folder / "site", {folder / "absent", false}).ok());
  REQUIRE(WriteFileDurably(folder / "words", "correct horse battery\n").ok());
  const auto loaded = LoadIdentity(folder / "site", {folder / "words", false});
  INFO(loaded.status().message());
  REQUIRE(loaded.ok());
  CHECK(loaded->name == "north");
  CHECK(loaded->federation == "chest");
  CHECK(loaded->certificate == made->certificate);
  CHECK(loaded->tls_key == made->tls_key);
  CHECK(loaded->private_key.Equals(made->private_key.Reveal()));
  CHECK(loaded->signing.public_key == made->signing.public_key);
  CHECK(loaded->state_key.Equals(made->state_key.Reveal()));
  CHECK(PinnedRoster::Load(folder / "site", loaded->root)->current().roster.version == 3);
  REQUIRE(WriteFileDurably(folder / "wrong", "correct horse staples\n").ok());
  CHECK(LoadIdentity(folder / "site", {folder / "wrong", false}).status().code() ==
        absl::StatusCode::kUnauthenticated);
}

TEST_CASE("Every file of an enrolled member's keys is its owner's alone") {
  const TemporaryFolder folder;
  SmallCoordinator coordinator;
  Enrolled(coordinator, folder / "site");
  int files = 0;
  for (const auto& entry : fs::recursive_directory_iterator(folder / "site")) {
    struct stat about {};
    REQUIRE(stat(entry.path().c_str(), &about) == 0);
    INFO(entry.path());
    CHECK((about.st_mode & 077) == 0);
    files += entry.is_regular_file() ? 1 : 0;
  }
  CHECK(files == 8);
}

TEST_CASE("A folder that is enrolled is not enrolled again, and the token is not spent") {
  const TemporaryFolder folder;
  SmallCoordinator coordinator;
  const Identity first = Enrolled(coordinator, folder / "site");
  const std::string token = coordinator.NewToken();
  CHECK(Enrol(token, Role::kSite, folder / "site", Words()).status().code() ==
        absl::StatusCode::kAlreadyExists);
  CHECK(LoadIdentity(folder / "site")->certificate == first.certificate);
  CHECK(Enrol(token, Role::kSite, folder / "other", Words()).ok());
}

TEST_CASE("A token with another authority, an unknown one and a dead address do not enrol") {
  const TemporaryFolder folder;
  SmallCoordinator coordinator;
  Token token = *Token::Parse(coordinator.NewToken());
  token.authority.bytes[0] ^= 1;
  const auto code = [&](const Token& spoilt) {
    return Enrol(spoilt.ToString(), Role::kSite, folder / "site", Words()).status().code();
  };
  CHECK(code(token) == absl::StatusCode::kUnauthenticated);
  token.authority.bytes[0] ^= 1;
  token.secret[0] ^= 1;
  CHECK(code(token) == absl::StatusCode::kPermissionDenied);
  token.address = "127.0.0.1:1";
  CHECK(code(token) == absl::StatusCode::kUnavailable);
  CHECK_FALSE(fs::exists(folder / "site" / "keys"));
  // The coordinator's address may be another than the token's.
  token = *Token::Parse(coordinator.NewToken());
  token.address = "127.0.0.1:1";
  CHECK(code(token) == absl::StatusCode::kUnavailable);
}

TEST_CASE("The address of the command line counts before the token's") {
  const TemporaryFolder folder;
  SmallCoordinator coordinator, other;
  const auto identity =
      Enrol(coordinator.NewToken(), Role::kSite, folder / "site", Words(), other.address());
  CHECK(identity.status().code() == absl::StatusCode::kUnauthenticated);
}

TEST_CASE("A coordinator that cheats at enrolment is refused, and nothing is left of it") {
  const TemporaryFolder folder;
  SmallCoordinator coordinator;
  const auto stranger = *crypto::MakeAuthority("stranger", Now(), 10);
  const auto other_root = *crypto::Ed25519KeyPair::Generate();
  const std::vector<std::pair<std::string, std::function<void(v1::EnrolReply&)>>> cheats = {
      {"another name than the certificate's", [](auto& r) { r.set_name("south"); }},
      {"a name against the grammar", [](auto& r) { r.set_name("../north"); }},
      {"another role", [](auto& r) { r.set_role("researcher"); }},
      {"a certificate for another role",
       [&](auto& r) {
         r.set_certificate_pem(coordinator.Issue(coordinator.enrolled.certificate_request_pem(),
                                                 "north", "researcher", 90));
       }},
      {"a certificate for another key",
       [&](auto& r) {
         r.set_certificate_pem(
             coordinator.Issue(crypto::MakeRequest("x")->pem, "north", "site", 90));
       }},
      {"a certificate of another authority",
       [&](auto& r) {
         r.set_certificate_pem(*crypto::SignRequest(stranger, crypto::MakeRequest("x")->pem,
                                                    "north", "site", Now(), 5));
       }},
      {"no certificate", [](auto& r) { r.set_certificate_pem(""); }},
      {"a roster of another root",
       [&](auto& r) { r.set_roster(SignRoster(other_root, coordinator.roster)->file); }},
      {"no roster", [](auto& r) { r.clear_roster(); }},
      {"another federation than the roster's", [](auto& r) { r.set_federation("brain"); }}};
  for (const auto& [what, cheat] : cheats) {
    INFO(what);
    coordinator.spoil_enrolment = cheat;
    const auto refused = Enrol(coordinator.NewToken(), Role::kSite, folder / "site",
                               crypto::Passphrase::Unprotected());
    CHECK_FALSE(refused.ok());
    CHECK_FALSE(fs::exists(folder / "site" / "keys"));
    CHECK_FALSE(fs::exists(folder / "site" / "enrolling"));
    CHECK(LoadIdentity(folder / "site").status().code() == absl::StatusCode::kNotFound);
  }
  coordinator.spoil_enrolment = [](auto&) {};
  Enrolled(coordinator, folder / "site");  // a new token, and all is well
}

TEST_CASE("An enrolment that was killed halfway does not stand in the way of the next") {
  const TemporaryFolder folder;
  SmallCoordinator coordinator;
  REQUIRE(EnsureFolder(folder / "site" / "enrolling" / "keys").ok());
  REQUIRE(WriteFileDurably(folder / "site" / "enrolling" / "keys" / "wrapping.json", "{}").ok());
  Enrolled(coordinator, folder / "site");
  CHECK_FALSE(fs::exists(folder / "site" / "enrolling"));
}

TEST_CASE("A certificate is renewed with the same key, and the new one is kept") {
  const TemporaryFolder folder;
  SmallCoordinator coordinator;
  Identity identity = Enrolled(coordinator, folder / "site");
  const std::string before = identity.certificate;
  const absl::Status renewed = Renew(identity, folder / "site", Now());
  INFO(renewed.message());
  REQUIRE(renewed.ok());
  CHECK(identity.certificate != before);
  CHECK(*crypto::KeyFingerprint(identity.certificate) == identity.tls_key);
  CHECK(LoadIdentity(folder / "site")->certificate == identity.certificate);
  CHECK(Ping(identity)->caller == "north");
}

TEST_CASE("A renewed certificate of another name, role, key, authority or time is refused") {
  const TemporaryFolder folder;
  SmallCoordinator coordinator;
  Identity identity = Enrolled(coordinator, folder / "site");
  const std::string before = identity.certificate;
  const auto stranger = *crypto::MakeAuthority("stranger", Now(), 10);
  const auto refused = [&](std::function<std::string(const std::string&)> answer) {
    coordinator.renewed = std::move(answer);
    const absl::Status status = Renew(identity, folder / "site", Now());
    CHECK(identity.certificate == before);
    CHECK(LoadIdentity(folder / "site")->certificate == before);
    return status.code() == absl::StatusCode::kUnauthenticated;
  };
  CHECK(refused([&](const auto& r) { return coordinator.Issue(r, "south", "site", 90); }));
  CHECK(refused([&](const auto& r) { return coordinator.Issue(r, "north", "auditor", 90); }));
  CHECK(refused([&](const auto&) {
    return coordinator.Issue(crypto::MakeRequest("x")->pem, "north", "site", 90);
  }));
  CHECK(refused(
      [&](const auto& r) { return *crypto::SignRequest(stranger, r, "north", "site", Now(), 5); }));
  CHECK(refused([&](const auto& r) {
    return *crypto::SignRequest(coordinator.authority, r, "north", "site",
                                Now() + std::chrono::hours(24), 5);
  }));
}

TEST_CASE("Renewal is due after two thirds of the certificate's life") {
  const Time start = Time(std::chrono::seconds(1'770'000'000));
  const auto authority = *crypto::MakeAuthority("test", start, 400);
  Identity identity;
  identity.certificate =
      *crypto::SignRequest(authority, crypto::MakeRequest("x")->pem, "north", "site", start, 90);
  const auto offset = RenewalDue(identity) - start;
  CHECK(offset > std::chrono::hours(24 * 60 - 1));
  CHECK(offset <= std::chrono::hours(24 * 60));
  identity.certificate = "damaged";
  CHECK(RenewalDue(identity) == Time{});
}

TEST_CASE("A ping tells the coordinator's time and versions, and who it takes us for") {
  const TemporaryFolder folder;
  SmallCoordinator coordinator;
  Identity identity = Enrolled(coordinator, folder / "site");
  const auto pong = Ping(identity);
  REQUIRE(pong.ok());
  CHECK(pong->time == Time(std::chrono::seconds(1'770'000'000)));
  CHECK(pong->round_trip > Duration(0));
  CHECK(pong->program_version == "9.8.7");
  CHECK(pong->protocol_version == kProtocolVersion);
  CHECK(pong->federation == "chest");
  CHECK(pong->roster_version == 3);
  CHECK(pong->caller == "north");
  CHECK(pong->standing == "waiting to be admitted");
  Identity stranger;
  stranger.coordinator = identity.coordinator;
  stranger.authority = identity.authority;
  CHECK(Ping(stranger)->standing == "no certificate");
}

TEST_CASE("A fetched roster is believed only after the pinned one took it over") {
  const TemporaryFolder folder;
  SmallCoordinator coordinator;
  const Identity identity = Enrolled(coordinator, folder / "site");
  auto pinned = PinnedRoster::Load(folder / "site", identity.root);
  REQUIRE(pinned.ok());
  coordinator.roster.version = 4;
  const auto file = FetchRoster(identity);
  REQUIRE(file.ok());
  CHECK(pinned->Advance(*file).ok());
  CHECK(pinned->current().roster.version == 4);
  coordinator.roster.version = 2;
  CHECK(pinned->Advance(*FetchRoster(identity)).code() == absl::StatusCode::kFailedPrecondition);
}

// An HTTP proxy on the loopback that answers CONNECT with `answer` and, when that allows it,
// carries bytes both ways.
class Proxy {
 public:
  explicit Proxy(std::string answer)
      : answer_(std::move(answer)), listening_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in name{};
    name.sin_family = AF_INET;
    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof name;
    REQUIRE(bind(listening_, reinterpret_cast<sockaddr*>(&name), size) == 0);
    REQUIRE(listen(listening_, 16) == 0);
    REQUIRE(getsockname(listening_, reinterpret_cast<sockaddr*>(&name), &size) == 0);
    setenv("https_proxy", StrCat("http://ada:words@127.0.0.1:", ntohs(name.sin_port)).c_str(), 1);
    accepting_ = std::jthread([this] {
      for (int client; (client = accept(listening_, nullptr, nullptr)) >= 0;) {
        const std::lock_guard lock(mutex_);
        carrying_.emplace_back([this, client] { Serve(client); });
      }
    });
  }
  ~Proxy() {
    unsetenv("https_proxy");
    shutdown(listening_, SHUT_RDWR);
    accepting_ = {};
    carrying_.clear();
    close(listening_);
  }

  std::vector<std::string> requests() const {
    const std::lock_guard lock(mutex_);
    return requests_;
  }

 private:
  void Serve(int client) {
    std::string request;
    for (char c; !request.ends_with("\r\n\r\n") && read(client, &c, 1) == 1;) request += c;
    {
      const std::lock_guard lock(mutex_);
      requests_.push_back(request);
    }
    const std::string head = StrCat("HTTP/1.1 ", answer_, "\r\nVia: test\r\n\r\n");
    const bool answered = write(client, head.data(), head.size()) > 0;
    if (answered && answer_.starts_with("200")) Carry(client, Dial(request));
    close(client);
  }
  static int Dial(const std::string& request) {
    sockaddr_in name{};
    name.sin_family = AF_INET;
    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const std::size_t colon = request.find(':');
    name.sin_port = htons(static_cast<std::uint16_t>(std::atoi(request.c_str() + colon + 1)));
    const int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(server, reinterpret_cast<sockaddr*>(&name), sizeof name) == 0) return server;
    close(server);
    return -1;
  }
  static void Carry(int client, int server) {
    if (server < 0) return;
    pollfd ends[2] = {{client, POLLIN, 0}, {server, POLLIN, 0}};
    char bytes[4096];
    for (bool open = true; open && poll(ends, 2, 20'000) > 0;) {
      for (int i = 0; i < 2 && open; ++i) {
        if (ends[i].revents == 0) continue;
        const ssize_t n = read(ends[i].fd, bytes, sizeof bytes);
        open = n > 0 && send(ends[1 - i].fd, bytes, static_cast<std::size_t>(n), MSG_NOSIGNAL) == n;
      }
    }
    close(server);
  }

  const std::string answer_;
  int listening_;
  mutable std::mutex mutex_;
  std::vector<std::string> requests_;
  std::vector<std::jthread> carrying_;
  std::jthread accepting_;
};

TEST_CASE("A site behind an HTTP proxy enrols and asks through it") {
  const TemporaryFolder folder;
  SmallCoordinator coordinator;
  Proxy proxy("200 OK");
  const Identity identity = Enrolled(coordinator, folder / "site");
  CHECK(Ping(identity)->caller == "north");
  const auto requests = proxy.requests();
  REQUIRE(requests.size() == 3);  // the authority, the enrolment, the ping
  for (const std::string& request : requests) {
    CHECK(request.starts_with(StrCat("CONNECT ", coordinator.address(), " HTTP/1.")));
    CHECK_THAT(request, ContainsText("Proxy-Authorization: Basic YWRhOndvcmRz\r\n"));
  }
}

TEST_CASE("A proxy that does not let a site through is named, with what it answered") {
  const TemporaryFolder folder;
  SmallCoordinator coordinator;
  for (const char* answer : {"403 Forbidden", "407 Proxy Authentication Required"}) {
    Proxy proxy(answer);
    const auto refused = Enrol(coordinator.NewToken(), Role::kSite, folder / "site", Words());
    CHECK(refused.status().code() == absl::StatusCode::kUnavailable);
    CHECK(Says(refused.status(), "the proxy 127.0.0.1:"));
    CHECK(Says(refused.status(), std::string(answer).substr(0, 3)));
    CHECK_FALSE(Says(refused.status(), "words"));
  }
}

TEST_CASE("A folder without an identity says how to enrol") {
  const TemporaryFolder folder;
  const auto identity = LoadIdentity(folder / "site");
  CHECK(identity.status().code() == absl::StatusCode::kNotFound);
  CHECK(Says(identity.status(), "enrol"));
}

}  // namespace
}  // namespace consilium::identity
