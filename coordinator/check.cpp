#include "coordinator/check.h"

#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>

#include "common/base/host_port.h"
#include "common/base/status.h"
#include "coordinator/authority.h"
#include "coordinator/ledger.h"

namespace consilium::coordinator {
namespace {

constexpr std::uint64_t kDiskNeeded = 2ull << 30;
constexpr std::uint64_t kOpenFilesNeeded = 1024;
constexpr Duration kYear = std::chrono::hours(24 * 365);
constexpr char kInit[] = "`consilium federation init`, or give --state the right folder";
constexpr char kRestore[] = "restore keys/ from a backup";

// The private keys, which need the passphrase.
std::optional<Authority> OpenKeys(const fs::path& state,
                                  const crypto::PassphraseOptions& passphrase,
                                  Preflight& preflight) {
  auto authority = Authority::Load(state, passphrase);
  if (authority.ok()) {
    preflight.Ok("passphrase", "opens the keys");
    return std::move(authority).value();
  }
  if (absl::IsFailedPrecondition(authority.status())) {
    preflight.Warn("passphrase", "none is at hand, so the keys were not opened",
                   "give --passphrase-file, or set CONSILIUM_PASSPHRASE_FILE");
  } else {
    preflight.FailOn("passphrase", authority.status(),
                     "give the right passphrase, or restore keys/ from a backup");
  }
  return std::nullopt;
}

void CheckAuthority(const PublicAuthority& authority, Time now, Preflight& preflight) {
  const auto subject = crypto::ReadSubject(authority.certificate);
  if (!subject.ok()) return preflight.FailOn("authority", subject.status(), kRestore);
  const std::string ends = StrCat("ends ", ToRfc3339(subject->not_after));
  const char* remedy = "plan a new federation: members pin this authority when they enrol";
  if (now >= subject->not_after) return preflight.Fail("authority", ends, remedy);
  if (now + kYear >= subject->not_after) return preflight.Warn("authority", ends, remedy);
  preflight.Ok("authority", ends);
}

void CheckCertificate(const PublicAuthority& authority, bool served, Time now,
                      Preflight& preflight) {
  const auto subject = crypto::ReadSubject(authority.server_chain);
  if (!subject.ok()) return preflight.FailOn("certificate", subject.status(), kRestore);
  const absl::Status issued =
      crypto::VerifyIssuedBy(authority.server_chain, authority.certificate, subject->not_before);
  if (!issued.ok()) return preflight.FailOn("certificate", issued, kRestore);
  const std::string ends = StrCat("ends ", ToRfc3339(subject->not_after));
  if (now < subject->not_before) {
    return preflight.Fail("certificate", StrCat("begins ", ToRfc3339(subject->not_before)),
                          "set the clock");
  }
  if (now < subject->not_after) return preflight.Ok("certificate", ends);
  if (served) {
    return preflight.Fail("certificate", ends, "see the log of `serve`, which should renew it");
  }
  preflight.Warn("certificate", ends, "nothing: `serve` renews it when it starts");
}

enum class Port { kFree, kTaken, kWrong };

Port TryPort(const std::string& address, std::string* why) {
  // Port 0, any that is free, is nothing that one can connect to, which ParseHostPort asks.
  const bool any = address.ends_with(":0");
  auto parsed = ParseHostPort(any ? StrCat(address.substr(0, address.size() - 1), "1") : address);
  if (parsed.ok() && any) parsed->port = "0";
  if (!parsed.ok()) {
    *why = std::string(parsed.status().message());
    return Port::kWrong;
  }
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  if (const int error = getaddrinfo(parsed->host.c_str(), parsed->port.c_str(), &hints, &found)) {
    *why = StrCat(parsed->host, " is no address of this machine: ", gai_strerror(error));
    return Port::kWrong;
  }
  const int descriptor = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int yes = 1;  // connections that linger from before are in nobody's way
  const bool bound =
      descriptor >= 0 && setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) == 0 &&
      bind(descriptor, found->ai_addr, found->ai_addrlen) == 0 && listen(descriptor, 1) == 0;
  const int error = errno;
  if (descriptor >= 0) close(descriptor);
  freeaddrinfo(found);
  if (bound) return Port::kFree;
  *why = std::strerror(error);
  return error == EADDRINUSE ? Port::kTaken : Port::kWrong;
}

void CheckPort(const std::string& address, bool served, Preflight& preflight) {
  std::string why;
  const Port port = TryPort(address, &why);
  if (port == Port::kTaken && served) {
    preflight.Ok("port", StrCat(address, " is served by the running coordinator"));
  } else if (port == Port::kTaken) {
    preflight.Fail("port", StrCat(address, " is taken by another program"),
                   "`ss -ltnp` names it; stop it, or give --listen another port");
  } else if (port == Port::kWrong) {
    preflight.Fail("port", StrCat("cannot listen on ", address, ": ", why),
                   "give --listen an address of this machine and a port this user may take");
  } else if (served) {
    preflight.Warn("port", StrCat(address, " is free, and a coordinator runs on this folder"),
                   "it listens elsewhere: give --listen what `serve` has");
  } else {
    preflight.Ok("port", StrCat(address, " is free"));
  }
}

void CheckLog(Ledger& ledger, Preflight& preflight) {
  const absl::Status whole = ledger.VerifyLog();
  const auto head = ledger.Head();
  if (!whole.ok() || !head.ok()) {
    return preflight.FailOn("ledger", whole.ok() ? head.status() : whole,
                            "keep ledger.db as it is, and restore a backup elsewhere");
  }
  preflight.Ok("ledger",
               StrCat("whole; its log has ", head->number, " entries, head ", head->head.Short()));
}

// What of the coordinator's entry does not fit its keys; empty when all does.
std::string Misfit(const identity::RosterEntry* entry, const PublicAuthority& authority,
                   const std::optional<Authority>& keys) {
  if (entry == nullptr) return "it lists no coordinator";
  const auto tls_key = crypto::KeyFingerprint(authority.server_chain);
  if (!tls_key.ok() || *tls_key != entry->tls_key) return "it has another TLS key";
  if (!keys) return "";
  if (keys->signing_key().public_key != entry->signing_key) return "it has another signing key";
  return entry->sealing_key == keys->sealing_key().public_key ? "" : "it has another sealing key";
}

void CheckRoster(Ledger& ledger, const PublicAuthority& authority,
                 const std::optional<Authority>& keys, Preflight& preflight) {
  const char* remedy = "`consilium federation admit` or `revoke` with --root signs the next one";
  const auto file = ledger.RosterFile();
  if (!file.ok()) return preflight.FailOn("roster", file.status(), remedy);
  const auto signed_roster = identity::VerifyRoster(authority.root, *file);
  if (!signed_roster.ok()) return preflight.FailOn("roster", signed_roster.status(), remedy);
  const identity::Roster& roster = signed_roster->roster;
  const auto federation = ledger.FederationName();
  if (!federation.ok() || *federation != roster.federation) {
    return preflight.Fail("roster", StrCat("it is of the federation \"", roster.federation, "\""),
                          "restore ledger.db and keys/ from one backup");
  }
  if (const std::string misfit = Misfit(roster.Coordinator(), authority, keys); !misfit.empty()) {
    return preflight.Fail("roster", StrCat("the coordinator's entry is not ours: ", misfit),
                          "restore ledger.db and keys/ from one backup");
  }
  std::size_t waiting = 0;
  if (const auto members = ledger.Members(); members.ok()) {
    for (const Member& member : *members) waiting += !member.admitted && !member.revoked;
  }
  preflight.Ok("roster", StrCat("version ", roster.version, ", signed by the root, ",
                                roster.members.size(), " members, ", waiting, " waiting"));
}

}  // namespace

Preflight CheckCoordinator(const fs::path& state, const crypto::PassphraseOptions& passphrase,
                           const std::string& address, Time now) {
  Preflight preflight;
  CheckKeyFiles(state / "keys", {"ca.key", "tls.key", "signing.key", "sealing.key"}, preflight);
  const auto authority = LoadPublicAuthority(state);
  if (!authority.ok() || !Exists(state / "ledger.db")) {
    preflight.Fail("state", "the state folder holds no whole coordinator", kInit);
    return preflight;
  }
  const bool served = !FolderLock::Acquire(state).ok();
  const std::optional<Authority> keys = OpenKeys(state, passphrase, preflight);
  CheckAuthority(*authority, now, preflight);
  CheckCertificate(*authority, served, now, preflight);
  CheckClock(state, now, preflight);
  CheckPort(address.empty() ? DefaultListenAddress(*authority) : address, served, preflight);
  if (auto ledger = Ledger::Open(state / "ledger.db"); ledger.ok()) {
    CheckLog(*ledger, preflight);
    CheckRoster(*ledger, *authority, keys, preflight);
  } else {
    preflight.FailOn("ledger", ledger.status(),
                     "keep ledger.db as it is, and restore a backup elsewhere");
  }
  CheckDiskSpace(state, kDiskNeeded, preflight);
  CheckOpenFiles(kOpenFilesNeeded, preflight);
  return preflight;
}

}  // namespace consilium::coordinator
