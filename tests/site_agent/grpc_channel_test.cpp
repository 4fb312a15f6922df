// The channel against a small gRPC server over mutual TLS on loopback.

#include "site_agent/grpc_channel.h"

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <chrono>
#include <numeric>
#include <thread>

#include "common/base/version.h"
#include "common/crypto/certificates.h"
#include "common/crypto/envelope.h"
#include "common/wire/consilium.grpc.pb.h"
#include "common/wire/convert.h"
#include "common/wire/versions.h"
#include "tests/catch.h"
#include "tests/site_agent/test_site.h"

namespace consilium::site_agent {
namespace {

using grpc::ServerContext;

// Welcomes everybody, hands out one model and holds what is uploaded.
class SmallService final : public v1::SiteService::Service {
 public:
  grpc::Status Attend(ServerContext* context,
                      grpc::ServerReaderWriter<v1::ToSite, v1::FromSite>* stream) override {
    v1::FromSite message;
    while (stream->Read(&message)) {
      if (!message.has_hello()) continue;
      v1::ToSite welcome;
      wire::ToProto(
          wire::ToSite(wire::Welcome{kVersion, kProtocolVersion, "test", SiteId("north")}),
          &welcome);
      stream->Write(welcome);
      if (cancel_attend) context->TryCancel();
    }
    return grpc::Status::OK;
  }

  grpc::Status DownloadModel(ServerContext*, const v1::DownloadRequest* request,
                             grpc::ServerWriter<v1::ModelChunk>* writer) override {
    for (std::uint64_t at = request->offset(); at < model.size(); at += 100'000) {
      v1::ModelChunk chunk;
      chunk.set_total_size(model.size());
      chunk.set_data(model.substr(at, 100'000));
      writer->Write(chunk);
    }
    return grpc::Status::OK;
  }

  grpc::Status Upload(ServerContext*, grpc::ServerReader<v1::UploadChunk>* reader,
                      v1::UploadReceipt* receipt) override {
    v1::UploadChunk chunk;
    if (!reader->Read(&chunk) || !chunk.has_header()) {
      return {grpc::StatusCode::INVALID_ARGUMENT, "no header"};
    }
    if (chunk.header().first_segment() != segments.size()) {
      return {grpc::StatusCode::OUT_OF_RANGE,
              StrCat("segment ", chunk.header().first_segment(), " came, segment ", segments.size(),
                     " is next")};
    }
    while (reader->Read(&chunk)) {
      segments.push_back(chunk.segment());
      if (segments.size() == break_after) return {grpc::StatusCode::UNAVAILABLE, "going down"};
    }
    receipt->set_segments(static_cast<std::uint32_t>(segments.size()));
    return grpc::Status::OK;
  }

  std::string model;
  std::vector<std::string> segments;
  std::size_t break_after = 0;
  bool cancel_attend = false;
};

class SmallServer {
 public:
  explicit SmallServer(int port = 0) { Start(port); }
  ~SmallServer() { Stop(); }

  void Start(int port) {
    grpc::SslServerCredentialsOptions options(
        GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
    options.pem_root_certs = authority.certificate;
    options.pem_key_cert_pairs.push_back(
        {std::string(AsText(identity.private_key.Reveal())), identity.certificate});
    grpc::ServerBuilder builder;
    builder.AddListeningPort(StrCat("127.0.0.1:", port), grpc::SslServerCredentials(options),
                             &port_);
    builder.RegisterService(&service);
    builder.experimental().SetInterceptorCreators(wire::ServerVersions({}));
    server_ = builder.BuildAndStart();
    REQUIRE(server_ != nullptr);
  }
  void Stop() { server_->Shutdown(std::chrono::system_clock::now()); }
  int port() const { return port_; }

  identity::Identity SiteIdentity() const {
    auto request = *crypto::MakeRequest("north");
    identity::Identity site;
    site.name = "north";
    site.coordinator = StrCat("127.0.0.1:", port_);
    site.authority = authority.certificate;
    site.certificate = *crypto::SignRequest(authority, request.pem, "north", "site", Now(), 1);
    site.private_key = std::move(request.private_key);
    return site;
  }

  static Time Now() { return SystemClock().Now(); }
  const crypto::PemIdentity authority = *crypto::MakeAuthority("test", Now(), 1);
  const crypto::PemIdentity identity =
      *crypto::MakeServerIdentity(authority, {"127.0.0.1"}, Now(), 1);
  SmallService service;

 private:
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

SealedUpdate SealInto(const fs::path& folder) {
  Contribution update{AttemptKey{RunId("small-0001"), 1, 1}, SmallModel(1), Digest{{1}},
                      SmallModel(2), 4};
  return *Seal(std::move(update), SiteId("north"), crypto::X25519KeyPair::Generate()->public_key,
               folder);
}

TEST_CASE("a site attends over mutual TLS, and a stop ends the session") {
  SmallServer server;
  GrpcChannel channel(server.SiteIdentity());
  std::stop_source stop;
  const auto session = channel.Attend(stop.get_token());
  REQUIRE(session.ok());
  REQUIRE((*session)->Send(wire::Hello{kVersion, kProtocolVersion}).ok());
  const auto first = (*session)->Next();
  INFO(first.status().ToString());
  REQUIRE(first.ok());
  CHECK(std::get<wire::Welcome>(*first).federation == "test");
  std::thread stopper([&] { stop.request_stop(); });
  CHECK(absl::IsCancelled((*session)->Next().status()));
  stopper.join();
}

TEST_CASE("a session that the coordinator ends is one to connect again for") {
  SmallServer server;
  server.service.cancel_attend = true;
  GrpcChannel channel(server.SiteIdentity());
  const auto session = channel.Attend({});
  REQUIRE((*session)->Send(wire::Hello{kVersion, kProtocolVersion}).ok());
  absl::Status ended;
  while (ended.ok()) ended = (*session)->Next().status();
  CHECK(absl::IsUnavailable(ended));
}

TEST_CASE("an upload arrives byte for byte, and goes on where the coordinator says") {
  SmallServer server;
  const TemporaryFolder folder;
  const SealedUpdate update = SealInto(folder.path());
  GrpcChannel channel(server.SiteIdentity());
  server.service.break_after = 1;
  CHECK(absl::IsUnavailable(channel.Upload(update, 0, {}).status()));
  const auto told = channel.Upload(update, 0, {});
  REQUIRE(told.ok());
  CHECK(told->go_on_from == 1u);
  const auto done = channel.Upload(update, 1, {});
  INFO(done.status().ToString());
  REQUIRE(done.ok());
  CHECK_FALSE(done->go_on_from);
  const std::string sent = std::accumulate(server.service.segments.begin(),
                                           server.service.segments.end(), std::string());
  CHECK(sent == ReadTextFile(update.path())->substr(crypto::kEnvelopeHeaderBytes));
}

TEST_CASE("a download begins at the offset that is asked for") {
  SmallServer server;
  server.service.model = std::string(250'000, 'a') + "end";
  GrpcChannel channel(server.SiteIdentity());
  std::string received;
  std::uint64_t announced = 0;
  const auto sink = [&](ByteView bytes, std::uint64_t total) {
    received += AsText(bytes);
    announced = total;
    return absl::OkStatus();
  };
  CHECK(channel.DownloadModel(Digest{{1}}, {}, 249'999, sink, {}).ok());
  CHECK(received == "aend");
  CHECK(announced == 250'003);
  const auto full = [](ByteView, std::uint64_t) { return absl::ResourceExhaustedError("full"); };
  CHECK(absl::IsResourceExhausted(channel.DownloadModel(Digest{{1}}, {}, 0, full, {})));
}

TEST_CASE("a server that the federation's authority did not sign is refused in words") {
  SmallServer server;
  const SmallServer stranger;
  identity::Identity site = server.SiteIdentity();
  site.authority = stranger.authority.certificate;
  GrpcChannel channel(site);
  const auto session = channel.Attend({});
  REQUIRE(session.ok());
  const auto first = (*session)->Next();
  INFO(first.status().ToString());
  CHECK(absl::IsUnauthenticated(first.status()));
}

TEST_CASE("a coordinator that comes back is found again") {
  auto server = std::make_unique<SmallServer>();
  GrpcChannel channel(server->SiteIdentity());
  const auto welcome = [&] {
    const auto session = channel.Attend({});
    if (!session.ok()) return session.status();
    (*session)->Send(wire::Hello{kVersion, kProtocolVersion}).IgnoreError();
    return (*session)->Next().status();
  };
  CHECK(welcome().ok());
  server->Stop();
  CHECK(absl::IsUnavailable(welcome()));
  server->Start(server->port());
  const auto began = std::chrono::steady_clock::now();
  CHECK(welcome().ok());
  CHECK(std::chrono::steady_clock::now() - began < std::chrono::seconds(2));
}

}  // namespace
}  // namespace consilium::site_agent
