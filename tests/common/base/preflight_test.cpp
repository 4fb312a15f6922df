#include "common/base/preflight.h"

#include "common/base/status.h"
#include "tests/catch.h"
#include "tests/common/temporary_folder.h"

namespace consilium {
namespace {

Finding OnlyFinding(const Preflight& preflight) {
  REQUIRE(preflight.findings().size() == 1);
  return preflight.findings().front();
}

TEST_CASE("a preflight passes with warnings and not with a failure") {
  Preflight preflight;
  preflight.Ok("keys", "4 private keys");
  preflight.Warn("disk", "3 GiB free", "have 8 GiB free");
  CHECK(preflight.Outcome().ok());
  CHECK_THAT(preflight.ToTable(), ContainsText("warn  disk   3 GiB free      have 8 GiB free\n"));
  preflight.FailOn("roster", absl::UnauthenticatedError("not signed"), "fetch it again");
  CHECK(ExitCodeFor(preflight.Outcome()) == 1);
  CHECK_THAT(std::string(preflight.Outcome().message()), ContainsText("1 of 3 checks failed"));
}

TEST_CASE("a preflight as JSON quotes what JSON needs quoted") {
  Preflight preflight;
  preflight.Fail("a", "say \"b\"\\\n", "c");
  CHECK(preflight.ToJson() ==
        "{\"passed\": false, \"checks\": [{\"check\": \"a\", \"verdict\": \"fail\", "
        "\"finding\": \"say \\\"b\\\"\\\\\\u000a\", \"remedy\": \"c\"}]}\n");
}

TEST_CASE("the disk and the limit on open files are checked against what is needed") {
  TemporaryFolder folder;
  const auto disk = [&](std::uint64_t needed) {
    Preflight preflight;
    CheckDiskSpace(folder.path(), needed, preflight);
    return OnlyFinding(preflight).verdict;
  };
  CHECK(disk(1) == Verdict::kOk);
  CHECK(disk(std::uint64_t{1} << 60) == Verdict::kFailed);
  const auto files = [](std::uint64_t needed) {
    Preflight preflight;
    CheckOpenFiles(needed, preflight);
    return OnlyFinding(preflight).verdict;
  };
  CHECK(files(3) == Verdict::kOk);
  CHECK(files(~std::uint64_t{0}) == Verdict::kFailed);
}

TEST_CASE("a clock that was set back shows in the times of the files") {
  TemporaryFolder folder;
  REQUIRE(WriteFileDurably(folder / "file", std::string_view("x")).ok());
  const Time now = SystemClock().Now();
  Preflight right, back;
  CheckClock(folder.path(), now, right);
  CHECK(OnlyFinding(right).verdict != Verdict::kFailed);
  CheckClock(folder.path(), now - std::chrono::hours(1), back);
  CHECK(OnlyFinding(back).verdict == Verdict::kFailed);
}

TEST_CASE("keys must be there, closed to others, and are better wrapped") {
  TemporaryFolder folder;
  const auto check = [&] {
    Preflight preflight;
    CheckKeyFiles(folder.path(), {"a.key", "b.key"}, preflight);
    return OnlyFinding(preflight);
  };
  const auto write = [&](const std::string& name, std::string_view text, unsigned mode) {
    REQUIRE(WriteFileDurably(folder / name, text, mode).ok());
  };
  write("a.key", "consilium wrapped ed25519 private key\n00\n", 0600);
  CHECK(check().verdict == Verdict::kFailed);
  CHECK(check().finding == "missing: b.key");
  write("b.key", "consilium wrapped pem private key\n00\n", 0644);
  CHECK(check().finding == "others may read b.key");
  write("b.key", "-----BEGIN PRIVATE KEY-----\n", 0600);
  CHECK(check().verdict == Verdict::kWarning);
  CHECK_THAT(check().finding, ContainsText("not wrapped: b.key"));
  write("b.key", "consilium wrapped pem private key\n00\n", 0600);
  CHECK(check().verdict == Verdict::kOk);
}

}  // namespace
}  // namespace consilium
