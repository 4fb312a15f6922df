// What a member asks the coordinator's MembershipService.

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <chrono>

#include "common/base/random.h"
#include "common/base/status.h"
#include "common/base/version.h"
#include "common/crypto/certificates.h"
#include "common/crypto/key_folder.h"
#include "common/identity/identity.h"
#include "common/identity/token.h"
#include "common/wire/consilium.grpc.pb.h"
#include "common/wire/convert.h"

namespace consilium::identity {
namespace {

constexpr double kAnswerWithin_s = 10;
constexpr std::size_t kStateKeyBytes = 32;

using Stub = v1::MembershipService::Stub;

// One call on a connection of its own.
template <class Request, class Reply>
absl::Status Ask(const Identity& identity, std::string_view what,
                 grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Reply*),
                 const Request& request, Reply& reply) {
  const auto stub = v1::MembershipService::NewStub(OpenChannel(identity));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
  return WithContext(wire::FromGrpc((stub.get()->*method)(&context, request, &reply)),
                     StrCat(what, " at ", identity.coordinator));
}

// The certificate is of our authority, for our key, and for this name and role.
absl::Status CheckCertificate(const std::string& pem, const Identity& expected, Time now) {
  RETURN_IF_ERROR(crypto::VerifyIssuedBy(pem, expected.authority, now));
  ASSIGN_OR_RETURN(const crypto::CertificateSubject subject, crypto::ReadSubject(pem));
  ASSIGN_OR_RETURN(const Digest key, crypto::KeyFingerprint(pem));
  if (key != expected.tls_key) {
    return absl::UnauthenticatedError("the certificate that came is for another key than ours");
  }
  if (subject.name != expected.name || subject.role != Name(expected.role)) {
    return absl::UnauthenticatedError(StrCat("the certificate that came is for the ", subject.role,
                                             " \"", subject.name, "\", we are the ",
                                             Name(expected.role), " \"", expected.name, "\""));
  }
  return absl::OkStatus();
}

// Everything that is made here and not asked for.
absl::StatusOr<std::string> MakeKeys(Identity& identity) {
  ASSIGN_OR_RETURN(crypto::CertificateRequest request, crypto::MakeRequest("enrolling"));
  identity.private_key = std::move(request.private_key);
  ASSIGN_OR_RETURN(identity.tls_key, crypto::RequestKeyFingerprint(request.pem));
  ASSIGN_OR_RETURN(identity.signing, crypto::Ed25519KeyPair::Generate());
  identity.state_key = crypto::Secret(kStateKeyBytes);
  SystemRandom().Fill(identity.state_key.RevealForWriting());
  return std::move(request.pem);
}

absl::Status SaveKeys(const fs::path& keys, const crypto::Passphrase& passphrase,
                      const Identity& identity) {
  ASSIGN_OR_RETURN(const auto folder, crypto::KeyFolder::Create(keys, passphrase));
  RETURN_IF_ERROR(folder.SavePem("tls.key", identity.private_key));
  RETURN_IF_ERROR(folder.Save("signing.key", "ed25519", identity.signing.private_key));
  RETURN_IF_ERROR(folder.Save("state.key", "state", identity.state_key));
  RETURN_IF_ERROR(WriteFileDurably(keys / "ca.crt", identity.authority));
  RETURN_IF_ERROR(WriteFileDurably(keys / "root.pub", StrCat(ToHex(identity.root), "\n")));
  return WriteFileDurably(keys / "coordinator.address", StrCat(identity.coordinator, "\n"));
}

absl::StatusOr<v1::EnrolReply> AskForMembership(const Identity& identity, std::string_view token,
                                                const std::string& request_pem) {
  ASSIGN_OR_RETURN(const crypto::Signature proof,
                   crypto::Sign(identity.signing, EnrolmentText(token, request_pem, identity.role,
                                                                identity.signing.public_key)));
  v1::EnrolRequest request;
  request.set_protocol_version(kProtocolVersion);
  request.set_token(std::string(token));
  request.set_certificate_request_pem(request_pem);
  request.set_role(std::string(Name(identity.role)));
  request.set_signing_key(std::string(AsText(identity.signing.public_key)));
  request.set_signing_proof(std::string(AsText(proof)));
  v1::EnrolReply reply;
  // Without a certificate of our own yet.
  Identity stranger;
  stranger.coordinator = identity.coordinator;
  stranger.authority = identity.authority;
  RETURN_IF_ERROR(Ask(stranger, "enrolling", &Stub::Enrol, request, reply));
  return reply;
}

// Takes the answer into `identity`, having checked all of it.
absl::StatusOr<SignedRoster> TakeReply(const v1::EnrolReply& reply, Identity& identity) {
  RETURN_IF_ERROR(CheckName("member", reply.name()));
  identity.name = reply.name();
  identity.certificate = reply.certificate_pem();
  if (reply.role() != Name(identity.role)) {
    return absl::UnauthenticatedError(StrCat("the coordinator enrolled us as ", reply.role(),
                                             ", we asked as ", Name(identity.role)));
  }
  RETURN_IF_ERROR(CheckCertificate(identity.certificate, identity, SystemClock().Now()));
  ASSIGN_OR_RETURN(SignedRoster roster, VerifyRoster(identity.root, reply.roster()));
  identity.federation = roster.roster.federation;
  if (reply.federation() != identity.federation) {
    return absl::UnauthenticatedError(StrCat("the coordinator speaks for the federation \"",
                                             reply.federation(), "\", its roster is of \"",
                                             identity.federation, "\""));
  }
  return roster;
}

absl::Status EnrolBeside(const fs::path& beside, std::string_view token,
                         const crypto::Passphrase& passphrase, Identity& identity) {
  RETURN_IF_ERROR(EnsureFolder(beside));
  ASSIGN_OR_RETURN(const std::string request_pem, MakeKeys(identity));
  RETURN_IF_ERROR(SaveKeys(beside / "keys", passphrase, identity));
  ASSIGN_OR_RETURN(const v1::EnrolReply reply, AskForMembership(identity, token, request_pem));
  ASSIGN_OR_RETURN(const SignedRoster roster, TakeReply(reply, identity));
  RETURN_IF_ERROR(WriteFileDurably(beside / "keys" / "tls.crt", identity.certificate));
  return PinRoster(beside, roster);
}

}  // namespace

absl::StatusOr<Identity> Enrol(std::string_view token_text, Role role, const fs::path& state,
                               const crypto::Passphrase& passphrase,
                               const std::string& coordinator) {
  const fs::path keys = state / "keys";
  if (Exists(keys)) {
    return absl::AlreadyExistsError(
        StrCat("the state folder \"", state.filename().string(),
               "\" is enrolled already; to enrol anew, give --state another folder"));
  }
  ASSIGN_OR_RETURN(const Token token, Token::Parse(token_text));
  Identity identity;
  identity.role = role;
  identity.root = token.root;
  identity.coordinator = coordinator.empty() ? token.address : coordinator;
  ASSIGN_OR_RETURN(identity.authority,
                   crypto::FetchAuthority(identity.coordinator, token.authority, kAnswerWithin_s));

  // All is written beside, the keys before the token is spent, and appears at once at the end.
  const fs::path beside = state / "enrolling";
  RETURN_IF_ERROR(RemoveTree(beside));  // of a try that was killed
  absl::Status status = EnrolBeside(beside, token_text, passphrase, identity);
  if (status.ok()) status = RenameDurably(beside / "keys", keys);
  (void)RemoveTree(beside);
  RETURN_IF_ERROR(status);
  return identity;
}

Time RenewalDue(const Identity& identity) {
  const auto subject = crypto::ReadSubject(identity.certificate);
  if (!subject.ok()) return Time{};
  return subject->not_before + (subject->not_after - subject->not_before) * 2 / 3;
}

absl::Status Renew(Identity& identity, const fs::path& state, Time now) {
  ASSIGN_OR_RETURN(const std::string request_pem,
                   crypto::MakeRequest(identity.name, identity.private_key));
  v1::RenewRequest request;
  request.set_certificate_request_pem(request_pem);
  v1::RenewReply reply;
  RETURN_IF_ERROR(Ask(identity, "renewing the certificate", &Stub::Renew, request, reply));
  RETURN_IF_ERROR(CheckCertificate(reply.certificate_pem(), identity, now));
  RETURN_IF_ERROR(WriteFileDurably(state / "keys" / "tls.crt", reply.certificate_pem()));
  identity.certificate = reply.certificate_pem();
  return absl::OkStatus();
}

absl::StatusOr<PingResult> Ping(const Identity& identity) {
  v1::PingRequest request;
  request.set_protocol_version(kProtocolVersion);
  v1::PingReply reply;
  const auto start = std::chrono::steady_clock::now();
  RETURN_IF_ERROR(Ask(identity, "asking who we are", &Stub::Ping, request, reply));
  PingResult result;
  result.round_trip =
      std::chrono::duration_cast<Duration>(std::chrono::steady_clock::now() - start);
  result.time = Time(Duration(reply.time_us()));
  result.program_version = reply.program_version();
  result.protocol_version = reply.protocol_version();
  result.federation = reply.federation();
  result.roster_version = reply.roster_version();
  result.caller = reply.caller();
  result.standing = reply.standing();
  return result;
}

absl::StatusOr<std::string> FetchRoster(const Identity& identity) {
  v1::FetchRosterReply reply;
  RETURN_IF_ERROR(
      Ask(identity, "asking for the roster", &Stub::FetchRoster, v1::FetchRosterRequest{}, reply));
  return std::move(*reply.mutable_roster());
}

}  // namespace consilium::identity
