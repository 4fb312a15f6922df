#pragma once

// The coordinator's keys, its small certificate authority, and the invitations with which members
// join.
//
//   STATE/keys/ca.crt, ca.key          the authority that signs members' certificates
//   STATE/keys/tls.crt, tls.key        this server's certificate (its chain includes the authority)
//   STATE/keys/signing.key             Ed25519: signs model records
//   STATE/keys/sealing.key             X25519: sites seal their updates to it
//   STATE/keys/root.pub                the federation's root key, 64 hexadecimal digits
//   STATE/keys/hosts                   names of this server, one a line; the first with the port
//                                      that members are told
//
// The private keys (*.key) lie in a crypto::KeyFolder, wrapped with a passphrase. They are made
// once, by Create, and never again; of the certificates only tls.crt is renewed, with the same key.

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/random.h"
#include "common/crypto/certificates.h"
#include "common/crypto/keys.h"
#include "common/crypto/passphrase.h"
#include "common/identity/roster.h"
#include "coordinator/shared_ledger.h"

namespace consilium::coordinator {

// By this name the roster lists the coordinator; no other member has it.
inline constexpr char kCoordinatorName[] = "coordinator";

// What can be known of a coordinator without its passphrase.
struct PublicAuthority {
  std::string certificate;   // PEM: the authority's
  Digest fingerprint;        // of it
  std::string server_chain;  // PEM: this server's certificate and the authority's
  crypto::Ed25519PublicKey root{};
  std::vector<std::string> hosts;  // as members and certificates name them, without a port
  std::string address;             // "host:port" that members are told
};
// kNotFound, with the command to run, before Authority::Create.
absl::StatusOr<PublicAuthority> LoadPublicAuthority(const fs::path& state);
// All addresses of this machine, at the port that members are told.
std::string DefaultListenAddress(const PublicAuthority& authority);

// A one-time token for one name and role. It is shown once and kept nowhere: the ledger has its
// hash. kInvalidArgument: a name against the grammar or the coordinator's, a role that no member
// has, or a weight cap that is none. kFailedPrecondition: the name is held in another role.
absl::StatusOr<std::string> Invite(SharedLedger& ledger, const PublicAuthority& authority,
                                   Invitation invitation, Time now, RandomSource& random);

struct EnrolmentRequest {
  std::string token;
  std::string role;
  std::string request_pem;  // proves possession of the TLS key
  crypto::Ed25519PublicKey signing_key{};
  crypto::Signature signing_proof{};  // over identity::EnrolmentText
};
struct Enrolment {
  std::string certificate_pem;
  Member member;  // it waits to be admitted
};

// Thread-safe.
class Authority {
 public:
  struct New {
    std::string federation;
    // DNS names and IP addresses under which members will reach it, without a port.
    std::vector<std::string> hosts;
    std::string address;  // "host:port" that members are told
    crypto::Ed25519PublicKey root{};
    Duration certificate_life{};  // of the server's certificate
  };
  // Makes the keys of a new coordinator, all or nothing, and returns what the roster must say of
  // it. kAlreadyExists when the folder has some.
  static absl::StatusOr<identity::RosterEntry> Create(const fs::path& state, const New& coordinator,
                                                      const crypto::Passphrase& passphrase,
                                                      Time now);
  // kNotFound, with the command to run, before Create; kUnauthenticated: a wrong passphrase.
  static absl::StatusOr<Authority> Load(const fs::path& state,
                                        const crypto::PassphraseOptions& passphrase = {});

  const std::string& authority_pem() const { return public_.certificate; }
  const Digest& fingerprint() const { return public_.fingerprint; }
  const crypto::Ed25519PublicKey& root_key() const { return public_.root; }
  const PublicAuthority& published() const { return public_; }
  // The server's TLS identity as it was loaded; of its certificate see ServerCertificate.
  const crypto::PemIdentity& server() const { return server_; }
  const crypto::X25519KeyPair& sealing_key() const { return sealing_; }
  const crypto::Ed25519KeyPair& signing_key() const { return signing_; }
  // As Create returned it.
  absl::StatusOr<identity::RosterEntry> Entry() const;

  // The newest certificate chain of the server, PEM; always of the key of server().
  std::string ServerCertificate() const;
  // When two thirds of its life are over.
  absl::StatusOr<Time> ServerRenewalDue() const;
  // A new one of this life for the same key, saved durably.
  absl::Status RenewServerCertificate(Duration life, Time now) const;

  // Makes a waiting member of who holds a token. The token is spent only when everything else is
  // right. kInvalidArgument: not a token, not a request, no such role, or the token is for another
  // role; kUnauthenticated: another coordinator's or federation's token, or a key that the caller
  // does not hold; kPermissionDenied: unknown, used or expired; Ledger::AddMember's errors.
  absl::StatusOr<Enrolment> Enrol(SharedLedger& ledger, const EnrolmentRequest& request,
                                  Time now) const;

  // A new certificate for a member's own key. kInvalidArgument: a request for another key.
  absl::StatusOr<std::string> Renew(SharedLedger& ledger, const Member& member,
                                    std::string_view request_pem, Time now) const;

 private:
  struct Renewable {
    std::mutex mutex;
    std::string chain;
  };
  Authority() = default;
  fs::path state_;
  PublicAuthority public_;
  crypto::PemIdentity authority_, server_;
  crypto::X25519KeyPair sealing_;
  crypto::Ed25519KeyPair signing_;
  std::unique_ptr<Renewable> renewable_;
};

// Renews the server's certificate once two thirds of its life are over, with the ledger's life for
// certificates. True when it did.
absl::StatusOr<bool> RenewWhenDue(const Authority& authority, SharedLedger& ledger, Time now);

}  // namespace consilium::coordinator
