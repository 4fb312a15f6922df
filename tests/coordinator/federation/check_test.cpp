#include "coordinator/check.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/coordinator/federation/founded_federation.h"

namespace consilium::coordinator {
namespace {

constexpr char kAnyPort[] = "127.0.0.1:0";

Finding FindingOf(const Preflight& preflight, const std::string& check) {
  INFO(preflight.ToTable());
  for (const Finding& finding : preflight.findings()) {
    if (finding.check == check) return finding;
  }
  FAIL("no check \"" << check << "\" was made");
  return {};
}

Preflight Check(const federation::FoundedFederation& federation,
                const std::string& address = kAnyPort) {
  return CheckCoordinator(federation.state(), {}, address, SystemClock().Now());
}

// Everything of it is of now, as the files are.
class CheckedFederation : public federation::FoundedFederation {
 public:
  CheckedFederation()
      : FoundedFederation(federation::kDefaultCertificateLife, SystemClock().Now()) {}
};

TEST_CASE("a coordinator that is whole passes every check, and says what it found") {
  CheckedFederation federation;
  federation.Enrolled("north");
  const Preflight preflight = Check(federation);
  INFO(preflight.ToTable());
  CHECK(preflight.Outcome().ok());
  CHECK_THAT(FindingOf(preflight, "ledger").finding, ContainsText("whole"));
  CHECK_THAT(FindingOf(preflight, "roster").finding,
             ContainsText("version 1, signed by the root, 1 members, 1 waiting"));
  CHECK(FindingOf(preflight, "keys").verdict == Verdict::kWarning);  // they are not wrapped
  for (const char* check : {"passphrase", "authority", "certificate", "disk", "open files"}) {
    CHECK(FindingOf(preflight, check).verdict == Verdict::kOk);
  }
}

TEST_CASE("a folder without a coordinator fails the check with the command that makes one") {
  TemporaryFolder folder;
  const Preflight preflight = CheckCoordinator(folder.path(), {}, kAnyPort, SystemClock().Now());
  CHECK_FALSE(preflight.Outcome().ok());
  CHECK_THAT(FindingOf(preflight, "state").remedy, ContainsText("consilium federation init"));
}

TEST_CASE("a check changes nothing") {
  CheckedFederation federation;
  const auto keys = [&] {
    std::string all;
    for (const auto& entry : fs::directory_iterator(federation.state() / "keys")) {
      all += ReadTextFile(entry.path()).value();
    }
    return all;
  };
  const std::string before = keys();
  const auto head = [&] {
    return federation.WithLedger([](Ledger& ledger) { return ledger.Head()->head; });
  };
  const Digest log = head();
  (void)Check(federation);
  CHECK(keys() == before);
  CHECK(head() == log);
}

TEST_CASE("a certificate that has ended shows, and so does a clock that was set back") {
  CheckedFederation federation;
  const auto at = [&](Duration later) {
    return CheckCoordinator(federation.state(), {}, kAnyPort, federation.now + later);
  };
  CHECK(FindingOf(at(std::chrono::hours(24 * 91)), "certificate").verdict == Verdict::kWarning);
  CHECK(FindingOf(at(std::chrono::hours(24 * 3651)), "authority").verdict == Verdict::kFailed);
  CHECK(FindingOf(at(-std::chrono::hours(24)), "certificate").verdict == Verdict::kFailed);
  CHECK(FindingOf(at(-std::chrono::hours(24)), "clock").verdict == Verdict::kFailed);
}

TEST_CASE("a port that another program has fails the check") {
  CheckedFederation federation;
  const int other = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  REQUIRE(bind(other, reinterpret_cast<sockaddr*>(&address), size) == 0);
  REQUIRE(listen(other, 1) == 0);
  REQUIRE(getsockname(other, reinterpret_cast<sockaddr*>(&address), &size) == 0);
  const std::string taken = StrCat("127.0.0.1:", ntohs(address.sin_port));
  CHECK(FindingOf(Check(federation, taken), "port").verdict == Verdict::kFailed);
  {
    // Then it is ours, as far as anybody can see.
    const auto serving = FolderLock::Acquire(federation.state());
    REQUIRE(serving.ok());
    CHECK(FindingOf(Check(federation, taken), "port").verdict == Verdict::kOk);
  }
  close(other);
  CHECK(FindingOf(Check(federation, taken), "port").verdict == Verdict::kOk);
  CHECK(FindingOf(Check(federation, "192.0.2.1:443"), "port").verdict == Verdict::kFailed);
}

TEST_CASE("keys and a roster that are not from one backup fail the check") {
  CheckedFederation federation, other;
  fs::copy_file(other.state() / "keys/signing.key", federation.state() / "keys/signing.key",
                fs::copy_options::overwrite_existing);
  CHECK_THAT(FindingOf(Check(federation), "roster").finding, ContainsText("another signing key"));
  fs::copy_file(other.state() / "keys/root.pub", federation.state() / "keys/root.pub",
                fs::copy_options::overwrite_existing);
  CHECK(FindingOf(Check(federation), "roster").verdict == Verdict::kFailed);
  fs::remove(federation.state() / "keys/sealing.key");
  CHECK_THAT(FindingOf(Check(federation), "keys").finding, ContainsText("missing: sealing.key"));
  CHECK(FindingOf(Check(federation), "passphrase").verdict == Verdict::kFailed);
}

}  // namespace
}  // namespace consilium::coordinator
