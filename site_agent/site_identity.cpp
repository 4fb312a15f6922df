#include "site_agent/site_identity.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <utility>

#include "common/base/log.h"
#include "common/base/status.h"

namespace consilium::site_agent {
namespace {

// The clock may be set, and a laptop sleep: look again at least so often.
constexpr Duration kLongestSleep = std::chrono::minutes(10);
constexpr Duration kAfterFailure = std::chrono::minutes(5);

}  // namespace

absl::StatusOr<identity::Identity> LoadSiteIdentity(const fs::path& state,
                                                    const crypto::PassphraseOptions& passphrase) {
  ASSIGN_OR_RETURN(identity::Identity identity, identity::LoadIdentity(state, passphrase));
  if (identity.role != identity::Role::kSite) {
    return absl::InvalidArgumentError(StrCat("the identity in this state folder is \"",
                                             identity.name, "\", a ", Name(identity.role),
                                             " and not a site; give --state the site's folder"));
  }
  return identity;
}

std::string FingerprintOf(const identity::Identity& identity) {
  return identity::ReadableFingerprint(identity.name, identity.role, identity.signing.public_key,
                                       identity.tls_key);
}

CertificateKeeper::CertificateKeeper(identity::Identity& identity, fs::path state,
                                     const Clock& clock, std::function<void()> renewed)
    : identity_(identity),
      state_(std::move(state)),
      clock_(clock),
      renewed_(std::move(renewed)),
      thread_([this](std::stop_token stop) { Keep(std::move(stop)); }) {}

void CertificateKeeper::Keep(std::stop_token stop) {
  std::mutex mutex;
  std::condition_variable_any never;
  std::unique_lock lock(mutex);
  while (!stop.stop_requested()) {
    Duration sleep = kLongestSleep;
    const Time now = clock_.Now(), due = identity::RenewalDue(identity_);
    if (now < due) {
      sleep = std::min(sleep, due - now);
    } else if (const absl::Status renewed = identity::Renew(identity_, state_, now); renewed.ok()) {
      Log(LogLevel::kInfo, "certificate_renewed",
          {{"due_next", ToRfc3339(identity::RenewalDue(identity_))}});
      renewed_();
    } else {
      sleep = kAfterFailure;
      Log(LogLevel::kWarning, "certificate_not_renewed",
          {{"reason", ToStd(renewed.message())}, {"next", "tries again by itself"}});
    }
    never.wait_for(lock, stop, sleep, [] { return false; });
  }
}

}  // namespace consilium::site_agent
