#include "common/identity/identity.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

#include <algorithm>
#include <chrono>

#include "absl/synchronization/mutex.h"
#include "common/base/status.h"
#include "common/base/version.h"
#include "common/crypto/certificates.h"
#include "common/identity/token.h"
#include "common/wire/consilium.grpc.pb.h"
#include "common/wire/convert.h"

namespace consilium::identity {
namespace {

constexpr double kAnswerWithin_s = 10;

fs::path KeysFolder(const fs::path& state) { return state / "keys"; }

// Long-lived connections through hospital firewalls: ping every 30 s, also while nothing is asked.
grpc::ChannelArguments ChannelArguments() {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 30'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 20'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 500);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 30'000);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_FRAME_SIZE, 256 << 10);
  arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  arguments.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, 2 << 20);
  arguments.SetInt(GRPC_ARG_TCP_READ_CHUNK_SIZE, 256 << 10);
  arguments.SetInt(GRPC_ARG_TCP_MAX_READ_CHUNK_SIZE, 256 << 10);
  arguments.SetMaxReceiveMessageSize(4 << 20);
  return arguments;
}

absl::Status Save(const Identity& identity, const fs::path& state) {
  const fs::path keys = KeysFolder(state);
  RETURN_IF_ERROR(EnsureFolder(keys));
  RETURN_IF_ERROR(WriteFileDurably(keys / "tls.key", identity.private_key.Reveal()));
  RETURN_IF_ERROR(WriteFileDurably(keys / "ca.crt", identity.authority));
  RETURN_IF_ERROR(WriteFileDurably(keys / "coordinator-signing.pub",
                                   StrCat(ToHex(identity.signing_key), "\n")));
  RETURN_IF_ERROR(
      WriteFileDurably(keys / "coordinator.address", StrCat(identity.coordinator, "\n")));
  // Last: an identity without its certificate is not there yet, and enrolling again is allowed.
  return WriteFileDurably(keys / "tls.crt", identity.certificate);
}

absl::StatusOr<std::string> ReadLine(const fs::path& path) {
  ASSIGN_OR_RETURN(std::string text, ReadTextFile(path, 4096));
  text.erase(std::find(text.begin(), text.end(), '\n'), text.end());
  return text;
}

absl::StatusOr<crypto::Ed25519PublicKey> SigningKeyFrom(ByteView bytes) {
  crypto::Ed25519PublicKey key;
  if (bytes.size() != key.size()) {
    return absl::DataLossError(
        StrCat("the coordinator's signing key has ", bytes.size(), " bytes, not 32"));
  }
  std::copy(bytes.begin(), bytes.end(), key.begin());
  return key;
}

}  // namespace

absl::StatusOr<Identity> Enrol(const std::string& coordinator, std::string_view token_text,
                               std::string_view role, const fs::path& state) {
  if (fs::exists(KeysFolder(state) / "tls.crt")) {
    return absl::AlreadyExistsError(
        StrCat("the state folder \"", state.filename().string(),
               "\" is enrolled already; to enrol anew, give --state another folder"));
  }
  ASSIGN_OR_RETURN(Token token, Token::Parse(token_text));
  Identity identity;
  identity.coordinator = coordinator;
  ASSIGN_OR_RETURN(identity.authority,
                   crypto::FetchAuthority(coordinator, token.authority, kAnswerWithin_s));
  ASSIGN_OR_RETURN(crypto::CertificateRequest request, crypto::MakeRequest("enrolling"));

  grpc::SslCredentialsOptions options;
  options.pem_root_certs = identity.authority;
  const auto channel =
      grpc::CreateCustomChannel(coordinator, grpc::SslCredentials(options), ChannelArguments());
  const auto stub = v1::SiteService::NewStub(channel);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
  v1::EnrolRequest message;
  message.set_protocol_version(kProtocolVersion);
  message.set_token(std::string(token_text));
  message.set_certificate_request_pem(request.pem);
  message.set_role(std::string(role));
  v1::EnrolReply reply;
  RETURN_IF_ERROR(WithContext(wire::FromGrpc(stub->Enrol(&context, message, &reply)),
                              StrCat("enrolling at ", coordinator)));

  identity.name = reply.name();
  identity.role = reply.role();
  identity.certificate = reply.certificate_pem();
  identity.private_key = std::move(request.private_key);
  ASSIGN_OR_RETURN(identity.signing_key, SigningKeyFrom(AsBytes(reply.signing_key())));
  RETURN_IF_ERROR(Save(identity, state));
  return identity;
}

absl::StatusOr<Identity> LoadIdentity(const fs::path& state) {
  const fs::path keys = KeysFolder(state);
  Identity identity;
  auto certificate = ReadTextFile(keys / "tls.crt", 1 << 20);
  if (absl::IsNotFound(certificate.status())) {
    return absl::NotFoundError(
        StrCat("the state folder \"", state.filename().string(),
               "\" is not enrolled; run the enrol command with a token from the "
               "coordinator, or give --state the right folder"));
  }
  RETURN_IF_ERROR(certificate.status());
  identity.certificate = *std::move(certificate);
  ASSIGN_OR_RETURN(identity.authority, ReadTextFile(keys / "ca.crt", 1 << 20));
  ASSIGN_OR_RETURN(identity.coordinator, ReadLine(keys / "coordinator.address"));
  ASSIGN_OR_RETURN(Bytes key, ReadFile(keys / "tls.key", 1 << 20));
  identity.private_key = crypto::Secret::CopyOf(key);
  std::fill(key.begin(), key.end(), 0);
  ASSIGN_OR_RETURN(std::string signing_key, ReadLine(keys / "coordinator-signing.pub"));
  ASSIGN_OR_RETURN(Bytes signing_bytes, FromHex(signing_key));
  ASSIGN_OR_RETURN(identity.signing_key, SigningKeyFrom(signing_bytes));
  ASSIGN_OR_RETURN(crypto::CertificateSubject subject, crypto::ReadSubject(identity.certificate));
  identity.name = subject.name;
  identity.role = subject.role;
  return identity;
}

std::shared_ptr<grpc::Channel> OpenChannel(const Identity& identity) {
  // Debian's Abseil looks for deadlocks at every lock; gRPC takes a great many.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  grpc::SslCredentialsOptions options;
  options.pem_root_certs = identity.authority;
  options.pem_cert_chain = identity.certificate;
  options.pem_private_key = std::string(AsText(identity.private_key.Reveal()));
  return grpc::CreateCustomChannel(identity.coordinator, grpc::SslCredentials(options),
                                   ChannelArguments());
}

}  // namespace consilium::identity
