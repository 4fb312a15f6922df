#include "common/identity/identity.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/client_interceptor.h>

#include <algorithm>

#include "absl/synchronization/mutex.h"
#include "common/base/status.h"
#include "common/crypto/certificates.h"
#include "common/crypto/key_folder.h"

namespace consilium::identity {
namespace {

constexpr std::uint64_t kMaxPemBytes = 256 << 10;

// Long-lived connections through hospital firewalls: ping every 20 s, also while nothing is asked,
// so that a peer that is gone, or a lid that was closed, is noticed within 30 s.
grpc::ChannelArguments ChannelArguments() {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 20'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 500);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 30'000);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_FRAME_SIZE, 256 << 10);
  arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  arguments.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, 2 << 20);
  arguments.SetInt(GRPC_ARG_TCP_READ_CHUNK_SIZE, 16 << 10);  // to begin with; grows with what comes
  arguments.SetInt(GRPC_ARG_TCP_MAX_READ_CHUNK_SIZE, 256 << 10);
  arguments.SetMaxReceiveMessageSize(4 << 20);
  return arguments;
}

absl::StatusOr<std::string> ReadLine(const fs::path& path) {
  ASSIGN_OR_RETURN(std::string text, ReadTextFile(path, 4096));
  text.erase(std::find(text.begin(), text.end(), '\n'), text.end());
  return text;
}

absl::StatusOr<crypto::Ed25519PublicKey> ReadRootKey(const fs::path& path) {
  auto line = ReadLine(path);
  if (absl::IsNotFound(line.status())) {
    return absl::FailedPreconditionError(
        "this folder was enrolled by an older release, without the federation's root key; enrol "
        "anew into another folder");
  }
  RETURN_IF_ERROR(line.status());
  ASSIGN_OR_RETURN(const Bytes bytes, FromHex(*line));
  crypto::Ed25519PublicKey key;
  if (bytes.size() != key.size()) {
    return absl::DataLossError(
        StrCat("the federation's root key has ", bytes.size(), " bytes, not 32; restore root.pub"));
  }
  std::copy(bytes.begin(), bytes.end(), key.begin());
  return key;
}

absl::Status LoadPrivateKeys(const fs::path& keys, const crypto::PassphraseOptions& passphrase,
                             Identity& identity) {
  ASSIGN_OR_RETURN(const auto folder, crypto::KeyFolder::Open(keys, passphrase));
  ASSIGN_OR_RETURN(identity.private_key, folder.LoadPem("tls.key"));
  ASSIGN_OR_RETURN(const crypto::Secret signing, folder.Load("signing.key", "ed25519"));
  ASSIGN_OR_RETURN(identity.signing, crypto::Ed25519KeyPair::FromPrivate(signing.Reveal()));
  ASSIGN_OR_RETURN(identity.state_key, folder.Load("state.key", "state"));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Identity> LoadIdentity(const fs::path& state,
                                      const crypto::PassphraseOptions& passphrase) {
  const fs::path keys = state / "keys";
  Identity identity;
  auto certificate = ReadTextFile(keys / "tls.crt", kMaxPemBytes);
  if (absl::IsNotFound(certificate.status())) {
    return absl::NotFoundError(
        StrCat("the state folder \"", state.filename().string(),
               "\" is not enrolled; run the enrol command with a token from the "
               "coordinator, or give --state the right folder"));
  }
  RETURN_IF_ERROR(certificate.status());
  identity.certificate = *std::move(certificate);
  ASSIGN_OR_RETURN(const auto subject, crypto::ReadSubject(identity.certificate));
  const std::optional<Role> role = RoleNamed(subject.role);
  if (!role.has_value()) {
    return absl::DataLossError(StrCat("the certificate in this state folder is for the role \"",
                                      subject.role, "\", which this release does not know"));
  }
  identity.name = subject.name;
  identity.role = *role;
  ASSIGN_OR_RETURN(identity.tls_key, crypto::KeyFingerprint(identity.certificate));
  ASSIGN_OR_RETURN(identity.authority, ReadTextFile(keys / "ca.crt", kMaxPemBytes));
  ASSIGN_OR_RETURN(identity.coordinator, ReadLine(keys / "coordinator.address"));
  ASSIGN_OR_RETURN(identity.root, ReadRootKey(keys / "root.pub"));
  ASSIGN_OR_RETURN(const PinnedRoster roster, PinnedRoster::Load(state, identity.root));
  identity.federation = roster.current().roster.federation;
  RETURN_IF_ERROR(LoadPrivateKeys(keys, passphrase, identity));
  return identity;
}

std::shared_ptr<grpc::Channel> OpenChannel(const Identity& identity,
                                           const wire::ProgramVersion& ours) {
  // Debian's Abseil looks for deadlocks at every lock; gRPC takes a great many.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  grpc::SslCredentialsOptions options;
  options.pem_root_certs = identity.authority;
  options.pem_cert_chain = identity.certificate;
  options.pem_private_key = std::string(AsText(identity.private_key.Reveal()));
  auto channel = grpc::experimental::CreateCustomChannelWithInterceptors(
      identity.coordinator, grpc::SslCredentials(options), ChannelArguments(),
      wire::ClientVersions(ours));
  crypto::Cleanse(options.pem_private_key);
  return channel;
}

}  // namespace consilium::identity
