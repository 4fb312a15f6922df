#pragma once

// What a program's `check` command prints: check, finding, remedy, one line each.

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/base/clock.h"
#include "common/base/file.h"

namespace consilium {

enum class Verdict { kOk, kWarning, kFailed };
std::string_view Name(Verdict verdict);  // "ok", "warn", "fail"

struct Finding {
  std::string check;  // a word or two: "disk", "clock", "roster"
  Verdict verdict = Verdict::kOk;
  std::string finding;  // what was found, with its figures
  std::string remedy;   // what to do, as a command where there is one; empty when OK
};

// Findings in the order of the checks. Nothing in it may be secret: it is printed, also as JSON.
class Preflight {
 public:
  void Ok(std::string check, std::string finding);
  void Warn(std::string check, std::string finding, std::string remedy);
  void Fail(std::string check, std::string finding, std::string remedy);
  // A status that failed is a failed check; its message is the finding.
  void FailOn(std::string check, const absl::Status& status, std::string remedy);

  const std::vector<Finding>& findings() const { return findings_; }
  // Columns verdict, check, finding, remedy. Ends with a newline.
  std::string ToTable() const;
  // {"passed": bool, "checks": [{"check", "verdict", "finding", "remedy"}, ...]} newline.
  std::string ToJson() const;
  // OK when nothing failed (warnings pass); else kFailedPrecondition with how many did.
  absl::Status Outcome() const;

 private:
  std::vector<Finding> findings_;
};

// ---- checks of the machine that both sides make

// Fails below `needed_bytes` of free space where `folder` lies, warns below twice that.
void CheckDiskSpace(const fs::path& folder, std::uint64_t needed_bytes, Preflight& preflight);

// Fails when the limit on open files (RLIMIT_NOFILE) is under `needed`.
void CheckOpenFiles(std::uint64_t needed, Preflight& preflight);

// Fails when a file in `folder` (not below it) was written later than now, by more than a minute:
// the clock was set back. Warns when the kernel's clock is not synchronised (adjtimex(2)).
void CheckClock(const fs::path& folder, Time now, Preflight& preflight);

// Private keys in `folder` (NAME.key): fails when one is missing, or when others than the owner may
// read or change it. Says which are not wrapped with a passphrase, and warns of them.
void CheckKeyFiles(const fs::path& folder, const std::vector<std::string>& names,
                   Preflight& preflight);

}  // namespace consilium
