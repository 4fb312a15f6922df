#pragma once

// A federation with its root and its coordinator's folder, and newcomers that make keys as a site
// does, without a network.

#include <string>
#include <utility>
#include <vector>

#include "common/base/random.h"
#include "common/base/status.h"
#include "common/crypto/certificates.h"
#include "common/identity/token.h"
#include "coordinator/authority.h"
#include "coordinator/federation/federation.h"
#include "tests/catch.h"
#include "tests/common/temporary_folder.h"

namespace consilium::federation {

using coordinator::Authority;
using coordinator::EnrolmentRequest;
using coordinator::Invitation;
using coordinator::SharedLedger;
using identity::Role;

// The keys of somebody who wants to be a member.
struct Newcomer {
  crypto::CertificateRequest request = crypto::MakeRequest("enrolling").value();
  crypto::Ed25519KeyPair signing = crypto::Ed25519KeyPair::Generate().value();

  EnrolmentRequest Ask(const std::string& token, Role role) const {
    EnrolmentRequest asked{.token = token,
                           .role = std::string(identity::Name(role)),
                           .request_pem = request.pem,
                           .signing_key = signing.public_key};
    asked.signing_proof =
        crypto::Sign(signing, identity::EnrolmentText(token, request.pem, role, signing.public_key))
            .value();
    return asked;
  }
};

class FoundedFederation {
 public:
  explicit FoundedFederation(Duration certificate_life = kDefaultCertificateLife,
                             Time founded_at = Time(std::chrono::seconds(1'800'000'000)))
      : now(founded_at) {
    const auto founded =
        Found({.name = "lung-network",
               .hosts = {"fl.example.org", "127.0.0.1"},
               .root = root_folder(),
               .state = state(),
               .certificate_life = certificate_life},
              crypto::Passphrase::Unprotected(), crypto::Passphrase::Unprotected(), now);
    INFO(founded.status().ToString());
    REQUIRE(founded.ok());
    ledger_ = std::make_unique<SharedLedger>(OpenLedger(state()).value());
    authority_ = std::make_unique<Authority>(Authority::Load(state()).value());
  }

  fs::path root_folder() const { return folder_ / "root"; }
  fs::path state() const { return folder_ / "coordinator"; }
  SharedLedger& shared() { return *ledger_; }
  const Authority& authority() const { return *authority_; }
  FederationRoot Root() const { return FederationRoot::Open(root_folder()).value(); }

  template <class Use>
  auto WithLedger(const Use& use) {
    return ledger_->With(use);
  }

  absl::StatusOr<std::string> Invite(const std::string& name, Role role = Role::kSite,
                                     double weight_cap = 0) {
    SystemRandom random;
    return coordinator::Invite(*ledger_, authority_->published(),
                               {.name = name,
                                .role = role,
                                .expires = now + std::chrono::hours(24),
                                .weight_cap = weight_cap},
                               now, random);
  }
  absl::StatusOr<coordinator::Enrolment> Enrol(const EnrolmentRequest& request) {
    return authority_->Enrol(*ledger_, request, now);
  }
  Member Enrolled(const std::string& name, Role role = Role::kSite, double weight_cap = 0) {
    const auto enrolment = Enrol(Newcomer().Ask(Invite(name, role, weight_cap).value(), role));
    INFO(enrolment.status().ToString());
    REQUIRE(enrolment.ok());
    return enrolment->member;
  }
  absl::StatusOr<identity::SignedRoster> Admit(const std::vector<Member>& members) {
    return WithLedger(
        [&](Ledger& ledger) { return federation::Admit(Root(), ledger, members, now); });
  }

  const Time now;

 private:
  TemporaryFolder folder_;
  std::unique_ptr<SharedLedger> ledger_;
  std::unique_ptr<Authority> authority_;
};

}  // namespace consilium::federation
