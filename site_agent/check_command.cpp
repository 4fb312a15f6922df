// consilium-site check: what would keep this site from working, before it does.

#include <cstdio>
#include <cstdlib>

#include "absl/strings/str_format.h"
#include "common/base/preflight.h"
#include "common/base/status.h"
#include "common/base/version.h"
#include "common/crypto/certificates.h"
#include "common/identity/identity.h"
#include "site_agent/commands.h"
#include "site_agent/policy.h"
#include "site_agent/site_identity.h"
#include "site_agent/site_state.h"

namespace consilium::site_agent {
namespace {

constexpr std::uint64_t kDiskNeeded = 5ull << 30;  // models, outbox and pixel cache
constexpr double kClockWarning_s = 5, kClockFailure_s = 300;

std::string Environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string() : std::string(value);
}

void CheckCertificate(const identity::Identity& identity, Time now, Preflight& preflight) {
  const auto subject = crypto::ReadSubject(identity.certificate);
  if (!subject.ok()) return preflight.FailOn("certificate", subject.status(), "enrol again");
  const std::string ends = StrCat("ends ", ToRfc3339(subject->not_after));
  if (now >= subject->not_after) {
    preflight.Fail("certificate", ends, "ask the coordinator's operator for a token, enrol again");
  } else if (now < subject->not_before) {
    preflight.Fail("certificate", StrCat("begins ", ToRfc3339(subject->not_before)),
                   "set the clock");
  } else if (now >= identity::RenewalDue(identity)) {
    preflight.Warn("certificate", StrCat(ends, ", and is due for renewal"),
                   "nothing: `consilium-site run` renews it");
  } else {
    preflight.Ok("certificate", ends);
  }
}

// gRPC takes the first of these that is set; no_proxy exempts hosts.
void CheckProxy(Preflight& preflight) {
  for (const char* name : {"grpc_proxy", "https_proxy", "http_proxy"}) {
    if (Environment(name).empty()) continue;
    const std::string exempt = Environment("no_grpc_proxy") + Environment("no_proxy");
    // The value may carry a password.
    return preflight.Ok("proxy", StrCat("through the one that $", name, " names",
                                        exempt.empty() ? "" : ", but for what no_proxy exempts"));
  }
  preflight.Ok("proxy", "none: connects directly");
}

void CheckClocks(const identity::PingResult& ping, Time now, Preflight& preflight) {
  // The coordinator looked at its clock half way through.
  const double ahead = Seconds(now - ping.time) - Seconds(ping.round_trip) / 2;
  const std::string finding = absl::StrFormat("%.1f s %s the coordinator's", std::abs(ahead),
                                              ahead < 0 ? "behind" : "ahead of");
  const char* remedy =
      "set the clock (timedatectl set-ntp true), or tell the coordinator's operator";
  if (std::abs(ahead) > kClockFailure_s) return preflight.Fail("clock", finding, remedy);
  if (std::abs(ahead) > kClockWarning_s) return preflight.Warn("clock", finding, remedy);
  preflight.Ok("clock", finding);
}

void CheckStanding(const identity::PingResult& ping, const identity::Identity& identity,
                   Preflight& preflight) {
  if (ping.federation != identity.federation) {
    return preflight.Fail("standing", StrCat("it is of federation \"", ping.federation, "\""),
                          "enrol again, with a token of the right federation");
  }
  if (ping.standing == "member") {
    return preflight.Ok("standing", StrCat("member \"", ping.caller, "\""));
  }
  const std::string fingerprint = FingerprintOf(identity);
  if (ping.standing == "waiting to be admitted") {
    return preflight.Warn("standing", ping.standing,
                          StrCat("read ", fingerprint, " to the federation's operator"));
  }
  preflight.Fail("standing", ping.standing,
                 "ask the federation's operator; a site that was revoked enrols again");
}

void CheckCoordinator(const identity::Identity& identity, Preflight& preflight) {
  const auto ping = identity::Ping(identity);
  if (!ping.ok()) {
    return preflight.FailOn(
        "coordinator", ping.status(),
        StrCat("check name, port and firewall: outbound TCP to ", identity.coordinator));
  }
  if (ping->protocol_version != kProtocolVersion) {
    preflight.Fail(
        "coordinator",
        StrCat("speaks protocol ", ping->protocol_version, ", this site ", kProtocolVersion),
        ping->protocol_version > kProtocolVersion ? "upgrade this site"
                                                  : "upgrade the coordinator");
  } else {
    preflight.Ok("coordinator",
                 StrCat(identity.coordinator, " answers in ", ToReadable(ping->round_trip),
                        ", program ", ping->program_version));
  }
  CheckClocks(*ping, SystemClock().Now(), preflight);
  CheckStanding(*ping, identity, preflight);
}

void CheckRoster(const fs::path& state, const identity::Identity& identity, Preflight& preflight) {
  const auto pinned = identity::PinnedRoster::Load(state, identity.root);
  if (!pinned.ok()) return preflight.FailOn("roster", pinned.status(), "enrol again");
  const identity::Roster& roster = pinned->current().roster;
  const identity::RosterEntry* self = roster.Find(identity.name);
  const std::string version = StrCat("version ", roster.version, ", signed by the root");
  if (roster.Coordinator() == nullptr) {
    preflight.Fail("roster", StrCat(version, ", names no coordinator"),
                   "ask the federation's operator for the next roster");
  } else if (self != nullptr && self->signing_key != identity.signing.public_key) {
    preflight.Fail("roster", StrCat(version, ", has another signing key of this site"),
                   "ask the federation's operator to admit this site's own key");
  } else {
    preflight.Ok("roster",
                 StrCat(version, ", ", roster.members.size(), " members, ",
                        self == nullptr ? "this site not yet among them" : "this site among them"));
  }
}

void CheckPolicy(const fs::path& state, Preflight& preflight) {
  const SiteFolder folder{state};
  const auto policy = LoadPolicy(folder.Policy());
  if (!policy.ok()) return preflight.FailOn("policy", policy.status(), "correct policy.toml");
  if (!policy->enabled) {
    return preflight.Warn("policy", "takes part in nothing", "enabled = true in policy.toml");
  }
  if (Exists(folder.Paused())) {
    return preflight.Warn("policy", "paused", "consilium-site resume");
  }
  preflight.Ok("policy", StrCat(Exists(folder.Policy()) ? "policy.toml" : "no file",
                                ": cohorts of ", policy->minimum_cohort, " or more, ",
                                policy->sealed_updates ? "sealed updates too" : "masked updates",
                                policy->decide == DecideBy::kAsk ? ", the operator is asked" : ""));
}

Preflight CheckSite(const KeysCommand& command) {
  Preflight preflight;
  const Time now = SystemClock().Now();
  CheckKeyFiles(command.state / "keys", {"tls.key", "signing.key", "state.key"}, preflight);
  const auto identity = LoadSiteIdentity(command.state, command.passphrase);
  if (identity.ok()) {
    preflight.Ok("identity", StrCat("site \"", identity->name, "\" of federation \"",
                                    identity->federation, "\""));
    CheckCertificate(*identity, now, preflight);
    CheckRoster(command.state, *identity, preflight);
    CheckProxy(preflight);
    CheckCoordinator(*identity, preflight);
  } else {
    preflight.FailOn("identity", identity.status(), "consilium-site enrol TOKEN");
  }
  CheckPolicy(command.state, preflight);
  consilium::CheckClock(command.state, now, preflight);
  CheckDiskSpace(command.state, kDiskNeeded, preflight);
  return preflight;
}

}  // namespace

absl::Status Check(const KeysCommand& command) {
  const Preflight preflight = CheckSite(command);
  std::printf("%s", command.json ? preflight.ToJson().c_str() : preflight.ToTable().c_str());
  return preflight.Outcome();
}

}  // namespace consilium::site_agent
