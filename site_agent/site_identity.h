#pragma once

#include <functional>
#include <stop_token>
#include <string>
#include <thread>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/crypto/passphrase.h"
#include "common/identity/identity.h"

namespace consilium::site_agent {

// The identity in the state folder. kInvalidArgument: of another role than a site's.
absl::StatusOr<identity::Identity> LoadSiteIdentity(const fs::path& state,
                                                    const crypto::PassphraseOptions& passphrase);

// What the site's operator reads to the federation's.
std::string FingerprintOf(const identity::Identity& identity);

// Renews the certificate when it is due, for as long as it lives: tries, and after a failure tries
// again within the hour. Of `identity` it changes the certificate only.
class CertificateKeeper {
 public:
  // `renewed` is called on a thread of the keeper's own. All must outlive it.
  CertificateKeeper(identity::Identity& identity, fs::path state, const Clock& clock,
                    std::function<void()> renewed);

 private:
  void Keep(std::stop_token stop);

  identity::Identity& identity_;
  const fs::path state_;
  const Clock& clock_;
  const std::function<void()> renewed_;
  std::jthread thread_;  // last: the first to go
};

}  // namespace consilium::site_agent
